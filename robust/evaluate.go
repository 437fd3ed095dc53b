package robust

import (
	"bytes"
	"context"
	"math"
	"slices"
	"time"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/report"
)

// tolerance is how far beyond the budget or the bounds float32 rounding may take a perturbation.
const tolerance = 1e-6

// Outcome is the referee's account of an attack: everything in it was measured on the returned perturbation.
type Outcome struct {
	Attack  string
	Problem Problem
	N       int

	Perturbed *tensors.Tensor   // inputs, float32 [n, InputShape...]
	Weights   []*tensors.Tensor // perturbed weights, or nil

	Clean   []int32   // predictions on clean inputs
	Final   []int32   // predictions on the perturbation
	Success []bool    // the goal is met inside budget and bounds
	Norms   []float64 // of each input perturbation, in the threat's norm; +Inf where a pixel is NaN or infinite
	Queries []int64   // forward passes, one an example
	Grads   []int64   // backward passes, one an example
	Referee int64     // rows that the referee itself asked of a model that is elsewhere; 0 for one that is here

	CleanAccuracy  float64 // share of examples that the clean model classifies right (label-free: 1)
	RobustAccuracy float64 // share that is right on clean inputs and stays right under attack
	SuccessRate    float64 // share of the attacked examples on which the goal is met
	MedianNorm     float64 // over the successes; 0 if there are none
	MaxNorm        float64 // over all examples with finite pixels
	MeanQueries    float64 // forward passes an attacked example

	Attacked int           // examples that the attack was run on
	Stages   []Stage       // of an ensemble: what each member did; nil for other attacks
	Traces   []Trace       // one an example, empty where it was not attacked; nil for attacks that keep none
	Elapsed  time.Duration // of the attack alone
	Checks   []Check       // self-checks, raised or not
}

// Evaluate runs an attack and re-checks all that it claims.
//
// An untargeted attack on inputs is run on correctly classified examples only, since the others are lost already. A
// goal without labels and targets becomes label-free. Perturbations that leave the budget or the bounds by more than
// 1e-6, or are not finite, do not count as successes and raise a check. Threat.Epsilon = +Inf, no budget, is for attacks
// that are Unbudgeted. Of a model elsewhere it asks clean and final predictions itself, apart from the attack's queries, and
// leaves out the checks that would take more.
func Evaluate(ctx context.Context, v *Victim, a Attack, p Problem) (*Outcome, error) {
	if err := p.validate(v, a); err != nil {
		return nil, err
	}
	if err := v.allows(a); err != nil {
		return nil, err
	}
	v.refereed = 0
	if p.Progress == nil {
		p.Progress = report.Silent{}
	}
	a = For(a, v.Model)
	n := p.Images.Shape().Dimensions[0]
	o := &Outcome{Attack: a.Name(), N: n}
	var err error
	if o.Clean, err = v.Predictions(ctx, p.Images, nil); err != nil {
		return nil, err
	}
	if p.Goal.Labels == nil && p.Goal.Targets == nil {
		p.Goal.Labels = o.Clean
	}
	o.Problem = p
	rows := o.rowsToAttack()
	o.Attacked = len(rows)
	o.Queries, o.Grads = make([]int64, n), make([]int64, n)
	o.Perturbed = p.Images
	if len(rows) > 0 {
		if err := o.run(ctx, v, a, rows); err != nil {
			return nil, errors.WithMessagef(err, "robust: %s", a.Name())
		}
	}
	return o, o.judge(ctx, v, a.Access(), rows)
}

func (p Problem) validate(v *Victim, a Attack) error {
	if p.Images == nil {
		return errors.New("robust: Problem.Images is nil: give a float32 tensor [n, InputShape...]")
	}
	if err := v.Model.CheckImages(p.Images); err != nil {
		return err
	}
	if err := p.Goal.Validate(p.Images.Shape().Dimensions[0], v.Model); err != nil {
		return err
	}
	if p.Starts != nil {
		if err := v.Model.CheckImages(p.Starts); err != nil {
			return errors.WithMessage(err, "robust: Starts")
		}
		if n, starts := p.Images.Shape().Dimensions[0], p.Starts.Shape().Dimensions[0]; starts != n {
			return errors.Errorf("robust: %d Starts for %d examples: give one an example, or nil", starts, n)
		}
	}
	if free, ok := a.(Unbudgeted); !ok || !free.Unbudgeted() {
		if err := p.Threat.RequireBudget(); err != nil {
			return errors.WithMessagef(err, "robust: %s", a.Name())
		}
	}
	return p.Threat.Validate(len(v.Model.Weights()))
}

// at is the problem of the given rows alone.
func (p Problem) at(v *Victim, rows []int) (_ Problem, err error) {
	for _, images := range []**tensors.Tensor{&p.Images, &p.Starts} {
		if *images == nil {
			continue
		}
		flat, err := tensors.CopyFlatData[float32](*images)
		if err != nil {
			return p, err
		}
		picked := nets.PickRows(flat, v.exampleSize(), rows)
		*images = tensors.FromFlatDataAndDimensions(picked, append([]int{len(rows)}, v.Model.InputShape...)...)
	}
	p.Goal = p.Goal.at(rows)
	return p, nil
}

// rowsToAttack leaves out what is lost before any attack.
func (o *Outcome) rowsToAttack() []int {
	goal := o.Problem.Goal
	if goal.Targeted() || o.Problem.Threat.MovesWeights() {
		return Rows(o.N)
	}
	var rows []int
	for i, c := range o.Clean {
		if c == goal.Labels[i] {
			rows = append(rows, i)
		}
	}
	return rows
}

// run attacks the given rows and lays the result over the clean images.
func (o *Outcome) run(ctx context.Context, v *Victim, a Attack, rows []int) error {
	p, err := o.Problem.at(v, rows)
	if err != nil {
		return err
	}
	before, err := v.weights()
	if err != nil {
		return err
	}
	v.begin(len(rows), a.Access())
	defer v.end()
	start := time.Now()
	found, err := a.Perturb(ctx, v, p)
	o.Elapsed = time.Since(start)
	if err != nil {
		return err
	}
	if err := v.unchanged(before); err != nil {
		return err
	}
	if found == nil {
		return errors.New("returned no perturbation: an attack that finds nothing returns the images it was given")
	}
	for i, r := range rows {
		o.Queries[r], o.Grads[r] = v.forwards[i], v.backwards[i]
	}
	o.Weights, o.Stages = found.Weights, found.Stages
	if found.Traces != nil {
		if len(found.Traces) != len(rows) {
			return errors.Errorf("returned %d traces for %d examples", len(found.Traces), len(rows))
		}
		o.Traces = make([]Trace, o.N)
		for i, r := range rows {
			o.Traces[r] = found.Traces[i]
		}
	}
	if found.Images == nil {
		return nil
	}
	if !found.Images.Shape().Equal(p.Images.Shape()) {
		return errors.Errorf("returned shape %s for inputs of shape %s", found.Images.Shape(), p.Images.Shape())
	}
	moved, err := tensors.CopyFlatData[float32](found.Images)
	if err != nil {
		return err
	}
	clean, err := tensors.CopyFlatData[float32](o.Problem.Images)
	if err != nil {
		return err
	}
	size := v.exampleSize()
	for i, r := range rows {
		copy(clean[r*size:(r+1)*size], moved[i*size:(i+1)*size])
	}
	o.Perturbed = tensors.FromFlatDataAndDimensions(clean, o.Problem.Images.Shape().Dimensions...)
	return nil
}

// judge measures the perturbation and fills in the rest of the outcome.
func (o *Outcome) judge(ctx context.Context, v *Victim, access Access, rows []int) (err error) {
	weightExcess, err := v.weightExcess(o.Problem.Threat, o.Weights)
	if err != nil {
		return err
	}
	inputs, err := v.measure(ctx, o.Problem.Threat.Norm, o.Problem.Images, o.Perturbed)
	if err != nil {
		return err
	}
	// What is not finite cannot be judged: the model sees the clean input or weights instead.
	images, err := v.finiteOnly(inputs, o.Problem.Images, o.Perturbed)
	if err != nil {
		return err
	}
	weights := o.Weights
	if math.IsInf(weightExcess, 1) {
		weights = nil
	}
	if o.Final, err = v.Predictions(ctx, images, weights); err != nil {
		return err
	}
	var found tally
	o.Success, o.Norms = make([]bool, o.N), make([]float64, o.N)
	attacked := make([]bool, o.N)
	for _, r := range rows {
		attacked[r] = true
	}
	right, standing, met := 0, 0, 0
	var successNorms []float64
	for i, in := range inputs {
		legal := found.add(in, o.Problem.Threat.Epsilon) && weightExcess <= tolerance
		if o.Norms[i] = math.Inf(1); in.finite {
			o.Norms[i], o.MaxNorm = in.norm, max(o.MaxNorm, in.norm)
		}
		o.Success[i] = legal && attacked[i] && o.Problem.Goal.Met(i, o.Final[i])
		if o.Success[i] {
			met++
			successNorms = append(successNorms, in.norm)
		}
		if o.Problem.Goal.Labels != nil && o.Clean[i] == o.Problem.Goal.Labels[i] {
			right++
			if !legal || o.Final[i] == o.Problem.Goal.Labels[i] {
				standing++
			}
		}
	}
	o.CleanAccuracy = float64(right) / float64(o.N)
	o.RobustAccuracy = float64(standing) / float64(o.N)
	if len(rows) > 0 {
		o.SuccessRate = float64(met) / float64(len(rows))
		for _, r := range rows {
			o.MeanQueries += float64(o.Queries[r]) / float64(len(rows))
		}
	}
	o.MedianNorm = median(successNorms)
	if o.Referee = v.refereed; v.remote != nil {
		o.Checks = o.checksElsewhere(found, rows)
		return nil
	}
	seen, err := v.inspect(ctx, o.Problem, access, rows, images)
	if err != nil {
		return err
	}
	o.Checks = o.checks(found, weightExcess, rows, seen)
	return nil
}

// tally counts what the referee rejects.
type tally struct{ overBudget, outside, notFinite int }

func (t *tally) add(in measured, epsilon float64) (legal bool) {
	legal = true
	if !in.finite {
		t.notFinite++
		return false
	}
	if in.norm > epsilon+tolerance {
		t.overBudget++
		legal = false
	}
	if in.outside > tolerance {
		t.outside++
		legal = false
	}
	return legal
}

// weightExcess returns by how much the perturbed weights leave their radii (<= 0: not at all).
func (v *Victim) weightExcess(t Threat, weights []*tensors.Tensor) (float64, error) {
	if weights == nil {
		return 0, nil
	}
	vars := v.Model.Weights()
	if len(weights) != len(vars) {
		return 0, errors.Errorf("robust: the attack returned %d weight tensors for a model with %d", len(weights), len(vars))
	}
	radii, worst := t.WeightRadii(len(vars)), 0.0
	for k, w := range vars {
		if weights[k] == nil || !weights[k].Shape().Equal(w.Shape()) {
			return 0, errors.Errorf("robust: the attack returned no tensor of shape %s for weight %s", w.Shape(), w.Path())
		}
		clean, err := w.Value()
		if err != nil {
			return 0, err
		}
		a, err := tensors.CopyFlatData[float32](clean)
		if err != nil {
			return 0, err
		}
		b, err := tensors.CopyFlatData[float32](weights[k])
		if err != nil {
			return 0, err
		}
		for i := range a {
			d := math.Abs(float64(b[i]) - float64(a[i]))
			if math.IsNaN(d) {
				return math.Inf(1), nil
			}
			worst = max(worst, d-radii[k]-halfUnit(b[i]))
		}
	}
	return worst, nil
}

// halfUnit is how far rounding to float32 may take a value from where it was meant to lie: half a unit in the last place,
// which for weights above 16 is more than the tolerance.
func halfUnit(x float32) float64 {
	x = float32(math.Abs(float64(x)))
	return (float64(math.Nextafter32(x, math.MaxFloat32)) - float64(x)) / 2
}

// weights copies the bytes of the model's weights.
func (v *Victim) weights() ([][]byte, error) {
	var all [][]byte
	for _, w := range v.Model.Weights() {
		value, err := w.Value()
		if err != nil {
			return nil, err
		}
		if err := value.ConstBytes(func(data []byte) { all = append(all, bytes.Clone(data)) }); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// unchanged reports an attack that changed the model itself, and gives the model its weights back.
func (v *Victim) unchanged(before [][]byte) (changed error) {
	for k, w := range v.Model.Weights() {
		value, err := w.Value()
		if err != nil {
			return err
		}
		same := false
		if err := value.ConstBytes(func(data []byte) { same = bytes.Equal(before[k], data) }); err != nil {
			return err
		}
		if same {
			continue
		}
		changed = errors.Errorf("changed weight %s of the model itself: return perturbed weights in Perturbation.Weights", w.Path())
		value = tensors.FromShape(w.Shape())
		if err := value.MutableBytes(func(data []byte) { copy(data, before[k]) }); err != nil {
			return err
		}
		if err := w.SetValue(value); err != nil {
			return err
		}
	}
	return changed
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	m := len(values) / 2
	if len(values)%2 == 1 {
		return values[m]
	}
	return (values[m-1] + values[m]) / 2
}
