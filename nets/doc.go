// Package nets has the networks, each a [Model]: what it computes, as a graph, with its weights and the facts that training
// and attacks need. MLP, CNN, residual networks and vision transformers are built here; package nets/onnx reads others from
// files.
//
//	m, err := nets.NewCNN(nets.CNNConfig{Seed: 1})
//	p, err := nets.NewPredictor(eng.Backend(), m, 128)
//	classes, err := p.Classes(images) // images [n, 28, 28, 1]
package nets
