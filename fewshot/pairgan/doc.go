// Package pairgan replicates "Paired Few-Shot GAN" (Teng, Chen, Chiu; ICASSP 2021, arXiv 2102.12765): a generator of a domain of
// which there are a few images only, each with a counterpart in a domain of many.
//
//   - [paired.Digits] draws digits in colors on black, of which a few come in ink on paper, too;
//   - package pfsgan learns the source, adapts to the target, and learns what that is compared with;
//   - package generative compares samples with held-out target images, by features of a classifier that no method saw (so distances are
//     called FID-f and KID-f); that classifier also says whether a sample still shows the content it was made of;
//   - [Run] does so over seeds, takes terms of the method away one by one, and destroys the pairing as a control.
//
// We could read the paper's abstract and its authors' code, not its text or numbers; data, sizes and thresholds are ours.
//
//	result, err := pairgan.Run(ctx, eng, pairgan.Config{})
//	fmt.Println(result.For(pairgan.Full)[0].Frechet)
package pairgan
