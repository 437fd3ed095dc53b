package nets

import (
	"slices"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/support/exceptions"
	"github.com/gomlx/onnx-gomlx/onnx/parser"
	"github.com/pkg/errors"
	"google.golang.org/protobuf/proto"
)

// stages orders a graph: operators that are built here (see onnx_native.go) and, between them, groups of all other
// operators, each of which onnx-gomlx builds as a little model of its own.
//
// A group's inputs are whatever it reads from outside, weights included, so that it holds no state; its outputs are what
// others read of it. Shape arithmetic is repeated in every group that needs it, since onnx-gomlx must see it whole to
// know its value while the graph is built.
type stages struct {
	producer map[string]*protos.NodeProto
	static   map[string]bool // values known while the graph is built: constants and what follows from shapes
	order    []stage
	fusions  map[*protos.NodeProto]fusion // by their pooling
	fused    map[*protos.NodeProto]bool   // built by a fusion
}

// stage is one operator built here, or one group.
type stage struct {
	native  *protos.NodeProto
	group   []*protos.NodeProto
	inputs  []string
	outputs []string
}

// plan finds the stages. Level by level: the operators built here that can be, then all others that can be.
func (g *onnxGraph) plan() error {
	g.producer, g.static = map[string]*protos.NodeProto{}, map[string]bool{}
	level, native := map[string]int{}, map[*protos.NodeProto]bool{}
	levels := 0
	var natives, groups [][]*protos.NodeProto
	put := func(lists *[][]*protos.NodeProto, at int, n *protos.NodeProto) {
		for len(*lists) <= at {
			*lists = append(*lists, nil)
		}
		(*lists)[at] = append((*lists)[at], n)
		levels = max(levels, at+1)
	}
	for _, n := range g.proto.Node {
		own, static, at := g.isNative(n), n.OpType != "Dropout", 0
		for _, in := range n.Input {
			if in == "" {
				continue
			}
			p := g.producer[in]
			l := level[in]
			if own && p != nil && !native[p] && !g.static[in] {
				l++
			}
			at = max(at, l)
			static = static && g.static[in]
		}
		static = static || n.OpType == "Shape" || n.OpType == "Size"
		native[n] = own && !static
		for _, out := range n.Output {
			g.producer[out], level[out], g.static[out] = n, at, static
		}
		switch {
		case static: // joins the groups that read it
		case native[n]:
			put(&natives, at, n)
		default:
			put(&groups, at, n)
		}
	}
	g.findFusions()
	out := g.proto.Output[0].Name
	if g.static[out] {
		return errors.New("the output does not depend on the image")
	}
	for at := range levels {
		if at < len(natives) {
			for _, n := range natives[at] {
				g.order = append(g.order, stage{native: n})
			}
		}
		if at < len(groups) && len(groups[at]) > 0 {
			g.order = append(g.order, g.newGroup(groups[at]))
		}
	}
	return nil
}

// newGroup adds the shape arithmetic that the nodes need and finds the group's inputs and outputs.
func (g *onnxGraph) newGroup(nodes []*protos.NodeProto) stage {
	s := stage{}
	inside, seen := map[string]bool{}, map[string]bool{}
	members := map[*protos.NodeProto]bool{}
	for _, n := range nodes {
		members[n] = true
		for _, out := range n.Output {
			inside[out] = true
		}
	}
	var add func(n *protos.NodeProto)
	add = func(n *protos.NodeProto) {
		for _, in := range n.Input {
			if in == "" || seen[in] || inside[in] {
				continue
			}
			seen[in] = true
			if g.static[in] {
				members[g.producer[in]] = true
				add(g.producer[in])
			} else {
				s.inputs = append(s.inputs, in)
			}
		}
		s.group = append(s.group, n)
	}
	for _, n := range nodes {
		add(n)
	}
	read := map[string]bool{g.proto.Output[0].Name: true}
	for _, n := range g.proto.Node {
		if !members[n] || g.static[n.Output[0]] {
			for _, in := range n.Input {
				read[in] = true
			}
		}
	}
	for _, n := range nodes {
		for _, out := range n.Output {
			if out != "" && read[out] {
				s.outputs = append(s.outputs, out)
			}
		}
	}
	return s
}

// build builds the graph from the value of one name, which x is, to that of another.
func (g *onnxGraph) build(scope *model.Scope, x *Node, from, name string) *Node {
	v := &values{g: g, scope: scope, graph: x.Graph(), batch: x.Shape().Dimensions[0], plain: map[string]*Node{from: x}, last: map[string]*Node{}}
	for _, s := range g.needed(from, name) {
		if s.native != nil {
			if err := exceptions.TryCatch[error](func() { v.native(s.native) }); err != nil {
				exceptions.Panicf("%s: %s", nodeLabel(s.native), oneLine(err))
			}
			v.checkSize(s.native.Output[0])
		} else {
			v.group(s)
			for _, out := range s.outputs {
				v.checkSize(out)
			}
		}
	}
	return v.get(name)
}

// needed are the stages that lead from one value to another.
func (g *onnxGraph) needed(from, name string) []stage {
	wanted := map[string]bool{name: true}
	var found []stage
	for _, s := range slices.Backward(g.order) {
		inputs, outputs := s.inputs, s.outputs
		if s.native != nil {
			inputs, outputs = s.native.Input, s.native.Output
		}
		if !slices.ContainsFunc(outputs, func(out string) bool { return wanted[out] }) {
			continue
		}
		found = append(found, s)
		for _, in := range inputs {
			wanted[in] = wanted[in] || in != from
		}
	}
	if wanted[g.input] && from != g.input {
		exceptions.Panicf("%q does not follow from %q alone", name, from)
	}
	slices.Reverse(found)
	return found
}

// values are the nodes of one graph under construction, by the names of the file. Images in the midst of a convolutional
// network are kept with their channels last, which XLA prefers on CPUs, and turned back where others read them.
type values struct {
	g     *onnxGraph
	scope *model.Scope
	graph *Graph
	batch int
	plain map[string]*Node // as the file means them
	last  map[string]*Node // [batch, height, width, channels]
}

// get returns a value as the file means it, weights included.
func (v *values) get(name string) *Node {
	if x := v.plain[name]; x != nil {
		return x
	}
	if x := v.last[name]; x != nil {
		v.plain[name] = TransposeAllAxes(x, 0, 3, 1, 2)
		return v.plain[name]
	}
	if path, ok := v.g.paths[name]; ok {
		return v.scope.Store().GetVariable(path).NodeValue(v.graph)
	}
	if n := v.g.producer[name]; n != nil && v.g.static[name] {
		s := v.g.newGroup([]*protos.NodeProto{n})
		s.outputs = []string{name}
		v.group(s)
		return v.plain[name]
	}
	exceptions.Panicf("%q has no value", name)
	return nil
}

// checkSize refuses values that no image classifier has, before anything of their size is allocated.
func (v *values) checkSize(name string) {
	for _, x := range []*Node{v.plain[name], v.last[name]} {
		if x == nil {
			continue
		}
		size := 1.0
		for _, d := range x.Shape().Dimensions {
			size *= float64(d)
		}
		if size/float64(max(v.batch, 1)) > maxElements {
			exceptions.Panicf("value %q has impossible shape %s", name, x.Shape())
		}
	}
}

// image returns a four-dimensional value with its channels last.
func (v *values) image(name string) *Node {
	if x := v.last[name]; x != nil {
		return x
	}
	x := v.get(name)
	if x.Rank() != 4 {
		exceptions.Panicf("its input has shape %s: want images [batch, channels, height, width]", x.Shape())
	}
	v.last[name] = TransposeAllAxes(x, 0, 2, 3, 1)
	return v.last[name]
}

var onnxTypes = map[dtypes.DType]protos.TensorProto_DataType{
	dtypes.Float32: protos.TensorProto_FLOAT, dtypes.Float64: protos.TensorProto_DOUBLE, dtypes.Int64: protos.TensorProto_INT64,
	dtypes.Int32: protos.TensorProto_INT32, dtypes.Bool: protos.TensorProto_BOOL,
}

// group has onnx-gomlx build a group of operators.
func (v *values) group(s stage) {
	p := &protos.GraphProto{Node: s.group}
	inputs := map[string]*Node{}
	for _, name := range s.inputs {
		x := v.get(name)
		inputs[name] = x
		p.Input = append(p.Input, valueInfo(name, x))
	}
	for _, name := range s.outputs {
		p.Output = append(p.Output, &protos.ValueInfoProto{Name: name, Type: tensorType(protos.TensorProto_FLOAT, nil)})
	}
	content, err := proto.Marshal(&protos.ModelProto{IrVersion: 9, Graph: p})
	if err != nil {
		panic(errors.Wrap(err, "ONNX graph"))
	}
	m, err := parser.Parse(content)
	if err != nil {
		panic(err)
	}
	m.DisableFusion()
	for i, x := range m.CallGraph(nil, v.graph, inputs, s.outputs...) {
		v.plain[s.outputs[i]] = x
	}
}

func valueInfo(name string, x *Node) *protos.ValueInfoProto {
	dtype, ok := onnxTypes[x.DType()]
	if !ok {
		exceptions.Panicf("value %q of type %s: not supported", name, x.DType())
	}
	return &protos.ValueInfoProto{Name: name, Type: tensorType(dtype, x.Shape().Dimensions)}
}

func tensorType(dtype protos.TensorProto_DataType, dims []int) *protos.TypeProto {
	shape := &protos.TensorShapeProto{}
	for _, d := range dims {
		shape.Dim = append(shape.Dim, &protos.TensorShapeProto_Dimension{Value: &protos.TensorShapeProto_Dimension_DimValue{DimValue: int64(d)}})
	}
	return &protos.TypeProto{Value: &protos.TypeProto_TensorType{TensorType: &protos.TypeProto_Tensor{ElemType: int32(dtype), Shape: shape}}}
}
