// Package paired holds images of two domains that share content and differ in appearance, as few-shot generation
// from pairs needs them (PFS-GAN; Teng, Chen, Chiu; ICASSP 2021, arXiv 2102.12765). Images are float32
// [n, height, width, 3] with values in [-1, 1].
//
//   - [Set] holds pairs: row k of both domains shows the same content;
//   - [Digits] and [Glyphs] make a [Split] with a target domain that is known in full, so that a method can be scored:
//     what it sees are many source images and a few pairs;
//   - [LoadSideBySide] and [LoadFolders] read pairs of one's own.
//
// Colors of images are in package lab, below.
//
//	split, err := paired.Digits(ctx, paired.Options{Domain: paired.Ink, Pairs: 20, Size: 16})
//	control := split.Few.Shuffled(1) // the same images, pairs destroyed
package paired
