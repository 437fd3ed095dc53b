package onnx

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/nets"
)

// Exporters that fix the batch size write it into the graph: into target shapes of Reshape and Expand, and into constants
// that are repeated once an example. freeBatch finds the latter; freeReshape and freeExpand the former, while the graph is
// built, by the shapes that values have at the size that the file fixes. What they cannot know to be the batch stays, and
// the graph then fails to build for another batch, or independent finds out.
func (g *network) freeBatch() {
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
					row := t.RawData[:len(t.RawData)/int(g.batch)]
					name = g.addConstant(&protos.TensorProto{DataType: t.DataType, Dims: append([]int64{1}, dims[1:]...), RawData: row})
					g.sources[name] = source{tensor: in, times: int(g.batch)}
				}
				shape, more := g.batchShape(dims[1:])
				out := g.newName()
				repeat := &protos.NodeProto{OpType: "Expand", Name: out, Input: []string{name, shape}, Output: []string{out}}
				nodes = append(append(nodes, more...), repeat)
				n.Input[i] = out
			}
		}
		nodes = append(nodes, n)
	}
	g.proto.Node = nodes
}

// target is what a Reshape asks for, and what that came to at the batch size that the file fixes.
type target struct{ asked, dims []int }

// freeReshape returns the dimensions that a Reshape makes for the batch at hand, of what it asks for: where that is a
// constant, it was written for the batch that the file fixes.
//
// In memory an image's values are [outer, batch, inner], whatever axes they are cut into, and a reshape keeps that order:
// so the batch goes into a target axis with the right number of values before it. If the fixed batch is 1 there may be
// several such axes ([6, 1, 8] as [6, 2, 4] is [6·b, 2, 4] or [6, b·2, 4]), and g.late tells which to try.
func (v *values) freeReshape(n *protos.NodeProto, asked []int, zeroIsZero bool) []int {
	g := v.g
	dims, fixed := v.dims(n.Input[0]), int(g.batch)
	out := reshaped(dims, asked, zeroIsZero)
	if g.measuring {
		g.targets[n] = target{asked: asked, dims: out}
	}
	before := g.fixed[n.Input[0]]
	if before == nil || v.batch == fixed || !slices.Equal(asked, g.targets[n].asked) {
		return out
	}
	target := g.targets[n].dims
	axis := 0
	for axis = range dims {
		if dims[axis] != before[axis] {
			break
		}
	}
	if slices.Equal(dims, before) || dims[axis]*fixed != before[axis]*v.batch {
		return out
	}
	outer := product(before[:axis]) * max(v.outer[n.Input[0]], 1)
	var fits []int // target axes that can hold the batch
	exact := -1
	for j, d := range target {
		prefix := product(target[:j])
		if prefix == 0 || outer%prefix != 0 || d%(outer/prefix*fixed) != 0 {
			continue
		}
		fits = append(fits, j)
		if exact < 0 && d == fixed && outer == prefix {
			exact = j
		}
	}
	if len(fits) == 0 {
		return out
	}
	at := fits[0]
	switch {
	case exact >= 0:
		at = exact
	case len(fits) > 1:
		at = g.ambiguous(before, target, fits)
	}
	free := slices.Clone(target)
	free[at] = free[at] / fixed * v.batch
	v.outer[n.Output[0]] = outer / product(target[:at])
	return free
}

// ambiguous chooses among the axes that may hold the batch, alike for all reshapes alike.
func (g *network) ambiguous(before, target []int, fits []int) int {
	key := fmt.Sprint(before, target)
	if _, seen := g.choices[key]; !seen {
		g.choices[key] = len(g.choices)
	}
	if g.late>>g.choices[key]&1 == 1 {
		return fits[len(fits)-1]
	}
	return fits[0]
}

// freeExpand does the same for the target of an Expand.
func (v *values) freeExpand(n *protos.NodeProto, target []int) []int {
	before, fixed := v.g.fixed[n.Input[0]], int(v.g.batch)
	if fixed == 0 || before == nil || v.batch == fixed || len(target) < len(before) {
		return target
	}
	free := slices.Clone(target)
	for i, d := range v.dims(n.Input[0]) {
		at := i + len(target) - len(before)
		if d != before[i] && target[at] == before[i] {
			free[at] = d
		}
	}
	return free
}

// batchShape returns the name of [batch, rest...], from the shape of the images, and the nodes that make it.
func (g *network) batchShape(rest []int64) (string, []*protos.NodeProto) {
	size, shape := g.newName(), g.newName()
	first := &protos.NodeProto{OpType: "Shape", Name: size, Input: []string{g.input}, Output: []string{size}}
	first.Attribute = []*protos.AttributeProto{intAttribute("start", 0), intAttribute("end", 1)}
	join := &protos.NodeProto{OpType: "Concat", Name: shape, Output: []string{shape},
		Input: []string{size, g.addConstant(intTensor("", rest, int64(len(rest))))}}
	join.Attribute = []*protos.AttributeProto{intAttribute("axis", 0)}
	return shape, []*protos.NodeProto{first, join}
}

func (g *network) addConstant(t *protos.TensorProto) string {
	t.Name = g.newName()
	g.proto.Initializer = append(g.proto.Initializer, t)
	return t.Name
}

// newName makes a name that no exporter writes.
func (g *network) newName() string {
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
func independent(m *nets.Model) error {
	c, err := m.Clone() // running it ties the weights to a backend
	if err != nil {
		return err
	}
	exec, err := model.NewExec(hostBackend(), c.Store, c.Logits)
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
		rows = slices.AppendSeq(rows, slices.Chunk(flat[:run.n*m.Classes], m.Classes))
	}
	for i := range 2 {
		for c, want := range rows[2+i] {
			got := rows[i][c]
			same := got == want || got != got && want != want
			if !same && !(math.Abs(float64(got-want)) <= 1e-3*(1+math.Abs(float64(want)))) {
				return errors.New("freed, images of a batch change each other's logits")
			}
		}
	}
	return nil
}
