package onnx

import (
	"slices"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/pkg/errors"
)

// This file writes the operators that only ONNX Runtime has as standard ones: those of its quantizer's older format, and those
// that it fuses when it saves an optimized network.

// domainMicrosoft is of ONNX Runtime's own operators, domainNCHWc of those that are laid out for one kind of processor.
const domainMicrosoft, domainNCHWc = "com.microsoft", "com.microsoft.nchwc"

// foreign is an operator of domainMicrosoft, which has had one version: inputs and attributes as the table of operators has them,
// and what writes it as others.
type foreign struct {
	inputs, attributes string
	into               func(w *rewriting) error
}

const pooling = window + " ceil_mode:i count_include_pad:i channels_last:i"

var foreignOperators = map[string]foreign{
	"Attention": {"2-7", attentionAttributes + pasts + " qkv_hidden_sizes:is rotary_embedding_dim:i!",
		(*rewriting).projectedAttention},
	"BiasGelu":                         {"2-2", "", (*rewriting).gelu},
	"DequantizeLinear":                 {"2-3", "axis:i", (*rewriting).renamed},
	"DynamicQuantizeMatMul":            {"3-5", "", (*rewriting).dynamicProduct},
	"FastGelu":                         {"1-2", "", (*rewriting).gelu},
	"FusedConv":                        {"2-4", window + " dilations:is group:i activation:s activation_params:fs", (*rewriting).fusedConv},
	"FusedGemm":                        {"2-3", gemmAttributes, (*rewriting).fusedGemm},
	"FusedMatMul":                      {"2-2", "alpha:f transA:i transB:i transBatchA:i transBatchB:i", (*rewriting).fusedMatMul},
	"Gelu":                             {"1-1", "", (*rewriting).gelu},
	"MatMulIntegerToFloat":             {"4-7", "", (*rewriting).scaledProduct},
	"MultiHeadAttention":               {"1-10", attentionAttributes, (*rewriting).headedAttention},
	"QAttention":                       {"5-9", attentionAttributes + pasts, (*rewriting).quantizedAttention},
	"QGemm":                            {"6-9", "alpha:f transA:i transB:i", (*rewriting).quantizedGemm},
	"QLinearAdd":                       {"7-8", "", quantizedAs("Add", 0, 6)},
	"QLinearAveragePool":               {"4-5", pooling, quantizedAs("AveragePool", 0, 3)},
	"QLinearConcat":                    {"3-*", "axis:i", quantizedAs("Concat", 2, 0)},
	"QLinearGlobalAveragePool":         {"5-5", "channels_last:i", quantizedAs("GlobalAveragePool", 0, 3)},
	"QLinearLeakyRelu":                 {"4-5", "alpha:f", quantizedAs("LeakyRelu", 0, 3)},
	"QLinearMul":                       {"7-8", "", quantizedAs("Mul", 0, 6)},
	"QLinearSigmoid":                   {"4-5", "", quantizedAs("Sigmoid", 0, 3)},
	"QLinearSoftmax":                   {"5-5", "axis:i opset:i", quantizedAs("Softmax", 0, 3)},
	"QLinearWhere":                     {"9-9", "", quantizedAs("Where", 1, 7)},
	"QuantizeLinear":                   {"2-3", "axis:i", (*rewriting).renamed},
	"QuickGelu":                        {"1-1", "alpha:f", (*rewriting).quickGelu},
	"SkipLayerNormalization":           {"3-5", "epsilon:f", (*rewriting).skipNorm},
	"SkipSimplifiedLayerNormalization": {"3-4", "epsilon:f", (*rewriting).skipNorm},
}

const gemmAttributes = "alpha:f beta:f transA:i transB:i activation:s activation_alpha:f activation_beta:f activation_gamma:f"

// microsoftOperators are the rows of the table of operators. One stands in the standard domain, as LayerNormalization did before
// the format had it; the format's name is RMSNormalization.
func microsoftOperators() map[string]operator {
	rows := map[string]operator{"SimplifiedLayerNormalization": {"1", "2-2", "axis:i epsilon:f stash_type:i!", (*values).rmsNorm}}
	for name, o := range foreignOperators {
		rows[domainMicrosoft+"."+name] = operator{"1", o.inputs, o.attributes, replaced}
	}
	return rows
}

// rewriting is one operator and the nodes written for it, the last of which makes its output.
type rewriting struct {
	g     *network
	n     *protos.NodeProto
	nodes []*protos.NodeProto
}

func (g *network) rewrite(n *protos.NodeProto) ([]*protos.NodeProto, error) {
	w := &rewriting{g: g, n: n}
	if n.Output[0] == "" {
		return nil, errors.Errorf("%s leaves out its first output: not supported", nodeLabel(n))
	}
	if err := foreignOperators[n.OpType].into(w); err != nil {
		return nil, errors.WithMessage(err, nodeLabel(n))
	}
	w.nodes[len(w.nodes)-1].Output[0] = n.Output[0]
	return w.nodes, nil
}

// add writes a node, and returns the name of what it makes.
func (w *rewriting) add(op string, inputs []string, attributes ...*protos.AttributeProto) string {
	return w.addMany(op, 1, inputs, attributes...)[0]
}

// addMany writes a node of several outputs, and returns their names, which may be changed.
func (w *rewriting) addMany(op string, outputs int, inputs []string, attributes ...*protos.AttributeProto) (names []string) {
	for range outputs {
		names = append(names, w.g.newName())
	}
	w.nodes = append(w.nodes, &protos.NodeProto{OpType: op, Name: w.n.Name, Input: inputs, Output: names, Attribute: attributes})
	return names
}

// in is the name of an input; "" of an optional one that is missing.
func (w *rewriting) in(i int) string {
	if !has(w.n, i) {
		return ""
	}
	return w.n.Input[i]
}

// kept are the operator's attributes but for those named.
func (w *rewriting) kept(but ...string) []*protos.AttributeProto {
	return slices.DeleteFunc(slices.Clone(w.n.Attribute), func(a *protos.AttributeProto) bool { return slices.Contains(but, a.Name) })
}

func (w *rewriting) number(value float32) string {
	return w.g.addConstant(floatTensor("", []float32{value}))
}

// renamed is a standard operator under the same name.
func (w *rewriting) renamed() error {
	w.add(w.n.OpType, w.n.Input, w.n.Attribute...)
	return nil
}

// quantizedAs writes a quantized operator as the standard one between dequantization and quantization. Its operands, the first of
// which is the given input, are a tensor, its scale and its zero point each; so are the scale and zero point of its result, at
// result. What stands before the operands, the condition of Where, is handed on.
func quantizedAs(op string, operands, result int) func(w *rewriting) error {
	return func(w *rewriting) error {
		n, end := w.n, result
		var inputs []string
		if result < operands {
			end = len(n.Input)
		} else {
			inputs = slices.Clone(n.Input[:operands])
		}
		if (end-operands)%3 != 0 {
			return errors.Errorf("has %d inputs: want a scale and a zero point with each tensor", len(n.Input))
		}
		if intOr(n, "channels_last", 0) != 0 {
			return errors.New("with channels_last is laid out for one kind of processor: save with ORT_ENABLE_EXTENDED at most")
		}
		attributes := w.kept("channels_last", "opset")
		if made := intOr(n, "opset", 0); op == "Softmax" {
			if (made < 13) != (w.g.opset < 13) {
				return errors.Errorf("is of opset %d in a file of opset %d: Softmax means something else there", made, w.g.opset)
			}
			attributes = []*protos.AttributeProto{intAttribute("axis", intOr(n, "axis", -1))}
		}
		for i := operands; i < end; i += 3 {
			inputs = append(inputs, w.add("DequantizeLinear", []string{w.in(i), w.in(i + 1), w.in(i + 2)}))
		}
		return w.quantize(w.add(op, inputs, attributes...), result)
	}
}

// quantize brings x to the scale and zero point that are the given input and the one after it.
func (w *rewriting) quantize(x string, scale int) error {
	if !has(w.n, scale+1) {
		return errors.Errorf("without input %d, the zero point of its result, is not supported", scale+1)
	}
	w.add("QuantizeLinear", []string{x, w.in(scale), w.in(scale + 1)})
	return nil
}

// quantizedGemm multiplies matrices, and adds integers of the product's scale; the result is of floats if it has no scale.
func (w *rewriting) quantizedGemm() error {
	columns := intAttribute("axis", 1-intOr(w.n, "transB", 0))
	inputs := []string{
		w.add("DequantizeLinear", []string{w.in(0), w.in(1), w.in(2)}),
		w.add("DequantizeLinear", []string{w.in(3), w.in(4), w.in(5)}, columns)}
	attributes := w.kept()
	if has(w.n, 6) {
		scale := w.add("Mul", []string{w.in(1), w.in(4)})
		inputs = append(inputs, w.add("DequantizeLinear", []string{w.in(6), scale}, intAttribute("axis", -1)))
		attributes = append(attributes, floatAttribute("beta", float32(floatOr(w.n, "alpha", 1))))
	}
	y := w.add("Gemm", inputs, attributes...)
	if !has(w.n, 7) {
		return nil
	}
	return w.quantize(y, 7)
}

// dynamicProduct quantizes its first factor by the values that it has.
func (w *rewriting) dynamicProduct() error {
	made := w.addMany("DynamicQuantizeLinear", 3, []string{w.in(0)})
	w.product(made[0], w.in(1), made[2], w.in(3), made[1], w.in(2), w.in(4))
	return nil
}

func (w *rewriting) scaledProduct() error {
	w.product(w.in(0), w.in(1), w.in(4), w.in(5), w.in(2), w.in(3), w.in(6))
	return nil
}

// product is a product of integers, less their zero points, times both scales, plus a bias if there is one.
func (w *rewriting) product(a, b, zeroA, zeroB, scaleA, scaleB, bias string) string {
	sums := w.add("MatMulInteger", []string{a, b, zeroA, zeroB})
	y := w.add("Cast", []string{sums}, intAttribute("to", int64(protos.TensorProto_FLOAT)))
	y = w.add("Mul", []string{y, w.add("Mul", []string{scaleA, scaleB})})
	if bias != "" {
		y = w.add("Add", []string{y, bias})
	}
	return y
}

// fusedConv is a convolution, something added to it, and an activation.
func (w *rewriting) fusedConv() error {
	y := w.add("Conv", w.n.Input[:min(len(w.n.Input), 3)], w.kept("activation", "activation_params")...)
	if has(w.n, 3) {
		y = w.add("Add", []string{y, w.in(3)})
	}
	var given []float32
	if a := attribute(w.n, "activation_params"); a != nil {
		given = a.Floats
	}
	return w.activation(y, func(i int, _ string) (float32, bool) {
		if i >= len(given) {
			return 0, false
		}
		return given[i], true
	})
}

// fusedGemm is a Gemm and an activation.
func (w *rewriting) fusedGemm() error {
	parameters := map[string]string{"alpha": "activation_alpha", "beta": "activation_beta", "gamma": "activation_gamma"}
	y := w.add("Gemm", w.n.Input, w.kept("activation", "activation_alpha", "activation_beta", "activation_gamma")...)
	return w.activation(y, func(_ int, name string) (float32, bool) {
		a := attribute(w.n, parameters[name])
		return a.GetF(), a != nil
	})
}

// fusedActivations are the activations that others are fused with, and their parameters in order.
var fusedActivations = map[string][]string{"Clip": {"min", "max"}, "Elu": {"alpha"}, "HardSigmoid": {"alpha", "beta"},
	"LeakyRelu": {"alpha"}, "Relu": {}, "Selu": {"alpha", "gamma"}, "Sigmoid": {}, "Softplus": {}, "Softsign": {}, "Tanh": {},
	"ThresholdedRelu": {"alpha"}}

// activation applies the one that the operator names; ONNX Runtime too has no defaults for its parameters.
func (w *rewriting) activation(x string, parameter func(i int, name string) (float32, bool)) error {
	op := stringOr(w.n, "activation", "")
	if op == "" {
		return nil
	}
	names, known := fusedActivations[op]
	if !known {
		return errors.Errorf("activation %q is not supported", op)
	}
	var attributes []*protos.AttributeProto
	for i, name := range names {
		value, given := parameter(i, name)
		if !given {
			return errors.Errorf("activation %s without its parameter %s: the file is damaged", op, name)
		}
		attributes = append(attributes, floatAttribute(name, value))
	}
	w.add(op, []string{x}, attributes...)
	return nil
}

// fusedMatMul is alpha times a product of matrices that are turned before.
func (w *rewriting) fusedMatMul() error {
	if intOr(w.n, "transBatchA", 0) != 0 || intOr(w.n, "transBatchB", 0) != 0 {
		return errors.New("transBatchA and transBatchB are not supported")
	}
	left, right := "...ij", "...jk"
	if intOr(w.n, "transA", 0) != 0 {
		left = "...ji"
	}
	if intOr(w.n, "transB", 0) != 0 {
		right = "...kj"
	}
	var y string
	if left == "...ij" && right == "...jk" {
		y = w.add("MatMul", w.n.Input)
	} else {
		y = w.add("Einsum", w.n.Input, stringAttribute("equation", left+","+right+"->...ik"))
	}
	if alpha := floatOr(w.n, "alpha", 1); alpha != 1 {
		w.add("Mul", []string{y, w.number(float32(alpha))})
	}
	return nil
}

// gelu is that of the sum of its inputs, by tanh if it is the fast one.
func (w *rewriting) gelu() error {
	x := w.in(0)
	if has(w.n, 1) {
		x = w.add("Add", []string{x, w.in(1)})
	}
	approximate := "none"
	if w.n.OpType == "FastGelu" {
		approximate = "tanh"
	}
	w.add("Gelu", []string{x}, stringAttribute("approximate", approximate))
	return nil
}

func (w *rewriting) quickGelu() error {
	w.add("Swish", []string{w.in(0)}, floatAttribute("alpha", float32(floatOr(w.n, "alpha", 1.702))))
	return nil
}

// skipNorm normalizes the sum of an input, what skipped a layer, and a bias; the sum is its fourth output, after the mean and the
// inverse deviation.
func (w *rewriting) skipNorm() error {
	op, scales, bias := "LayerNormalization", []string{w.in(2), w.in(3)}, 4
	if w.n.OpType == "SkipSimplifiedLayerNormalization" {
		op, scales, bias = "RMSNormalization", scales[:1], 3
	}
	sum := w.add("Add", []string{w.in(0), w.in(1)})
	if has(w.n, bias) {
		sum = w.add("Add", []string{sum, w.in(bias)})
	}
	if len(w.n.Output) > 3 && w.n.Output[3] != "" {
		w.addMany("Identity", 1, []string{sum})[0] = w.n.Output[3]
	}
	made := w.addMany(op, min(len(w.n.Output), 3), append([]string{sum}, scales...),
		floatAttribute("epsilon", float32(floatOr(w.n, "epsilon", 1e-12))))
	for i := 1; i < len(made); i++ {
		if made[i] = w.n.Output[i]; op == "RMSNormalization" && made[i] != "" && w.g.used(made[i]) {
			return errors.Errorf("with its output %q, a mean or deviation, is not supported", made[i])
		}
	}
	return nil
}
