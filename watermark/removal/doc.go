// Package removal has what a thief of a watermarked network may do about the mark: attacks on the network ([Removal]), endpoints
// that hide it ([Hiding]), and keys forged after the fact ([Forge], [ForgeRows]). Everything works on networks of anyone's,
// built here or loaded from ONNX files, whether marked or not, and leaves the network that it is given as it was.
//
//	attack := removal.FineTune{Training: removal.Training{Rate: 1e-3, Epochs: 10}}
//	cleaned, err := attack.Apply(ctx, eng, m, fit.Data{Images: images, Labels: labels}, fit.Options{Dir: "state"})
//
// An attack has removed a mark only if the network is still worth having: measure accuracy beside the mark, with
// nets.Predictor and watermark.Extract. Endpoints are wrapped:
//
//	hidden, err := removal.Rounded{Digits: 1}.Of(endpoint)
//	verdict, err := verifier.Verify(ctx, hidden, key, images)
//
// The attacks and their settings are those of the scripts beside GradSigns (Aramoon, Chen and Qu, arXiv 2103.03701,
// github.com/IBM/GradSigns) and of the literature on removal: what each is, and where it comes from, its comment says.
package removal
