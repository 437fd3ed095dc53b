package onnx

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/dtypes/bfloat16"
	"github.com/gomlx/compute/dtypes/float16"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/support/exceptions"
	"github.com/pkg/errors"
	"google.golang.org/protobuf/proto"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
)

// conformanceCase is a test of the package onnx, as testdata/conformance.py writes it.
type conformanceCase struct {
	Name, Kind, Op string
	Model          []byte
	Inputs         [][]byte // TensorProtos; empty: no tensor
	Outputs        [][]byte
	Rtol, Atol     float64
}

// conformanceCases runs the Python that BENCH_PYTHON names, or the one of make bench-python, and gives every test to do: all, or
// those that are files and those of some modules. Where that Python has no onnx, the latter skips the test.
func conformanceCases(t *testing.T, modules []string, do func(c *conformanceCase)) {
	t.Helper()
	python := os.Getenv("BENCH_PYTHON")
	if python == "" {
		python = "../../.bench/bin/python"
	}
	if err := exec.Command(python, "-c", "import onnx").Run(); err != nil {
		if modules == nil { // all of them are asked for
			t.Fatalf("no Python with the package onnx (%s: %v): run make bench-python, or set BENCH_PYTHON", python, err)
		}
		t.Skipf("no Python with the package onnx (%s: %v): run make bench-python, or set BENCH_PYTHON", python, err)
	}
	cmd := exec.Command(python, append([]string{"testdata/conformance.py"}, modules...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := json.NewDecoder(bufio.NewReader(out))
	for read.More() {
		c := &conformanceCase{}
		if err := read.Decode(c); err != nil {
			t.Fatal(err)
		}
		do(c)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
}

// model parses the test's network, with all inputs but one as initializers, as a file holds weights and settings. The
// input of the given number is the image; below 0: none is.
func (c *conformanceCase) model(image int, output string) (*protos.ModelProto, error) {
	p := &protos.ModelProto{}
	if err := proto.Unmarshal(c.Model, p); err != nil {
		return nil, err
	}
	held := map[string]bool{}
	for _, t := range p.Graph.Initializer {
		held[t.Name] = true
	}
	given := slices.DeleteFunc(p.Graph.Input, func(in *protos.ValueInfoProto) bool { return held[in.Name] })
	p.Graph.Input = nil
	for i, in := range given {
		if i >= len(c.Inputs) {
			return nil, errors.Errorf("input %q is not given", in.Name)
		}
		if i == image {
			p.Graph.Input = append(p.Graph.Input, in)
			continue
		}
		if len(c.Inputs[i]) == 0 {
			return nil, errors.Errorf("input %q is no tensor, but a sequence, a map or an optional", in.Name)
		}
		t := &protos.TensorProto{}
		if err := proto.Unmarshal(c.Inputs[i], t); err != nil {
			return nil, err
		}
		t.Name = in.Name
		p.Graph.Initializer = append(p.Graph.Initializer, t)
	}
	p.Graph.Output = slices.DeleteFunc(p.Graph.Output, func(out *protos.ValueInfoProto) bool { return out.Name != output })
	return p, nil
}

// size is that of the network and its inputs, in bytes.
func (c *conformanceCase) size() int {
	n := len(c.Model)
	for _, in := range c.Inputs {
		n += len(in)
	}
	return n
}

// outputs are the names of the network's outputs.
func (c *conformanceCase) outputs() (names []string, err error) {
	p := &protos.ModelProto{}
	if err := proto.Unmarshal(c.Model, p); err != nil {
		return nil, err
	}
	for _, out := range p.Graph.Output {
		names = append(names, out.Name)
	}
	return names, nil
}

// write writes a file that Load could be given.
func write(p *protos.ModelProto, dir string) (path string, err error) {
	content, err := proto.Marshal(p)
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "m.onnx")
	return path, os.WriteFile(path, content, 0o600)
}

// runnable is a network that Load's own steps have made of a file, but for those that ask for a classifier: one float32
// input of 2 to 5 axes, any number of images, logits.
type runnable struct {
	g *network
	m *nets.Model
}

// open takes a file through these steps.
func open(path, output string) (r *runnable, err error) {
	g := newNetwork(true)
	caught := exceptions.TryCatch[error](func() {
		var p *protos.ModelProto
		if p, err = readFile(path); err != nil {
			return
		}
		if err = g.adopt(p); err != nil {
			return
		}
		if len(p.Graph.Input) > 0 {
			g.input = p.Graph.Input[0].Name
		} else {
			g.input = "no image"
		}
		if err = g.normalize(path, output); err != nil {
			return
		}
		m, _ := nets.NewModel([]int{1}, 0, 1)
		if err = g.variables(m); err == nil {
			g.plan()
			r = &runnable{g, m}
		}
	})
	if caught != nil {
		err = caught
	}
	return r, err
}

// output builds the output of an image.
func (r *runnable) output(scope *model.Scope, x *Node) *Node {
	return r.g.build(scope, x, r.g.input, r.g.output)
}

// builds builds the graph without running it, as Load does to find what it must refuse.
func (r *runnable) builds(x *tensors.Tensor) error {
	_, err := buildFrom(r.m, x.Shape(), r.output)
	return err
}

// run computes a graph function of an image on the pure-Go backend, which compiles in no time, or if that lacks something, on
// XLA, which users run.
func (r *runnable) run(t testing.TB, x *tensors.Tensor, of func(scope *model.Scope, x *Node) []*Node) (out []*tensors.Tensor, err error) {
	for _, backend := range []func() compute.Backend{hostBackend, func() compute.Backend { return testengine.Quick(t).Backend() }} {
		var m *nets.Model
		if m, err = r.m.Clone(); err != nil { // running it ties the weights to a backend
			return nil, err
		}
		caught := exceptions.TryCatch[error](func() {
			var e *model.Exec
			if e, err = model.NewExec(backend(), m.Store, of); err == nil {
				defer e.Finalize()
				var copied *tensors.Tensor // a tensor belongs to one backend
				if copied, err = x.LocalClone(); err == nil {
					out, err = e.Call(copied)
				}
			}
		})
		if caught != nil {
			err = caught
		}
		if err == nil {
			return out, nil
		}
	}
	return nil, err
}

// tensorFrom decodes a TensorProto.
func tensorFrom(raw []byte) (*tensors.Tensor, error) {
	t := &protos.TensorProto{}
	if err := proto.Unmarshal(raw, t); err != nil {
		return nil, err
	}
	if err := loadTensor(t, ""); err != nil {
		return nil, err
	}
	return tensorOf(t)
}

// close compares two numbers as numpy.allclose does, by the tolerance that the package gives the test, or two units in the last
// place of half precision, since it rounds where the importer does not.
func (c *conformanceCase) close(got, want float64, dtype dtypes.DType) bool {
	relative := c.Rtol
	switch dtype {
	case dtypes.Float16:
		relative = max(relative, 1.0/512)
	case dtypes.BFloat16:
		relative = max(relative, 1.0/64)
	}
	return got == want || got != got && want != want || math.Abs(got-want) <= max(c.Atol, 1e-5)+relative*math.Abs(want)
}

// differs says how a result is not the wanted one; empty: it is.
func (c *conformanceCase) differs(got, want *tensors.Tensor) string {
	if got.DType() != want.DType() || !slices.Equal(got.Shape().Dimensions, want.Shape().Dimensions) {
		return fmt.Sprintf("is %s, want %s", got.Shape(), want.Shape())
	}
	a, b := numbersOf(got), numbersOf(want)
	for i := range a {
		if !c.close(a[i], b[i], want.DType()) {
			return fmt.Sprintf("value %d of %d is %g, want %g", i, len(a), a[i], b[i])
		}
	}
	return ""
}

// numbersOf are the values of a tensor of any type.
func numbersOf(t *tensors.Tensor) []float64 {
	switch t.DType() {
	case dtypes.Float32:
		return converted(tensors.MustCopyFlatData[float32](t))
	case dtypes.Float64:
		return tensors.MustCopyFlatData[float64](t)
	case dtypes.Float16:
		return mapped(tensors.MustCopyFlatData[float16.Float16](t), func(v float16.Float16) float64 { return float64(v.Float32()) })
	case dtypes.BFloat16:
		return mapped(tensors.MustCopyFlatData[bfloat16.BFloat16](t), func(v bfloat16.BFloat16) float64 { return float64(v.Float32()) })
	case dtypes.Bool:
		return mapped(tensors.MustCopyFlatData[bool](t), func(v bool) float64 {
			if v {
				return 1
			}
			return 0
		})
	case dtypes.Int8:
		return converted(tensors.MustCopyFlatData[int8](t))
	case dtypes.Int16:
		return converted(tensors.MustCopyFlatData[int16](t))
	case dtypes.Int32:
		return converted(tensors.MustCopyFlatData[int32](t))
	case dtypes.Int64:
		return converted(tensors.MustCopyFlatData[int64](t))
	case dtypes.Uint8:
		return converted(tensors.MustCopyFlatData[uint8](t))
	case dtypes.Uint16:
		return converted(tensors.MustCopyFlatData[uint16](t))
	case dtypes.Uint32:
		return converted(tensors.MustCopyFlatData[uint32](t))
	case dtypes.Uint64:
		return converted(tensors.MustCopyFlatData[uint64](t))
	}
	panic("no numbers: " + t.Shape().String())
}

func converted[T int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64 | float32](values []T) []float64 {
	return mapped(values, func(v T) float64 { return float64(v) })
}

func mapped[T any](values []T, f func(v T) float64) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = f(v)
	}
	return out
}

// verdict is what became of a test.
type verdict struct {
	refused, wrong string // why; both empty: it is right
	whole          bool   // LoadMap loads it too, and is right
	slopes         string // of the gradient: see slopes
}

// valuesDecide is how the importer refuses what would make shapes depend on pixels.
const valuesDecide = "must be known when the graph is built"

// whole loads the network with LoadMap, as a user would, and runs it. It is false where LoadMap refuses: most
// tests have no batch that could be made free.
func (c *conformanceCase) whole(t testing.TB, path string, x, want *tensors.Tensor, output string) (bool, error) {
	m, _, _ := LoadMap(path, Options{Output: output})
	if m == nil {
		return false, nil
	}
	r := &runnable{m: m}
	y, err := r.run(t, x, func(scope *model.Scope, x *Node) []*Node { return []*Node{m.Logits(scope, x)} })
	if err != nil {
		return false, errors.Errorf("loaded, but does not run: %s", oneLine(err))
	}
	got, target := numbersOf(y[0]), numbersOf(want)
	if len(got) != len(target) {
		return false, errors.Errorf("loaded, is %s, want %s", y[0].Shape(), want.Shape())
	}
	for i := range got {
		if !c.close(got[i], target[i], want.DType()) {
			return false, errors.Errorf("loaded, value %d is %g, want %g", i, got[i], target[i])
		}
	}
	return true, nil
}

// image chooses the input that stands for the image: the first that is float32.
func (c *conformanceCase) image() int {
	return slices.IndexFunc(c.Inputs, func(raw []byte) bool {
		t := &protos.TensorProto{}
		return len(raw) > 0 && proto.Unmarshal(raw, t) == nil && t.DataType == int32(protos.TensorProto_FLOAT)
	})
}

// check runs the test, first with an image; if the values of that would decide a shape, with constants alone.
func (c *conformanceCase) check(t testing.TB, dir string) verdict {
	names, err := c.outputs()
	if err != nil {
		return verdict{wrong: err.Error()}
	}
	image := c.image()
	v := c.checkFrom(t, dir, image, names)
	if image >= 0 && strings.Contains(v.refused, valuesDecide) {
		v = c.checkFrom(t, dir, -1, names)
	}
	return v
}

func (c *conformanceCase) checkFrom(t testing.TB, dir string, image int, names []string) (v verdict) {
	x := tensors.FromScalar(float32(0))
	if image >= 0 {
		var err error
		if x, err = tensorFrom(c.Inputs[image]); err != nil {
			return verdict{refused: err.Error()}
		}
	}
	for i, name := range names {
		if len(c.Outputs[i]) == 0 {
			return verdict{refused: fmt.Sprintf("output %q is no tensor, but a sequence, a map or an optional", name)}
		}
		p, err := c.model(image, name)
		if err != nil {
			return verdict{refused: err.Error()}
		}
		path, err := write(p, dir)
		if err != nil {
			return verdict{wrong: err.Error()}
		}
		r, err := open(path, name)
		if err != nil {
			return verdict{refused: oneLine(err)}
		}
		if err := r.builds(x); err != nil {
			return verdict{refused: oneLine(err)}
		}
		y, err := r.run(t, x, func(scope *model.Scope, x *Node) []*Node { return []*Node{r.output(scope, x)} })
		if err != nil {
			return verdict{wrong: "does not run: " + oneLine(err)}
		}
		want, err := tensorFrom(c.Outputs[i])
		if err != nil {
			return verdict{refused: err.Error()}
		}
		if d := c.differs(y[0], want); d != "" {
			return verdict{wrong: name + " " + d}
		}
		if image >= 0 {
			if v.whole, err = c.whole(t, path, x, want, name); err != nil {
				return verdict{wrong: name + " " + err.Error()}
			}
		}
		if image >= 0 && want.DType() == dtypes.Float32 && want.Size() > 0 {
			s, err := c.slopes(image, name, dir)
			if err != nil {
				return verdict{wrong: "gradient of " + name + ": " + err.Error()}
			}
			v.slopes = max(v.slopes, s)
		}
	}
	return v
}
