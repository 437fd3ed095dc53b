// Package creativity replicates "Towards creativity characterization of generative models via group-based subset scanning"
// (Cintas, Das, Quanz, Speakman, Akinwande, Chen; SDG workshop, ICLR 2021, arXiv 2104.00479): images that a decoder makes in an
// unusual way are found by the nodes of a hidden layer that behave unlike in a background.
//
//   - a variational autoencoder is trained ([nets.VAE], fit.TrainVAE), and a [Decoder] decodes latents of test images;
//   - on the way a [Mode] makes nodes work together that rarely do: the creative decoding;
//   - package scan compares the samples' activations with those of training images, one by one and in groups;
//   - [Run] does so over seeds, modes and spaces (the changed layer, the one before it, pixels), and judges the paper's claims.
//
// We could read the paper's abstract and its poster only; of the creative decoder, abstracts. The modes, the settings and the
// labels of what counts as creative are ours.
//
//	result, err := creativity.Run(ctx, eng, creativity.Config{})
//	fmt.Println(result.For(creativity.LowActive10)[0].Scan(creativity.ChangedLayer, "kolmogorov-smirnov", "two").Single.AUC)
package creativity
