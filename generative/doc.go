// Package generative measures how generated samples compare with real ones, for anyone who trains a generative model:
//
//   - [Frechet] and [Kernel], distances of distributions: FID (Heusel et al., arXiv 1706.08500) and KID (Bińkowski et al., arXiv
//     1801.01401) where features are those of an Inception network. Of other features they are called FID-f and KID-f here, and are
//     comparable within one network and one number of samples only; [FrechetInfinity] takes the bias of that number away;
//   - [Compare]: improved precision and recall (Kynkäänniemi et al., arXiv 1904.06991), density and coverage (Naeem et al., arXiv
//     2002.09797);
//   - [Diversity], [EffectiveClasses], and [Nearest], which finds what was learned by heart.
//
// Features are rows of one length, such as nets.Activations gives of a hidden layer. Those whose squares or products are beyond float64
// (from about 1e45 on) are an error. A test compares measures with those of torch-fidelity and prdc.
//
//	m, err := generative.Measure(real, made, generative.Options{Seed: 1})
//	fmt.Println(m.Frechet, m.Precision, m.Recall)
package generative
