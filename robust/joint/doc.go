// Package joint replicates "Non-Singular Adversarial Robustness of Neural Networks" (Tsai, Hsu, Yu, Chen; ICASSP 2021,
// arXiv 2102.11935): robustness when inputs and weights are perturbed together.
//
//   - [Methods] are the compared trainings, among them those with the bound's terms for inputs and weights (see
//     [certify.Regularized]);
//   - [Run] trains the compared models, attacks them over a grid of budgets, attacks the bounds themselves, and judges the
//     paper's claims.
//
// The bounds are in package certify, the attack on inputs and weights together is [attack.JointPGD].
//
// We could read the paper's introduction and abstract only. The formulas here were derived for this replication and
// are our operationalization, not the paper's text; so are the settings.
//
//	result, err := joint.Run(ctx, eng, joint.Config{})
//	fmt.Println(result.For(joint.ATx)[0].Clean())
package joint
