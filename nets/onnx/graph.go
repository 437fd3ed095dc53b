package onnx

import (
	"cmp"
	"maps"
	"slices"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/dtypes/bfloat16"
	"github.com/gomlx/compute/dtypes/float16"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/support/exceptions"
)

// plan notes who makes each value, and which values are known while the graph is built: constants, and what follows from
// them and from shapes.
func (g *network) plan() {
	g.producer, g.static = map[string]*protos.NodeProto{}, map[string]bool{}
	for name := range g.constants {
		g.static[name] = true
	}
	for _, n := range g.proto.Node {
		static := !slices.ContainsFunc(n.Input, func(in string) bool { return in != "" && !g.static[in] })
		for _, out := range n.Output {
			if out != "" { // an optional one that is left out
				g.producer[out], g.static[out] = n, static || n.OpType == "Shape" || n.OpType == "Size"
			}
		}
	}
	g.infinite = g.infinite || slices.ContainsFunc(tensorsIn(g.proto), holdsInfinity)
	g.findFusions()
}

// holdsInfinity tells whether a tensor of floating point numbers has an infinite one.
func holdsInfinity(t *protos.TensorProto) bool {
	dtype := elementTypes[protos.TensorProto_DataType(t.DataType)]
	if !dtype.IsFloat() {
		return false
	}
	width := dtype.Size()
	exponent := map[dtypes.DType][2]byte{dtypes.Float32: {0x7f, 0x80}, dtypes.BFloat16: {0x7f, 0x80}, dtypes.Float64: {0x7f, 0xf0},
		dtypes.Float16: {0x7c, 0}}[dtype]
	for at := width; at <= len(t.RawData); at += width {
		if t.RawData[at-1]&0x7f == exponent[0] && t.RawData[at-2]&exponent[1] == exponent[1] {
			return true
		}
	}
	return false
}

// build builds the graph from the value of one name, which x is, to that of another.
func (g *network) build(scope *model.Scope, x *Node, from, name string) *Node {
	return g.values(scope, x, from, name).get(name)
}

// values builds all that leads from the value of one name, which x is, to that of another.
func (g *network) values(scope *model.Scope, x *Node, from, name string) *values {
	v := newValues(g, x.Graph())
	v.scope = scope
	if x.Rank() > 0 { // Load takes no other images; single operators are tested with numbers too
		v.batch = x.Shape().Dimensions[0]
	}
	v.plain[from] = x
	for _, n := range g.needed(from, name) {
		v.build(n)
	}
	return v
}

// needed are the nodes that lead from one value to another, but for those whose values are known while the graph is
// built: they are built where they are read.
func (g *network) needed(from, name string) []*protos.NodeProto {
	wanted := map[string]bool{name: true}
	var found []*protos.NodeProto
	for _, n := range slices.Backward(g.proto.Node) {
		if !slices.ContainsFunc(n.Output, func(out string) bool { return out != "" && wanted[out] }) {
			continue
		}
		if !g.static[firstOutput(n)] {
			found = append(found, n)
		}
		for _, in := range n.Input {
			wanted[in] = wanted[in] || in != from
		}
	}
	if wanted[g.input] && from != g.input {
		exceptions.Panicf("%q does not follow from %q alone", name, from)
	}
	slices.Reverse(found)
	return found
}

// firstOutput is the name of a node's first output that the file does not leave out.
func firstOutput(n *protos.NodeProto) string {
	for _, out := range n.Output {
		if out != "" {
			return out
		}
	}
	return ""
}

// values are the nodes of one graph under construction, by the names of the file. Images in the midst of a convolutional
// network are kept with their channels last, which XLA prefers on CPUs, and turned back where others read them.
type values struct {
	g     *network
	scope *model.Scope // nil where no weight can be read
	graph *Graph
	batch int
	plain map[string]*Node           // as the file means them
	last  map[string]*Node           // [batch, ..., channels]
	flat  map[string]*Node           // such an image, for one that plain has in a row
	known map[string]*tensors.Tensor // values on the host
	outer map[string]int             // see freeReshape
}

func newValues(g *network, graph *Graph) *values {
	return &values{g: g, graph: graph, batch: 1, plain: map[string]*Node{}, last: map[string]*Node{}, known: map[string]*tensors.Tensor{},
		flat: map[string]*Node{}, outer: map[string]int{}}
}

// build builds one node.
func (v *values) build(n *protos.NodeProto) {
	if v.g.fused[n] {
		return
	}
	build := func() {
		operators[operatorName(n)].build(v, n)
		v.carry(n)
	}
	if err := exceptions.TryCatch[error](build); err != nil {
		exceptions.Panicf("%s: %s", nodeLabel(n), oneLine(err))
	}
	for _, out := range n.Output {
		if out == "" {
			continue
		}
		v.checkSize(out)
		if _, set := v.outer[out]; !set && v.g.fixed != nil {
			for _, in := range n.Input {
				v.outer[out] = max(v.outer[out], v.outer[in])
			}
		}
	}
}

// get returns a value as the file means it, weights included.
func (v *values) get(name string) *Node {
	path := cmp.Or(v.g.paths[name], v.g.held[name])
	switch {
	case v.plain[name] != nil || v.last[name] != nil:
	case path != "" && v.scope != nil:
		return v.scope.Store().GetVariable(path).NodeValue(v.graph)
	case v.known[name] != nil, v.g.constants[name] != nil:
		v.plain[name] = ConstTensor(v.graph, v.constant(name))
	case v.g.static[name]:
		v.build(v.g.producer[name])
	}
	if x := v.last[name]; x != nil && v.plain[name] == nil {
		v.plain[name] = channelsFirst(x)
	}
	if v.plain[name] == nil {
		exceptions.Panicf("%q has no value", name)
	}
	return v.plain[name]
}

// in returns an input as the file means it; nil where an optional one is missing.
func (v *values) in(n *protos.NodeProto, i int) *Node {
	if !has(n, i) {
		return nil
	}
	return v.get(n.Input[i])
}

func has(n *protos.NodeProto, i int) bool { return i < len(n.Input) && n.Input[i] != "" }

// set stores the node's first output.
func (v *values) set(n *protos.NodeProto, x *Node) { v.plain[n.Output[0]] = x }

// setOutput stores an output that the file may leave out.
func (v *values) setOutput(n *protos.NodeProto, i int, x func() *Node) {
	if i < len(n.Output) && n.Output[i] != "" {
		v.plain[n.Output[i]] = x()
	}
}

// version is that of the node's operator.
func (v *values) version(n *protos.NodeProto) int { return v.g.version(n) }

// dims are a value's dimensions as the file means them, without turning its channels.
func (v *values) dims(name string) []int {
	x := v.last[name]
	if v.plain[name] != nil || x == nil {
		return v.get(name).Shape().Dimensions
	}
	d := x.Shape().Dimensions
	return append([]int{d[0], d[len(d)-1]}, d[1:len(d)-1]...)
}

// bytes counts those of all values that were built and are no view of another.
func (v *values) bytes() (sum int) {
	for _, n := range v.g.proto.Node {
		switch n.OpType {
		case "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Dropout", "Cast", "Expand":
			continue
		}
		for _, out := range n.Output {
			if x := cmp.Or(v.last[out], v.plain[out]); x != nil {
				sum += int(x.Shape().ByteSize())
			}
		}
	}
	return sum
}

// constant returns a value that is known while the graph is built, on the host. What the file does not hold itself is
// computed at once by the pure-Go backend, by the functions that build graphs.
func (v *values) constant(name string) *tensors.Tensor {
	if t := v.known[name]; t != nil {
		return t
	}
	if t := v.g.constants[name]; t != nil {
		value, err := tensorOf(t)
		if err != nil {
			panic(err)
		}
		v.known[name] = value
		return value
	}
	n := v.g.producer[name]
	if n == nil || !v.g.static[name] {
		exceptions.Panicf("%q depends on the image or on weights, but must be known when the graph is built: not supported", name)
	}
	if n.OpType == "Shape" || n.OpType == "Size" { // need no more than the dimensions of their input
		v.known[name] = v.measured(n)
		return v.known[name]
	}
	args := map[string]*tensors.Tensor{}
	for _, in := range n.Input {
		if in != "" {
			args[in] = v.constant(in)
		}
	}
	results, err := CallOnceN(hostBackend(), func(g *Graph) []*Node {
		w := newValues(v.g, g)
		maps.Copy(w.known, args)
		w.build(n)
		var out []*Node
		for _, o := range n.Output {
			if o != "" {
				out = append(out, w.get(o))
			}
		}
		return out
	})
	if err != nil {
		panic(err)
	}
	for _, o := range n.Output {
		if o != "" {
			v.known[o], results = results[0], results[1:]
		}
	}
	return v.known[name]
}

// ints returns an input that must be known while the graph is built, as integers; nil where an optional one is missing.
func (v *values) ints(n *protos.NodeProto, i int) []int {
	if !has(n, i) {
		return nil
	}
	t := v.constant(n.Input[i])
	all := make([]int, 0, t.Size())
	if t.Size() == 0 {
		return all
	}
	switch t.DType() {
	case dtypes.Int64:
		for _, x := range tensors.MustCopyFlatData[int64](t) {
			all = append(all, int(x))
		}
	case dtypes.Int32:
		for _, x := range tensors.MustCopyFlatData[int32](t) {
			all = append(all, int(x))
		}
	case dtypes.Float32: // depths, in files of older exporters
		for _, x := range tensors.MustCopyFlatData[float32](t) {
			if x != float32(int(x)) {
				exceptions.Panicf("input %d is %g: want whole numbers", i, x)
			}
			all = append(all, int(x))
		}
	default:
		exceptions.Panicf("input %d is %s: want integers", i, t.Shape())
	}
	return all
}

// floats is ints for numbers that need not be whole.
func (v *values) floats(n *protos.NodeProto, i int) []float64 {
	if !has(n, i) {
		return nil
	}
	t := v.constant(n.Input[i])
	all := make([]float64, 0, t.Size())
	switch t.DType() {
	case dtypes.Float32:
		for _, x := range tensors.MustCopyFlatData[float32](t) {
			all = append(all, float64(x))
		}
	case dtypes.Float64:
		all = tensors.MustCopyFlatData[float64](t)
	case dtypes.Float16:
		for _, x := range tensors.MustCopyFlatData[float16.Float16](t) {
			all = append(all, float64(x.Float32()))
		}
	case dtypes.BFloat16:
		for _, x := range tensors.MustCopyFlatData[bfloat16.BFloat16](t) {
			all = append(all, float64(x.Float32()))
		}
	default:
		for _, x := range v.ints(n, i) {
			all = append(all, float64(x))
		}
	}
	return all
}

// checkSize refuses values that no image classifier has, before anything of their size is allocated.
func (v *values) checkSize(name string) {
	for _, x := range []*Node{v.plain[name], v.last[name]} {
		if x != nil {
			v.checkDims(x.Shape().Dimensions)
		}
	}
}

func (v *values) checkDims(dims []int) {
	size := 1.0
	for _, d := range dims {
		size *= float64(d)
	}
	if size/float64(max(v.batch, 1)) > maxElements {
		exceptions.Panicf("makes %g values, of shape %v: impossible", size, dims)
	}
}

// image returns a value of at least three axes with its channels last.
func (v *values) image(name string) *Node {
	if x := v.last[name]; x != nil {
		return x
	}
	x := v.get(name)
	if x.Rank() < 3 {
		exceptions.Panicf("its input has shape %s: want [batch, channels, height, width], or any other number of sides", x.Shape())
	}
	v.last[name] = channelsLast(x)
	return v.last[name]
}

// channelsLast turns [batch, channels, ...] to [batch, ..., channels].
func channelsLast(x *Node) *Node {
	axes := []int{0}
	for i := 2; i < x.Rank(); i++ {
		axes = append(axes, i)
	}
	return TransposeAllAxes(x, append(axes, 1)...)
}

// channelsFirst turns [batch, ..., channels] to [batch, channels, ...].
func channelsFirst(x *Node) *Node {
	axes := []int{0, x.Rank() - 1}
	for i := 1; i < x.Rank()-1; i++ {
		axes = append(axes, i)
	}
	return TransposeAllAxes(x, axes...)
}
