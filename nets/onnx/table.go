package onnx

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/pkg/errors"
)

// operator is what the importer knows of an ONNX operator: every version that the format has had of it, how many inputs it
// takes, all its attributes, and the function that builds it. What a file says beyond that is refused, never ignored.
// A test compares the table with the format's own schemas.
type operator struct {
	// versions, ascending: each is the opset that brought it.
	versions string
	// inputs are the fewest and the most, "2-3", "1-*"; "2-3@11": from version 11 on.
	inputs string
	// attributes are names with types: i, f, s and t for an integer, a float, a string and a tensor, is and fs for lists.
	// "@7": since version 7; "<13": before version 13; "!": known to have no effect on the result.
	attributes string
	build      func(v *values, n *protos.NodeProto)
}

// newestOpset is the newest version of the standard operators that the table was made for.
const newestOpset = 28

// domainML has the operators of classical machine learning.
const domainML = "ai.onnx.ml"

const (
	once      = "consumed_inputs:is<6!"
	oldBinary = "axis:i<7 broadcast:i<7 consumed_inputs:is<6!"
	window    = "auto_pad:s kernel_shape:is pads:is strides:is"
	reduce    = "keepdims:i axes:is<18 noop_with_empty_axes:i@18"
)

// operators are those of the standard domain; those of other domains stand under their full name.
var operators map[string]operator

func init() { // the functions refer to the table
	operators = map[string]operator{}
	for _, group := range []map[string]operator{numberOperators(), imageOperators(), shapeOperators(), lineOperators(), sequenceOperators(),
		mlOperators(), microsoftOperators()} {
		maps.Copy(operators, group)
	}
}

// operatorName is the key of the table.
func operatorName(n *protos.NodeProto) string {
	if n.Domain == "" || n.Domain == "ai.onnx" {
		return n.OpType
	}
	return n.Domain + "." + n.OpType
}

// version returns which version of its operator a node is, by the opset of the file.
func (g *network) version(n *protos.NodeProto) int {
	opset := g.opset
	switch n.Domain {
	case domainML:
		opset = g.opsetML
	case domainMicrosoft:
		opset = 1
	}
	found := 0
	for _, v := range numbers(operators[operatorName(n)].versions) {
		if v <= opset {
			found = v
		}
	}
	return found
}

// checkNode reports what the table does not allow.
func (g *network) checkNode(n *protos.NodeProto) error {
	o, known := operators[operatorName(n)]
	if n.Domain == domainNCHWc {
		return errors.Errorf("operator %s (%s) is laid out for one kind of processor: save the network with ORT_ENABLE_EXTENDED at most",
			operatorName(n), nodeLabel(n))
	}
	if !known {
		return errors.Errorf("operator %s (%s) is not supported", operatorName(n), nodeLabel(n))
	}
	version := g.version(n)
	if version == 0 {
		return errors.Errorf("%s: opset %d has no such operator: the file is damaged", nodeLabel(n), g.opset)
	}
	low, high := o.arity(version)
	if len(n.Output) == 0 || len(n.Input) < low || len(n.Input) > high || slices.Contains(n.Input[:low], "") {
		return errors.Errorf("%s has %d inputs and %d outputs, version %d takes %s inputs: the file is damaged", nodeLabel(n), len(n.Input),
			len(n.Output), version, o.inputs)
	}
	seen := map[string]bool{}
	for _, a := range n.Attribute {
		if a == nil || a.G != nil || a.RefAttrName != "" {
			return errors.Errorf("%s has an attribute that is not supported", nodeLabel(n))
		}
		kind, _, ok := o.attribute(a.Name, version)
		switch {
		case !ok:
			return errors.Errorf("%s: attribute %q is none of version %d of the operator (opset %d)", nodeLabel(n), a.Name, version, g.opset)
		case seen[a.Name]:
			return errors.Errorf("%s has attribute %q twice: the file is damaged", nodeLabel(n), a.Name)
		case a.Type != protos.AttributeProto_UNDEFINED && a.Type != attributeTypes[kind]:
			return errors.Errorf("%s: attribute %q holds %s, want %s: the file is damaged", nodeLabel(n), a.Name, a.Type, attributeTypes[kind])
		}
		seen[a.Name] = true
	}
	return nil
}

var attributeTypes = map[string]protos.AttributeProto_AttributeType{
	"i": protos.AttributeProto_INT, "f": protos.AttributeProto_FLOAT, "s": protos.AttributeProto_STRING, "t": protos.AttributeProto_TENSOR,
	"is": protos.AttributeProto_INTS, "fs": protos.AttributeProto_FLOATS, "ss": protos.AttributeProto_STRINGS,
	"sparse": protos.AttributeProto_SPARSE_TENSOR,
}

// arity returns the fewest and the most inputs of a version.
func (o operator) arity(version int) (low, high int) {
	for _, field := range strings.Fields(o.inputs) {
		counts, since, _ := strings.Cut(field, "@")
		if since != "" && version < number(since) {
			continue
		}
		from, to, _ := strings.Cut(counts, "-")
		low, high = number(from), math.MaxInt32
		if to != "*" {
			high = number(to)
		}
	}
	return low, high
}

// attribute returns the type of an attribute of a version, and whether it has an effect; ok is false if the version has
// no such attribute.
func (o operator) attribute(name string, version int) (kind string, used, ok bool) {
	for _, field := range strings.Fields(o.attributes) {
		key, rest, _ := strings.Cut(field, ":")
		if key != name {
			continue
		}
		rest, idle := strings.CutSuffix(rest, "!")
		rest, before, _ := strings.Cut(rest, "<")
		kind, since, _ := strings.Cut(rest, "@")
		if (since == "" || version >= number(since)) && (before == "" || version < number(before)) {
			return kind, !idle, true
		}
	}
	return "", false, false
}

func numbers(s string) (all []int) {
	for _, field := range strings.Fields(s) {
		all = append(all, number(field))
	}
	return all
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(fmt.Sprintf("onnx: table of operators: %v", err))
	}
	return n
}

// replaced stands for operators that are never built: others have taken their place by then.
func replaced(*values, *protos.NodeProto) {}
