package uae

import (
	"context"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/report"
)

var errUnbuilt = errors.New("uae: not there yet")

// Method is how a search weighs f against similarity.
type Method int

const (
	// MinMax moves the weight c of each example up while f is violated, and down otherwise.
	MinMax Method = iota
	// Penalty keeps c through all steps of a round: ten times larger in the next until the first success, then by bisection.
	Penalty
)

// Distance is what a search makes small (for supervised objectives: large) while f holds.
type Distance int

const (
	// MutualInformation is the estimate of what both images share.
	MutualInformation Distance = iota
	// SquaredL2 is -‖x̃ - x‖², without any estimator.
	SquaredL2
)

// Search says how examples are made. Its zero value is that of [Faithful]; zero fields mean what stands there.
type Search struct {
	Method         Method
	Distance       Distance
	Epsilon        float64 // in l-infinity, > 0; zero: 1
	StepSize       float64 // α, of plain gradient descent on the perturbation; zero: 0.01
	Beta           float64 // β of c's recursion, in (0, 1]; zero: 0.1
	C0             float64 // the first c; zero: 1e-3
	Decay          float64 // p in c ← (1 - β/tᵖ)·c + β·f⁺; zero: 1/4
	Steps          int     // T, in each round; zero: 40
	EstimatorSteps int     // n, of the estimator for each; zero: 20
	EstimatorRate  float64 // Adam's rate there; zero: 1.5e-5
	Hidden         int     // width of the estimator's first dense layers; zero: 512
	Code           int     // of the second; zero: 10
	Rounds         int     // values of c that Penalty tries; zero: 9
	Batch          int     // images at a time; zero: as many as the processor's cache takes the estimators of
	Seed           int64   // image i draws from a stream of seed and i alone, so that batches do not matter
	Trace          int     // keep traces of so many of the first images
	Progress       report.Progress
}

// Faithful is the setting of the authors' code for autoencoders.
func Faithful() Search { return Search{}.withDefaults() }

// Tuned is ours: longer steps, a faster and narrower estimator, at the same cost or less.
func Tuned() Search {
	return Search{StepSize: 0.1, Steps: 300, EstimatorSteps: 1, EstimatorRate: 1e-4, Hidden: 64}.withDefaults()
}

func (s Search) withDefaults() Search { return s }

// Examples are what a search returns, in the order of the images.
type Examples struct {
	Images        *tensors.Tensor // the best success, else the iterate with the least violation (at first the clean image)
	Success       []bool          // f <= 0 and information > 0 at one iterate
	MI            []float64       // estimate at the iterate that is returned; nil for SquaredL2
	FirstMI       []float64       // estimate at the first success; NaN where there is none; nil for SquaredL2
	Violation     []float64       // f of what is returned
	FirstSuccess  []int           // gradient step of the first success, from 1, over all rounds; -1: none
	L2            []float64       // ‖x̃ - x‖ of what is returned
	Traces        []Trace
	GradientSteps int     // on the perturbation, for each image
	EstimatorCost int     // steps of the estimator, for each image
	Dead          float64 // share of pixels whose first perturbation the box cuts off, so that they have no gradient
	Notes         []string
}

// Rate is the share of successes.
func (ex *Examples) Rate() float64 { return 0 }

// Trace is how a search went on one image, an entry a gradient step.
type Trace struct{ C, Violation, MI []float64 }

// Generate makes an example of each image, float32 [n, InputShape...] in [0, 1]. Where there is none, the fallback is the iterate
// with the least violation. It stops between steps when ctx does.
func (s Search) Generate(ctx context.Context, e *engine.Engine, o *Objective, x *Expansion, images *tensors.Tensor) (*Examples, error) {
	return nil, errUnbuilt
}

// Verdict is the referee's account of examples: all of it measured anew.
type Verdict struct {
	Violation []float64 // f on fresh forward passes
	Norms     []float64 // ‖x̃ - x‖∞
	Outside   []int     // images outside [0, 1] or the budget, or not finite
	Wrong     []int     // images that are flagged as successes, but are none, or the other way round
	Success   []bool    // inside box and budget, with f <= 1e-5, and flagged
}

// Rate is the share of successes.
func (v *Verdict) Rate() float64 { return 0 }

// Check computes f, budget and box anew.
func Check(ctx context.Context, e *engine.Engine, o *Objective, images *tensors.Tensor, ex *Examples, epsilon float64) (*Verdict, error) {
	return nil, errUnbuilt
}

// Similarity estimates what each pair of images shares, by estimators trained for so many steps with nothing else moving: the same for
// examples of any search.
func (s Search) Similarity(ctx context.Context, e *engine.Engine, x *Expansion, clean, adversarial *tensors.Tensor, steps int) ([]float64, error) {
	return nil, errUnbuilt
}
