package onnx

import (
	"bytes"
	"encoding/binary"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/google/renameio/v2"
	"github.com/pkg/errors"
	"google.golang.org/protobuf/proto"

	"github.com/trustbook/trustbook/nets"
)

// WriteWeights writes a network that was loaded from an ONNX file back: the file at from, with m's present weights in the
// place of its own and everything else as it was, appears at to, whole or not at all; the two may be the same path. m is
// what [Load] or [LoadMap] made of that file, or a clone of it, however trained since. A file that is loaded and written
// unchanged loads to the same bits again.
//
// What loading does to weights is undone: matrices are turned back, a row that a fixed batch repeats is repeated, numbers
// that the file keeps in a node's attributes are written there. Weights that lie in files beside the model's are written
// into the one new file. What is no weight here, such as quantized or float16 tensors, stays as it is.
//
// Every error is of one line: a file that m does not come from, a weight that is not finite, changed in a way that the file
// cannot hold (the negative rows that a classifier of two classes with a single row of coefficients gets here), or 2 GiB and
// more in all.
func WriteWeights(from, to string, m *nets.Model) error {
	if err := writeWeights(from, to, m); err != nil {
		return &loadError{"onnx: writing the weights of " + m.Name + " to " + to + ": " + oneLine(err), err}
	}
	return nil
}

func writeWeights(from, to string, m *nets.Model) error {
	p, err := readFile(from)
	if err != nil {
		return errors.WithMessage(err, from)
	}
	g, err := origin(from, p.Graph, m)
	if err != nil {
		return errors.WithMessage(err, from)
	}
	f := &file{graph: p.Graph, written: map[string]string{}}
	for _, name := range slices.Sorted(maps.Keys(g.paths)) {
		v := m.Store.GetVariable(g.paths[name])
		raw, err := rawOf(v)
		if err == nil {
			err = f.put(name, g.source(name), raw, v.Shape().Dimensions)
		}
		if err != nil {
			return errors.WithMessagef(err, "weight %s", v.Path())
		}
	}
	for _, t := range below(p.Graph) {
		if t.DataLocation != protos.TensorProto_EXTERNAL && len(t.ExternalData) == 0 {
			continue
		}
		if err := loadTensor(t, from); err != nil {
			return errors.WithMessagef(err, "tensor %q", t.Name)
		}
	}
	if size := proto.Size(p); size >= maxFile {
		return errors.Errorf("%d bytes: an ONNX file has less than 2 GiB, and weights beside the file are not written here", size)
	}
	content, err := proto.MarshalOptions{Deterministic: true}.Marshal(p)
	if err != nil {
		return err
	}
	return renameio.WriteFile(to, content, 0o644)
}

// source tells where the file keeps a tensor of the normalized graph, and what was done to it.
type source struct {
	tensor          string // an initializer, or the output of a Constant node
	node, attribute string // or a list of numbers in the node that makes this value
	turned          bool   // a matrix, transposed here
	times           int    // one row here, so many equal ones there; 0: as many here as there
	mirrored        bool   // the second half alone is there, the first is its negative
}

// source is where a tensor comes from.
func (g *network) source(name string) source {
	if s, ok := g.sources[name]; ok {
		return s
	}
	return source{tensor: name}
}

// origin reads the file again as m was read from it. Which output m was loaded for it tells by the weights that lead there.
func origin(path string, p *protos.GraphProto, m *nets.Model) (*network, error) {
	outputs := []string{""}
	if len(p.Output) > 1 {
		for _, out := range p.Output {
			outputs = append(outputs, out.GetName())
		}
	}
	var found *network
	var first error
	for _, out := range outputs {
		g := newNetwork(false)
		read, err := g.read(path, Options{Lower: m.Lower, Upper: m.Upper, InputShape: m.InputShape, Output: out})
		if err == nil {
			err = sameVariables(read, m)
		}
		switch {
		case err != nil && first == nil:
			first = err
		case err == nil && found == nil:
			found = g
		case err == nil && !maps.Equal(found.sources, g.sources):
			return nil, errors.Errorf("which of its outputs the network was loaded for cannot be told by its weights")
		}
	}
	if found == nil {
		return nil, first
	}
	return found, nil
}

// sameVariables checks that the store of m has the variables that the file gives, and no other of the kind.
func sameVariables(read, m *nets.Model) error {
	prefix := model.ScopeSeparator + scopeName + model.ScopeSeparator
	for v := range read.Store.IterVariables() {
		mine := m.Store.GetVariable(v.Path())
		if mine == nil {
			return errors.Errorf("it has the weight %s, which %s has not: want the file that it was loaded from", v.Path(), m.Name)
		}
		if !mine.Shape().Equal(v.Shape()) {
			return errors.Errorf("weight %s has shape %s there, and %s in %s: want the file that it was loaded from",
				v.Path(), v.Shape(), mine.Shape(), m.Name)
		}
	}
	for v := range m.Store.IterVariables() {
		if strings.HasPrefix(v.Path(), prefix) && read.Store.GetVariable(v.Path()) == nil {
			return errors.Errorf("it has no weight %s, as %s has: want the file that it was loaded from", v.Path(), m.Name)
		}
	}
	for _, path := range m.WeightPaths {
		if !strings.HasPrefix(path, prefix) {
			return errors.Errorf("it has no weight %s, as %s has: want the file that it was loaded from", path, m.Name)
		}
	}
	return nil
}

// rawOf are a weight's values as a file has them.
func rawOf(v *model.Variable) ([]byte, error) {
	if v.DType() != dtypes.Float32 {
		return nil, errors.Errorf("is %s: want float32", v.DType())
	}
	value, err := v.Value()
	if err != nil {
		return nil, err
	}
	values, err := tensors.CopyFlatData[float32](value)
	if err != nil {
		return nil, err
	}
	raw := make([]byte, 0, 4*len(values))
	for i, x := range values {
		if x-x != 0 {
			return nil, errors.Errorf("value %d is %g: weights must be finite", i, x)
		}
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
	}
	return raw, nil
}

// file is a graph that takes weights.
type file struct {
	graph   *protos.GraphProto
	written map[string]string // bytes that tensors were given
}

// put gives the file a weight of the store, of the given shape.
func (f *file) put(name string, s source, raw []byte, dims []int) error {
	if s.turned {
		raw = transposed(raw, dims[0], dims[1])
	}
	if s.mirrored {
		half := len(raw) / 2
		if negative := raw[:half]; !bytes.Equal(negated(negative), raw[half:]) {
			return errors.New("the file has one row of coefficients for two classes, and the network two that are no longer each other's " +
				"negative: it cannot be written back")
		}
		raw = raw[half:]
	}
	if s.times > 1 {
		raw = bytes.Repeat(raw, s.times)
	}
	if s.attribute != "" {
		for _, n := range f.graph.Node {
			if slices.Contains(n.Output, s.node) {
				attribute(n, s.attribute).Floats = floatsOf(&protos.TensorProto{RawData: raw})
				return nil
			}
		}
		return errors.Errorf("no node makes %q", s.node)
	}
	if before, ok := f.written[s.tensor]; ok && before != string(raw) {
		return errors.Errorf("the file has one tensor %q, and the network two of it that are no longer equal: it cannot be written back", s.tensor)
	}
	f.written[s.tensor] = string(raw)
	for _, t := range f.graph.Initializer {
		if t.Name == s.tensor {
			setRaw(t, raw)
			return nil
		}
	}
	for _, n := range f.graph.Node {
		if operatorName(n) == "Constant" && slices.Contains(n.Output, s.tensor) {
			setConstant(n, raw)
			return nil
		}
	}
	return errors.Errorf("the file has no tensor %q", name)
}

// negated has the sign of every float32 changed.
func negated(raw []byte) []byte {
	out := slices.Clone(raw)
	for i := 3; i < len(out); i += 4 {
		out[i] ^= 0x80
	}
	return out
}

func setRaw(t *protos.TensorProto, raw []byte) {
	t.RawData, t.FloatData = raw, nil
	t.ExternalData, t.DataLocation = nil, protos.TensorProto_DEFAULT
}

// setConstant gives a Constant node other numbers.
func setConstant(n *protos.NodeProto, raw []byte) {
	values := floatsOf(&protos.TensorProto{RawData: raw})
	for _, a := range n.Attribute {
		switch a.GetName() {
		case "value":
			setRaw(a.T, raw)
		case "value_float":
			a.F = values[0]
		case "value_floats":
			a.Floats = values
		}
	}
}

// below lists all tensors of a graph and of the graphs in its nodes.
func below(g *protos.GraphProto) []*protos.TensorProto {
	all := tensorsIn(g)
	for _, n := range g.Node {
		for _, a := range n.Attribute {
			all = append(all, a.Tensors...)
			for _, inner := range append(slices.Clone(a.Graphs), a.G) {
				if inner != nil {
					all = append(all, below(inner)...)
				}
			}
		}
	}
	return all
}
