// Package representation learns representations of images without labels, by contrast (SimCLR: Chen et al., arXiv 2002.05709), and
// measures what representations of any network are worth: by a linear classifier on them ([Probe]) and by their neighbors
// ([KNNAccuracy]).
//
//	net, err := nets.NewContrastive(nets.ContrastiveConfig{Input: []int{8, 8, 1}, Seed: 1})
//	losses, err := representation.Train(ctx, eng, net.Model(), images, representation.Training{Seed: 1}, fit.Options{Dir: dir})
//	train, err := representation.Features(eng, net.Encoder(), images.Images)
//	test, err := representation.Features(eng, net.Encoder(), others.Images)
//	accuracy, err := representation.Probe{}.Accuracy(ctx, eng, train, images.Labels, test, others.Labels)
package representation
