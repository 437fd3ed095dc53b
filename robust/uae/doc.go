// Package uae makes adversarial examples without labels, after "Adversarial Examples can be Effective Data Augmentation for
// Unsupervised Machine Learning" (arXiv 2103.01895): images that a network does no worse with than with the originals, although
// they share as little information with these as can be. What an image shares with another is estimated by a small network of
// its own for each image (MINE, arXiv 1801.04062), trained meanwhile.
//
//	objective, err := uae.Reconstruction(autoencoder)
//	maps, err := uae.FirstConv(autoencoder)
//	found, err := uae.Tuned().Generate(ctx, engine, objective, maps, images)
//	verdict, err := uae.Check(ctx, engine, objective, images, found, 0.3)
//
// [Margin] makes supervised ones of the same search, as similar to the original as can be; [Attack] is that search under the
// contract of all attacks on classifiers.
package uae
