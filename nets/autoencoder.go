package nets

import (
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"
)

// AutoencoderKind tells autoencoders apart.
type AutoencoderKind string

const (
	// ConvAE halves images by convolutions and pooling, and doubles what comes out by convolutions and repetition.
	ConvAE AutoencoderKind = "conv"
	// DenseAE is a chain of dense layers.
	DenseAE AutoencoderKind = "dense"
	// SparseAE is DenseAE, trained so that few values of a code are far from 0.
	SparseAE AutoencoderKind = "sparse"
	// AdversarialAE is DenseAE, trained against a critic so that codes are distributed normally.
	AdversarialAE AutoencoderKind = "adversarial"
	// ConcreteAE has a code of some of the image's values, which training selects, and a dense decoder.
	ConcreteAE AutoencoderKind = "concrete"
)

// AutoencoderConfig describes an autoencoder.
type AutoencoderConfig struct {
	Kind       AutoencoderKind // zero: ConvAE
	Input      []int           // shape of one image; zero: 28, 28, 1
	Channels   []int           // ConvAE: of the encoder's convolutions, each followed by pooling; the decoder has them the other way round; zero: 16, 8
	Kernel     int             // ConvAE: side of the kernels, odd; zero: 5
	Hidden     []int           // others: widths between image and code; zero: none; AdversarialAE: 1000, 1000; ConcreteAE, decoder alone: 320, 320
	Code       int             // values of a code; zero: 128; AdversarialAE: 2; ConcreteAE: 50; ConvAE: channels of a last convolution of the encoder, none if zero
	Activation Activation      // between layers; zero: ReLU; DenseAE, SparseAE: sigmoid
	Dropout    float64         // ConcreteAE, of the decoder's hidden layers; zero: 0.1; negative: none
	Linear     bool            // put out what comes before the last sigmoid; ConcreteAE always does
	Seed       int64           // of the initial weights
}

// Autoencoder is a network from images to codes and back.
type Autoencoder struct {
	Network
	Kind       AutoencoderKind
	InputShape []int    // of one image
	Code       []int    // shape of one code
	Critic     *Network // of AdversarialAE, in the same store: see Criticize; else nil
}

// NewAutoencoder builds an autoencoder. Weights and biases are uniform within ±1/√inputs.
func NewAutoencoder(c AutoencoderConfig) (*Autoencoder, error) {
	return nil, errors.New("nets: not built yet")
}

// Encode builds the codes [batch, Code...] of images [batch, InputShape...].
func (a *Autoencoder) Encode(scope *model.Scope, images *Node) *Node { return images }

// Decode builds the images [batch, InputShape...] of codes [batch, Code...].
func (a *Autoencoder) Decode(scope *model.Scope, codes *Node) *Node { return codes }

// Model is the autoencoder as a network from images to images, [batch, InputShape...] both; Classes is the number of values of an
// image. Its first stage is the first layer with its activation: of ConvAE the first convolution before pooling.
func (a *Autoencoder) Model() *Model { return nil }

// Criticize builds the critic's logit of each code, [batch]: positive if it holds them for drawn from the standard normal
// distribution.
func (a *Autoencoder) Criticize(scope *model.Scope, codes *Node) *Node { return codes }

// Selected are the values of an image that a ConcreteAE's code is made of, counted along the flattened image; two of them may be the same.
func (a *Autoencoder) Selected() ([]int, error) { return nil, errors.New("nets: not built yet") }
