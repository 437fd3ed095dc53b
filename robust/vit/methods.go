package vit

import (
	"cmp"

	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/attack"
	"github.com/trustbook/trustbook/study"
)

// Model is one kind of network and how it is trained.
type Model struct {
	Name  string
	About string // a line for readers

	arch     string // models of one architecture share compiled graphs
	build    func(c Config, shape []int, classes int, seed int64) (*nets.Model, error)
	slow     bool // trained for twice as many epochs, as all with transformer blocks are
	pretrain bool
	loss     func(c Config) fit.Loss // nil: cross-entropy
}

// The compared models.
const (
	CNN           = "CNN"
	ResNet        = "ResNet"
	ViT           = "ViT"
	DeepViT       = "ViT deep"
	WideViT       = "ViT wide"
	StemViT       = "ViT + conv stem"
	T2T           = "T2T-ViT"
	Half          = "hybrid 1/2"
	NoTransformer = "hybrid 0"
	PretrainedViT = "ViT pre-trained"
	CNNPGD        = "CNN, PGD"
	CNNTRADES     = "CNN, TRADES"
	ViTPGD        = "ViT, PGD"
	ViTTRADES     = "ViT, TRADES"
)

// Models returns the compared models in the order in which tables show them.
func Models() []Model {
	cnn := func(_ Config, shape []int, classes int, seed int64) (*nets.Model, error) {
		return nets.NewCNN(nets.CNNConfig{Input: shape, Channels: []int{16, 32}, Dense: 64, Classes: classes, Seed: seed})
	}
	vit := func(change func(*nets.ViTConfig)) func(Config, []int, int, int64) (*nets.Model, error) {
		return func(c Config, shape []int, classes int, seed int64) (*nets.Model, error) {
			v := nets.ViTConfig{Input: shape, Patch: c.patchOf(shape), Width: c.Width, Depth: c.Depth, Heads: c.Heads, MLPRatio: 2,
				MeanPool: true, Classes: classes, Seed: seed}
			change(&v)
			return nets.NewViT(v)
		}
	}
	plain := vit(func(*nets.ViTConfig) {})
	pgd := func(c Config) fit.Loss { return attack.AdversarialTraining(c.inner()) }
	trades := func(c Config) fit.Loss { return attack.TRADES(c.inner(), 6) }
	return []Model{
		{Name: CNN, About: "two 3x3 convolutions, 16 and 32 channels, each with max-pooling; dense 64", arch: CNN, build: cnn},
		{Name: ResNet, About: "residual network: three basic blocks, 16 to 64 channels, batch normalization", arch: ResNet,
			build: func(_ Config, shape []int, classes int, seed int64) (*nets.Model, error) {
				return nets.NewResNet(nets.ResNetConfig{Input: shape, Channels: []int{16, 32, 64}, Classes: classes, Seed: seed})
			}},
		{Name: ViT, About: "vision transformer on patches, mean of tokens", arch: ViT, build: plain, slow: true},
		{Name: DeepViT, About: "twice as many blocks", arch: DeepViT, slow: true, build: vit(func(v *nets.ViTConfig) { v.Depth *= 2 })},
		{Name: WideViT, About: "twice as wide", arch: WideViT, slow: true, build: vit(func(v *nets.ViTConfig) { v.Width *= 2 })},
		{Name: StemViT, About: "two 3x3 convolutions of 16 channels before the patches", arch: StemViT, slow: true,
			build: vit(func(v *nets.ViTConfig) { v.Tokenizer = nets.ConvStem })},
		{Name: T2T, About: "tokens-to-token: overlapping windows, unfolded three times", arch: T2T, slow: true,
			build: vit(func(v *nets.ViTConfig) { v.Tokenizer = nets.TokensToToken })},
		{Name: Half, About: "the first half of the blocks convolutional", arch: Half, slow: true,
			build: vit(func(v *nets.ViTConfig) { v.ConvBlocks = (v.Depth + 1) / 2 })},
		{Name: NoTransformer, About: "all blocks convolutional, on the same patches", arch: NoTransformer, slow: true,
			build: vit(func(v *nets.ViTConfig) { v.ConvBlocks = v.Depth })},
		{Name: PretrainedViT, About: "ViT, first trained on rendered characters of four scripts", arch: ViT, build: plain, slow: true,
			pretrain: true},
		{Name: CNNPGD, About: "CNN, adversarially trained with PGD", arch: CNN, build: cnn, loss: pgd},
		{Name: CNNTRADES, About: "CNN, trained with TRADES, beta 6", arch: CNN, build: cnn, loss: trades},
		{Name: ViTPGD, About: "ViT, adversarially trained with PGD", arch: ViT, build: plain, slow: true, loss: pgd},
		{Name: ViTTRADES, About: "ViT, trained with TRADES, beta 6", arch: ViT, build: plain, slow: true, loss: trades},
	}
}

// modelsNamed picks models by name, in the order of Models.
func modelsNamed(names []string) ([]Model, error) {
	return study.Pick("model", names, Models(), func(m Model) string { return m.Name })
}

// modelOf is the model of a name; one that is nothing but named, as imported ones are, for other names.
func modelOf(name string) Model {
	if found, err := modelsNamed([]string{name}); err == nil {
		return found[0]
	}
	return Model{Name: name}
}

// inner is the attack of adversarial training.
func (c Config) inner() attack.Inner {
	return attack.Inner{Threat: robust.Threat{Norm: robust.Linf, Epsilon: c.TrainEpsilon}, Steps: c.TrainSteps}
}

// patchOf is the side of the patches: a quarter of the image's, unless it is set.
func (c Config) patchOf(shape []int) int { return cmp.Or(c.Patch, max(1, shape[0]/4)) }

// architecture is what models that share compiled graphs have in common.
func (m Model) architecture() string { return cmp.Or(m.arch, m.Name) }

// natural tells whether the model is trained on clean images alone, and only on those of the data set.
func (m Model) natural() bool { return m.loss == nil && !m.pretrain }

// trainings is how many tasks of training the model reports, each for all seeds.
func (m Model) trainings() int {
	switch {
	case m.build == nil: // imported
		return 0
	case m.pretrain:
		return 2
	}
	return 1
}

func (m Model) epochs(c Config) int {
	if m.slow {
		return 2 * c.Epochs
	}
	return c.Epochs
}

// fitting trains with a loss for so many epochs, after a warm-up of standard training. Adversarial training from random
// weights may stall at the accuracy of guessing.
func (c Config) fitting(epochs int, loss fit.Loss, warmUp int, seed int64) fit.Config {
	phases := []fit.Phase{{Epochs: max(1, epochs), Loss: loss}}
	if warmUp > 0 {
		phases = append([]fit.Phase{{Epochs: warmUp, Loss: fit.CrossEntropy()}}, phases...)
	}
	return fit.Config{BatchSize: c.BatchSize, LearningRate: c.LearningRate, WeightDecay: c.WeightDecay, Cosine: true, WarmUpSteps: 100,
		Seed: seed, Phases: phases}
}
