// Package onnx reads classifiers that other frameworks exported to ONNX, as a [nets.Model] that can be trained, attacked and
// scored as those built here. Operators are built of GoMLX's, in the version that the file names; what is not known in full
// is refused. docs/onnx.md tells which files load, and as what.
//
//	m, err := onnx.Load("model.onnx", onnx.Options{})
//	p, err := nets.NewPredictor(eng.Backend(), m, 128)
//	classes, err := p.Classes(images) // images [n, channels, height, width], as the file has it
//
// [WriteWeights] writes a network back that has been trained since, or pruned.
package onnx

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/support/exceptions"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/nets"
)

// Options say about an ONNX file what the file itself does not.
type Options struct {
	Lower, Upper float64 // pixel bounds; both zero: 0 and 1
	// InputShape is the shape of one example, without the batch axis, where the file leaves dimensions open; where the
	// file fixes them it must agree.
	InputShape []int
	// Output names the output that holds the logits, of a file with several. Empty: the float output [n, classes].
	Output string
}

// Load reads a classifier that another framework exported to ONNX, such as PyTorch's torch.onnx.export does, with
// weights inside the file or in files beside it. The model takes float32 images [batch, ...] in the file's own layout
// (PyTorch: channels, height, width) and any batch size, also where the export fixed one, as long as the graph allows.
//
// The weights become variables of the store: Model.WeightPaths lists the trainable ones in the order of the graph. A
// chain of dense layers at the end of the network also fills Model.Dense, its weights transposed to [inputs, outputs]
// where the file has them the other way round, and Model.Features if something lies before it.
//
// Gradients agree with PyTorch's: ReLU has slope 0 at 0, and of equal values in a pooling window the first counts.
//
// Every error is of one line: a missing, truncated or foreign file, weights that lie outside the file's folder or do not
// fit their shapes, an operator that is not supported, an input that is no batch of images, a fixed batch that cannot be
// made free.
func Load(path string, o Options) (*nets.Model, error) {
	m, _, err := loadAs(path, o, false)
	return m, err
}

// LoadMap reads a network that classifies nothing, such as a decoder of latents. Its output [batch, ...] may have any shape, which
// is returned without the batch axis, and is what Model.Logits builds, as float32; Model.Classes is the number of its values. A
// file with several outputs needs Options.Output. Inputs may be any numbers that are finite, whatever the Options' bounds. The rest
// is as with [Load].
func LoadMap(path string, o Options) (m *nets.Model, shape []int, err error) {
	o.Lower, o.Upper = -1, 1
	if m, shape, err = loadAs(path, o, true); err == nil {
		m.Lower, m.Upper = -math.MaxFloat32, math.MaxFloat32
	}
	return m, shape, err
}

func loadAs(path string, o Options, isMap bool) (m *nets.Model, shape []int, err error) {
	g := newNetwork(isMap)
	if caught := exceptions.TryCatch[error](func() { m, err = g.load(path, o) }); caught != nil {
		err = caught
	}
	if err != nil {
		return nil, nil, &loadError{fmt.Sprintf("onnx: loading %s: %s", path, oneLine(err)), err}
	}
	return m, g.shape, nil
}

func newNetwork(isMap bool) *network {
	return &network{choices: map[string]int{}, sources: map[string]source{}, tables: map[string]bool{}, isMap: isMap}
}

func (g *network) load(path string, o Options) (*nets.Model, error) {
	m, err := g.read(path, o)
	if err != nil {
		return nil, err
	}
	g.plan()
	m.Name = strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	m.Logits = func(scope *model.Scope, images *graph.Node) *graph.Node {
		return g.finished(g.build(scope, images, g.input, g.output))
	}
	if err := g.finish(m); err != nil {
		return nil, err
	}
	g.listDense(m)
	g.listBody(m)
	m.Notes = g.notes
	return m, nil
}

// read reads the file and normalizes its graph; the model has the weights, but no graph function yet.
func (g *network) read(path string, o Options) (*nets.Model, error) {
	p, err := readFile(path)
	if err != nil {
		return nil, err
	}
	if err := g.adopt(p); err != nil {
		return nil, err
	}
	input, err := g.imageInput(o.InputShape)
	if err != nil {
		return nil, err
	}
	if err := g.normalize(path, o.Output); err != nil {
		return nil, err
	}
	m, err := nets.NewModel(input, o.Lower, o.Upper)
	if err != nil {
		return nil, err
	}
	return m, g.variables(m)
}

// adopt takes the file's graph, and the versions of operators that it is written in.
func (g *network) adopt(p *protos.ModelProto) error {
	g.proto = p.Graph
	g.opset, g.opsetML = opsets(p)
	if g.opset > newestOpset {
		return errors.Errorf("opset %d is newer than what is known here, %d: export with an opset of at most that", g.opset, newestOpset)
	}
	return nil
}

// normalize leaves the nodes that lead to the logits, checked against the table of operators, reads the tensors that these
// need, and frees the batch size.
func (g *network) normalize(path, output string) error {
	if err := g.gatherConstants(); err != nil {
		return err
	}
	if err := g.checkNames(); err != nil {
		return err
	}
	if err := g.chooseOutput(output); err != nil {
		return err
	}
	g.prune()
	for _, n := range g.proto.Node {
		if err := g.checkNode(n); err != nil {
			return err
		}
	}
	if err := loadTensors(g.proto, path); err != nil {
		return err
	}
	var nodes []*protos.NodeProto
	for _, n := range g.proto.Node {
		standard, err := []*protos.NodeProto{n}, error(nil)
		switch {
		case operatorName(n) == domainML+".LinearClassifier":
			standard, err = g.splitLinear(n)
		case isTrees(n):
			standard, err = g.splitTrees(n)
		case n.Domain == domainMicrosoft:
			standard, err = g.rewrite(n)
		}
		if err != nil {
			return err
		}
		nodes = append(nodes, standard...)
	}
	g.proto.Node = nodes
	g.passIdentities()
	g.freeBatch()
	g.transposeDense()
	return nil
}

// gradientBytes is how many bytes of intermediate results the examples of Model.GradientBatch have in all. Of these XLA keeps about
// a third for the backward pass, the others are never written; more examples are not faster, once the work of one is so large.
// Fewer than 8 are slower, and are taken where 8 would have mostBytes.
const gradientBytes, mostBytes = 1 << 28, 5 << 29

// gradientBatch is Model.GradientBatch of a network with so many bytes an example.
func gradientBatch(bytes int) int {
	fits, least := gradientBytes/max(1, bytes), 8
	if fits >= 128 {
		return 0
	}
	for least > 1 && least*bytes > mostBytes {
		least /= 2
	}
	return max(fits, least)
}

// finish builds the graph once, without running it, for a batch that no file fixes: this finds what cannot be built at
// load time rather than in the midst of an attack. It learns the number of classes, and how the batch size that the export
// fixed becomes free.
func (g *network) finish(m *nets.Model) error {
	if g.batch > 0 {
		if err := g.measure(m, int(g.batch)); err != nil {
			return err
		}
	}
	const batch = 7
	try := func() error {
		kept := 0
		out, err := buildShape(m, batch, func(scope *model.Scope, x *graph.Node) *graph.Node {
			v := g.values(scope, x, g.input, g.output)
			kept = v.bytes() / batch
			return v.get(g.output)
		})
		if err != nil {
			return err
		}
		m.GradientBatch = gradientBatch(kept)
		if err := g.checkHead(out.DType, out.Dimensions, batch); err != nil {
			return err
		}
		if !g.headed {
			if !g.noteTrees() {
				g.noteProbabilities()
			}
			g.noteStaircases()
			g.head, g.headed = g.headOf(out.DType, out.Dimensions), true
		}
		if out, err = buildShape(m, batch, m.Logits); err != nil {
			return err
		}
		g.shape = out.Dimensions[1:]
		if m.Classes = product(g.shape); g.batch > 0 {
			return independent(m)
		}
		return nil
	}
	err := try()
	for err != nil && g.batch > 0 && g.late+1 < 1<<min(len(g.choices), 6) {
		g.late++
		err = try()
	}
	if err != nil && g.batch > 0 {
		return errors.Errorf("the export fixed the batch size at %d, in a way that cannot be undone: export with a dynamic batch axis (%s)",
			g.batch, oneLine(err))
	}
	return err
}

// finished turns the chosen output into logits.
func (g *network) finished(x *graph.Node) *graph.Node {
	if g.head == nil {
		return x
	}
	return g.head(x)
}

// measure notes the shapes of all values at the batch size that the file fixes.
func (g *network) measure(m *nets.Model, batch int) error {
	_, err := buildShape(m, batch, func(scope *model.Scope, x *graph.Node) *graph.Node {
		g.measuring, g.targets = true, map[*protos.NodeProto]target{}
		defer func() { g.measuring = false }()
		v := g.values(scope, x, g.input, g.output)
		fixed := map[string][]int{}
		for name := range v.last {
			fixed[name] = v.dims(name)
		}
		for name := range v.plain {
			fixed[name] = v.dims(name)
		}
		g.fixed = fixed
		return v.get(g.output)
	})
	return err
}

func buildShape(m *nets.Model, batch int, of func(scope *model.Scope, images *graph.Node) *graph.Node) (shapes.Shape, error) {
	return buildFrom(m, shapes.Make(dtypes.Float32, append([]int{batch}, m.InputShape...)...), of)
}

// buildFrom builds a graph function of one input without running it, and returns the shape of its result.
func buildFrom(m *nets.Model, input shapes.Shape, of func(scope *model.Scope, x *graph.Node) *graph.Node) (out shapes.Shape, err error) {
	err = exceptions.TryCatch[error](func() {
		g := graph.NewGraph(hostBackend(), "shape of "+m.Name)
		defer g.Finalize()
		out = of(m.Store.RootScope(), graph.Parameter(g, "x", input)).Shape().Clone()
	})
	return out, err
}

// listDense fills in Model.Dense and Model.Features, if the dense tail takes [batch, values] of the right width.
func (g *network) listDense(m *nets.Model) {
	layers, name := g.denseTail(m.Store)
	if len(layers) == 0 {
		return
	}
	width := m.Store.GetVariable(layers[0].Weight).Shape().Dimensions[0]
	if name == "" {
		if width == product(m.InputShape) {
			m.Dense = layers
		}
		return
	}
	features := func(scope *model.Scope, images *graph.Node) *graph.Node { return g.build(scope, images, g.input, name) }
	const batch = 7
	if shape, err := buildShape(m, batch, features); err == nil && slices.Equal(shape.Dimensions, []int{batch, width}) {
		m.Dense, m.Features = layers, features
	}
}

// network is the graph of an ONNX file on its way to a nets.Model.
type network struct {
	proto          *protos.GraphProto
	opset, opsetML int                             // of the standard domain and of domainML
	input, output  string                          // names of the images and of the logits
	isMap          bool                            // from any shape to any other; else to logits
	shape          []int                           // of what it makes of an example
	head           func(x *graph.Node) *graph.Node // from the output to logits; nil: it is that
	headed         bool
	notes          []string
	names          int // made by newName
	garbage        nets.Garbage

	sources   map[string]source              // of tensors that are not as the file has them
	tables    map[string]bool                // integers that are looked up by the graph alone
	paths     map[string]string              // of the variables in the store, by initializer name
	held      map[string]string              // of those that are no weights, but large
	constants map[string]*protos.TensorProto // all other initializers
	producer  map[string]*protos.NodeProto
	static    map[string]bool              // values known while the graph is built
	fusions   map[*protos.NodeProto]fusion // by their pooling
	fused     map[*protos.NodeProto]bool   // built by a fusion
	infinite  bool                         // some constant is, as those of masks are

	batch     int64            // batch size that the file fixes; 0: none
	fixed     map[string][]int // dimensions of all values at that size
	targets   map[*protos.NodeProto]target
	measuring bool
	choices   map[string]int // see ambiguous
	late      int
}

const scopeName = "ONNX"

// imageInput finds the one input that is not a weight, and its shape without the batch axis.
func (g *network) imageInput(want []int) ([]int, error) {
	weights := map[string]bool{}
	for _, t := range g.proto.Initializer {
		weights[t.Name] = true
	}
	var inputs []*protos.ValueInfoProto
	for _, in := range g.proto.Input { // up to IR version 3 the weights are inputs too
		if in != nil && !weights[in.Name] {
			inputs = append(inputs, in)
		}
	}
	if len(inputs) != 1 {
		return nil, errors.Errorf("the network has %d inputs: want one, a batch of images", len(inputs))
	}
	in := inputs[0]
	tensor := in.GetType().GetTensorType()
	if tensor == nil {
		return nil, errors.Errorf("input %q is no tensor: want a float32 batch of images", in.Name)
	}
	if tensor.ElemType != int32(protos.TensorProto_FLOAT) {
		return nil, errors.Errorf("input %q holds %s: want a float32 batch of images", in.Name, protos.TensorProto_DataType(tensor.ElemType))
	}
	dims := tensor.GetShape().GetDim()
	if len(dims) < 2 || len(dims) > 5 {
		return nil, errors.Errorf("input %q has %d axes: want a batch of images such as [batch, channels, height, width]", in.Name, len(dims))
	}
	if len(want) > 0 && len(want) != len(dims)-1 {
		return nil, fmt.Errorf("input %q has %d axes after the batch: %w %v has %d", in.Name, len(dims)-1, ErrInputShape, want, len(want))
	}
	g.batch = max(dims[0].GetDimValue(), 0)
	shape := make([]int, len(dims)-1)
	pixels := 1
	for i, d := range dims[1:] {
		size := d.GetDimValue()
		switch {
		case size < 0 || size > maxElements:
			return nil, errors.Errorf("input %q: dimension %d is %d", in.Name, i+1, size)
		case size == 0 && len(want) == 0:
			return nil, errors.Errorf("input %q leaves dimension %d open: give the input shape", in.Name, i+1)
		case size == 0:
			size = int64(want[i])
		case len(want) > 0 && int64(want[i]) != size:
			return nil, fmt.Errorf("input %q: dimension %d is %d in the file, but %w is %v", in.Name, i+1, size, ErrInputShape, want)
		}
		if size < 1 || size > maxElements || pixels > maxElements/int(size) {
			return nil, errors.Errorf("input %q: dimension %d is %d: one example must have 1 to %d values", in.Name, i+1, size, maxElements)
		}
		shape[i] = int(size)
		pixels *= int(size)
	}
	g.input = in.Name
	g.proto.Input = inputs
	return shape, nil
}

// opsets are the versions of the standard operators and of domainML that the file uses. Files that do not say are of the
// format's first version.
func opsets(p *protos.ModelProto) (standard, ml int) {
	standard, ml = 1, 1
	for _, o := range p.OpsetImport {
		switch o.GetDomain() {
		case "", "ai.onnx":
			standard = int(o.GetVersion())
		case domainML:
			ml = int(o.GetVersion())
		}
	}
	return standard, ml
}

// ErrInputShape tells an [Options.InputShape] that the file does not take from other errors of [Load].
var ErrInputShape = errors.New("the given input shape")

// loadError is one line for users, with its cause for errors.Is.
type loadError struct {
	line  string
	cause error
}

func (e *loadError) Error() string { return e.line }
func (e *loadError) Unwrap() error { return e.cause }

// oneLine keeps an error's first line: what lies below it, a stack or a dump of the graph, helps no user.
func oneLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	if before, _, inside := strings.Cut(line, "runtime panic: "); inside {
		line = before + "an operator's inputs do not fit it: the file is damaged, or uses the operator in a way that is not supported"
	}
	if len(line) > 400 {
		line = line[:400] + " ..."
	}
	return strings.ToValidUTF8(line, "?")
}

func nodeLabel(n *protos.NodeProto) string {
	name := n.Name
	if name == "" {
		name = firstOutput(n)
	}
	return fmt.Sprintf("%s node %q", n.OpType, name)
}
