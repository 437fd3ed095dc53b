package uae

import (
	"context"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/engine"
)

// Similarity estimates what each image shares with its partner by a new estimator of Hidden and Code, trained for so many steps at
// EstimatorRate while nothing else moves: one measure for the examples of any search, whatever made them. Images of both sets are
// float32 [n, ...] as the expansion's network takes them, or any for random projections.
func (s Search) Similarity(ctx context.Context, e *engine.Engine, o *Objective, x *Expansion, clean, adversarial *tensors.Tensor,
	steps int) ([]float64, error) {
	s.Method, s.Distance, s.Epsilon = MinMax, MutualInformation, 1e30
	s = s.withDefaults()
	if err := s.validate(); err != nil {
		return nil, err
	}
	if o == nil || x == nil || steps < 0 {
		return nil, errors.Errorf("uae: Similarity needs an objective, which says what images look like, an expansion, and steps >= 0, "+
			"got %d", steps)
	}
	p := problem{o: o, x: x, t: x.estimator(s.Hidden, s.Code), box: boxOf(o.model)}
	for _, images := range []*tensors.Tensor{clean, adversarial} {
		if err := p.checkImages(images); err != nil {
			return nil, err
		}
	}
	if !clean.Shape().Equal(adversarial.Shape()) {
		return nil, errors.Errorf("uae: Similarity of %s and %s: want one partner an image", clean.Shape(), adversarial.Shape())
	}
	r, err := newRun(s, e, onEngine(e, o.model), p, clean)
	if err != nil {
		return nil, err
	}
	measure, err := r.compile("similarity", func(scope *model.Scope, _ slopes, args []*Node) []*Node {
		in := given{args[0], args[1], args[2], args[3]}
		return []*Node{p.shared(scope, in, args[7:], args[6], args[4], args[5])}
	})
	if err != nil {
		return nil, err
	}
	adv, err := tensors.CopyFlatData[float32](adversarial)
	if err != nil {
		return nil, err
	}
	all := make([]float64, 0, r.n)
	for from := 0; from < r.n; from += r.batch {
		rows := sequence(from, min(r.batch, r.n-from))
		b, err := r.begin(ctx, rows)
		if err != nil {
			return nil, err
		}
		b.restart(0)
		values, err := b.similarity(ctx, measure, adv, steps)
		if err != nil {
			return nil, err
		}
		for i := range rows {
			all = append(all, float64(values[i]))
		}
	}
	return all, nil
}

// similarity trains estimators on the pairs of a batch, and asks them.
func (b *batch) similarity(ctx context.Context, measure executable, adversarial []float32, steps int) ([]float32, error) {
	moved, delta := make([]float32, b.batch*b.size), make([]float32, b.batch*b.size)
	for i := range b.batch {
		row := b.rows[min(i, len(b.rows)-1)]
		for j := range b.size {
			at := row*b.size + j
			moved[i*b.size+j], delta[i*b.size+j] = adversarial[at], adversarial[at]-b.clean[at]
		}
	}
	b.state[0] = tensors.FromFlatDataAndDimensions(delta, b.shape...)
	for t := range steps {
		if err := b.ascend(ctx, t+1); err != nil {
			return nil, err
		}
	}
	args := []any{b.given[0], b.given[1], b.given[2], b.given[3], b.permutations(1), b.states(1),
		tensors.FromFlatDataAndDimensions(moved, b.shape...)}
	for _, w := range b.state[heldImages : heldImages+packs] {
		args = append(args, w)
	}
	out, err := b.call(ctx, measure, args...)
	if err != nil {
		return nil, err
	}
	return tensors.CopyFlatData[float32](out[0])
}
