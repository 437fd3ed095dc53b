package watermark

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/report"
)

// Estimator is how bits are read from predictions.
type Estimator string

const (
	// Directional reads bit j from the sign of the mean of c(x+d) - c(x-d) over images, d of length Step along row j of the
	// matrix: 2·bits·Samples queries, whatever the number of carriers. Exchanging a row and its negative flips the bit, so
	// that the p-value is exact.
	Directional Estimator = "directional"
	// Forward reads it from c(x+d) - c(x): half the queries, and biased, since c is convex where a network is sure: most
	// bits of any network then read 1. For comparison.
	Forward Estimator = "forward"
	// Coordinate estimates the gradient on every carrier from c(x+h) - c(x), as the authors do: (carriers+1)·Samples queries.
	Coordinate Estimator = "coordinate"
	// RandomDirections estimates it from c(x+d) - c(x) along Directions random unit vectors d on the carriers, the same for all
	// images: (Directions+1)·Samples queries. It averages what it does not know, and is far worse: a control.
	RandomDirections Estimator = "random directions"
	// OneQuery asks of every image once: Samples images a bit, one half of them at x+d, the others at x-d. It needs
	// bits·Samples images and leaves no two near each other.
	OneQuery Estimator = "one query"
)

// Estimators lists them.
var Estimators = []Estimator{Directional, Forward, Coordinate, RandomDirections, OneQuery}

// steps are the defaults of Verifier.Step.
var steps = map[Estimator]float64{Directional: 0.1, Forward: 0.1, Coordinate: 1e-4, RandomDirections: 0.01, OneQuery: 1}

// Verifier asks an endpoint for a mark. What it takes of an answer p is c = -ln of p_t/Σp, clipped to [1e-7, 1-1e-7].
type Verifier struct {
	Estimator  Estimator       // zero: Directional
	Step       float64         // Euclidean length of a change, in the units of pixels; zero: 0.1, others for other estimators
	Samples    int             // images a bit, the first of those given; zero: 10 (4 for OneQuery), or all where there are fewer
	Directions int             // of RandomDirections; zero: 64
	Budget     int             // most queries; zero: any number
	Batch      int             // most queries the endpoint gets at once; zero: 128
	Level      float64         // p-value below which the mark counts as shown; zero: Level. See Strict
	Commitment *Commitment     // of the key, published before the suspect appeared; nil: there is none
	Journal    string          // file that keeps answers, so that a stopped verification goes on and asks nothing twice; "": none
	Seed       int64           // of the order of questions, and of random directions
	Progress   report.Progress // counts queries; nil shows nothing
}

// Results of a verification.
const (
	Marked    = "marked"
	NotShown  = "not shown"
	Undecided = "undecided" // no bit was decided
)

// Unregistered is what a verdict under a key without commitment says of itself.
const Unregistered = "unregistered: p is not evidence"

// Verdict is what a verification found.
type Verdict struct {
	Reading
	Queries    int    `json:"queries"`    // different questions that the endpoint answered, in runs before this one too
	Result     string `json:"verdict"`    // Marked, NotShown or Undecided
	Registered bool   `json:"registered"` // whether a commitment was checked
	Commitment string `json:"commitment"` // the hash that was checked, or Unregistered
}

func (v Verifier) withDefaults(k *Key, images int) Verifier {
	v.Estimator = cmp.Or(v.Estimator, Directional)
	v.Step = cmp.Or(v.Step, steps[v.Estimator])
	v.Directions, v.Batch, v.Level = cmp.Or(v.Directions, 64), cmp.Or(v.Batch, 128), cmp.Or(v.Level, Level)
	if v.Samples == 0 {
		v.Samples = min(10, images)
		if v.Estimator == OneQuery {
			v.Samples = max(2, min(4, images/len(k.Matrix)/2*2))
		}
	}
	if v.Progress == nil {
		v.Progress = report.Silent{}
	}
	return v
}

// Verify asks the endpoint about changed images [n, Shape...] of the key's target, whose labels the caller has checked
// ([Key.CheckLabels]), and judges the bits that the answers show.
//
// Questions are asked in batches: bits in random order, and of each pair of images either first. When ctx is done, the batch
// under way is given half a minute to end, and its answers are kept in the journal.
func (v Verifier) Verify(ctx context.Context, e Endpoint, k *Key, images *tensors.Tensor) (*Verdict, error) {
	r, err := v.verify(ctx, e, k, images)
	if err != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return r, errors.WithMessage(err, "verify")
}

func (v Verifier) verify(ctx context.Context, e Endpoint, k *Key, images *tensors.Tensor) (*Verdict, error) {
	if err := k.check(); err != nil {
		return nil, errors.WithMessage(err, "key")
	}
	n, err := k.images(images)
	if err != nil {
		return nil, err
	}
	v = v.withDefaults(k, n)
	if err := v.validate(k, n); err != nil {
		return nil, err
	}
	out := &Verdict{Commitment: Unregistered}
	if v.Commitment != nil {
		if err := v.Commitment.Check(k); err != nil {
			return nil, err
		}
		out.Registered, out.Commitment = true, v.Commitment.Hash
	}
	a, err := v.ask(ctx, e, k, images)
	if err != nil {
		return nil, err
	}
	out.Reading, out.Queries = *newReading(a.projections, k.Signature), a.queries
	out.Notes = append(append(out.Notes, k.Notes()...), a.notes...)
	switch {
	case out.Decided == 0:
		out.Result = Undecided
	case out.PValue < v.Level:
		out.Result = Marked
	default:
		out.Result = NotShown
	}
	return out, nil
}

// images checks that they are the key's, and counts them.
func (k *Key) images(images *tensors.Tensor) (int, error) {
	if images == nil || images.Rank() != len(k.Shape)+1 || !slices.Equal(images.Shape().Dimensions[1:], k.Shape) {
		var have []int
		if images != nil {
			have = images.Shape().Dimensions
		}
		return 0, errors.Errorf("images have shape %v: the key was made for %v", have, k.Shape)
	}
	values, err := tensors.CopyFlatData[float32](images)
	if err != nil {
		return 0, err
	}
	for i, p := range values {
		if p-p != 0 {
			return 0, errors.Errorf("pixel %d is %g, not finite", i, p)
		}
	}
	return images.Shape().Dimensions[0], nil
}

// validate expects the defaults to be filled in.
func (v Verifier) validate(k *Key, images int) error {
	bits := len(k.Matrix)
	switch {
	case !slices.Contains(Estimators, v.Estimator):
		return errors.Errorf("estimator %q: want one of %q", v.Estimator, Estimators)
	case !(v.Step > 0) || math.IsInf(v.Step, 0):
		return errors.Errorf("Step = %g: must be finite and > 0", v.Step)
	case v.Samples < 1 || v.Directions < 1 || v.Batch < 1 || v.Budget < 0 || !(v.Level > 0 && v.Level < 1):
		return errors.Errorf("Samples = %d, Directions = %d, Batch = %d, Budget = %d, Level = %g: must be positive, Level below 1",
			v.Samples, v.Directions, v.Batch, v.Budget, v.Level)
	case v.Estimator == OneQuery && (v.Samples%2 != 0 || bits*v.Samples > images):
		return errors.Errorf("%d bits x %d images of their own, an even number of them: there are %d images", bits, v.Samples, images)
	case v.Estimator != OneQuery && v.Samples > images:
		return errors.Errorf("%d images wanted, %d given", v.Samples, images)
	}
	if v.Budget == 0 {
		return nil
	}
	if n := v.queries(k); n > v.Budget {
		switch v.Estimator {
		case Directional:
			return errors.Errorf("%d bits x %d images x 2 = %d queries exceed budget %d", bits, v.Samples, n, v.Budget)
		default:
			return errors.Errorf("%s: %d queries exceed budget %d", v.Estimator, n, v.Budget)
		}
	}
	return nil
}

// Validate reports settings that make no sense, or that n images or the budget do not allow, before anything is asked.
func (v Verifier) Validate(k *Key, n int) error {
	if err := k.check(); err != nil {
		return errors.WithMessage(err, "key")
	}
	return errors.WithMessage(v.withDefaults(k, n).validate(k, n), "verify")
}

// Queries is how many questions a verification asks at most, of n images; fewer where images are there twice.
func (v Verifier) Queries(k *Key, n int) int { return v.withDefaults(k, n).queries(k) }

func (v Verifier) queries(k *Key) int {
	switch v.Estimator {
	case Forward:
		return (len(k.Matrix) + 1) * v.Samples
	case Coordinate:
		return (len(k.Carriers) + 1) * v.Samples
	case RandomDirections:
		return (v.Directions + 1) * v.Samples
	case OneQuery:
		return len(k.Matrix) * v.Samples
	}
	return 2 * len(k.Matrix) * v.Samples
}
