package uae

import (
	"context"
	"math"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/engine"
)

// Verdict is the referee's account of examples: all of it measured anew, but for the flags that it judges.
type Verdict struct {
	Violation []float64 // f on fresh forward passes; NaN where values are not finite
	Norms     []float64 // ‖x̃ - x‖∞; +Inf where values are not finite
	Outside   []int     // images that are outside the box or the budget by more than 1e-6, or not finite
	Wrong     []int     // images that are flagged as successes although f > 1e-5, or they are outside
	Success   []bool    // flagged, and not wrong
}

// Rate is the share of successes that hold.
func (v *Verdict) Rate() float64 { return share(v.Success) }

// How much rounding may add, to f and to values.
const (
	violationTolerance = 1e-5
	boxTolerance       = 1e-6
)

// Check computes f, budget and box anew, on the network as it is.
func Check(ctx context.Context, e *engine.Engine, o *Objective, images *tensors.Tensor, ex *Examples, epsilon float64) (*Verdict, error) {
	p := problem{o: o, box: boxOf(o.model)}
	if err := p.checkImages(images); err != nil {
		return nil, err
	}
	if ex == nil || ex.Images == nil || !ex.Images.Shape().Equal(images.Shape()) || len(ex.Success) != images.Shape().Dimensions[0] {
		return nil, errors.Errorf("uae: Check needs examples and flags for images of shape %s", images.Shape())
	}
	r, err := newRun(Search{}.withDefaults(), e, onEngine(e, o.model), p, images)
	if err != nil {
		return nil, err
	}
	referee, err := r.compile("referee", func(scope *model.Scope, _ slopes, args []*Node) []*Node {
		return []*Node{o.violation(scope, asked{args[0], args[1], args[2], args[3]}, nil)}
	})
	if err != nil {
		return nil, err
	}
	adv, err := tensors.CopyFlatData[float32](ex.Images)
	if err != nil {
		return nil, err
	}
	v := &Verdict{}
	for from := 0; from < r.n; from += r.batch {
		chunk := sequence(from, min(r.batch, r.n-from))
		b, err := r.begin(ctx, chunk)
		if err != nil {
			return nil, err
		}
		moved := make([]float32, r.batch*r.size)
		copy(moved, adv[from*r.size:(from+len(chunk))*r.size])
		out, err := b.call(ctx, referee, b.given[0], tensors.FromFlatDataAndDimensions(moved, b.shape...), b.given[3], b.states(1))
		if err != nil {
			return nil, err
		}
		f, err := tensors.CopyFlatData[float32](out[0])
		if err != nil {
			return nil, err
		}
		for i, row := range chunk {
			v.add(p, row, float64(f[i]), r.clean[row*r.size:(row+1)*r.size], adv[row*r.size:(row+1)*r.size], ex.Success[row], epsilon)
		}
	}
	return v, nil
}

func (v *Verdict) add(p problem, row int, f float64, clean, adv []float32, flagged bool, epsilon float64) {
	norm, outside := 0.0, false
	for j, x := range adv {
		d := math.Abs(float64(x) - float64(clean[j]))
		if math.IsNaN(d) {
			d = math.Inf(1)
		}
		norm = max(norm, d)
		outside = outside || !(float64(x) >= p.box.Lower-boxTolerance && float64(x) <= p.box.Upper+boxTolerance)
	}
	if outside = outside || norm > epsilon+boxTolerance; outside {
		v.Outside = append(v.Outside, row)
	}
	if math.IsInf(norm, 1) {
		f = math.NaN()
	}
	holds := !outside && f <= violationTolerance
	if flagged && !holds {
		v.Wrong = append(v.Wrong, row)
	}
	v.Violation, v.Norms, v.Success = append(v.Violation, f), append(v.Norms, norm), append(v.Success, flagged && holds)
}
