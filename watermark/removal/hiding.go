package removal

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/watermark"
)

// Hiding is what whoever runs an endpoint may do so that a mark cannot be read from its answers. What is random depends on the
// seed and the image alone: the same image gets the same answer, however questions are batched and ordered.
type Hiding interface {
	// Name tells what is done, with its settings.
	Name() string
	// Of wraps an endpoint; an error says which setting is none.
	Of(e watermark.Endpoint) (watermark.Endpoint, error)
}

// through is an endpoint that changes images before the one inside sees them, and its answers after; nil: neither.
type through struct {
	by     Hiding
	inside watermark.Endpoint
	input  func(image []float32, dims []int) error
	output func(p, image []float32)
}

// Name tells journals apart.
func (t through) Name() string { return nameOf(t.by, t.inside) }

func nameOf(by Hiding, inside watermark.Endpoint) string {
	if named, ok := inside.(interface{ Name() string }); ok {
		return fmt.Sprintf("%s of %s", by.Name(), named.Name())
	}
	return by.Name()
}

// Probabilities implements watermark.Endpoint.
func (t through) Probabilities(ctx context.Context, x *tensors.Tensor) (*tensors.Tensor, error) {
	images, err := rowsOf(x)
	if err != nil {
		return nil, err
	}
	if t.input != nil {
		dims := x.Shape().Dimensions[1:]
		for _, image := range images {
			if err := t.input(image, dims); err != nil {
				return nil, err
			}
		}
		x = tensorOf(images, dims)
	}
	answers, err := t.inside.Probabilities(ctx, x)
	if err != nil || t.output == nil {
		return answers, err
	}
	rows, err := answersOf(answers, len(images))
	if err != nil {
		return nil, err
	}
	for i, p := range rows {
		t.output(p, images[i])
	}
	return tensorOf(rows, answers.Shape().Dimensions[1:]), nil
}

// answersOf are the rows of an endpoint's answers to n images.
func answersOf(t *tensors.Tensor, n int) ([][]float32, error) {
	rows, err := rowsOf(t)
	if err != nil {
		return nil, errors.WithMessage(err, "the endpoint's answers")
	}
	if t.Rank() != 2 || len(rows) != n {
		return nil, errors.Errorf("removal: the endpoint answered %d images with shape %s: want [%d, classes]", n, t.Shape(), n)
	}
	return rows, nil
}

// rowsOf copies a float32 tensor [n, ...], example by example.
func rowsOf(t *tensors.Tensor) ([][]float32, error) {
	if t == nil {
		return nil, errors.New("removal: no tensor given: want float32 [n, ...]")
	}
	if t.DType() != dtypes.Float32 || t.Rank() < 2 || t.Size() == 0 {
		return nil, errors.Errorf("removal: shape %s: want float32 [n, ...], not empty", t.Shape())
	}
	flat, err := tensors.CopyFlatData[float32](t)
	if err != nil {
		return nil, err
	}
	return slices.Collect(slices.Chunk(flat, len(flat)/t.Shape().Dimensions[0])), nil
}

func tensorOf(rows [][]float32, dims []int) *tensors.Tensor {
	return tensors.FromFlatDataAndDimensions(slices.Concat(rows...), append([]int{len(rows)}, dims...)...)
}

// drawn are the random numbers of an image: a function of the seed and the image's bytes.
func drawn(seed int64, image []float32) *rand.Rand {
	raw := binary.LittleEndian.AppendUint64(nil, uint64(seed))
	for _, v := range image {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	sum := sha256.Sum256(raw)
	return rand.New(rand.NewPCG(binary.LittleEndian.Uint64(sum[:]), binary.LittleEndian.Uint64(sum[8:])))
}

// seeded tells a seed that is not 0.
func seeded(seed int64) string {
	if seed == 0 {
		return ""
	}
	return fmt.Sprintf(", seed %d", seed)
}

// wrap is an endpoint that changes answers.
func wrap(e watermark.Endpoint, by Hiding, output func(p, image []float32)) (watermark.Endpoint, error) {
	return wrapped(through{by: by, inside: e, output: output})
}

func wrapped(t through) (watermark.Endpoint, error) {
	if t.inside == nil {
		return nil, errors.New("removal: no endpoint given")
	}
	return t, nil
}

// Rounded rounds probabilities to so many decimals, halves to even. Their sum may differ from 1 then.
type Rounded struct{ Digits int } // 0 or more; 0 leaves zeros and ones

// Name implements [Hiding].
func (h Rounded) Name() string { return fmt.Sprintf("%d decimals", h.Digits) }

// Of implements [Hiding].
func (h Rounded) Of(e watermark.Endpoint) (watermark.Endpoint, error) {
	if h.Digits < 0 || h.Digits > 15 {
		return nil, errors.Errorf("removal: %d decimals: want 0 to 15", h.Digits)
	}
	scale := math.Pow10(h.Digits)
	return wrap(e, h, func(p, _ []float32) {
		for j, v := range p {
			p[j] = float32(math.RoundToEven(float64(v)*scale) / scale)
		}
	})
}

// Top answers the K largest probabilities, the first of equal ones, and zeros for all other classes.
type Top struct{ K int } // at least 1; as many as classes or more change nothing

// Name implements [Hiding].
func (h Top) Name() string { return fmt.Sprintf("top %d", h.K) }

// Of implements [Hiding].
func (h Top) Of(e watermark.Endpoint) (watermark.Endpoint, error) {
	if h.K < 1 {
		return nil, errors.Errorf("removal: top %d: want at least 1", h.K)
	}
	return wrap(e, h, func(p, _ []float32) {
		order := ranked(p)
		for _, j := range order[min(h.K, len(order)):] {
			p[j] = 0
		}
	})
}

// ranked are the classes from the likeliest on, the first of equal ones first.
func ranked(p []float32) []int {
	order := make([]int, len(p))
	for j := range order {
		order[j] = j
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case p[a] > p[b]:
			return -1
		case p[a] < p[b]:
			return 1
		}
		return 0
	})
	return order
}

// LabelsOnly answers the likeliest class, the first of equal ones, as a one among zeros.
type LabelsOnly struct{}

// Name implements [Hiding].
func (LabelsOnly) Name() string { return "labels only" }

// Of implements [Hiding].
func (h LabelsOnly) Of(e watermark.Endpoint) (watermark.Endpoint, error) {
	return wrap(e, h, func(p, _ []float32) {
		top := ranked(p)[0]
		clear(p)
		p[top] = 1
	})
}

// Noisy adds normal noise to every probability, cuts what falls below 0, and scales the rest to the sum 1; where nothing is
// left, the answer is that every class is as likely.
type Noisy struct {
	SD   float64 // standard deviation of the noise, > 0
	Seed int64
}

// Name implements [Hiding].
func (h Noisy) Name() string { return fmt.Sprintf("noise %g on probabilities%s", h.SD, seeded(h.Seed)) }

// Of implements [Hiding].
func (h Noisy) Of(e watermark.Endpoint) (watermark.Endpoint, error) {
	if err := checkPositive("noise", h.SD); err != nil {
		return nil, err
	}
	return wrap(e, h, func(p, image []float32) {
		rng, sum := drawn(h.Seed, image), 0.0
		noisy := make([]float64, len(p))
		for j, v := range p {
			noisy[j] = max(float64(v)+h.SD*rng.NormFloat64(), 0)
			sum += noisy[j]
		}
		for j, v := range noisy {
			if p[j] = float32(1 / float64(len(p))); sum > 0 {
				p[j] = float32(v / sum)
			}
		}
	})
}

// Perturbed is the score perturbation of the script beside GradSigns: of the most that leaves the first Ordered classes in
// order, a random share, uniform in (0.001, 1), is taken from the likeliest class and given to the least likely one.
type Perturbed struct {
	Ordered int // zero: 3, or as many as there are classes
	Seed    int64
}

// Name implements [Hiding].
func (h Perturbed) Name() string {
	return fmt.Sprintf("score perturbation, first %d in order%s", h.ordered(), seeded(h.Seed))
}

func (h Perturbed) ordered() int {
	if h.Ordered == 0 {
		return 3
	}
	return h.Ordered
}

// Of implements [Hiding].
func (h Perturbed) Of(e watermark.Endpoint) (watermark.Endpoint, error) {
	if h.ordered() < 1 {
		return nil, errors.Errorf("removal: the first %d classes in order: want at least 1", h.Ordered)
	}
	return wrap(e, h, func(p, image []float32) {
		if len(p) < 2 {
			return
		}
		order := ranked(p)
		first, second, last := order[0], order[1], order[len(order)-1]
		kept := order[min(h.ordered(), len(order))-1]
		most := min(float64(p[first])-float64(p[second]), float64(p[kept])-float64(p[last])) - 1e-5
		moved := max(most, 0) * (0.001 + 0.999*drawn(h.Seed, image).Float64())
		p[first] = float32(float64(p[first]) - moved)
		p[last] = float32(float64(p[last]) + moved)
	})
}

func checkPositive(what string, v float64) error {
	if !(v > 0) || math.IsInf(v, 1) {
		return errors.Errorf("removal: %s %g: must be finite and > 0", what, v)
	}
	return nil
}
