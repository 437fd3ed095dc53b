package onnx

import (
	"math"
	"math/rand/v2"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/support/exceptions"
	"github.com/pkg/errors"
	"google.golang.org/protobuf/proto"
)

// What became of a gradient, from worst to best: of several outputs the best counts.
const (
	slopesNone    = "1 not computed in float64"
	slopesKinks   = "2 no smooth point"
	slopesChecked = "3 checked"
)

// inDouble makes a network of float32 one of float64, in which differences tell a wrong slope from rounding.
func inDouble(p *protos.ModelProto) {
	const float, double = int32(protos.TensorProto_FLOAT), int32(protos.TensorProto_DOUBLE)
	for _, t := range tensorsIn(p.Graph) {
		if t.DataType != float || loadTensor(t, "") != nil {
			continue
		}
		values := floatsOf(t)
		t.DataType, t.RawData, t.DoubleData = double, nil, converted(values)
	}
	for _, n := range p.Graph.Node {
		for _, a := range n.Attribute {
			if (a.Name == "to" || a.Name == "dtype" || a.Name == "softmax_precision") && a.I == int64(float) {
				a.I = int64(double)
			}
			if n.OpType == "Constant" && a.Name == "value_float" {
				a.Name, a.Type, a.T = "value", protos.AttributeProto_TENSOR, &protos.TensorProto{DataType: double, DoubleData: []float64{float64(a.F)}}
			}
			if n.OpType == "Constant" && a.Name == "value_floats" {
				a.T = &protos.TensorProto{DataType: double, DoubleData: converted(a.Floats), Dims: []int64{int64(len(a.Floats))}}
				a.Name, a.Type = "value", protos.AttributeProto_TENSOR
			}
		}
		if n.OpType == "ConstantOfShape" && attribute(n, "value") == nil {
			n.Attribute = append(n.Attribute, &protos.AttributeProto{Name: "value", Type: protos.AttributeProto_TENSOR,
				T: &protos.TensorProto{DataType: double, DoubleData: []float64{0}, Dims: []int64{1}}})
		}
	}
}

// slopes compares the gradient of a random sum of an output, by the image, with central differences: by single values of the
// image, and along random directions. Places where the slopes to both sides differ are left out.
func (c *conformanceCase) slopes(image int, output, dir string) (string, error) {
	p, err := c.model(image, output)
	if err != nil {
		return "", err
	}
	inDouble(p)
	path, err := write(p, dir)
	if err != nil {
		return "", err
	}
	r, err := open(path, output)
	if err != nil {
		return slopesNone, nil
	}
	raw := &protos.TensorProto{}
	if err := proto.Unmarshal(c.Inputs[image], raw); err != nil {
		return "", err
	}
	if err := loadTensor(raw, ""); err != nil {
		return "", err
	}
	x := converted(floatsOf(raw))
	if len(x) == 0 {
		return slopesKinks, nil
	}
	rng := rand.New(rand.NewPCG(1, uint64(len(c.Name))))
	var weights *tensors.Tensor
	of := func(scope *model.Scope, x *Node) []*Node {
		y := r.output(scope, x)
		if weights == nil {
			w := make([]float64, max(y.Shape().Size(), 1))
			for i := range w {
				w[i] = 0.5 + rng.Float64()
			}
			weights = tensors.FromFlatDataAndDimensions(w[:y.Shape().Size()], y.Shape().Dimensions...)
		}
		return []*Node{ReduceAllSum(Mul(y, ConstTensor(x.Graph(), weights)))}
	}
	dims := dimsOf(raw)
	if err := r.builds(tensors.FromFlatDataAndDimensions(x, dims...)); err != nil {
		return slopesNone, nil
	}
	value, gradient, err := r.double(of)
	if err != nil {
		return "", err
	}
	defer value.Finalize()
	defer gradient.Finalize()
	at := func(x []float64) (f float64, err error) {
		caught := exceptions.TryCatch[error](func() {
			f = tensors.ToScalar[float64](value.MustCall(tensors.FromFlatDataAndDimensions(x, dims...))[0])
		})
		return f, caught
	}
	f, err := at(x)
	if err != nil {
		return slopesNone, nil // the pure-Go backend lacks something in float64
	}
	var slope []float64
	if err := exceptions.TryCatch[error](func() {
		slope = tensors.MustCopyFlatData[float64](gradient.MustCall(tensors.FromFlatDataAndDimensions(x, dims...))[0])
	}); err != nil {
		return "", errors.New(oneLine(err))
	}
	found := slopesKinks
	tries := 10
	if len(x) > 2000 { // of which four results each take the pure-Go backend seconds
		tries = 2
	}
	for try := range tries {
		direction := make([]float64, len(x))
		if try < max(tries-2, 1) {
			direction[rng.IntN(len(x))] = 1
		} else {
			for i := range direction {
				direction[i] = 2*rng.Float64() - 1
			}
		}
		want := 0.0
		for i, d := range direction {
			if d != 0 {
				want += d * slope[i]
			}
		}
		got, smooth, err := differences(at, x, direction, f)
		if err != nil {
			return "", err
		}
		if !smooth {
			continue
		}
		if !(math.Abs(got-want) <= 2e-5*(1+math.Abs(got))) {
			return "", errors.Errorf("is %g, want %g by differences", want, got)
		}
		found = slopesChecked
	}
	return found, nil
}

// differences is the slope along a direction; smooth is false if those to both sides differ, or those of a nearer and a
// farther step, as at a jump.
func differences(at func(x []float64) (float64, error), x, direction []float64, f float64) (slope float64, smooth bool, err error) {
	const h = 1e-6
	var moved [4]float64
	for k, by := range []float64{h, -h, h / 4, -h / 4} {
		y := make([]float64, len(x))
		for i := range y {
			y[i] = x[i] + by*direction[i]
		}
		if moved[k], err = at(y); err != nil {
			return 0, false, err
		}
	}
	slope, near := (moved[0]-moved[1])/(2*h), (moved[2]-moved[3])/(h/2)
	small := 1e-5 * (1 + math.Abs(slope))
	return slope, math.Abs(moved[0]-2*f+moved[1]) <= small*h && math.Abs(slope-near) <= small, nil
}

// double compiles a number made of an image, and its gradient, for float64.
func (r *runnable) double(of func(scope *model.Scope, x *Node) []*Node) (value, gradient *model.Exec, err error) {
	m, err := r.m.Clone()
	if err != nil {
		return nil, nil, err
	}
	if value, err = model.NewExec(hostBackend(), m.Store, of); err != nil {
		return nil, nil, err
	}
	gradient, err = model.NewExec(hostBackend(), m.Store, func(scope *model.Scope, x *Node) []*Node {
		f := of(scope, x)[0]
		if f.DType() != dtypes.Float64 {
			exceptions.Panicf("a result of %s", f.DType())
		}
		return Gradient(f, x)
	})
	return value, gradient, err
}
