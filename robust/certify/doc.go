// Package certify bounds what l-infinity perturbations of weights, and of inputs, can do to the margins of networks that
// end in dense layers with non-negative monotone activations (arXiv 2103.02200 for weights, arXiv 2102.11935 for both).
//
//   - [MarginBounds], [LossBounds] and [CertifiedAccuracy] compute how far any perturbation inside the radii can push each
//     margin and the loss: [Bounds];
//   - [Covers] tells which layers of a model they speak of;
//   - [Regularized] is a training loss with the bound's terms and the layers' norms;
//   - [Verify] looks for perturbations that beat the bounds.
//
// We could read the papers' abstracts and introductions only: the formulas were derived for this replication, and are not
// the papers' text.
//
//	bounds, err := certify.MarginBounds(eng, model, images, labels, robust.Threat{Epsilon: 0.01, Weights: []float64{1e-4}})
//	fmt.Println(bounds.Total[0]) // by how much each class's margin of example 0 can fall
package certify
