package attack

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/robust"
)

// hunt searches for the nearest success of each example by decisions alone: the frame of HopSkipJump, SignOPT, RayS and
// Boundary. A search is sequential code in a goroutine of its own that asks and waits; what all of them ask is gathered into
// full batches. What a search does depends on nothing but its answers and its seed, not on who shares its batches.
type hunt struct {
	v          *robust.Victim
	p          robust.Problem
	name       string
	queries    int   // that each search may ask
	budgets    []int // of queries: traces keep what was nearest then
	directions Directions
	search     func(s *seeker) error

	clean, starts []float32
	size          int // values of an example
	latent        int // numbers of a direction
	most          int // points that a search should ask at once
	turns         chan *seeker

	rows   []int // asked about last, and their pixels: memory that is used again
	pixels []float32
}

// So many values a search may ask about at once, in no less than leastAsked points and no more than mostAsked: those of all
// searches have to fit into memory. It depends on nothing but the images' size, since the order of questions does on it.
const (
	askedValues           = 1 << 17
	leastAsked, mostAsked = 4, 64
)

// begin checks and reads the problem.
func (h *hunt) begin() (err error) {
	switch {
	case h.p.Threat.MovesWeights():
		return errors.New("this attack moves inputs only: use JointPGD for a threat with weights")
	case h.p.Goal.Classes() == nil:
		return errors.New("the goal has neither labels nor targets: Evaluate fills in the clean predictions")
	case h.queries < 2:
		return errors.Errorf("Queries = %d: need at least 2, of the clean image and of a first success", h.queries)
	}
	for i, b := range h.budgets {
		if b < 1 || b > h.queries || i > 0 && b <= h.budgets[i-1] {
			return errors.Errorf("Budgets = %v: must rise, from 1 or more to at most Queries = %d", h.budgets, h.queries)
		}
	}
	if h.directions != nil {
		if h.latent, err = h.directions.Size(h.v.Model.InputShape); err != nil {
			return err
		}
	}
	if h.clean, err = tensors.CopyFlatData[float32](h.p.Images); err != nil {
		return err
	}
	if h.p.Starts != nil {
		if h.starts, err = tensors.CopyFlatData[float32](h.p.Starts); err != nil {
			return err
		}
		if len(h.starts) != len(h.clean) {
			return errors.Errorf("Starts have shape %s for images of shape %s: give one an example", h.p.Starts.Shape(), h.p.Images.Shape())
		}
	}
	h.size = len(h.clean) / h.examples()
	h.most = min(mostAsked, max(leastAsked, askedValues/h.size))
	if h.p.Progress == nil {
		h.p.Progress = report.Silent{}
	}
	return nil
}

func (h *hunt) examples() int { return h.p.Images.Shape().Dimensions[0] }

// run makes all searches, as many at once as fill a batch with one question each.
func (h *hunt) run(ctx context.Context) (*robust.Perturbation, error) {
	if err := h.begin(); err != nil {
		return nil, err
	}
	var goroutines sync.WaitGroup
	defer goroutines.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	h.p.Progress.Begin(h.name, 0, h.examples()*h.queries)
	defer h.p.Progress.End()

	h.turns = make(chan *seeker, h.v.Batch)
	seekers := make([]*seeker, h.examples())
	var queue []*seeker // that wait for answers, in the order in which they get them
	for begun, working := 0, 0; ; {
		for ; begun < len(seekers) && working+len(queue) < h.v.Batch; begun++ {
			s := h.seeker(ctx, begun)
			seekers[begun], working = s, working+1
			goroutines.Go(s.run)
		}
		var came []*seeker
		for ; working > 0; working-- {
			came = append(came, <-h.turns)
		}
		slices.SortFunc(came, func(a, b *seeker) int { return cmp.Compare(a.row, b.row) })
		ended := 0
		for _, s := range came {
			if !s.done {
				queue = append(queue, s)
				continue
			}
			if s.err != nil {
				return nil, errors.WithMessagef(s.err, "example %d", s.row)
			}
			h.p.Progress.Advance(h.queries - s.used)
			ended++
		}
		if ended > 0 && begun < len(seekers) {
			continue
		}
		if len(queue) == 0 {
			return h.answer(seekers), nil
		}
		var err error
		if working, err = h.serve(ctx, queue); err != nil {
			return nil, err
		}
		queue = queue[working:]
	}
}

// serve answers what the first of the queue ask, in full batches as long as there is enough, and wakes those that have all
// their answers at once: they draw their next questions while the model answers others. It returns how many.
func (h *hunt) serve(ctx context.Context, queue []*seeker) (woken int, err error) {
	open := 0
	for _, s := range queue {
		open += len(s.asked)/h.size - len(s.answers)
	}
	if open > h.v.Batch {
		open -= open % h.v.Batch
	}
	most := h.v.Batch // at once: little memory that is used again is fast, but a model elsewhere likes to be asked rarely
	if h.v.Elsewhere() {
		most = open
	}
	for ; open > 0; open -= min(open, most) {
		done, err := h.query(ctx, queue[woken:], min(open, most))
		if err != nil {
			return 0, err
		}
		for _, s := range queue[woken : woken+done] {
			s.wake <- struct{}{}
		}
		woken += done
	}
	return woken, nil
}

// query asks the first n open questions of a queue. It returns how many searches have all their answers.
func (h *hunt) query(ctx context.Context, queue []*seeker, n int) (complete int, err error) {
	h.rows, h.pixels = h.rows[:0], h.pixels[:0]
	for _, s := range queue {
		first := len(s.answers)
		n := min(len(s.asked)/h.size-first, n-len(h.rows))
		h.pixels = append(h.pixels, s.asked[first*h.size:(first+n)*h.size]...)
		for range n {
			h.rows = append(h.rows, s.row)
		}
	}
	found, err := h.v.Query(ctx, h.rows, h.pixels)
	if err != nil {
		return 0, err
	}
	if len(found.Classes) != n {
		return 0, errors.Errorf("the model returned %d classes for %d images", len(found.Classes), n)
	}
	h.p.Progress.Advance(n)
	left := found.Classes
	for _, s := range queue {
		n := min(len(s.asked)/h.size-len(s.answers), len(left))
		s.answers, left = append(s.answers, left[:n]...), left[n:]
		if len(s.answers) == len(s.asked)/h.size {
			complete++
		}
	}
	return complete, nil
}

// answer returns the nearest successes. One beyond the threat's radius gives way to its projection, which is none.
func (h *hunt) answer(seekers []*seeker) *robust.Perturbation {
	result, traces := slices.Clone(h.clean), make([]robust.Trace, len(seekers))
	for i, s := range seekers {
		if s.distance <= h.p.Threat.Epsilon {
			copy(result[i*h.size:(i+1)*h.size], s.nearest)
		} else {
			copy(result[i*h.size:(i+1)*h.size], s.inside)
		}
		s.keep(math.MaxInt)
		traces[i] = s.trace
	}
	return &robust.Perturbation{Images: tensors.FromFlatDataAndDimensions(result, h.p.Images.Shape().Dimensions...), Traces: traces}
}

// seeker is the search on one example. Points are float64, and asked about as float32 inside the pixel bounds.
type seeker struct {
	*hunt
	ctx       context.Context
	row       int
	rng       *rand.Rand
	x0        []float64 // the clean image
	low, high float64   // pixel bounds
	unclipped bool      // asks about points outside of the bounds, too, which are no results
	used      int       // queries
	limit     int       // of them
	reserved  int       // queries that are not the search's to spend

	nearest  []float32 // success; nil: none yet
	distance float64   // of it; +Inf
	inside   []float32 // projection of a success that is beyond the threat's radius; nil: none
	trace    robust.Trace

	latents [][]float64 // see ways
	asked   []float32   // points that wait for answers, or were asked last
	answers []int32
	wake    chan struct{}
	done    bool
	err     error
}

func (h *hunt) seeker(ctx context.Context, row int) *seeker {
	s := &seeker{hunt: h, ctx: ctx, row: row, rng: rand.New(rand.NewPCG(uint64(h.p.Seed), uint64(row))),
		x0: widened(h.clean[row*h.size : (row+1)*h.size]), low: h.v.Model.Lower, high: h.v.Model.Upper,
		limit: h.queries, distance: math.Inf(1), wake: make(chan struct{}, 1)}
	if h.p.Threat.HasBudget() {
		s.reserved = 1 // for the projection
	}
	s.limit -= s.reserved
	return s
}

// errSpent ends a search that cannot afford its next step.
var errSpent = errors.New("all queries are spent")

// failure ends a search that has found nothing, and says why.
type failure string

func (f failure) Error() string { return string(f) }

// run is the goroutine of a search. An example on which the goal is met without any change is at distance zero.
func (s *seeker) run() {
	met, err := s.met(s.x0)
	if err == nil && !met {
		err = s.search(s)
	}
	var failed failure
	switch {
	case errors.Is(err, errSpent):
		err = nil
	case errors.As(err, &failed):
		s.trace.Failure, err = failed.Error(), nil
	}
	if err == nil && s.nearest != nil && s.distance > s.p.Threat.Epsilon {
		s.limit, s.unclipped = s.queries, false
		if _, err = s.met(s.projected()); err == nil {
			s.inside = s.asked
		}
	}
	s.done, s.err = true, err
	s.turns <- s
}

// projected is the nearest success, moved to within the threat's radius.
func (s *seeker) projected() []float64 {
	radius, x := s.p.Threat.Epsilon, widened(s.nearest)
	for shrink := 1e-7; ; shrink *= 2 { // until float32 has it inside, too
		most := max(0, radius*(1-shrink))
		inside := s.asAsked(s.moved(s.x0, 1, func(i int) float64 {
			if d := x[i] - s.x0[i]; s.p.Threat.Norm == robust.Linf {
				return min(most, max(-most, d))
			} else {
				return d * most / s.distance
			}
		}))
		if s.length(inside) <= radius || shrink > 1 {
			return inside
		}
	}
}

// affords reports whether so many queries are left for what comes next. Budgets that do not pay for it end here: their traces
// keep what is nearest now, as a search with no more queries would return it.
func (s *seeker) affords(n int) bool {
	s.keep(s.used + n - 1)
	return s.used+n <= s.limit
}

// met asks whether the goal is met at a point.
func (s *seeker) met(point []float64) (bool, error) {
	met, err := s.ask([][]float64{point})
	return err == nil && met[0], err
}

// ask asks whether the goal is met at each of the points, for one query each. If fewer are left, it asks nothing and returns
// errSpent. s.asked holds the points as they were asked.
func (s *seeker) ask(points [][]float64) ([]bool, error) {
	if !s.affords(len(points)) {
		return nil, errSpent
	}
	return s.put(points)
}

// put is ask for points that are as many as there are queries left, if need be: what smaller budgets pay for of them counts.
func (s *seeker) put(points [][]float64) ([]bool, error) {
	s.answers = s.answers[:0]
	s.asked = slices.Grow(s.asked[:0], len(points)*s.size)[:len(points)*s.size]
	low, high := s.bounds()
	for i, p := range points {
		asked := s.point(i)
		for k, v := range p {
			asked[k] = float32(min(high, max(low, v)))
		}
	}
	s.turns <- s
	select {
	case <-s.wake:
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
	met := make([]bool, len(points))
	for i, class := range s.answers {
		met[i] = s.p.Goal.Met(s.row, class)
		if s.used++; met[i] {
			s.book(s.point(i))
		}
		s.keep(s.used)
	}
	return met, nil
}

// bounds are those of values that the model is asked about.
func (s *seeker) bounds() (low, high float64) {
	if s.unclipped {
		return math.Inf(-1), math.Inf(1)
	}
	return s.low, s.high
}

// point is one of the points that were asked last.
func (s *seeker) point(i int) []float32 { return s.asked[i*s.size : (i+1)*s.size] }

// asAsked returns a point as the model would be asked about it.
func (s *seeker) asAsked(point []float64) []float64 {
	low, high := s.bounds()
	out := make([]float64, len(point))
	for i, v := range point {
		out[i] = float64(float32(min(high, max(low, v))))
	}
	return out
}

// book takes over a success that is nearer than all before.
func (s *seeker) book(point []float32) {
	if s.unclipped && !s.legal(point) {
		return
	}
	distance := distance(s.p.Threat.Norm, point, s.x0)
	if distance < s.distance {
		s.nearest, s.distance = append(s.nearest[:0], point...), distance
		s.trace.Queries, s.trace.Distances = append(s.trace.Queries, s.used), append(s.trace.Distances, distance)
	}
}

func (s *seeker) legal(point []float32) bool {
	for _, v := range point {
		if v < float32(s.low) || v > float32(s.high) {
			return false
		}
	}
	return true
}

// keep notes in the trace what is nearest for the budgets that so many queries of the search exhaust.
func (s *seeker) keep(used int) {
	for len(s.trace.Images) < len(s.budgets) && s.budgets[len(s.trace.Images)]-s.reserved <= used {
		s.trace.Images = append(s.trace.Images, slices.Clone(s.nearest))
	}
}

// stands notes in the trace where the search stands after a step.
func (s *seeker) stands(x []float64) { s.trace.Steps = append(s.trace.Steps, s.length(x)) }

// length is how far a point is from the clean image, in the threat's norm.
func (s *seeker) length(x []float64) float64 { return distance(s.p.Threat.Norm, x, s.x0) }

// distance is the norm of a-b.
func distance[T float32 | float64](norm robust.Norm, a []T, b []float64) (sum float64) {
	b = b[:len(a)]
	switch norm {
	case robust.Linf:
		for i, v := range a {
			sum = max(sum, math.Abs(float64(v)-b[i]))
		}
	case robust.L2:
		for i, v := range a {
			d := float64(v) - b[i]
			sum += d * d
		}
		return math.Sqrt(sum)
	default:
		for i, v := range a {
			sum += math.Abs(float64(v) - b[i])
		}
	}
	return sum
}

// Noise that is no success is drawn anew so often, and so many examples of a target's class are tried before.
const (
	noiseTries = 10_000
	donorTries = 10
)

// start returns a success to begin from: the one that was given; or with targets, another of the problem's images whose label
// is the target, the nearest first; or noise, uniform inside the bounds. Noise is asked one by one at first, then more and more
// at once.
func (s *seeker) start() ([]float64, error) {
	if s.starts != nil {
		x := widened(s.starts[s.row*s.size : (s.row+1)*s.size])
		if ok, err := s.met(x); err != nil || ok {
			return x, err
		}
		return nil, failure("the given start is no success")
	}
	for _, r := range s.donors() {
		x := widened(s.clean[r*s.size : (r+1)*s.size])
		if ok, err := s.met(x); err != nil || ok {
			return x, err
		}
	}
	for tried, n := 0, 1; tried < noiseTries; n = min(2*n, s.most, 32) {
		n = max(1, min(n, noiseTries-tried, s.limit-s.used))
		points := make([][]float64, n)
		for i := range points {
			points[i] = make([]float64, s.size)
			for k := range points[i] {
				points[i][k] = s.low + (s.high-s.low)*s.rng.Float64()
			}
		}
		if !s.affords(1) {
			return nil, errSpent
		}
		met, err := s.put(points)
		if err != nil {
			return nil, err
		}
		if i := slices.Index(met, true); i >= 0 {
			return widened(s.point(i)), nil
		}
		tried += n
	}
	return nil, failure("no success among 10000 points of noise: give a starting point (Problem.Starts)")
}

// donors are the examples whose label is the target, the nearest first.
func (s *seeker) donors() (rows []int) {
	if !s.p.Goal.Targeted() {
		return nil
	}
	for r, label := range s.p.Goal.Labels {
		if label == s.p.Goal.Targets[s.row] {
			rows = append(rows, r)
		}
	}
	far := func(r int) float64 { return s.length(widened(s.clean[r*s.size : (r+1)*s.size])) }
	slices.SortStableFunc(rows, func(a, b int) int { return cmp.Compare(far(a), far(b)) })
	return rows[:min(len(rows), donorTries)]
}

// bisect halves (low, high] until it is narrower than width: at(high) is a success, at(low) is none. It returns the upper
// end, a success, and its point as it was asked. Where float32 tells no new point from those at the ends, it stops.
func (s *seeker) bisect(low, high, width float64, at func(m float64) []float64) (float64, []float64, error) {
	below, above := s.asAsked(at(low)), s.asAsked(at(high))
	for high-low > width {
		middle := (low + high) / 2
		x := s.asAsked(at(middle))
		if slices.Equal(x, below) || slices.Equal(x, above) {
			break
		}
		ok, err := s.met(x)
		if err != nil {
			return 0, nil, err
		}
		if ok {
			high, above = middle, x
		} else {
			low, below = middle, x
		}
	}
	return high, above, nil
}

// between is the point at a share of the way from the clean image to another.
func (s *seeker) between(x []float64) func(share float64) []float64 {
	return func(share float64) []float64 {
		return s.moved(s.x0, share, func(i int) float64 { return x[i] - s.x0[i] })
	}
}

// moved is the point from + by·way.
func (s *seeker) moved(from []float64, by float64, way func(i int) float64) []float64 {
	out := make([]float64, len(from))
	for i, v := range from {
		out[i] = v + by*way(i)
	}
	return out
}

// ways draws directions of length 1: of Gaussian numbers, or of uniform ones. Their memory is used again for the next.
func (s *seeker) ways(n int, uniform bool) ([][]float64, error) {
	for len(s.latents) < n {
		s.latents = append(s.latents, make([]float64, s.latent))
	}
	latents := s.latents[:n]
	for k := range latents {
		for i := range latents[k] {
			if uniform {
				latents[k][i] = 2*s.rng.Float64() - 1
			} else {
				latents[k][i] = s.rng.NormFloat64()
			}
		}
	}
	ways, err := s.directions.Map(latents, s.v.Model.InputShape)
	if err != nil {
		return nil, errors.WithMessage(err, s.directions.Name())
	}
	if len(ways) != n {
		return nil, errors.Errorf("%s: mapped %d directions to %d", s.directions.Name(), n, len(ways))
	}
	for _, w := range ways {
		if len(w) != s.size {
			return nil, errors.Errorf("%s: a direction has %d values, the images have %d", s.directions.Name(), len(w), s.size)
		}
		if !normalize(w) {
			return nil, errors.Errorf("%s: a direction has no length, or none that is finite", s.directions.Name())
		}
	}
	return ways, nil
}

// sample draws so many directions, asks about the point that each leads to, as many at once as it should, and has every
// direction taken with its answer and the point as it was asked. The point of a direction may lie in the memory of it. What takes
// may ask, too; the point is gone then.
func (s *seeker) sample(n int, uniform bool, point func(way []float64) []float64,
	take func(way []float64, asked []float32, met bool) error) error {
	for left := n; left > 0; {
		k := min(left, s.most)
		left -= k
		ways, err := s.ways(k, uniform)
		if err != nil {
			return err
		}
		points := make([][]float64, k)
		for i, way := range ways {
			points[i] = point(way)
		}
		met, err := s.ask(points)
		if err != nil {
			return err
		}
		asked := s.asked
		for i, way := range ways {
			if err := take(way, asked[i*s.size:(i+1)*s.size], met[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// normalize gives a vector the length 1; false if it has none.
func normalize(w []float64) bool {
	sum := 0.0
	for _, v := range w {
		sum += v * v
	}
	size := math.Sqrt(sum)
	if !(size > 0) || math.IsInf(size, 1) {
		return false
	}
	for i := range w {
		w[i] /= size
	}
	return true
}

func widened(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}
