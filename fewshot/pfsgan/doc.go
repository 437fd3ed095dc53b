// Package pfsgan learns a generator of a target domain from a few images that have counterparts in a source domain of many: the
// paired few-shot GAN of "Paired Few-Shot GAN" (Teng, Chen, Chiu; ICASSP 2021, arXiv 2102.12765).
//
//   - [TrainSource], stage 1: on the source alone, a generator with an encoder for content and one for appearance;
//   - [Adapt], stage 2: from a few pairs, a generator of the target and an encoder of its appearance. A relation loss compares
//     contents across domains while appearances are shifted, which keeps the few pairs from being learned by heart;
//   - [TrainScratch], [FineTune], [TrainCoGAN] and [TrainUNIT], what it is compared with.
//
// We could not read the paper's equations; losses and schedule are those of the authors' code (chunchih/PFS-GAN), with two slips
// mended, as [Adapt] says. Images are float32 [n, size, size, 3] with values from -1 to 1.
//
//	source, err := pfsgan.TrainSource(ctx, eng, pfsgan.Config{Seed: 1}, images, nil, fit.Options{})
//	target, err := pfsgan.Adapt(ctx, eng, source, pairs, images, pfsgan.Config{Seed: 1}, fit.Options{})
//	made, err := target.Synthesize(eng, images, pairs.Target) // the contents of the first, the appearances of the second
package pfsgan
