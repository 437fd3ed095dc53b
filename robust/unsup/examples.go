package unsup

import (
	"context"
	"math"
	"math/rand/v2"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/robust/uae"
)

// Made are the examples of a seed's images by a network.
type Made struct {
	Objective *uae.Objective
	Expansion *uae.Expansion
	Examples  *uae.Examples   // by mutual information
	Distant   *uae.Examples   // by the squared distance in its place
	Noise     *tensors.Tensor // of the examples' norms
}

// epsilon is the budget in l-infinity of the authors' code: any image.
const epsilon = 1

// Make makes an example of each of a seed's images by the network that learned from these alone.
func (s *Study) Make(ctx context.Context, t Task, seed int64) (*Made, error) {
	z, err := s.sceneOf(seed)
	if err != nil {
		return nil, err
	}
	if m := z.made[t.Name]; m != nil {
		return m, nil
	}
	n, err := s.Train(ctx, t, Arm{Beside: Originals}, seed)
	if err != nil {
		return nil, err
	}
	m := &Made{}
	if m.Objective, m.Expansion, err = s.attackable(n); err != nil {
		return nil, err
	}
	steps := s.Config.Search
	if t.Name == Contrastive {
		steps = s.Config.ContrastSearch
	}
	search := s.Config.search(steps, seed)
	if m.Examples, err = s.generate(ctx, search, m.Objective, m.Expansion, z.train.Images); err != nil {
		return nil, err
	}
	search.Distance = uae.SquaredL2
	if m.Distant, err = s.generate(ctx, search, m.Objective, nil, z.train.Images); err != nil {
		return nil, err
	}
	m.Noise = matched(z.train.Images, m.Examples.L2, seed)
	z.made[t.Name] = m
	return m, nil
}

// generate runs a search, whose progress is shown.
func (s *Study) generate(ctx context.Context, search uae.Search, o *uae.Objective, x *uae.Expansion,
	images *tensors.Tensor) (*uae.Examples, error) {
	search.Progress = s.Config.Progress
	return search.Generate(ctx, s.e, o, x, images)
}

// beside are the pixels of what an arm has beside a seed's images.
func (s *Study) beside(ctx context.Context, t Task, a Arm, seed int64) ([]float32, error) {
	z, err := s.sceneOf(seed)
	if err != nil {
		return nil, err
	}
	clean := tensors.MustCopyFlatData[float32](z.train.Images)
	switch {
	case a.Noise > 0:
		rng := rand.New(rand.NewPCG(uint64(seed), math.Float64bits(a.Noise)))
		for i := range clean {
			clean[i] = clip(float64(clean[i]) + a.Noise*rng.NormFloat64())
		}
		return clean, nil
	case a.Beside == Duplicated:
		return clean, nil
	}
	m, err := s.Make(ctx, t, seed)
	if err != nil {
		return nil, err
	}
	switch a.Beside {
	case Adversarial:
		return tensors.CopyFlatData[float32](m.Examples.Images)
	case Distant:
		return tensors.CopyFlatData[float32](m.Distant.Images)
	case Matched:
		return tensors.CopyFlatData[float32](m.Noise)
	}
	return nil, errors.Errorf("nothing is known to lie beside images as %q", a.Beside)
}

func clip(x float64) float32 { return float32(min(1, max(0, x))) }

// matched adds normal noise to images, of the norm that is given for each: what the bounds of pixels cut off of it is made up for. Where
// no noise along its direction is so long, it goes as far as it can.
func matched(images *tensors.Tensor, norms []float64, seed int64) *tensors.Tensor {
	pixels := tensors.MustCopyFlatData[float32](images)
	size := len(pixels) / len(norms)
	direction := make([]float64, size)
	for i, norm := range norms {
		rng, image := rand.New(rand.NewPCG(uint64(seed), 0x6e6f6973<<32|uint64(i))), pixels[i*size:(i+1)*size] // the stream "nois"
		for k := range direction {
			direction[k] = rng.NormFloat64()
		}
		moved := func(by float64) (length float64) {
			for k, x := range image {
				d := float64(clip(float64(x)+by*direction[k])) - float64(x)
				length += d * d
			}
			return math.Sqrt(length)
		}
		low, high := 0.0, 1.0
		for moved(high) < norm && high < 1e6 {
			high *= 2
		}
		for range 60 {
			if middle := (low + high) / 2; moved(middle) < norm {
				low = middle
			} else {
				high = middle
			}
		}
		for k, x := range image {
			image[k] = clip(float64(x) + high*direction[k])
		}
	}
	return tensors.FromFlatDataAndDimensions(pixels, images.Shape().Dimensions...)
}

// first are the first images.
func first(images *tensors.Tensor, n int) *tensors.Tensor {
	dims := append([]int{}, images.Shape().Dimensions...)
	flat := tensors.MustCopyFlatData[float32](images)
	size := len(flat) / dims[0]
	dims[0] = min(n, dims[0])
	return tensors.FromFlatDataAndDimensions(flat[:dims[0]*size], dims...)
}
