// Package vit replicates R. Shao, Z. Shi, J. Yi, P.-Y. Chen, C.-J. Hsieh: On the Adversarial Robustness of Vision
// Transformers, arXiv 2103.15670 (first version): transformers, convolutional networks and mixtures of both are trained
// alike, attacked in white-box and transfer settings, filtered by frequency, and asked what each block still knows of the
// image's fine detail.
//
//	r, err := vit.Run(ctx, eng, vit.Config{})
//	fmt.Println(r.Claims()[0].Verdict())
//
// [Open] gives the steps that Run is made of: [Study.Train], [Study.Measure] and [Study.Transfer].
//
// The paper's transformers are large and pre-trained on millions of images; those here are small and trained from scratch
// on thousands. What holds for the former need not hold for the latter: every claim is measured, none is asserted. With
// Config.Imported the same study runs on networks of the user's own.
package vit
