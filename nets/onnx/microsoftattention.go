package onnx

import (
	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/pkg/errors"
)

// This file writes ONNX Runtime's attentions as a product, its parts and a standard Attention.

const (
	attentionAttributes = "num_heads:i scale:f unidirectional:i mask_filter_value:f!" // the last is for masks, which are refused
	pasts               = " do_rotary:i past_present_share_buffer:i"
)

// projectedAttention makes queries, keys and values of one input.
func (w *rewriting) projectedAttention() error {
	if err := w.refuseMore(map[int]string{3: "mask_index", 4: "past", 6: "past_sequence_length"}); err != nil {
		return err
	}
	all := w.add("MatMul", []string{w.in(0), w.in(1)})
	if has(w.n, 2) {
		all = w.add("Add", []string{all, w.in(2)})
	}
	w.attention(w.thirds(all), w.in(5))
	return nil
}

// quantizedAttention does so with integers.
func (w *rewriting) quantizedAttention() error {
	if err := w.refuseMore(map[int]string{5: "mask_index", 8: "past"}); err != nil {
		return err
	}
	w.attention(w.thirds(w.product(w.in(0), w.in(1), w.in(6), w.in(7), w.in(3), w.in(4), w.in(2))), "")
	return nil
}

// headedAttention has queries, keys and values of its own.
func (w *rewriting) headedAttention() error {
	if err := w.refuseMore(map[int]string{4: "key_padding_mask", 6: "past_key", 7: "past_value", 8: "past_sequence_length",
		9: "cache_indirection"}); err != nil {
		return err
	}
	if !has(w.n, 1) || !has(w.n, 2) {
		return errors.New("with keys and values packed into its queries is not supported")
	}
	parts := []string{w.in(0), w.in(1), w.in(2)}
	if has(w.n, 3) {
		for i, bias := range w.thirds(w.in(3)) {
			parts[i] = w.add("Add", []string{parts[i], bias})
		}
	}
	w.attention(parts, w.in(5))
	return nil
}

// refuseMore refuses the inputs with these names, and what attributes and further outputs bring with them.
func (w *rewriting) refuseMore(names map[int]string) error {
	for i := range w.n.Input {
		if names[i] != "" && has(w.n, i) {
			return errors.Errorf("with the input %s is not supported", names[i])
		}
	}
	for _, name := range []string{"do_rotary", "past_present_share_buffer"} {
		if intOr(w.n, name, 0) != 0 {
			return errors.Errorf("with %s is not supported", name)
		}
	}
	for _, out := range w.n.Output[1:] {
		if out != "" && w.g.used(out) {
			return errors.New("with more outputs than the first is not supported")
		}
	}
	return nil
}

// thirds cuts along the last axis into what is for queries, for keys and for values.
func (w *rewriting) thirds(x string) []string {
	attributes := []*protos.AttributeProto{intAttribute("axis", -1)}
	if sizes := attribute(w.n, "qkv_hidden_sizes"); sizes != nil {
		attributes = append(attributes, &protos.AttributeProto{Name: "split", Type: protos.AttributeProto_INTS, Ints: sizes.Ints})
	}
	return w.addMany("Split", 3, []string{x}, attributes...)
}

func (w *rewriting) attention(parts []string, bias string) {
	heads := intOr(w.n, "num_heads", 0)
	attributes := []*protos.AttributeProto{intAttribute("q_num_heads", heads), intAttribute("kv_num_heads", heads),
		intAttribute("is_causal", intOr(w.n, "unidirectional", 0))}
	if scale := floatOr(w.n, "scale", 0); scale != 0 { // 0 is for none given
		attributes = append(attributes, floatAttribute("scale", float32(scale)))
	}
	w.add("Attention", append(parts, bias), attributes...)
}
