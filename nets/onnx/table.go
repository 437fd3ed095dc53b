package onnx

import (
	"fmt"
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

// operators are those of the standard domain; those of domainML stand under their full name.
var operators map[string]operator

func init() { // the functions refer to the table
	operators = map[string]operator{
		"Abs":                       {"1 6 13", "1-1", once, elementwise(abs)},
		"Acos":                      {"7 22", "1-1", "", elementwise(acos)},
		"Acosh":                     {"9 22", "1-1", "", elementwise(acosh)},
		"Add":                       {"1 6 7 13 14", "2-2", oldBinary, operands(add)},
		"And":                       {"1 7", "2-2", "axis:i<7 broadcast:i<7", operands(and)},
		"ArgMax":                    {"1 11 12 13", "1-1", "axis:i keepdims:i select_last_index:i@12", argMinMax(true)},
		"ArgMin":                    {"1 11 12 13", "1-1", "axis:i keepdims:i select_last_index:i@12", argMinMax(false)},
		"Asin":                      {"7 22", "1-1", "", elementwise(asin)},
		"Asinh":                     {"9 22", "1-1", "", elementwise(asinh)},
		"Atan":                      {"7 22", "1-1", "", elementwise(atan)},
		"Atanh":                     {"9 22", "1-1", "", elementwise(atanh)},
		"AveragePool":               {"1 7 10 11 19 22", "1-1", window + " count_include_pad:i@7 ceil_mode:i@10 dilations:is@19", (*values).averagePool},
		"BatchNormalization":        {"1 6 7 9 14 15", "5-5", "epsilon:f momentum:f! consumed_inputs:is<6! is_test:i<7 spatial:i<9 training_mode:i@14", (*values).batchNorm},
		"Cast":                      {"1 6 9 13 19 21 23 24 25 28", "1-1", "to:s<6 to:i@6 saturate:i@19! round_mode:s@24!", (*values).cast},
		"CastLike":                  {"15 19 21 23 24 25", "2-2", "saturate:i@19! round_mode:s@24!", (*values).castLike},
		"Ceil":                      {"1 6 13", "1-1", once, elementwise(ceil)},
		"Celu":                      {"12 28", "1-1", "alpha:f", (*values).activation},
		"Clip":                      {"1 6 11 12 13", "1-1 1-3@11", "min:f<11 max:f<11 consumed_inputs:is<6!", (*values).clip},
		"Concat":                    {"1 4 11 13", "1-*", "axis:i", (*values).concat},
		"Constant":                  {"1 9 11 12 13 19 21 23 24 25", "0-0", "value:t sparse_value:sparse@11 value_float:f@12 value_floats:fs@12 value_int:i@12 value_ints:is@12 value_string:s@12 value_strings:ss@12", replaced},
		"ConstantOfShape":           {"9 20 21 23 24 25", "1-1", "value:t", (*values).constantOfShape},
		"Conv":                      {"1 11 22", "2-3", window + " dilations:is group:i", (*values).conv},
		"ConvTranspose":             {"1 11 22", "2-3", window + " dilations:is group:i output_padding:is output_shape:is", (*values).convTranspose},
		"Cos":                       {"7 22", "1-1", "", elementwise(cos)},
		"Cosh":                      {"9 22", "1-1", "", elementwise(cosh)},
		"CumSum":                    {"11 14", "2-2", "exclusive:i reverse:i", (*values).cumSum},
		"DepthToSpace":              {"1 11 13 28", "1-1", "blocksize:i mode:s@11", (*values).depthToSpace},
		"DequantizeLinear":          {"10 13 19 21 23 24 25 28", "2-3", "axis:i@13 block_size:i@21 output_dtype:i@23", (*values).dequantize},
		"Div":                       {"1 6 7 13 14", "2-2", oldBinary, operands(div)},
		"Dropout":                   {"1 6 7 10 12 13 22", "1-1 1-3@12", "ratio:f<12! is_test:i<7 consumed_inputs:is<6! seed:i@12!", (*values).dropout},
		"Einsum":                    {"12 28", "1-*", "equation:s", (*values).einsum},
		"Elu":                       {"1 6 22", "1-1", "alpha:f consumed_inputs:is<6!", (*values).activation},
		"Equal":                     {"1 7 11 13 19", "2-2", "axis:i<7 broadcast:i<7", operands(equal)},
		"Erf":                       {"9 13", "1-1", "", elementwise(erf)},
		"Exp":                       {"1 6 13", "1-1", once, elementwise(exp)},
		"Expand":                    {"8 13", "2-2", "", (*values).expand},
		"EyeLike":                   {"9 22", "1-1", "dtype:i k:i", (*values).eyeLike},
		"Flatten":                   {"1 9 11 13 21 23 24 25", "1-1", "axis:i", (*values).flatten},
		"Floor":                     {"1 6 13", "1-1", once, elementwise(floor)},
		"Gather":                    {"1 11 13", "2-2", "axis:i", (*values).gather},
		"GatherElements":            {"11 13", "2-2", "axis:i", (*values).gatherElements},
		"GatherND":                  {"11 12 13", "2-2", "batch_dims:i@12", (*values).gatherND},
		"Gelu":                      {"20", "1-1", "approximate:s", (*values).activation},
		"Gemm":                      {"1 6 7 9 11 13", "3-3 2-3@11", "alpha:f beta:f transA:i transB:i broadcast:i<7!", (*values).gemm},
		"GlobalAveragePool":         {"1 22", "1-1", "", (*values).globalAverage},
		"GlobalLpPool":              {"1 2 22", "1-1", "p:f<2 p:i@2", (*values).globalLp},
		"GlobalMaxPool":             {"1 22", "1-1", "", (*values).globalMaximum},
		"Greater":                   {"1 7 9 13", "2-2", "axis:i<7 broadcast:i<7", operands(greater)},
		"GreaterOrEqual":            {"12 16", "2-2", "", operands(greaterOrEqual)},
		"GroupNormalization":        {"18 21", "3-3", "epsilon:f num_groups:i stash_type:i@21!", (*values).groupNorm},
		"HardSigmoid":               {"1 6 22", "1-1", "alpha:f beta:f consumed_inputs:is<6!", (*values).activation},
		"HardSwish":                 {"14 22", "1-1", "", (*values).activation},
		"Hardmax":                   {"1 11 13", "1-1", "axis:i", (*values).softmax},
		"Identity":                  {"1 13 14 16 19 21 23 24 25", "1-1", "", (*values).identity},
		"InstanceNormalization":     {"1 6 22", "3-3", "epsilon:f consumed_inputs:is<6!", (*values).instanceNorm},
		"IsInf":                     {"10 20", "1-1", "detect_negative:i detect_positive:i", (*values).isInf},
		"IsNaN":                     {"9 13 20", "1-1", "", elementwise(isNaN)},
		"LRN":                       {"1 13", "1-1", "alpha:f beta:f bias:f size:i", (*values).lrn},
		"LayerNormalization":        {"17", "2-3", "axis:i epsilon:f stash_type:i!", (*values).layerNorm},
		"LeakyRelu":                 {"1 6 16", "1-1", "alpha:f consumed_inputs:is<6!", (*values).activation},
		"Less":                      {"1 7 9 13", "2-2", "axis:i<7 broadcast:i<7", operands(less)},
		"LessOrEqual":               {"12 16", "2-2", "", operands(lessOrEqual)},
		"Log":                       {"1 6 13", "1-1", once, elementwise(log)},
		"LogSoftmax":                {"1 11 13", "1-1", "axis:i", (*values).softmax},
		"LpNormalization":           {"1 22", "1-1", "axis:i p:i", (*values).lpNorm},
		"LpPool":                    {"1 2 11 18 22", "1-1", window + " p:f<2 p:i@2 ceil_mode:i@18 dilations:is@18", (*values).lpPool},
		"MatMul":                    {"1 9 13", "2-2", "", (*values).matMul},
		"Max":                       {"1 6 8 12 13", "1-*", once, variadic(maximum)},
		"MaxPool":                   {"1 8 10 11 12 22", "1-1", window + " storage_order:i@8! ceil_mode:i@10 dilations:is@10", (*values).maxPool},
		"Mean":                      {"1 6 8 13", "1-*", once, (*values).mean},
		"MeanVarianceNormalization": {"9 13", "1-1", "axes:is", (*values).meanVarianceNorm},
		"Min":                       {"1 6 8 12 13", "1-*", once, variadic(minimum)},
		"Mish":                      {"18 22", "1-1", "", (*values).activation},
		"Mod":                       {"10 13 28", "2-2", "fmod:i", (*values).mod},
		"Mul":                       {"1 6 7 13 14", "2-2", oldBinary, operands(mul)},
		"Neg":                       {"1 6 13", "1-1", once, elementwise(neg)},
		"Not":                       {"1", "1-1", "", elementwise(not)},
		"OneHot":                    {"9 11 28", "3-3", "axis:i", (*values).oneHot},
		"Or":                        {"1 7", "2-2", "axis:i<7 broadcast:i<7", operands(or)},
		"PRelu":                     {"1 6 7 9 16", "2-2", once, (*values).prelu},
		"Pad":                       {"1 2 11 13 18 19 21 23 24 25", "1-1 2-3@11 2-4@18", "mode:s paddings:is<2 pads:is@2<11 value:f<11", (*values).pad},
		"Pow":                       {"1 7 12 13 15", "2-2", "axis:i<7 broadcast:i<7", (*values).pow},
		"QuantizeLinear":            {"10 13 19 21 23 24 25 28", "2-3", "axis:i@13 saturate:i@19! block_size:i@21 output_dtype:i@21 precision:i@23!", (*values).quantize},
		"RMSNormalization":          {"23", "2-2", "axis:i epsilon:f stash_type:i!", (*values).rmsNorm},
		"Range":                     {"11 27", "3-3", "stash_type:i@27!", (*values).sequence},
		"Reciprocal":                {"1 6 13", "1-1", once, elementwise(reciprocal)},
		"ReduceL1":                  {"1 11 13 18", "1-1 1-2@18", reduce, reduction(reduceL1)},
		"ReduceL2":                  {"1 11 13 18", "1-1 1-2@18", reduce, reduction(reduceL2)},
		"ReduceLogSum":              {"1 11 13 18 28", "1-1 1-2@18", reduce, reduction(reduceLogSum)},
		"ReduceLogSumExp":           {"1 11 13 18 28", "1-1 1-2@18", reduce, reduction(reduceLogSumExp)},
		"ReduceMax":                 {"1 11 12 13 18 20", "1-1 1-2@18", reduce, reduction(reduceMax)},
		"ReduceMean":                {"1 11 13 18", "1-1 1-2@18", reduce, reduction(reduceMean)},
		"ReduceMin":                 {"1 11 12 13 18 20", "1-1 1-2@18", reduce, reduction(reduceMin)},
		"ReduceProd":                {"1 11 13 18", "1-1 1-2@18", reduce, reduction(reduceProd)},
		"ReduceSum":                 {"1 11 13", "1-1 1-2@13", "keepdims:i axes:is<13 noop_with_empty_axes:i@13", reduction(reduceSum)},
		"ReduceSumSquare":           {"1 11 13 18", "1-1 1-2@18", reduce, reduction(reduceSumSquare)},
		"Relu":                      {"1 6 13 14", "1-1", once, (*values).activation},
		"Reshape":                   {"1 5 13 14 19 21 23 24 25", "1-1 2-2@5", "consumed_inputs:is<5! shape:is<5 allowzero:i@14", (*values).reshape},
		"Resize": {"10 11 13 18 19", "2-2 3-4@11 1-4@13", "mode:s coordinate_transformation_mode:s@11 cubic_coeff_a:f@11 exclude_outside:i@11 extrapolation_value:f@11 " +
			"nearest_mode:s@11 antialias:i@18 axes:is@18 keep_aspect_ratio_policy:s@18", (*values).resize},
		"Round":                        {"11 22", "1-1", "", elementwise(round)},
		"Scatter":                      {"9 11", "3-3", "axis:i", (*values).scatterElements},
		"ScatterElements":              {"11 13 16 18", "3-3", "axis:i reduction:s@16", (*values).scatterElements},
		"ScatterND":                    {"11 13 16 18", "3-3", "reduction:s@16", (*values).scatterND},
		"Selu":                         {"1 6 22", "1-1", "alpha:f gamma:f consumed_inputs:is<6!", (*values).activation},
		"Shape":                        {"1 13 15 19 21 23 24 25", "1-1", "start:i@15 end:i@15", (*values).shape},
		"Shrink":                       {"9", "1-1", "bias:f lambd:f", (*values).activation},
		"Sigmoid":                      {"1 6 13", "1-1", once, (*values).activation},
		"Sign":                         {"9 13", "1-1", "", elementwise(sign)},
		"Sin":                          {"7 22", "1-1", "", elementwise(sin)},
		"Sinh":                         {"9 22", "1-1", "", elementwise(sinh)},
		"Size":                         {"1 13 19 21 23 24 25", "1-1", "", (*values).size},
		"Slice":                        {"1 10 11 13", "1-1 3-5@10", "starts:is<10 ends:is<10 axes:is<10", (*values).slice},
		"Softmax":                      {"1 11 13", "1-1", "axis:i", (*values).softmax},
		"Softplus":                     {"1 22", "1-1", "", (*values).activation},
		"Softsign":                     {"1 22", "1-1", "", (*values).activation},
		"SpaceToDepth":                 {"1 13 28", "1-1", "blocksize:i mode:s@28", (*values).spaceToDepth},
		"Split":                        {"1 2 11 13 18", "1-2 1-1@2 1-2@13", "axis:i split:is<13 num_outputs:i@18", (*values).split},
		"Sqrt":                         {"1 6 13", "1-1", once, elementwise(sqrt)},
		"Squeeze":                      {"1 11 13 21 23 24 25", "1-1 1-2@13", "axes:is<13", (*values).squeeze},
		"Sub":                          {"1 6 7 13 14", "2-2", oldBinary, operands(sub)},
		"Sum":                          {"1 6 8 13", "1-*", once, variadic(add)},
		"Swish":                        {"24", "1-1", "alpha:f", (*values).activation},
		"Tan":                          {"7 22", "1-1", "", elementwise(tan)},
		"Tanh":                         {"1 6 13", "1-1", once, (*values).activation},
		"ThresholdedRelu":              {"10 22", "1-1", "alpha:f", (*values).activation},
		"Tile":                         {"1 6 13", "3-3 2-2@6", "", (*values).tile},
		"TopK":                         {"1 10 11 24", "1-1 2-2@10", "axis:i k:i<10 largest:i@11 sorted:i@11!", (*values).topK},
		"Transpose":                    {"1 13 21 23 24 25", "1-1", "perm:is", (*values).transpose},
		"Trilu":                        {"14", "1-2", "upper:i", (*values).trilu},
		"Unsqueeze":                    {"1 11 13 21 23 24 25", "1-1 2-2@13", "axes:is<13", (*values).unsqueeze},
		"Upsample":                     {"1 7 9 10", "1-1 2-2@9", "mode:s height_scale:f<7 width_scale:f<7 scales:fs@7<9", (*values).upsample},
		"Where":                        {"9 16", "3-3", "", (*values).where},
		"Xor":                          {"1 7", "2-2", "axis:i<7 broadcast:i<7", operands(xor)},
		domainML + ".Scaler":           {"1", "1-1", "offset:fs scale:fs", (*values).scaler},
		domainML + ".Normalizer":       {"1", "1-1", "norm:s", (*values).normalizer},
		domainML + ".LinearClassifier": {"1", "1-1", "classlabels_ints:is! classlabels_strings:ss! coefficients:fs intercepts:fs multi_class:i! post_transform:s", replaced},
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
	if n.Domain == domainML {
		opset = g.opsetML
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
