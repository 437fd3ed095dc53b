// Package hardlabel replicates "Hard-label Manifolds: Unexpected Advantages of Query Efficiency for Finding On-manifold Adversarial
// Examples" (2021, arXiv 2103.03325): what attacks that see decisions only find lies nearer to the data where they search in few
// dimensions.
//
//   - on images, [HopSkipJump] and [SignOPT] attack natural and adversarially trained networks in directions of all pixels and of
//     smaller spaces, and one run is read at several budgets of queries;
//   - package manifold tells how far from the training data each result lies; gradients and RayS are measured beside;
//   - on two spheres, [Spheres] asks how much decisions tell of the data's manifold, where a closed form is known;
//   - [Run] does so over seeds, and judges the paper's claims.
//
// We could read the paper's abstract only. The measures of distance, the experiment on spheres, how attacks and spaces are
// combined and all settings are our operationalization, never the paper's.
//
//	result, err := hardlabel.Run(ctx, eng, hardlabel.Config{})
//	fmt.Println(result.For(hardlabel.Natural)[0].Row(hardlabel.HopSkipJump, "bilinear:7", 1000).Of.Excess)
package hardlabel
