package onnx

import (
	"slices"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/pkg/errors"
)

// This file brings the file's graph into one form, with the same meaning, before anything is built.

// constants turns every Constant node into an initializer, whatever attribute it keeps its value in.
func (g *network) gatherConstants() error {
	var nodes []*protos.NodeProto
	for _, n := range g.proto.Node {
		switch {
		case operatorName(n) != "Constant":
			nodes = append(nodes, n)
		default:
			t := constantValue(n)
			if t == nil || len(n.Output) != 1 {
				return errors.Errorf("%s holds no tensor, number or list of numbers: not supported", nodeLabel(n))
			}
			t.Name = n.Output[0]
			g.proto.Initializer = append(g.proto.Initializer, t)
		}
	}
	g.proto.Node = nodes
	return nil
}

func constantValue(n *protos.NodeProto) *protos.TensorProto {
	for _, a := range n.Attribute {
		switch a.GetName() {
		case "value":
			return a.T
		case "value_float":
			return floatTensor("", []float32{a.F})
		case "value_floats":
			return floatTensor("", a.Floats, int64(len(a.Floats)))
		case "value_int":
			return intTensor("", []int64{a.I})
		case "value_ints":
			return intTensor("", a.Ints, int64(len(a.Ints)))
		}
	}
	return nil
}

// checkNames reports names that are used twice or never made: the format asks for topological order, which also excludes
// cycles.
func (g *network) checkNames() error {
	made := map[string]bool{"": true}
	for _, in := range g.proto.Input {
		made[in.Name] = true
	}
	for _, t := range g.proto.Initializer {
		if t.Name == "" || made[t.Name] {
			return errors.Errorf("tensor %q is defined twice", t.Name)
		}
		made[t.Name] = true
	}
	for _, n := range g.proto.Node {
		for _, in := range n.Input {
			if !made[in] {
				return errors.Errorf("%s reads %q, which no earlier node makes: the file is damaged", nodeLabel(n), in)
			}
		}
		for _, out := range n.Output {
			if out != "" && made[out] {
				return errors.Errorf("%s makes %q a second time: the file is damaged", nodeLabel(n), out)
			}
			made[out] = true
		}
	}
	for _, out := range g.proto.Output {
		if out.GetName() == "" || !made[out.GetName()] {
			return errors.Errorf("no node makes the output %q: the file is damaged", out.GetName())
		}
	}
	return nil
}

// prune drops the nodes that the output does not need, and what they alone read.
func (g *network) prune() {
	needed := map[string]bool{g.output: true}
	var kept []*protos.NodeProto
	for _, n := range slices.Backward(g.proto.Node) {
		if slices.ContainsFunc(n.Output, func(out string) bool { return out != "" && needed[out] }) {
			for _, in := range n.Input {
				needed[in] = true
			}
			kept = append(kept, n)
		}
	}
	slices.Reverse(kept)
	g.proto.Node = kept
	g.proto.Initializer = slices.DeleteFunc(g.proto.Initializer, func(t *protos.TensorProto) bool { return !needed[t.Name] })
}

// passIdentities lets the readers of an Identity node read what it reads: exporters share weights by such nodes.
func (g *network) passIdentities() {
	source := map[string]string{}
	var nodes []*protos.NodeProto
	for _, n := range g.proto.Node {
		for i, in := range n.Input {
			if from, ok := source[in]; ok {
				n.Input[i] = from
			}
		}
		if operatorName(n) == "Identity" && n.Output[0] != "" && n.Output[0] != g.output {
			source[n.Output[0]] = n.Input[0]
			continue
		}
		nodes = append(nodes, n)
	}
	g.proto.Node = nodes
}

func (g *network) node(output string) *protos.NodeProto {
	for _, n := range g.proto.Node {
		if slices.Contains(n.Output, output) {
			return n
		}
	}
	return nil
}

func (g *network) used(name string) bool {
	for _, n := range g.proto.Node {
		if slices.Contains(n.Input, name) {
			return true
		}
	}
	return g.output == name
}

func attribute(n *protos.NodeProto, name string) *protos.AttributeProto {
	for _, a := range n.Attribute {
		if a.Name == name {
			return a
		}
	}
	return nil
}

func drop(n *protos.NodeProto, name string) {
	n.Attribute = slices.DeleteFunc(n.Attribute, func(a *protos.AttributeProto) bool { return a.Name == name })
}

func intOr(n *protos.NodeProto, name string, otherwise int64) int64 {
	if a := attribute(n, name); a != nil {
		return a.I
	}
	return otherwise
}

func floatOr(n *protos.NodeProto, name string, otherwise float64) float64 {
	if a := attribute(n, name); a != nil {
		return float64(a.F)
	}
	return otherwise
}

func stringOr(n *protos.NodeProto, name, otherwise string) string {
	if a := attribute(n, name); a != nil {
		return string(a.S)
	}
	return otherwise
}
