// Package joint replicates "Non-Singular Adversarial Robustness of Neural Networks" (Tsai, Hsu, Yu, Chen; ICASSP 2021,
// arXiv 2102.11935): robustness when inputs and weights are perturbed together.
//
//   - [MarginBounds], [LossBounds] and [CertifiedAccuracy] compute how far a perturbation of both can push a dense ReLU
//     network;
//   - [Regularized] is the training loss with the bound's terms for inputs and weights;
//   - [Verify] looks for perturbations that beat the bounds;
//   - [Run] trains the compared models, attacks them over a grid of budgets and judges the paper's claims.
//
// We could read the paper's introduction and abstract only. The formulas here were derived for this replication and
// are our operationalization, not the paper's text; so are the settings.
//
//	bounds, err := joint.MarginBounds(eng, model, images, labels, robust.Threat{Epsilon: 0.01, Weights: []float64{1e-4}})
//	fmt.Println(bounds.Total[0]) // by how much each class's margin of example 0 can fall
package joint
