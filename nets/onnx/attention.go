package onnx

import (
	"math"
	"slices"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/support/exceptions"
)

// attention is scaled dot-product attention of several heads, https://arxiv.org/abs/1706.03762, with heads of keys and values
// that serve several of queries, https://arxiv.org/abs/2305.13245. What a query must not see is told by a mask, by causality,
// by a window and by the lengths of sequences; a query that sees nothing gets zeros, with slope 0.
func (v *values) attention(n *protos.NodeProto) {
	queries, queriesFlat := headsOf(v.get(n.Input[0]), int(intOr(n, "q_num_heads", 0)))
	keys, _ := headsOf(v.get(n.Input[1]), int(intOr(n, "kv_num_heads", 0)))
	all, _ := headsOf(v.get(n.Input[2]), int(intOr(n, "kv_num_heads", 0)))
	past := 0
	if has(n, 4) != has(n, 5) || has(n, 4) && has(n, 6) {
		exceptions.Panicf("past_key and past_value go together, and without nonpad_kv_seqlen")
	}
	if has(n, 4) {
		past = v.dims(n.Input[4])[2]
		keys, all = Concatenate([]*Node{v.get(n.Input[4]), keys}, 2), Concatenate([]*Node{v.get(n.Input[5]), all}, 2)
	}
	v.setOutput(n, 1, func() *Node { return keys })
	v.setOutput(n, 2, func() *Node { return all })
	q, k := queries.Shape().Dimensions, keys.Shape().Dimensions
	if q[0] != k[0] || q[3] != k[3] || k[1] != all.Shape().Dimensions[1] || k[2] != all.Shape().Dimensions[2] || k[1] == 0 || q[1]%k[1] != 0 {
		exceptions.Panicf("queries %s, keys %s and values %s do not fit each other", queries.Shape(), keys.Shape(), all.Shape())
	}
	keys, all = repeatHeads(keys, q[1]/k[1]), repeatHeads(all, q[1]/k[1])

	scale := floatOr(n, "scale", 1/math.Sqrt(float64(q[3])))
	if scale < 0 {
		exceptions.Panicf("scale %g: want none below 0", scale)
	}
	scale = math.Sqrt(scale) // of both factors: half precision has no room for their product
	scores := Einsum("bhqd,bhkd->bhqk", MulScalar(queries, scale), MulScalar(keys, scale))
	mode := intOr(n, "qk_matmul_output_mode", 0)
	shown := scores
	if softcap := floatOr(n, "softcap", 0); softcap > 0 {
		scores = MulScalar(Tanh(DivScalar(scores, softcap)), softcap)
	}
	if mode == 1 {
		shown = scores
	}
	bias, allowed := v.attentionMask(n, scores, past)
	if mode == 2 {
		shown = masked(scores, bias, allowed, Infinity(v.graph, scores.DType(), -1))
	}
	weights := v.attentionWeights(n, scores, bias, allowed)
	if mode == 3 {
		shown = weights
	}
	y := Einsum("bhqk,bhkd->bhqd", weights, all)
	if queriesFlat {
		d := y.Shape().Dimensions
		y = Reshape(TransposeAllAxes(y, 0, 2, 1, 3), d[0], d[2], d[1]*d[3])
	}
	v.set(n, y)
	v.setOutput(n, 3, func() *Node { return shown })
}

// headsOf is [batch, heads, times, values] of that, or of [batch, times, heads·values].
func headsOf(x *Node, heads int) (y *Node, flat bool) {
	d := x.Shape().Dimensions
	switch {
	case len(d) == 4 && (heads == 0 || heads == d[1]):
		return x, false
	case len(d) == 3 && heads > 0 && d[2]%heads == 0:
		return TransposeAllAxes(Reshape(x, d[0], d[1], heads, d[2]/heads), 0, 2, 1, 3), true
	}
	exceptions.Panicf("shape %s in %d heads", x.Shape(), heads)
	return nil, false
}

// repeatHeads repeats each head.
func repeatHeads(x *Node, times int) *Node {
	if times == 1 {
		return x
	}
	d := x.Shape().Dimensions
	return Reshape(BroadcastToDims(InsertAxes(x, 2), d[0], d[1], times, d[2], d[3]), d[0], d[1]*times, d[2], d[3])
}

// attentionMask returns what to add to the scores [batch, heads, queries, keys], and which of them count; nil: nothing, and all.
func (v *values) attentionMask(n *protos.NodeProto, scores *Node, past int) (bias, allowed *Node) {
	d := scores.Shape().Dimensions
	allow := func(more *Node) {
		if more = broadcastTo(more, d); allowed != nil {
			more = LogicalAnd(allowed, more)
		}
		allowed = more
	}
	if mask := v.in(n, 3); mask != nil {
		if missing := d[3] - mask.Shape().Dimensions[mask.Rank()-1]; missing > 0 && mask.Shape().Dimensions[mask.Rank()-1] > 1 { // is shut out
			widths := make([]PadAxis, mask.Rank())
			widths[mask.Rank()-1].End = missing
			filler := Infinity(v.graph, dtypes.Float32, -1)
			if mask.DType() == dtypes.Bool {
				filler = LogicalNot(Equal(filler, filler))
			}
			mask = Pad(mask, ConvertDType(filler, mask.DType()), widths...)
		}
		if mask.DType() == dtypes.Bool {
			allow(mask)
		} else {
			bias = broadcastTo(mask, d)
			allow(NotEqual(StopGradient(mask), Infinity(v.graph, mask.DType(), -1)))
		}
	}
	shape := shapeOf(dtypes.Int32, d)
	position, key := AddScalar(Iota(v.graph, shape, 2), past), Iota(v.graph, shape, 3)
	if lengths := v.in(n, 6); lengths != nil {
		if lengths.Rank() != 1 {
			exceptions.Panicf("nonpad_kv_seqlen %s: want [batch]", lengths.Shape())
		}
		ends := BroadcastToDims(Reshape(ConvertDType(lengths, dtypes.Int32), lengths.Shape().Size(), 1, 1, 1), d...)
		allow(LessThan(key, ends))
		position = Add(position, AddScalar(ends, -d[2]))
	}
	if intOr(n, "is_causal", 0) != 0 {
		allow(LessOrEqual(key, position))
	}
	if left := int(intOr(n, "left_window_size", -1)); left >= 0 {
		allow(GreaterOrEqual(key, AddScalar(position, -left)))
	}
	if right := int(intOr(n, "right_window_size", -1)); right >= 0 {
		allow(LessOrEqual(key, AddScalar(position, right)))
	}
	return bias, allowed
}

// masked adds the mask to the scores, with a value of its own for those that do not count.
func masked(scores, bias, allowed, otherwise *Node) *Node {
	if bias != nil {
		if allowed != nil { // -∞ has no slope
			bias = Where(allowed, bias, ZerosLike(bias))
		}
		scores = Add(scores, bias)
	}
	if allowed != nil {
		scores = Where(allowed, scores, otherwise)
	}
	return scores
}

// attentionWeights is the softmax over the keys that count.
func (v *values) attentionWeights(n *protos.NodeProto, scores, bias, allowed *Node) *Node {
	dtype := scores.DType()
	low := -1e30 // and not -∞: of nothing else a softmax is no number
	if dtype == dtypes.Float16 {
		low = -65000
	}
	scores = masked(scores, bias, allowed, Scalar(v.graph, dtype, low))
	if precision := intOr(n, "softmax_precision", 0); precision != 0 {
		finer, ok := elementTypes[protos.TensorProto_DataType(precision)]
		if !ok || !finer.IsFloat() {
			exceptions.Panicf("softmax_precision %s is not supported", protos.TensorProto_DataType(precision))
		}
		scores = ConvertDType(scores, finer)
	}
	weights := ConvertDType(inSingle(scores, func(x *Node) *Node { return Softmax(x, -1) }), dtype)
	if allowed != nil { // of a query that sees nothing all would be alike
		weights = Where(allowed, weights, ZerosLike(weights))
	}
	return weights
}

// rotaryEmbedding turns pairs of values by angles that grow with the position, https://arxiv.org/abs/2104.09864.
func (v *values) rotaryEmbedding(n *protos.NodeProto) {
	x := v.get(n.Input[0])
	given := x.Shape().Dimensions
	x, flat := headsOf(x, int(intOr(n, "num_heads", 0))*boolInt(x.Rank() == 3))
	d := x.Shape().Dimensions // [batch, heads, times, values]
	size := int(intOr(n, "rotary_embedding_dim", 0))
	if size == 0 {
		size = d[3]
	}
	cos, sin := v.get(n.Input[1]), v.get(n.Input[2])
	if has(n, 3) { // tables of positions [positions, values/2]; else [batch, times, values/2]
		at := v.places(n, 3, cos.Shape().Dimensions[0])
		cos, sin = take(cos, at, 0), take(sin, at, 0)
	}
	half := []int{d[0], d[2], size / 2}
	if size%2 != 0 || size > d[3] || !slices.Equal(cos.Shape().Dimensions, half) || !slices.Equal(sin.Shape().Dimensions, half) {
		exceptions.Panicf("cosines %s and sines %s for %d values of %s: want %v", cos.Shape(), sin.Shape(), size, x.Shape(), half)
	}
	half = []int{d[0], d[1], d[2], size / 2}
	cos, sin = BroadcastToDims(InsertAxes(cos, 1), half...), BroadcastToDims(InsertAxes(sin, 1), half...)
	turning := SliceAxis(x, -1, AxisRange(0, size))
	interleaved := intOr(n, "interleaved", 0) != 0
	var a, b *Node
	if interleaved {
		pairs := Reshape(turning, append(half, 2)...)
		a, b = Reshape(SliceAxis(pairs, -1, AxisRange(0, 1)), half...), Reshape(SliceAxis(pairs, -1, AxisRange(1, 2)), half...)
	} else {
		a, b = SliceAxis(turning, -1, AxisRange(0, size/2)), SliceAxis(turning, -1, AxisRange(size/2, size))
	}
	turned := []*Node{Sub(Mul(cos, a), Mul(sin, b)), Add(Mul(sin, a), Mul(cos, b))}
	var y *Node
	if interleaved {
		y = Reshape(Stack(turned, -1), turning.Shape().Dimensions...)
	} else {
		y = Concatenate(turned, -1)
	}
	if size < d[3] {
		y = Concatenate([]*Node{y, SliceAxis(x, -1, AxisRange(size, d[3]))}, -1)
	}
	if flat {
		y = Reshape(TransposeAllAxes(y, 0, 2, 1, 3), given...)
	}
	v.set(n, y)
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
