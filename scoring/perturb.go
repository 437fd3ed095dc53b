package scoring

import (
	"fmt"
	"math/rand/v2"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/pkg/errors"
)

// Perturbation changes examples, or what a hidden layer makes of them, by a magnitude.
type Perturbation interface {
	// Name tells the kind and every parameter: curves with equal names are compiled once.
	Name() string
	// Magnitudes is the grid of the curve, increasing.
	Magnitudes() []float64
	// Needs says what Apply takes beside the values.
	Needs() Needs
	// Apply builds the perturbed values, of the shape of s.Values. At magnitude 0 they must be the values themselves.
	Apply(s Sample) *Node
}

// Needs is what a perturbation takes beside the values it perturbs.
type Needs struct {
	Partner Partner
	Noise   bool // standard normal values, one a value, the same at all magnitudes
	Pixels  bool // whether it moves pixels, and so applies to images only
}

// Sample is what a perturbation applies to; nodes that it does not need are nil.
type Sample struct {
	Values    *Node // [batch, ...]
	Partner   *Node // [batch, ...]: the values of each example's partner
	Noise     *Node // [batch, ...]
	Magnitude *Node // a scalar of the values' type
	// Height and Width are the axes of images, where Needs says Pixels.
	Height, Width int
}

// Partner says which other example belongs to an example.
type Partner int

const (
	// NoPartner is none.
	NoPartner Partner = iota
	// SameClass is another example of the same class.
	SameClass
	// OtherClass is an example of another class.
	OtherClass
)

// Partners draws a partner for each example, uniformly among those of the kind; rows into labels.
func Partners(labels []int32, kind Partner, seed int64) ([]int32, error) {
	byClass := map[int32][]int32{}
	for i, y := range labels {
		byClass[y] = append(byClass[y], int32(i))
	}
	rng := rand.New(rand.NewPCG(uint64(seed), 0x706172746e657273)) // the stream "partners"
	partners := make([]int32, len(labels))
	for i, y := range labels {
		same := byClass[y]
		switch kind {
		case SameClass:
			if len(same) < 2 {
				return nil, errors.Errorf("scoring: class %d has one sample in the subset: intra-class mixup needs two", y)
			}
			k := rng.IntN(len(same) - 1)
			if partners[i] = same[k]; partners[i] >= int32(i) {
				partners[i] = same[k+1] // the list is in order: this skips the example itself
			}
		case OtherClass:
			others := len(labels) - len(same)
			if others == 0 {
				return nil, errors.Errorf("scoring: all samples are of class %d: inter-class mixup needs two classes", y)
			}
			j := int32(rng.IntN(len(labels)))
			for labels[j] == y {
				j = int32(rng.IntN(len(labels)))
			}
			partners[i] = j
		}
	}
	return partners, nil
}

// MixupKind says between which examples [Mixup] mixes.
type MixupKind int

const (
	// InterClass mixes with an example of another class.
	InterClass MixupKind = iota
	// IntraClass mixes with another example of the same class.
	IntraClass
)

// Mixup is (1-α)·h + α·h', h' the partner's values; the label stays. α runs over 0, 0.05, ..., 0.5.
type Mixup struct{ Kind MixupKind }

// Name is "inter-class mixup" or "intra-class mixup".
func (m Mixup) Name() string {
	if m.Kind == IntraClass {
		return "intra-class mixup"
	}
	return "inter-class mixup"
}

// Magnitudes are 11 weights of the partner, up to one half.
func (m Mixup) Magnitudes() []float64 { return Linspace(0, 0.5, 11) }

// Needs says which partner.
func (m Mixup) Needs() Needs {
	if m.Kind == IntraClass {
		return Needs{Partner: SameClass}
	}
	return Needs{Partner: OtherClass}
}

// Apply mixes.
func (m Mixup) Apply(s Sample) *Node {
	return Add(Mul(s.Values, OneMinus(s.Magnitude)), Mul(s.Partner, s.Magnitude))
}

// GaussianNoise is h + α·g with standard normal g, drawn once an example. Pixels may leave their bounds. α runs over 0, 0.1,
// ..., 1.
type GaussianNoise struct{}

// Name is "Gaussian noise".
func (GaussianNoise) Name() string { return "Gaussian noise" }

// Magnitudes are 11 standard deviations.
func (GaussianNoise) Magnitudes() []float64 { return Linspace(0, 1, 11) }

// Needs says noise.
func (GaussianNoise) Needs() Needs { return Needs{Noise: true} }

// Apply adds the noise.
func (GaussianNoise) Apply(s Sample) *Node { return Add(s.Values, Mul(s.Noise, s.Magnitude)) }

// Rotation turns images by α degrees about their middle, counterclockwise as one sees them, with bilinear interpolation and
// zeros beyond the border. α runs over -90, -80, ..., 90: fold the curve for its Pal-score.
type Rotation struct{}

// Name is "rotation".
func (Rotation) Name() string { return "rotation" }

// Magnitudes are 19 angles in degrees.
func (Rotation) Magnitudes() []float64 { return Linspace(-90, 90, 19) }

// Needs says images.
func (Rotation) Needs() Needs { return Needs{Pixels: true} }

// Apply turns.
func (Rotation) Apply(s Sample) *Node { return rotate(s.Values, s.Magnitude, s.Height, s.Width) }

// Translation moves images by α pixels, to the right or, if Vertical, down, with bilinear interpolation and zeros beyond the
// border. α runs over -8, -7, ..., 8: fold the curve for its Pal-score.
type Translation struct{ Vertical bool }

// Name is "translation" or "vertical translation".
func (t Translation) Name() string {
	if t.Vertical {
		return "vertical translation"
	}
	return "translation"
}

// Magnitudes are 17 distances in pixels.
func (Translation) Magnitudes() []float64 { return Linspace(-8, 8, 17) }

// Needs says images.
func (Translation) Needs() Needs { return Needs{Pixels: true} }

// Apply moves.
func (t Translation) Apply(s Sample) *Node {
	return moved(s.Values, s.Height, s.Width, func(y, x *Node) (fromY, fromX *Node) {
		if t.Vertical {
			return Sub(y, s.Magnitude), x
		}
		return y, Sub(x, s.Magnitude)
	})
}

// onGrid is a perturbation with other magnitudes.
type onGrid struct {
	Perturbation
	magnitudes []float64
}

func (g onGrid) Magnitudes() []float64 { return g.magnitudes }

// At is the perturbation with magnitudes of the caller's choice.
func At(p Perturbation, magnitudes ...float64) Perturbation {
	return onGrid{Perturbation: p, magnitudes: magnitudes}
}

// Linspace returns n equally spaced numbers, first and last included.
func Linspace(first, last float64, n int) []float64 {
	values := make([]float64, n)
	for i := range values {
		values[i] = first + (last-first)*float64(i)/float64(n-1)
	}
	return values
}

// ByName returns the perturbation of a name: "inter", "intra", "noise", "rotation", "translation".
func ByName(name string) (Perturbation, error) {
	switch name {
	case "inter":
		return Mixup{Kind: InterClass}, nil
	case "intra":
		return Mixup{Kind: IntraClass}, nil
	case "noise":
		return GaussianNoise{}, nil
	case "rotation":
		return Rotation{}, nil
	case "translation":
		return Translation{}, nil
	}
	return nil, fmt.Errorf("scoring: perturbation %q: want inter, intra, noise, rotation or translation", name)
}
