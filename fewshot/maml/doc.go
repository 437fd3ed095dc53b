// Package maml replicates "On Fast Adversarial Robustness Adaptation in Model-Agnostic Meta-Learning" (Wang, Xu, Liu, Chen,
// Weng, Gan, Wang; ICLR 2021, arXiv 2102.10454): when and how to make meta-learning robust against adversarial examples.
//
//   - [Model] is a network as a pure function of its parameters: [Conv], whose gradients can be differentiated again, and [MLP];
//   - [MetaGradient] and [Adapt] are MAML (Finn, Abbeel, Levine; arXiv 1703.03400) for losses of the user's own, with true
//     second-order gradients, of first order, or of the last layer alone (ANIL);
//   - [Method] is one way to meta-train: robust in fine-tuning, in the meta-update, or in both; by cross-entropy or TRADES, with
//     fast or slow attacks, unlabeled images, or a contrastive auxiliary task;
//   - [Trainer] meta-trains with it, [Evaluator] fine-tunes on test tasks and attacks the result;
//   - [Evaluator.Maximize] finds what excites a neuron, the paper's explanation;
//   - [Run] compares the methods and judges the paper's claims.
//
// We could read the paper's abstract and first page, and the authors' code. Its code treats inner gradients as constants; here
// gradients are of second order unless a method says otherwise.
//
//	t, err := maml.NewTrainer(eng, net, maml.Method{Name: "robust", GammaOut: 0.2})
//	m, err := t.Train(ctx, episodes, maml.TrainOptions{Updates: 200})
//	v, err := maml.NewEvaluator(eng, net)
//	accuracies, err := v.Evaluate(ctx, m.Parameters, testEpisodes, maml.EvalOptions{Epsilon: 16. / 255})
package maml
