package uae

import (
	"context"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/nets"
)

// batch is some images under search.
type batch struct {
	*run
	rows    []int // of the images; fewer than the batch in the last
	streams []*rand.Rand
	common  *rand.Rand // of what all images see
	given   []any      // clean, loss, samples, classes
	state   []*tensors.Tensor
	shape   []int
}

// stream is the random numbers of one image.
func stream(seed int64, image int) *rand.Rand {
	var key [32]byte
	copy(key[:], "robust/uae")
	binary.LittleEndian.PutUint64(key[16:], uint64(seed))
	binary.LittleEndian.PutUint64(key[24:], uint64(image))
	return rand.New(rand.NewChaCha8(key))
}

func (r *run) begin(ctx context.Context, rows []int) (*batch, error) {
	b := &batch{run: r, rows: rows, shape: append([]int{r.batch}, r.p.model().InputShape...), common: stream(r.s.Seed, -1)}
	full := make([]int, r.batch)
	for i := range full {
		full[i] = rows[min(i, len(rows)-1)]
		b.streams = append(b.streams, stream(r.s.Seed, full[i]))
	}
	classes := make([]int32, r.batch)
	if r.p.o != nil && r.p.o.absolute {
		classes = nets.PickRows(r.p.o.goal.Classes(), 1, full)
	}
	clean := tensors.FromFlatDataAndDimensions(nets.PickRows(r.clean, r.size, full), b.shape...)
	labels := tensors.FromFlatDataAndDimensions(classes, r.batch)
	out, err := b.call(ctx, r.preparation, clean, labels, b.states(1))
	if err != nil {
		return nil, err
	}
	b.given = []any{clean, out[0], out[1], labels}
	repeated := func(v float32) *tensors.Tensor {
		return tensors.FromFlatDataAndDimensions(slices.Repeat([]float32{v}, r.batch), r.batch)
	}
	b.state = []*tensors.Tensor{nil, nil, clean, clean, repeated(inf), repeated(inf)}
	return b, nil
}

// call runs an executable, with errors of one line.
func (b *batch) call(ctx context.Context, run executable, args ...any) ([]*tensors.Tensor, error) {
	out, err := run(ctx, b.rows, args...)
	if err != nil {
		if stopped := ctx.Err(); stopped != nil {
			return nil, stopped
		}
		line, _, _ := strings.Cut(err.Error(), "\n")
		if strings.Contains(line, "no gradient is defined") {
			line = "the model has an operation that cannot be differentiated"
		}
		return nil, errors.Errorf("uae: %s", line)
	}
	return out, nil
}

// states draws states of random numbers, uint64 [count, 3], of one [3], the same for every batch.
func (b *batch) states(count int) *tensors.Tensor {
	flat := make([]uint64, count*3)
	for i := range flat {
		flat[i] = b.common.Uint64()
	}
	if count == 1 {
		return tensors.FromFlatDataAndDimensions(flat, 3)
	}
	return tensors.FromFlatDataAndDimensions(flat, count, 3)
}

// permutations draws int32 [count, batch, samples], of one [batch, samples].
func (b *batch) permutations(count int) *tensors.Tensor {
	k := max(1, b.p.t.samples)
	flat := make([]int32, count*b.batch*k)
	for i, rng := range b.streams {
		for c := range count {
			at := flat[(c*b.batch+i)*k:][:k]
			for j := range at {
				at[j] = int32(j)
			}
			rng.Shuffle(k, func(i, j int) { at[i], at[j] = at[j], at[i] })
		}
	}
	dims := []int{count, b.batch, k}
	if count == 1 {
		dims = dims[1:]
	}
	return tensors.FromFlatDataAndDimensions(flat, dims...)
}

// limit is up to where the first perturbation goes in both directions: Glorot's limit for a variable of the image's shape with a
// leading 1, as the authors' code has it, and never beyond ε.
func (r *run) limit() float64 { return min(r.s.Epsilon, glorot(r.p.model().InputShape)) }

// glorot takes a shape for that of a convolution's kernel: all axes but the last two are its window.
func glorot(image []int) float64 {
	if l, ok := nets.LayoutOf(image); ok && len(image) == 3 {
		image = []int{l.Height, l.Width, l.Channels}
	}
	shape := append([]int{1}, image...)
	n := len(shape)
	window := product(shape[:n-2])
	return math.Sqrt(6 / float64(window*(shape[n-2]+shape[n-1])))
}

// restart gives every image its first perturbation, its c and a new estimator.
func (b *batch) restart(round int) {
	delta, limit := make([]float32, b.batch*b.size), float32(b.limit())
	cs := make([]float32, b.batch)
	for i, rng := range b.streams {
		row := b.rows[min(i, len(b.rows)-1)]
		cs[i] = b.found[row].c
		for j := range b.size {
			d := limit * (2*rng.Float32() - 1)
			delta[i*b.size+j] = d
			if v := float64(b.clean[row*b.size+j] + d); round == 0 && i < len(b.rows) && (v < b.p.box.Lower || v > b.p.box.Upper) {
				b.found[row].dead++
			}
		}
	}
	b.state[0] = tensors.FromFlatDataAndDimensions(delta, b.shape...)
	b.state[1] = tensors.FromFlatDataAndDimensions(cs, b.batch)
	b.state = b.state[:heldImages]
	if b.p.x != nil {
		theta := b.p.t.start(b.streams)
		b.state = append(b.state, theta...)
		for range 2 {
			for _, w := range theta {
				b.state = append(b.state, tensors.FromShape(w.Shape()))
			}
		}
	}
}

// round makes all steps for one value of c, or for one run of its recursion.
func (b *batch) round(ctx context.Context, round int) error {
	b.restart(round)
	for _, row := range b.rows {
		b.found[row].hit, b.found[row].tried = false, b.found[row].c
	}
	adam := 0
	for t := range b.s.Steps + 1 {
		beta, decay := b.s.Beta, b.s.Beta/math.Pow(float64(max(1, t)), b.s.Decay)
		if b.s.Method == Penalty {
			beta, decay = 0, 0
		}
		adam++
		set := b.settings(beta, decay, t > 0, adam)
		args := append(slices.Clone(b.given), set, b.permutations(2), b.states(2))
		for _, s := range b.state {
			args = append(args, s)
		}
		out, err := b.call(ctx, b.step, args...)
		if err != nil {
			return err
		}
		last := len(out) - 1
		b.replace(0, out[:last])
		if t > 0 {
			if err := b.book(out[last], round*b.s.Steps+t); err != nil {
				return err
			}
		}
		for range b.s.EstimatorSteps - 1 {
			if t == b.s.Steps { // nothing comes after
				break
			}
			adam++
			if err := b.ascend(ctx, adam); err != nil {
				return err
			}
		}
		b.advance(len(b.rows))
	}
	for _, row := range b.rows {
		b.found[row].bisect()
	}
	return nil
}

// settings are the numbers of a step; adam is which of the estimator's it is, from 1 on.
func (b *batch) settings(beta, decay float64, live bool, adam int) *tensors.Tensor {
	v := make([]float32, settings)
	v[setStep], v[setEpsilon], v[setBeta], v[setDecay] = float32(b.s.StepSize), float32(b.s.Epsilon), float32(beta), float32(decay)
	v[setSign] = 1
	if b.p.o != nil && b.p.o.absolute {
		v[setSign] = -1
	}
	if live {
		v[setLive] = 1
	}
	rate := b.s.EstimatorRate
	if b.s.EstimatorSteps == 0 {
		rate = 0
	}
	v[setRate] = float32(rate / (1 - math.Pow(beta1, float64(adam))))
	v[setCorrect] = float32(1 / (1 - math.Pow(beta2, float64(adam))))
	return tensors.FromFlatDataAndDimensions(v, settings)
}

// ascend makes one more step of the estimators.
func (b *batch) ascend(ctx context.Context, adam int) error {
	args := append(slices.Clone(b.given), b.settings(0, 0, false, adam), b.permutations(1), b.states(1), b.state[0])
	for _, s := range b.state[heldImages:] {
		args = append(args, s)
	}
	out, err := b.call(ctx, b.ascent, args...)
	if err == nil {
		b.replace(heldImages, out)
	}
	return err
}

// replace takes over new state, and gives back the memory of the old at once.
func (b *batch) replace(from int, state []*tensors.Tensor) {
	for i, s := range state {
		if old := b.state[from+i]; old != b.given[0] {
			old.FinalizeAll()
		}
		b.state[from+i] = s
	}
}

// book reads what a step says of each image: c, f, what is shared, and whether it is the best so far.
func (b *batch) book(numbers *tensors.Tensor, step int) error {
	flat, err := tensors.CopyFlatData[float32](numbers)
	if err != nil {
		return err
	}
	numbers.FinalizeAll()
	for i, row := range b.rows {
		c, f, value, best := flat[4*i], flat[4*i+1], flat[4*i+2], flat[4*i+3] > 0
		a := &b.found[row]
		switch {
		case value-value != 0:
			return errors.Errorf("mine: estimate is %g at step %d, sample %d", value, step, row)
		case f-f != 0:
			return errors.Errorf("uae: %s is %g at step %d, sample %d: look at the model's weights", b.p.o.Name(), f, step, row)
		}
		if row < b.s.Trace {
			a.cs = append(a.cs, float64(c))
			a.violations, a.infos = append(a.violations, float64(f)), append(a.infos, float64(value))
		}
		if f <= 0 && (value > 0 || b.p.x == nil) {
			a.hit = true
			if a.first < 0 {
				a.first, a.firstMI = step, value
			}
		}
		switch plus := max(f, 0); {
		case best:
			a.success, a.mi, a.f = true, value, f
		case plus < a.least && !a.success:
			a.mi, a.f = value, f
		}
		a.least = min(a.least, max(f, 0))
	}
	return nil
}

// bisect chooses the c of the next round.
func (a *account) bisect() {
	if a.hit {
		a.high = a.tried
	} else {
		a.low = a.tried
	}
	if a.c = (a.low + a.high) / 2; a.high == inf {
		a.c = min(10*a.tried, 1e30)
	}
}

// end takes over the images of a batch.
func (b *batch) end() error {
	best, err := tensors.CopyFlatData[float32](b.state[2])
	if err != nil {
		return err
	}
	fall, err := tensors.CopyFlatData[float32](b.state[3])
	if err != nil {
		return err
	}
	for i, row := range b.rows {
		from := fall
		if b.found[row].success {
			from = best
		}
		copy(b.images[row*b.size:(row+1)*b.size], from[i*b.size:(i+1)*b.size])
	}
	for i, s := range b.state {
		if s != b.given[0] {
			s.FinalizeAll()
		}
		b.state[i] = nil
	}
	return nil
}
