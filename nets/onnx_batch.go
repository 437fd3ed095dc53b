package nets

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/compute/gobackend"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"
)

// freeBatch undoes a batch size that the export fixed: in target shapes of Reshape and Expand, and in constants that it
// repeated once per example. What it cannot know to be the batch stays, and the graph then fails to build for another
// batch, or independent finds out.
func (g *onnxGraph) freeBatch() {
	if g.batch == 0 {
		return
	}
	constants := map[string]*protos.TensorProto{}
	for _, t := range g.proto.Initializer {
		constants[t.Name] = t
	}
	image := map[string]bool{g.input: true} // what depends on the image's pixels
	var nodes []*protos.NodeProto
	for _, n := range g.proto.Node {
		for _, in := range n.Input {
			if image[in] && n.OpType != "Shape" && n.OpType != "Size" {
				for _, out := range n.Output {
					image[out] = true
				}
			}
		}
		switch n.OpType {
		case "Reshape":
			if shape := intsOf(constants[n.Input[1]]); image[n.Input[0]] && len(shape) > 0 && g.holdsBatch(shape[0]) {
				n.Input[1] = g.addConstant(intTensor("", freeShape(shape), int64(len(shape))))
				drop(n, "allowzero")
			}
		case "Expand":
			if shape := intsOf(constants[n.Input[1]]); !image[n.Input[0]] && len(shape) > 1 && shape[0] == g.batch {
				var more []*protos.NodeProto
				n.Input[1], more = g.batchShape(shape[1:])
				nodes = append(nodes, more...)
				image[n.Output[0]] = true // in as far as it has a row per image
			}
		case "Concat":
			if !image[n.Output[0]] || intOr(n, "axis", 0) == 0 {
				break
			}
			for i, in := range n.Input {
				t := constants[in]
				if image[in] || t == nil || len(t.Dims) < 2 || t.Dims[0] != g.batch || !equalRows(t) {
					continue
				}
				dims := t.Dims
				name := in
				if g.batch > 1 {
					row := &protos.TensorProto{DataType: t.DataType, Dims: append([]int64{1}, dims[1:]...), RawData: t.RawData[:len(t.RawData)/int(g.batch)]}
					name = g.addConstant(row)
				}
				shape, more := g.batchShape(dims[1:])
				out := g.newName()
				nodes = append(append(nodes, more...), &protos.NodeProto{OpType: "Expand", Name: out, Input: []string{name, shape}, Output: []string{out}})
				n.Input[i] = out
			}
		}
		nodes = append(nodes, n)
	}
	g.proto.Node = nodes
}

// holdsBatch tells whether a dimension may be the batch or a multiple of it.
func (g *onnxGraph) holdsBatch(d int64) bool {
	return d == g.batch || (g.batch > 1 && d > 0 && d%g.batch == 0)
}

// freeShape replaces the first dimension: by whatever is left, or by the operand's own where the rest has a -1 already.
func freeShape(shape []int64) []int64 {
	free := append([]int64{-1}, shape[1:]...)
	for _, d := range shape[1:] {
		if d == -1 {
			free[0] = 0
		}
	}
	return free
}

// batchShape returns the name of [batch, rest...], from the shape of the images, and the nodes that make it.
func (g *onnxGraph) batchShape(rest []int64) (string, []*protos.NodeProto) {
	size, shape := g.newName(), g.newName()
	first := &protos.NodeProto{OpType: "Shape", Name: size, Input: []string{g.input}, Output: []string{size}}
	setInt(first, "start", 0)
	setInt(first, "end", 1)
	join := &protos.NodeProto{OpType: "Concat", Name: shape, Output: []string{shape},
		Input: []string{size, g.addConstant(intTensor("", rest, int64(len(rest))))}}
	setInt(join, "axis", 0)
	return shape, []*protos.NodeProto{first, join}
}

func (g *onnxGraph) addConstant(t *protos.TensorProto) string {
	t.Name = g.newName()
	g.proto.Initializer = append(g.proto.Initializer, t)
	return t.Name
}

// newName makes a name that no exporter writes.
func (g *onnxGraph) newName() string {
	g.names++
	return fmt.Sprintf("nets batch %d", g.names)
}

// equalRows tells whether all slices along the first axis are the same.
func equalRows(t *protos.TensorProto) bool {
	size := len(t.RawData) / int(t.Dims[0])
	for i := size; i+size <= len(t.RawData); i += size {
		if !bytes.Equal(t.RawData[:size], t.RawData[i:i+size]) {
			return false
		}
	}
	return size > 0
}

// independent runs a network whose batch size was freed on one image, and on that image beside another: freeing guesses
// from numbers, and a wrong guess would mix the images of a batch.
func independent(m *Model) error {
	backend, err := gobackend.New("")
	if err != nil {
		return err
	}
	defer backend.Finalize()
	c, err := m.Clone() // running it ties the weights to a backend
	if err != nil {
		return err
	}
	exec, err := model.NewExec(backend, c.Store, c.Logits)
	if err != nil {
		return err
	}
	size := product(m.InputShape)
	rng := rand.New(rand.NewPCG(1, 2))
	values := make([]float32, 2*size)
	for i := range values {
		values[i] = float32(m.Lower + rng.Float64()*(m.Upper-m.Lower))
	}
	var rows [][]float32
	for _, run := range []struct{ from, n int }{{0, 2}, {0, 1}, {1, 1}} {
		x := tensors.FromFlatDataAndDimensions(values[run.from*size:(run.from+run.n)*size], append([]int{run.n}, m.InputShape...)...)
		out, err := exec.Call(x)
		if err != nil {
			return err
		}
		flat, err := tensors.CopyFlatData[float32](out[0])
		if err != nil {
			return err
		}
		for i := range run.n {
			rows = append(rows, flat[i*m.Classes:(i+1)*m.Classes])
		}
	}
	for i := range 2 {
		for c, want := range rows[2+i] {
			if got := rows[i][c]; !(math.Abs(float64(got-want)) <= 1e-3*(1+math.Abs(float64(want)))) {
				return errors.New("the export fixed the batch size, in a way that cannot be undone: export with a dynamic batch axis")
			}
		}
	}
	return nil
}
