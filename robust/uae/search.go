package uae

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/robust"
)

// Method is how a search weighs f against what is shared.
type Method int

const (
	// MinMax moves the weight c of each example up while f is violated, and down otherwise.
	MinMax Method = iota
	// Penalty keeps c through all steps of a round: ten times larger in the next until the first success, then by bisection. Each round
	// starts anew, and the best of all rounds is returned.
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

// Search says how examples are made. Zero fields mean what stands there, which is the setting of [Faithful].
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
	Batch          int     // images at a time; zero: as many as keep their estimators in a processor's cache, at most 64
	Seed           int64   // image i draws from a stream of seed and i alone, so that batches do not matter
	Trace          int     // keep traces of so many of the first images
	Progress       report.Progress
}

// Faithful is the setting of the authors' code for autoencoders.
func Faithful() Search { return Search{}.withDefaults() }

// Tuned is ours: longer steps, and a narrower estimator that learns faster, at one step of it for each.
func Tuned() Search {
	return Search{StepSize: 0.1, Steps: 300, EstimatorSteps: 1, EstimatorRate: 1e-4, Hidden: 64}.withDefaults()
}

func (s Search) withDefaults() Search {
	s.Epsilon, s.StepSize, s.Beta = cmp.Or(s.Epsilon, 1), cmp.Or(s.StepSize, 0.01), cmp.Or(s.Beta, 0.1)
	s.C0, s.Decay, s.EstimatorRate = cmp.Or(s.C0, 1e-3), cmp.Or(s.Decay, 0.25), cmp.Or(s.EstimatorRate, 1.5e-5)
	s.Steps, s.EstimatorSteps = cmp.Or(s.Steps, 40), cmp.Or(s.EstimatorSteps, 20)
	s.Hidden, s.Code, s.Rounds = cmp.Or(s.Hidden, 512), cmp.Or(s.Code, 10), cmp.Or(s.Rounds, 9)
	if s.Method == MinMax {
		s.Rounds = 1
	}
	if s.Distance == SquaredL2 {
		s.EstimatorSteps = 0
	}
	if s.Progress == nil {
		s.Progress = report.Silent{}
	}
	return s
}

// Name tells the method and every setting that matters: "minmax(steps=300, step=0.1, estimator=1x0.0001, hidden=64)".
func (s Search) Name() string {
	s = s.withDefaults()
	name := [...]string{MinMax: "minmax", Penalty: "penalty"}[s.Method]
	if s.Distance == SquaredL2 {
		name += "-l2"
	}
	name += fmt.Sprintf("(steps=%d, step=%g", s.Steps, s.StepSize)
	if s.Method == Penalty {
		name += fmt.Sprintf(", rounds=%d", s.Rounds)
	} else {
		name += fmt.Sprintf(", beta=%g, decay=%g", s.Beta, s.Decay)
	}
	if s.Distance == MutualInformation {
		name += fmt.Sprintf(", estimator=%dx%g, hidden=%d", s.EstimatorSteps, s.EstimatorRate, s.Hidden)
	}
	return name + ")"
}

// validate expects the defaults to be filled in.
func (s Search) validate() error {
	name := [...]string{MinMax: "minmax", Penalty: "penalty"}
	if s.Method < 0 || int(s.Method) >= len(name) || s.Distance < 0 || s.Distance > SquaredL2 {
		return errors.Errorf("uae: Method = %d, Distance = %d: want MinMax or Penalty, MutualInformation or SquaredL2", s.Method, s.Distance)
	}
	for _, f := range []struct {
		name  string
		value float64
	}{{"epsilon", s.Epsilon}, {"step size alpha", s.StepSize}, {"first c", s.C0}, {"decay", s.Decay}, {"estimator's rate", s.EstimatorRate}} {
		if !(f.value > 0) || f.value > math.MaxFloat32 {
			return errors.Errorf("%s: %s must be finite and > 0, got %g", name[s.Method], f.name, f.value)
		}
	}
	if !(s.Beta > 0 && s.Beta <= 1) {
		return errors.Errorf("%s: beta must be in (0,1], got %g", name[s.Method], s.Beta)
	}
	for _, f := range []struct {
		name         string
		value, least int
	}{{"steps", s.Steps, 1}, {"estimator's steps", s.EstimatorSteps, 0}, {"hidden", s.Hidden, 1}, {"code", s.Code, 1},
		{"rounds", s.Rounds, 1}, {"batch", s.Batch, 0}, {"trace", s.Trace, 0}} {
		if f.value < f.least {
			return errors.Errorf("%s: %s must be >= %d, got %d", name[s.Method], f.name, f.least, f.value)
		}
	}
	return nil
}

// Examples are what a search returns, in the order of the images.
type Examples struct {
	Images        *tensors.Tensor // the best success, else the iterate with the least violation
	Success       []bool          // at one iterate f <= 0 and the estimate is > 0 (which SquaredL2 does not ask for)
	MI            []float64       // estimate at what is returned; nil for SquaredL2
	FirstMI       []float64       // estimate at the first success, NaN where there is none; nil for SquaredL2
	Violation     []float64       // f of what is returned
	FirstSuccess  []int           // gradient step of the first success, from 1 on, over all rounds; -1: none
	L2            []float64       // ‖x̃ - x‖ of what is returned
	Traces        []Trace         // of the first images
	GradientSteps int             // on the perturbation, for each image
	Dead          float64         // share of the values whose first perturbation the box cuts off, so that they have no gradient
	Notes         []string        // what a user should know, such as images that were left as they are
}

// Rate is the share of successes.
func (ex *Examples) Rate() float64 { return share(ex.Success) }

func share(flags []bool) float64 {
	n := 0
	for _, f := range flags {
		if f {
			n++
		}
	}
	return float64(n) / float64(max(1, len(flags)))
}

// Trace is how a search went on one image, an entry a gradient step: c after it, f, and the estimate (SquaredL2: minus the squared
// distance), all where it stands after the step.
type Trace struct{ C, Violation, MI []float64 }

// Generate makes an example of each image, float32 [n, InputShape...] in the model's bounds, or in [0, 1] if it has none. x may be nil
// for SquaredL2. Stopped by ctx between steps, it returns the context's error. Finding nothing is no error.
//
// Values of the same seed are the same whatever Batch is, but for rounding; those of a contrastive objective, which draws the views of
// all images of a batch together, with the same Batch alone.
func (s Search) Generate(ctx context.Context, e *engine.Engine, o *Objective, x *Expansion, images *tensors.Tensor) (*Examples, error) {
	if o == nil || x == nil && s.Distance == MutualInformation {
		return nil, errors.New("uae: Generate needs an objective and, but for SquaredL2, an expansion")
	}
	workers := 1
	if e.OnCPU() && !o.drawn { // what is drawn changes a variable of the network's store
		workers = runtime.GOMAXPROCS(0)
	}
	return s.generate(ctx, e, onEngine(e, o.model), workers, o, x, images)
}

// generate searches, on so many batches at once.
func (s Search) generate(ctx context.Context, e *engine.Engine, compile compiler, workers int, o *Objective, x *Expansion,
	images *tensors.Tensor) (*Examples, error) {
	s = s.withDefaults()
	if err := s.validate(); err != nil {
		return nil, err
	}
	p := problem{o: o, box: boxOf(o.model)}
	if err := p.checkImages(images); err != nil {
		return nil, err
	}
	n := images.Shape().Dimensions[0]
	if o.absolute && len(o.goal.Classes()) != n {
		return nil, errors.Errorf("uae: the objective has %d labels for %d images: want one each", len(o.goal.Classes()), n)
	}
	var skipped []int
	if s.Distance == MutualInformation {
		p.x, p.t = x, x.estimator(s.Hidden, s.Code)
		skipped = x.blank(images)
	}
	r, err := newRun(s, e, compile, p, images)
	if err != nil {
		return nil, err
	}
	r.workers = workers
	if err := r.all(ctx, skipped); err != nil {
		return nil, err
	}
	return r.examples(skipped)
}

// boxOf are the model's bounds; a model that was read as a map has none.
func boxOf(m *nets.Model) robust.Box {
	if m.Upper-m.Lower > math.MaxFloat32 {
		return robust.Box{Lower: 0, Upper: 1}
	}
	return robust.Box{Lower: m.Lower, Upper: m.Upper}
}

// checkImages reports what is no batch of images in the box.
func (p problem) checkImages(images *tensors.Tensor) error {
	if images == nil || images.Rank() > 0 && images.Shape().Dimensions[0] == 0 {
		return errors.New("uae: empty batch")
	}
	free := *p.o.model
	free.Lower, free.Upper = p.box.Lower, p.box.Upper
	err := free.CheckImages(images)
	if err == nil || !slices.Equal(images.Shape().Dimensions[1:], free.InputShape) {
		return err
	}
	flat, copyErr := tensors.CopyFlatData[float32](images)
	if copyErr != nil {
		return err
	}
	low, high := float32(p.box.Lower-1e-6), float32(p.box.Upper+1e-6)
	for i, v := range flat {
		if !(v >= low && v <= high) {
			return errors.Errorf("uae: sample %d has value %g, outside [%g,%g]", i/(len(flat)/images.Shape().Dimensions[0]), v,
				p.box.Lower, p.box.Upper)
		}
	}
	return err
}

// blank are images of zeros alone, where samples are projections: those of zeros are zeros, and cannot be standardized.
func (x *Expansion) blank(images *tensors.Tensor) (found []int) {
	if !x.drawn() {
		return nil
	}
	flat, n := tensors.MustCopyFlatData[float32](images), images.Shape().Dimensions[0]
	size := len(flat) / n
	for i := range n {
		if !slices.ContainsFunc(flat[i*size:(i+1)*size], func(v float32) bool { return v != 0 }) {
			found = append(found, i)
		}
	}
	return found
}
