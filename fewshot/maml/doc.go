// Package maml replicates "On Fast Adversarial Robustness Adaptation in Model-Agnostic Meta-Learning" (Wang, Xu, Liu, Chen,
// Weng, Gan, Wang; ICLR 2021, arXiv 2102.10454): when and how to make meta-learning robust against adversarial examples.
//
//   - [MethodNames] are the compared ways to meta-train: robust in fine-tuning, in the meta-update, or in both, and more;
//   - [Run] trains them, fine-tunes on test tasks, attacks the results, looks for what excites their neurons, and judges the
//     paper's claims.
//
// Meta-learning itself is in package fewshot/meta.
//
// We could read the paper's abstract and first page, and the authors' code. Its code treats inner gradients as constants; here
// gradients are of second order unless a method says otherwise.
//
//	result, err := maml.Run(ctx, eng, maml.Config{})
//	fmt.Println(result.For(maml.Out)[0].Tested.RA)
package maml
