// Package scoring replicates "Gi and Pal Scores: Deep Neural Network Generalization Statistics" (Schiff, Quanz, Das, Chen;
// arXiv 2104.03469): two statistics of how a trained network's accuracy falls when its training examples are perturbed,
// which tell how far test accuracy lies below training accuracy without seeing a test set.
//
//   - [Curve] is a perturbation response curve: accuracy over magnitudes;
//   - [GiScore] and [PalScore] are the statistics, after the Gini coefficient and the Palma ratio of incomes;
//   - [Responder] measures curves of any network: [Mixup] within or between classes, [GaussianNoise], [Rotation],
//     [Translation] or a [Perturbation] of the user's own, at the input or behind any [nets.Stage];
//   - [Baselines] are the measures they are held against: norms, margins, sharpness, mixup error and others;
//   - [ConditionalMutualInformation], [KendallTauB] and [LinearFit] tell how well a measure predicts the gap over a zoo of
//     networks, the first as the competition Predicting Generalization in Deep Learning (PGDL, NeurIPS 2020) does;
//   - [Run] trains such a zoo, scores it and judges the paper's claims; [Study] has the steps that it is made of.
//
// We could read the paper's abstract, and abstract, introduction and a figure's caption of its follow-up, "Predicting Deep
// Neural Network Generalization with Perturbation Response Curves" (NeurIPS 2021, arXiv 2106.04765). Formulas are derived
// from these descriptions; which ideal network, which fractions and the factor 2 in [GiScore] are our reading.
//
//	r, err := scoring.NewResponder(eng, model, scoring.Examples{Images: images, Labels: labels}, scoring.ResponseOptions{})
//	curve, err := r.Respond(ctx, scoring.Mixup{Kind: scoring.IntraClass}, 0)
//	gi, err := scoring.GiScore(curve, scoring.IdealPerfect)
//	pal, err := scoring.PalScore(curve, scoring.PalFractions{})
package scoring
