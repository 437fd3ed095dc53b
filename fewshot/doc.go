// Package fewshot makes episodes: small classification tasks, each of a few classes with a few labeled images (the
// support set) and more images of the same classes to be judged on (the query set).
//
//   - [ClassSet] holds images by class: glyphs rendered from fonts, Omniglot, or a folder of class folders ([Load]);
//   - [Disjoint] makes sure that no class is met in training and in testing;
//   - [Sampler] draws batches of episodes, each a function of seed and index alone;
//   - [Sinusoid] draws regression tasks, the smallest few-shot problem there is.
//
// A learner that takes a [Source] works with all of them.
//
//	train, test, err := fewshot.Load(ctx, "glyphs", fewshot.LoadOptions{})
//	s, err := fewshot.NewSampler(train, fewshot.Episodes{Ways: 5, Shots: 1, Queries: 5, Tasks: 4})
//	batch, err := s.Batch(0)
package fewshot
