package meta

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"
	"gonum.org/v1/gonum/dsp/fourier"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/fewshot"
)

// MaximizeOptions say how neurons are excited.
type MaximizeOptions struct {
	Steps int     // zero: 300
	Rate  float64 // of gradient ascent; zero: 0.1
	Start float64 // value of all pixels to start from; zero: 0.2
}

// Maps are what excites the first neurons of the last hidden layer.
type Maps struct {
	Before       [][]float64 `json:"before"` // by neuron, [height·width·channels]
	After        [][]float64 `json:"after"`
	Cosine       float64     `json:"cosine"`        // mean cosine of before and after
	LowFrequency float64     `json:"low_frequency"` // mean share of energy below a quarter of Nyquist's frequency, before
}

// Explain excites the first neurons of a meta-model before and after it is fine-tuned on the first of the given tasks.
func (v *Evaluator) Explain(ctx context.Context, trained *MetaModel, tasks fewshot.Source, neurons int, o MaximizeOptions) (*Maps, error) {
	b, err := tasks.Batch(0)
	if err != nil {
		return nil, err
	}
	defer b.Finalize()
	out, err := v.call(fmt.Sprintf("fine-tuned on one task, %+v", trained.Method.Inner), func(args []*Node) []*Node {
		n := len(trained.Parameters)
		first := func(x *Node) *Node { return Slice(x, AxisRange(0, 1)) }
		xs, ys := first(args[n]), first(args[n+1])
		ob := &objective{model: trained.Model, method: Method{}.WithDefaults()}
		adapted := Adapt(ForTasks(args[:n], 1), trained.Model.Head(), trained.Method.Inner, ob.support(xs, ys))
		outs := []*Node{Squeeze(xs, 0)}
		for _, a := range adapted {
			outs = append(outs, Squeeze(a, 0))
		}
		return outs
	}, append(anys(trained.Parameters), b.Support, b.SupportLabels)...)
	if err != nil {
		return nil, errors.WithMessage(err, "fine-tuning for the maps")
	}
	var chosen []int
	for k := range min(neurons, trained.Parameters[trained.Model.Head()].Shape().Dimensions[0]) {
		chosen = append(chosen, k)
	}
	m := &Maps{}
	if m.Before, err = v.Maximize(ctx, trained.Parameters, chosen, out[0], o); err != nil {
		return nil, err
	}
	if m.After, err = v.Maximize(ctx, out[1:], chosen, out[0], o); err != nil {
		return nil, err
	}
	shape := trained.Model.InputShape()
	var cosines, low []float64
	for k := range m.Before {
		cosines, low = append(cosines, Cosine(m.Before[k], m.After[k])), append(low, LowFrequencies(m.Before[k], shape[0], shape[1]))
	}
	m.Cosine, m.LowFrequency = stat.Mean(cosines, nil), stat.Mean(low, nil)
	return m, nil
}

// Maximize looks for the perturbation of a gray image that excites a neuron of the last hidden layer most, for each of the
// given neurons, by gradient ascent on its feature:
//
//	δ ← δ + rate·∇_δ f_n(clip(x₀ + δ))
//
// Batch normalization sees the image together with reference images [n, InputShape...], such as the support set of a task: with
// the image alone, features that are averaged over positions would not depend on it. The result holds clip(x₀ + δ) - x₀,
// one a neuron, each of the input's size.
func (v *Evaluator) Maximize(ctx context.Context, parameters []*tensors.Tensor, neurons []int, reference *tensors.Tensor,
	o MaximizeOptions) ([][]float64, error) {
	box := v.model.Bounds()
	o.Steps, o.Rate, o.Start = cmp.Or(o.Steps, 300), cmp.Or(o.Rate, 0.1), cmp.Or(o.Start, 0.2)
	if o.Steps < 1 || !(o.Rate > 0) || !(o.Start >= box.Lower && o.Start <= box.Upper) {
		return nil, errors.Errorf("meta: exciting neurons with %d steps, rate %g, start %g: want at least 1, > 0, and in [%g, %g]",
			o.Steps, o.Rate, o.Start, box.Lower, box.Upper)
	}
	m := v.model
	if n := len(m.Init(0)); len(parameters) != n {
		return nil, errors.Errorf("meta: %d parameters for %s: want %d", len(parameters), m.Name(), n)
	}
	features := parameters[m.Head()].Shape().Dimensions[0]
	hot := make([]float32, len(neurons)*features)
	for k, n := range neurons {
		if n < 0 || n >= features {
			return nil, errors.Errorf("meta: neuron %d: %s has %d features", n, m.Name(), features)
		}
		hot[k*features+n] = 1
	}
	if len(neurons) == 0 {
		return nil, errors.New("meta: no neurons to excite")
	}
	own := len(parameters)
	step := func(args []*Node) []*Node {
		p, delta, others, chosen := ForTasks(args[:own], len(neurons)), args[own], args[own+1], args[own+2]
		image := func(d *Node) *Node { return ClipScalar(AddScalar(d, o.Start), box.Lower, box.Upper) }
		d := Identity(StopGradient(delta))
		repeated := BroadcastToDims(InsertAxes(others, 0), append([]int{len(neurons)}, others.Shape().Dimensions...)...)
		found, _ := m.Forward(p, Concatenate([]*Node{image(d), repeated}, 1))
		first := Squeeze(Slice(found, AxisRange(), AxisRange(0, 1), AxisRange()), 1)
		next := Add(delta, MulScalar(Gradient(ReduceAllSum(Mul(first, chosen)), d)[0], o.Rate))
		return []*Node{next, AddScalar(image(next), -o.Start)}
	}
	name := fmt.Sprintf("excite %d neurons, rate %g, start %g", len(neurons), o.Rate, o.Start)
	delta := constant(0, append([]int{len(neurons), 1}, m.InputShape()...)...)
	chosen := tensors.FromFlatDataAndDimensions(hot, len(neurons), features)
	var seen *tensors.Tensor
	for range o.Steps {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		out, err := v.call(name, step, append(anys(parameters), delta, reference, chosen)...)
		if err != nil {
			return nil, errors.WithMessage(err, "meta: exciting neurons")
		}
		delta, seen = out[0], out[1]
	}
	flat := wide(tensors.MustCopyFlatData[float32](seen))
	return slices.Collect(slices.Chunk(flat, len(flat)/len(neurons))), nil
}

// Cosine is that of the angle between two maps; 0 if one is zero.
func Cosine(a, b []float64) float64 {
	scale := floats.Norm(a, 2) * floats.Norm(b, 2)
	if scale == 0 {
		return 0
	}
	return floats.Dot(a, b) / scale
}

// LowFrequencies is the share of a map's energy, its mean left out, at frequencies below a quarter of Nyquist's along both axes
// together (their radius): near 1 for strokes, small for noise. A map is [height, width, channels]; its channels are averaged.
func LowFrequencies(values []float64, height, width int) float64 {
	channels := len(values) / (height * width)
	spectrum := make([][]complex128, height)
	rows, columns := fourier.NewCmplxFFT(width), fourier.NewCmplxFFT(height)
	for y := range height {
		row := make([]complex128, width)
		for x := range width {
			for c := range channels {
				row[x] += complex(values[(y*width+x)*channels+c]/float64(channels), 0)
			}
		}
		spectrum[y] = rows.Coefficients(nil, row)
	}
	var low, all float64
	for x := range width {
		column := make([]complex128, height)
		for y := range height {
			column[y] = spectrum[y][x]
		}
		for y, v := range columns.Coefficients(nil, column) {
			if x == 0 && y == 0 {
				continue
			}
			fy, fx := float64(min(y, height-y))/float64(height), float64(min(x, width-x))/float64(width)
			energy := real(v)*real(v) + imag(v)*imag(v)
			if all += energy; math.Hypot(fy, fx) < 0.125 {
				low += energy
			}
		}
	}
	if all == 0 {
		return 0
	}
	return low / all
}
