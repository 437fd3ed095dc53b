package uae

import (
	"context"
	"fmt"
	"math"
	"slices"
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
	r := &run{s: s, p: p, compile: compile, n: n, size: len(clean) / n, clean: clean, images: slices.Clone(clean),
		found: make([]account, n), workers: 1}
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
		ex.Notes = append(ex.Notes, "uae: no example succeeded: all are the iterates with the least violation; "+
			"more steps or a larger epsilon may help")
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
