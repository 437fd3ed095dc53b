// Package unsup replicates "Adversarial Examples can be Effective Data Augmentation for Unsupervised Machine Learning" (Hsu, Chen,
// Lu, Liu, Yu, AAAI 2022, arXiv 2103.01895): examples that share as little as possible with an image, by an estimate of mutual
// information, and that a network without labels still treats no worse than the image; and networks that learn from both.
//
//   - the estimator is held against mutual information that is known;
//   - examples are searched by package uae: MinMax, the penalty with a search for its weight, and squared distances in place of
//     information, at equal numbers of gradient steps; a classifier is attacked by the same search;
//   - autoencoders of four kinds and a contrastive encoder learn anew, from their images and one example of each;
//   - beside these stand networks that learned for as long from the images alone, from the images twice, and from noise, that of
//     the examples' own norm above all;
//   - [Run] does so over seeds, and judges the paper's claims.
//
// We could read the paper's abstract and its authors' code for the attacks, not its text. The code settles the searches; small images,
// networks, the lengths of training and all thresholds are our operationalization.
//
//	result, err := unsup.Run(ctx, eng, unsup.Config{})
//	fmt.Println(result.Attack(unsup.Convolutional)[0].Rate, result.Task(unsup.Convolutional)[0].Gain(unsup.Adversarial, unsup.Originals))
package unsup
