// Package meta is meta-learning as a tool: parameters from which a few steps of gradient descent learn a new task, and that
// stay robust against adversarial examples while they do.
//
//   - [Model] is a network as a pure function of its parameters: [Conv], whose gradients can be differentiated again, and [MLP];
//   - [MetaGradient] and [Adapt] are MAML (Finn, Abbeel, Levine; arXiv 1703.03400) for losses of the user's own, with true
//     second-order gradients, of first order, or of the last layer alone (ANIL);
//   - [Method] is one way to meta-train: robust in fine-tuning, in the meta-update, or in both; by cross-entropy or TRADES, with
//     fast or slow attacks, unlabeled images, or a contrastive auxiliary task;
//   - [Trainer] meta-trains with it, [Evaluator] fine-tunes on test tasks and attacks the result;
//   - [Evaluator.Maximize] finds what excites a neuron.
//
// Gradients are of second order unless a method says otherwise.
//
//	t, err := meta.NewTrainer(eng, net, meta.Method{Name: "robust", GammaOut: 0.2})
//	m, err := t.Train(ctx, episodes, meta.TrainOptions{Updates: 200})
//	v, err := meta.NewEvaluator(eng, net)
//	accuracies, err := v.Evaluate(ctx, m.Parameters, testEpisodes, meta.EvalOptions{Epsilon: 16. / 255})
package meta
