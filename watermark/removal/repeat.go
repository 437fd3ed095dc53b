package removal

import (
	"context"
	"fmt"
	"math"
	"sync"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/trustbook/trustbook/watermark"
)

// RepeatsNearDuplicates spots questions that are close to an earlier one, as those are that probe a slope: it answers them as
// it did the earlier one, the first that lies within the radius. So what it answers depends on the order of questions, but not
// on how they are batched.
type RepeatsNearDuplicates struct {
	Radius float64 // l2 distance up to which images count as the same, > 0
}

// Name implements [Hiding].
func (h RepeatsNearDuplicates) Name() string {
	return fmt.Sprintf("near duplicates within %g answered alike", h.Radius)
}

// Of implements [Hiding]. The endpoint keeps all images that it has not answered alike; it may be asked from several goroutines.
func (h RepeatsNearDuplicates) Of(e watermark.Endpoint) (watermark.Endpoint, error) {
	if err := checkPositive("radius", h.Radius); err != nil {
		return nil, err
	}
	if _, err := wrapped(through{by: h, inside: e}); err != nil {
		return nil, err
	}
	return &repeater{by: h, inside: e}, nil
}

type repeater struct {
	by     RepeatsNearDuplicates
	inside watermark.Endpoint

	mutex           sync.Mutex
	images, answers [][]float32 // asked and answered, in their order
}

// Name tells journals apart.
func (r *repeater) Name() string { return nameOf(r.by, r.inside) }

// Probabilities implements watermark.Endpoint. Nothing is kept of a batch that fails.
func (r *repeater) Probabilities(ctx context.Context, x *tensors.Tensor) (*tensors.Tensor, error) {
	asked, err := rowsOf(x)
	if err != nil {
		return nil, err
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	before := len(r.images)
	known := r.images[:before:before]
	from := make([]int, len(asked)) // the image whose answer each gets
	for i, image := range asked {
		if from[i] = r.near(known, image); from[i] < 0 {
			from[i] = len(known)
			known = append(known, image)
		}
	}
	answers := r.answers
	if fresh := known[before:]; len(fresh) > 0 {
		out, err := r.inside.Probabilities(ctx, tensorOf(fresh, x.Shape().Dimensions[1:]))
		if err != nil {
			return nil, err
		}
		rows, err := answersOf(out, len(fresh))
		if err != nil {
			return nil, err
		}
		answers = append(answers[:before:before], rows...)
	}
	r.images, r.answers = known, answers
	rows := make([][]float32, len(asked))
	for i, k := range from {
		rows[i] = answers[k]
	}
	return tensorOf(rows, []int{len(answers[0])}), nil
}

// near is the first of known within the radius of an image; -1: none.
func (r *repeater) near(known [][]float32, image []float32) int {
	limit := r.by.Radius * r.by.Radius
	for k, other := range known {
		if len(other) != len(image) {
			continue
		}
		sum := 0.0
		for i, v := range image {
			d := float64(v) - float64(other[i])
			if sum += d * d; sum > limit || math.IsNaN(sum) {
				break
			}
		}
		if sum <= limit {
			return k
		}
	}
	return -1
}
