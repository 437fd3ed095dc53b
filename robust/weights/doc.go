// Package weights replicates "Formalizing Generalization and Robustness of Neural Networks to Weight Perturbations" (Tsai,
// Hsu, Yu, Chen; arXiv 2103.02200): how far margins can fall when weights move, what that has to do with generalization,
// and training against it.
//
//   - [RademacherBound] and [Generalization] are the bounds on the generalization gap, without and under perturbation;
//   - [Loss] is the training loss with the bound's two terms;
//   - [Quantize] quantizes weights, the perturbation that every user meets;
//   - [Assess] tells how a network of the user's own stands all this;
//   - [Run] trains the compared networks, attacks, rounds and certifies them, and judges the paper's claims.
//
// The margin bounds are in package certify, the attacks on weights are [attack.JointPGD] and [attack.RandomWeights].
//
// We could read the paper's abstract and first page only. The formulas here were derived for this replication and are
// our operationalization, not the paper's text; so are the settings.
//
//	a, err := weights.Assess(ctx, eng, model, fit.Data{Images: images, Labels: labels}, weights.AssessConfig{Epsilon: 0.001})
//	fmt.Println(a.Clean, a.Parts[0].Attacked, a.Parts[0].Certified)
package weights
