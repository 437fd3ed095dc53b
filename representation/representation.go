// Package representation learns representations of images without labels, and measures what they are worth.
package representation

import (
	"context"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
)

// Augmentation changes images at random, each in its own way, but not what they show. Its name tells its every parameter.
type Augmentation struct {
	Name string
	// Graph builds the changed images of images [batch, height, width, channels] with values from 0 to 1, of the same shape and
	// bounds. It draws from scope's random state alone.
	Graph func(scope *model.Scope, images *Node) *Node
}

// ShiftBy moves an image by up to so many pixels in both directions; RotateBy turns it by up to so many degrees; AddNoise adds normal
// noise; JitterColors changes brightness and contrast, of colors saturation too, by factors within 1±strength; CropFrom enlarges a part of
// at least the given share of the image's area; Flip mirrors every second image.
func ShiftBy(pixels int) Augmentation        { return Augmentation{} }
func RotateBy(degrees float64) Augmentation  { return Augmentation{} }
func AddNoise(deviation float64) Augmentation { return Augmentation{} }
func JitterColors(strength float64) Augmentation { return Augmentation{} }
func CropFrom(share float64) Augmentation      { return Augmentation{} }
func Flip() Augmentation                   { return Augmentation{} }

// InTurn is one augmentation after the other.
func InTurn(all ...Augmentation) Augmentation { return Augmentation{} }

// Config describes a contrastive network.
type Config struct {
	Input      []int // height, width, channels; zero: 28, 28, 1
	Channels   []int // of the encoder's blocks of 3x3 convolution, ReLU and pooling; zero: 32, 64
	Features   int   // values of a representation; zero: 64
	Projection int   // values of an embedding; zero: 32
	Seed       int64 // of the initial weights
}

// Contrastive is a network for SimCLR (Chen et al., arXiv 2002.05709): an encoder to features, and a head that projects them to
// embeddings, on which the loss is.
type Contrastive struct {
	nets.Network
	InputShape           []int
	Features, Projection int
}

// New builds a contrastive network.
func New(c Config) (*Contrastive, error) { return nil, errors.New("representation: not built yet") }

// Model is the network from images [batch, InputShape...] to embeddings [batch, Projection]; Encoder that to features
// [batch, Features]. Both read the same weights.
func (c *Contrastive) Model() *nets.Model   { return nil }
func (c *Contrastive) Encoder() *nets.Model { return nil }

// Training says how a contrastive network is trained.
type Training struct {
	Epochs       int          // zero: 30
	Steps        int          // in place of Epochs, if not zero
	BatchSize    int          // zero: 128
	Temperature  float64      // zero: 0.5
	Rule         fit.Rule     // zero: Adam with 1e-3
	Augmentation Augmentation // zero: ShiftBy(1), RotateBy(15), AddNoise(0.1)
	Seed         int64
}

// ContrastiveLoss is the name under which Train's Losses hold the mean NT-Xent loss.
const ContrastiveLoss = "NT-Xent"

// Train trains a contrastive network in place, by the NT-Xent loss of two views of each image, or loads what the same training
// gave before. What [fit.Alternation.Train] says holds.
func Train(ctx context.Context, e *engine.Engine, c *Contrastive, images fit.Data, t Training, o fit.Options) (fit.Losses, error) {
	return nil, errors.New("representation: not built yet")
}

// Features are what a network puts out for images [n, ...], as [n, values].
func Features(e *engine.Engine, m *nets.Model, images *tensors.Tensor) (*tensors.Tensor, error) {
	return nil, errors.New("representation: not built yet")
}

// Probe is a linear classifier of features: multinomial logistic regression.
type Probe struct {
	L2 float64 // penalty L2/2 of the squared weights on the sum of cross-entropies; zero: 1; scikit-learn's 1/C
}

// Accuracy trains the probe on features [n, values] with labels, to convergence, and returns the share of test features that it
// classifies correctly.
func (p Probe) Accuracy(ctx context.Context, e *engine.Engine, train *tensors.Tensor, labels []int32, test *tensors.Tensor, testLabels []int32) (float64, error) {
	return 0, errors.New("representation: not built yet")
}

// KNNAccuracy is the share of test features [m, values] whose label is the most frequent one among their k nearest training
// features [n, values]; of equally frequent ones the smallest.
func KNNAccuracy(e *engine.Engine, k int, train *tensors.Tensor, labels []int32, test *tensors.Tensor, testLabels []int32) (float64, error) {
	return 0, errors.New("representation: not built yet")
}
