package uae

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
)

// run is a search on some images.
type run struct {
	s     Search
	p     problem
	n     int
	size  int       // values of an image
	clean []float32 // of all
	batch int

	workers int // batches at once
	mu      sync.Mutex

	compile                   compiler
	preparation, step, ascent executable

	images []float32 // what is returned
	found  []account // one an image
}

// account is what the host knows of the search on one image.
type account struct {
	success, hit          bool // at all, in this round
	first                 int
	mi, firstMI, f        float32 // of what is returned; those of the fallback until there is a success
	c, low, high, tried   float32 // of Penalty: the next value, and between which two it lies
	least                 float32
	dead                  int // values that the box cuts off at first
	cs, violations, infos []float64
}

// cacheBytes is how large the estimators of a batch may be on a CPU: about what its last cache holds of their state and of the next.
const cacheBytes = 16 << 20

// A compiler makes an executable of a graph function, which a network is in; its rows are the images that a call is about.
type (
	compiler   func(name string, fn func(scope *model.Scope, slope slopes, args []*Node) []*Node) (executable, error)
	executable func(ctx context.Context, rows []int, args ...any) ([]*tensors.Tensor, error)
)

// onEngine compiles for a network of its own.
func onEngine(e *engine.Engine, m *nets.Model) compiler {
	return func(name string, fn func(scope *model.Scope, slope slopes, args []*Node) []*Node) (executable, error) {
		exec, err := model.NewExec(e.Backend(), m.Store, func(scope *model.Scope, args []*Node) []*Node { return fn(scope, robust.Slopes, args) })
		if err != nil {
			return nil, errors.WithMessagef(err, "uae: %s", name)
		}
		exec = exec.WithName(name)
		return func(ctx context.Context, _ []int, args ...any) ([]*tensors.Tensor, error) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			return exec.Call(args...)
		}, nil
	}
}

func newRun(s Search, e *engine.Engine, compile compiler, p problem, images *tensors.Tensor) (*run, error) {
	clean, err := tensors.CopyFlatData[float32](images)
	if err != nil {
		return nil, err
	}
	n := images.Shape().Dimensions[0]
	r := &run{s: s, p: p, compile: compile, n: n, size: len(clean) / n, clean: clean, images: slices.Clone(clean), found: make([]account, n), workers: 1}
	r.batch = min(s.Batch, n)
	if s.Batch == 0 {
		r.batch = min(n, 64)
		if p.x != nil && (e == nil || e.OnCPU()) {
			r.batch = max(1, min(r.batch, cacheBytes/(12*p.t.parameters())))
		}
	}
	for i := range r.found {
		r.found[i] = account{first: -1, firstMI: nan, c: float32(s.C0), high: inf, least: inf}
	}
	return r, r.build()
}

var (
	inf = float32(math.Inf(1))
	nan = float32(math.NaN())
)

// build makes the executables, which XLA compiles at their first calls.
func (r *run) build() (err error) {
	const fixed = 4
	inputs := func(args []*Node) (given, []*Node) { return given{args[0], args[1], args[2], args[3]}, args[fixed:] }
	r.preparation, err = r.compile("prepare", func(scope *model.Scope, _ slopes, args []*Node) []*Node {
		return r.p.prepare(scope, args[0], args[1], args[2])
	})
	if err != nil {
		return err
	}
	r.step, err = r.compile("step", func(scope *model.Scope, slope slopes, args []*Node) []*Node {
		in, rest := inputs(args)
		return r.p.step(scope, slope, holding(rest[3:]), in, rest[0], rest[1], rest[2])
	})
	if err != nil {
		return err
	}
	r.ascent, err = r.compile("ascend", func(scope *model.Scope, _ slopes, args []*Node) []*Node {
		in, rest := inputs(args)
		h := held{delta: rest[3]}
		n := (len(rest) - 4) / 3
		h.theta, h.mean, h.square = rest[4:4+n], rest[4+n:4+2*n], rest[4+2*n:]
		return r.p.ascend(scope, h, in, rest[0], rest[1], rest[2])
	})
	return err
}

func (p problem) model() *nets.Model {
	if p.o != nil {
		return p.o.model
	}
	return p.x.model
}

// all searches on all images but those that are skipped, several batches at once where that changes nothing: most of a step is single
// loops over large arrays.
func (r *run) all(ctx context.Context, skipped []int) error {
	var rows []int
	for i := range r.n {
		if !slices.Contains(skipped, i) {
			rows = append(rows, i)
		}
	}
	r.s.Progress.Begin("uae: "+r.s.Name(), 0, len(rows)*r.s.Rounds*(r.s.Steps+1))
	defer r.s.Progress.End()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	free := make(chan struct{}, r.workers)
	var running sync.WaitGroup
	for chunk := range slices.Chunk(rows, r.batch) {
		free <- struct{}{}
		running.Go(func() {
			defer func() { <-free }()
			if err := r.search(ctx, chunk); err != nil {
				stop(err) // the first that fails stops the others
			}
		})
	}
	running.Wait()
	return context.Cause(ctx)
}

// search makes all rounds of a batch.
func (r *run) search(ctx context.Context, rows []int) error {
	b, err := r.begin(ctx, rows)
	if err != nil {
		return err
	}
	for round := range r.s.Rounds {
		if err := b.round(ctx, round); err != nil {
			return err
		}
	}
	return b.end()
}

// advance tells the progress, which is not safe for concurrent use.
func (r *run) advance(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.s.Progress.Advance(n)
}

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
		out, err := b.call(ctx, b.run.step, args...)
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

// examples is what was found.
func (r *run) examples(skipped []int) (*Examples, error) {
	shape := append([]int{r.n}, r.p.model().InputShape...)
	ex := &Examples{Images: tensors.FromFlatDataAndDimensions(r.images, shape...), GradientSteps: r.s.Rounds * r.s.Steps}
	searched := max(1, r.n-len(skipped))
	for i, a := range r.found {
		ex.Dead += float64(a.dead) / float64(searched*r.size)
		ex.Success = append(ex.Success, a.success)
		ex.Violation = append(ex.Violation, float64(a.f))
		ex.FirstSuccess = append(ex.FirstSuccess, a.first)
		ex.L2 = append(ex.L2, distance(r.images[i*r.size:(i+1)*r.size], r.clean[i*r.size:(i+1)*r.size]))
		if r.p.x != nil {
			ex.MI, ex.FirstMI = append(ex.MI, float64(a.mi)), append(ex.FirstMI, float64(a.firstMI))
		}
		if i < r.s.Trace {
			ex.Traces = append(ex.Traces, Trace{a.cs, a.violations, a.infos})
		}
	}
	for _, i := range skipped {
		ex.Notes = append(ex.Notes, fmt.Sprintf("uae: projection of sample %d has zero variance (all-zero image): left as it is", i))
	}
	if ex.Rate() == 0 {
		ex.Notes = append(ex.Notes, "uae: no example succeeded: all are the iterates with the least violation; more steps or a larger epsilon may help")
	}
	return ex, nil
}

// distance is ‖a - b‖ in l2.
func distance(a, b []float32) float64 {
	sum := 0.0
	for i := range a {
		d := float64(a[i]) - float64(b[i])
		sum += d * d
	}
	return math.Sqrt(sum)
}
