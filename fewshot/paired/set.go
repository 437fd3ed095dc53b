package paired

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"
)

// Set holds pairs: row k of Source and row k of Target have the same content. Treat it as read-only: a subset or a shuffled
// set may share tensors with what it came from.
type Set struct {
	Source, Target *tensors.Tensor // [pairs, height, width, 3], float32 in [-1, 1]
	Labels         []int32         // the contents' classes, in [0, Classes); nil if unknown
	Classes        int             // 0 if unknown
}

// New makes a set of pairs and checks it as [Set.Validate] does. Classes are counted from the labels, which may be nil.
func New(source, target *tensors.Tensor, labels []int32) (*Set, error) {
	s := &Set{Source: source, Target: target, Labels: labels}
	for _, l := range labels {
		s.Classes = max(s.Classes, int(l)+1)
	}
	if err := s.Validate(); err != nil {
		return nil, err
	}
	return s, nil
}

// Len returns the number of pairs.
func (s *Set) Len() int { return s.Source.Shape().Dimensions[0] }

// Size returns the height and width of images in pixels.
func (s *Set) Size() (height, width int) {
	d := s.Source.Shape().Dimensions
	return d[1], d[2]
}

// Validate returns an error that says what keeps the set from being two or more pairs of RGB images in [-1, 1].
func (s *Set) Validate() error {
	if s == nil || s.Source == nil || s.Target == nil {
		return errors.New("paired: a set without images: want source and target images, [pairs, height, width, 3]")
	}
	for _, domain := range []struct {
		name   string
		images *tensors.Tensor
	}{{"source", s.Source}, {"target", s.Target}} {
		if err := checkImages(domain.name, domain.images); err != nil {
			return err
		}
	}
	from, to := s.Source.Shape().Dimensions, s.Target.Shape().Dimensions
	switch {
	case from[0] != to[0]:
		return errors.Errorf("paired: few-shot set is not paired: %d source, %d target images: want as many of both, row k of the same content",
			from[0], to[0])
	case from[0] < 2:
		return errors.Errorf("paired: K=%d: the relation loss needs at least 2 pairs", from[0])
	case from[1] != to[1] || from[2] != to[2]:
		return errors.Errorf("paired: source and target sizes differ: %d×%d, %d×%d: scale one of them", from[2], from[1], to[2], to[1])
	case s.Labels == nil:
		return nil
	case len(s.Labels) != from[0]:
		return errors.Errorf("paired: %d labels for %d pairs: want one each, or nil", len(s.Labels), from[0])
	}
	for i, l := range s.Labels {
		if l < 0 || int(l) >= s.Classes {
			return errors.Errorf("paired: pair %d has label %d: want 0 to %d", i, l, s.Classes-1)
		}
	}
	return nil
}

// checkImages checks shape and range of one domain.
func checkImages(domain string, images *tensors.Tensor) error {
	shape := images.Shape()
	if shape.Rank() != 4 || shape.DType != dtypes.Float32 {
		return errors.Errorf("paired: %s images are %s: want float32 [images, height, width, 3]", domain, shape)
	}
	if c := shape.Dimensions[3]; c != 3 {
		return errors.Errorf("paired: %s has %d channels: want 3, red, green and blue", domain, c)
	}
	if shape.Size() == 0 {
		return errors.Errorf("paired: %s images are %s: want at least one pixel", domain, shape)
	}
	low, high := float32(0), float32(0)
	bad := -1
	err := tensors.ConstFlatData(images, func(flat []float32) {
		low, high = flat[0], flat[0]
		for i, v := range flat {
			if v-v != 0 { // NaN or infinite
				bad = i
				return
			}
			low, high = min(low, v), max(high, v)
		}
	})
	switch {
	case err != nil:
		return errors.Wrapf(err, "paired: %s images", domain)
	case bad >= 0:
		return errors.Errorf("paired: %s image %d has a value that is not finite: want [-1,1]", domain, bad/(shape.Size()/shape.Dimensions[0]))
	case low < -1 || high > 1:
		return errors.Errorf("paired: %s: pixels span [%.4g,%.4g], expected [-1,1]", domain, low, high)
	}
	return nil
}

// Subset returns the pairs of the given rows, in that order; a row may come twice. It panics where a row is out of range,
// as indexing does.
func (s *Set) Subset(rows []int) *Set {
	out := &Set{Source: takeRows(s.Source, rows), Target: takeRows(s.Target, rows), Classes: s.Classes}
	if s.Labels != nil {
		out.Labels = make([]int32, len(rows))
		for i, r := range rows {
			out.Labels[i] = s.Labels[r]
		}
	}
	return out
}

// Shuffled destroys the pairing, for controls: targets are permuted by a random derangement, so that none stays where it
// was. Source and labels, which remain those of the source, are not touched. The same seed draws the same derangement on
// every machine. It panics where there are fewer than two pairs, as a single one cannot be taken apart.
func (s *Set) Shuffled(seed int64) *Set {
	n := s.Len()
	if n < 2 {
		panic(errors.Errorf("paired: %d pairs cannot be shuffled: want at least 2", n))
	}
	rng := stream(seed, "derangement", 0)
	order := rng.Perm(n)
	for fixed(order) { // one permutation in e is a derangement: each of them comes alike
		order = rng.Perm(n)
	}
	return &Set{Source: s.Source, Target: takeRows(s.Target, order), Labels: s.Labels, Classes: s.Classes}
}

// fixed says whether a permutation leaves anything in its place.
func fixed(order []int) bool {
	for i, k := range order {
		if i == k {
			return true
		}
	}
	return false
}

// takeRows gathers rows of images.
func takeRows(images *tensors.Tensor, rows []int) *tensors.Tensor {
	dims := slices.Clone(images.Shape().Dimensions)
	size := dims[1] * dims[2] * dims[3]
	dims[0] = len(rows)
	out := make([]float32, 0, len(rows)*size)
	tensors.MustConstFlatData(images, func(flat []float32) {
		for _, r := range rows {
			out = append(out, flat[r*size:(r+1)*size]...)
		}
	})
	return tensors.FromFlatDataAndDimensions(out, dims...)
}

// stream returns random numbers of their own for each seed, purpose (of at most 16 bytes) and index: what one draws never
// changes what another does.
func stream(seed int64, purpose string, index uint64) *rand.Rand {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], uint64(seed))
	binary.LittleEndian.PutUint64(key[8:], index)
	copy(key[16:], purpose)
	return rand.New(rand.NewChaCha8(key))
}
