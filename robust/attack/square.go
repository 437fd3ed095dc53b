package attack

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
)

// SquareAttack is the square attack (Andriushchenko et al., arXiv 1912.00049) for linf and l2, with AutoAttack's settings:
// random search that sees scores only. It starts from vertical stripes (l2: a grid of bumps); a query changes a square
// window at a random place, by ±epsilon a channel (l2: by a bump that takes the budget of a second window), and is
// kept if it lowers the margin. The windows' share of the image falls from PInit on a schedule for 10,000 queries,
// rescaled to Queries.
//
// Images have three axes; the channels' axis is the smaller of the first and the last, of equal ones the last. Two axes
// are one channel, a single one is an image of one row, whose windows are segments.
type SquareAttack struct {
	Queries  int     // for each example and restart, the first stripes included; zero: 5000
	PInit    float64 // share of the image that the first windows cover, in (0, 1]; zero: 0.8
	Restarts int     // zero: 1
}

var _ robust.Attack = SquareAttack{}

// Name implements robust.Attack.
func (a SquareAttack) Name() string {
	a = a.defaults()
	return fmt.Sprintf("square(queries=%d, p=%g, restarts=%d)", a.Queries, a.PInit, a.Restarts)
}

// Access implements robust.Attack.
func (SquareAttack) Access() robust.Access { return robust.Scores }

func (a SquareAttack) defaults() SquareAttack {
	a.Queries, a.PInit, a.Restarts = cmp.Or(a.Queries, 5000), cmp.Or(a.PInit, 0.8), cmp.Or(a.Restarts, 1)
	return a
}

func (a SquareAttack) validate(p robust.Problem) error {
	switch {
	case a.Queries < 1:
		return errors.Errorf("Queries = %d: need at least 1", a.Queries)
	case !(a.PInit > 0 && a.PInit <= 1):
		return errors.Errorf("PInit = %g: must be in (0, 1]", a.PInit)
	case a.Restarts < 1:
		return errors.Errorf("Restarts = %d: need at least 1", a.Restarts)
	case p.Threat.Norm == robust.L1:
		return errors.New("square: works in linf and l2, not in l1: use PGD")
	}
	return nil
}

// share is that of the image which the windows of a query cover.
func (a SquareAttack) share(query int) float64 {
	at, p := query*10_000/a.Queries, a.PInit
	for _, end := range []int{10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000} {
		if at > end {
			p /= 2
		}
	}
	return p
}

// Perturb implements robust.Attack.
func (a SquareAttack) Perturb(ctx context.Context, v *robust.Victim, p robust.Problem) (*robust.Perturbation, error) {
	a = a.defaults()
	if err := a.validate(p); err != nil {
		return nil, err
	}
	layout, err := layoutOf(v.Model.InputShape)
	if err != nil {
		return nil, err
	}
	s := &square{lanes: lanes{v: v, p: p, name: a.Name(), calls: a.Queries}, SquareAttack: a, layout: layout}
	return s.attack(ctx)
}

// layout is that of images; inputs of one axis count as a single row of pixels.
type layout struct {
	channels, height, width int
	last                    bool // the channels' axis is the last one
}

func layoutOf(shape []int) (layout, error) {
	if len(shape) == 1 {
		return layout{1, 1, shape[0], false}, nil
	}
	l, ok := nets.LayoutOf(shape)
	if !ok {
		return layout{}, errors.Errorf("square: inputs of shape %v are no images: want one, two or three axes", shape)
	}
	return layout{l.Channels, l.Height, l.Width, len(shape) == 3 && !l.ChannelsFirst}, nil
}

// window is a rectangle of the image.
type window struct{ top, left, height, width int }

// window draws a place for one that covers a share of the image. least is its shortest side, odd says that sides must be.
func (l layout) window(rng *rand.Rand, share float64, least int, odd bool) window {
	side := int(math.Round(math.Sqrt(share * float64(l.height*l.width))))
	if l.height == 1 || l.width == 1 { // a segment
		side = int(math.Round(share * float64(l.height*l.width)))
	}
	side = max(side, least)
	if odd && side%2 == 0 {
		side++
	}
	w := window{height: min(side, l.height), width: min(side, l.width)}
	w.top, w.left = rng.IntN(l.height-w.height+1), rng.IntN(l.width-w.width+1)
	return w
}

// square is one run of SquareAttack. Images are [places, channels, height, width] inside its graph.
type square struct {
	lanes
	SquareAttack
	layout

	compiled               *robust.Step // one query
	proposed, settled      *robust.Step // its halves, for a model elsewhere: before and behind the question
	x, margin              *tensors.Tensor
	images, classes, start *tensors.Tensor
}

func (s *square) attack(ctx context.Context) (_ *robust.Perturbation, err error) {
	if err := s.begin(); err != nil {
		return nil, err
	}
	s.open, s.step, s.keep = s.allocate, s.call, s.shrinkState
	s.found = func() *tensors.Tensor { return s.x } // what solves an example is the best point, too
	s.best = s.found
	var queue []search
	for restart := range s.Restarts {
		for row := range s.n() {
			queue = append(queue, search{row: row, restart: restart})
		}
	}
	if err := s.compile(); err != nil {
		return nil, err
	}
	return s.run(ctx, queue)
}

func (s *square) allocate(places int) error {
	s.x = tensors.FromFlatDataAndDimensions(make([]float32, places*len(s.clean)/s.n()), places, len(s.clean)/s.n())
	s.margin = tensors.FromFlatDataAndDimensions(make([]float32, places), places)
	return nil
}

func (s *square) shrinkState(from []int, places int) (err error) {
	if s.x, err = moveRows(s.x, from, places); err != nil {
		return err
	}
	s.margin, err = moveRows(s.margin, from, places)
	return err
}

// call makes one query of all places.
func (s *square) call(ctx context.Context, rows []int, places []place, filled bool) ([]float32, []bool, error) {
	if filled {
		s.images = s.lanes.images(places)
		s.classes = ints(places, func(at search) int32 { return s.p.Goal.Classes()[at.row] })
	}
	args := []any{s.x, s.margin, s.images, s.classes, float32(s.p.Threat.Epsilon)}
	if s.start == nil || filled || s.start.Shape().Dimensions[0] != len(places) {
		s.start = s.starts(places)
	}
	args = append(args, s.start)
	if s.p.Threat.Norm == robust.Linf {
		args = append(args, s.corners(places))
	} else {
		args = append(args, s.bumps(places)...)
	}
	out, err := s.query(ctx, rows, places, args)
	if err != nil {
		return nil, nil, err
	}
	s.x, s.margin = out[0], out[1]
	losses, err := tensors.CopyFlatData[float32](out[2])
	if err != nil {
		return nil, nil, err
	}
	met, err := tensors.CopyFlatData[bool](out[3])
	return losses, met, err
}

// query calls the compiled query, or asks a model elsewhere between its halves.
func (s *square) query(ctx context.Context, rows []int, places []place, args []any) ([]*tensors.Tensor, error) {
	if s.compiled != nil {
		return s.compiled.Call(ctx, rows, args...)
	}
	out, err := s.proposed.Call(ctx, nil, args...)
	if err != nil {
		return nil, err
	}
	points, err := tensors.CopyFlatData[float32](out[0])
	if err != nil {
		return nil, err
	}
	var busy []int
	for i, at := range places {
		if at.busy {
			busy = append(busy, i)
		}
	}
	answers, err := s.v.Query(ctx, rows, nets.PickRows(points, len(points)/len(places), busy))
	if err != nil {
		return nil, err
	}
	classes := s.v.Model.Classes
	logits := make([]float32, len(places)*classes) // of idle places: anything finite
	for k, i := range busy {
		copy(logits[i*classes:(i+1)*classes], answers.Logits[k*classes:])
	}
	return s.settled.Call(ctx, nil, s.x, s.margin, s.classes, args[6], out[0],
		tensors.FromFlatDataAndDimensions(logits, len(places), classes))
}

// starts draws the first perturbation of places that begin, in units of epsilon, [places, channels, height, width].
func (s *square) starts(places []place) *tensors.Tensor {
	plane := s.height * s.width
	all := make([]float32, len(places)*s.channels*plane)
	for i, at := range places {
		if !at.busy || at.call > 0 {
			continue
		}
		d := all[i*s.channels*plane : (i+1)*s.channels*plane]
		if s.p.Threat.Norm == robust.Linf { // a stripe is a column of one channel
			for c := range s.channels {
				for x := range s.width {
					sign := randomSign(at.rng)
					for y := range s.height {
						d[c*plane+y*s.width+x] = sign
					}
				}
			}
			continue
		}
		s.grid(at.rng, d)
	}
	return tensors.FromFlatDataAndDimensions(all, len(places), s.channels, s.height, s.width)
}

// grid fills the image with about five by five bumps of random signs and scales it to length one.
func (s *square) grid(rng *rand.Rand, d []float32) {
	tall, wide := max(1, s.height/5), max(1, s.width/5)
	length := 0.0
	for top := (s.height - s.height/tall*tall) / 2; top+tall <= s.height; top += tall {
		for left := (s.width - s.width/wide*wide) / 2; left+wide <= s.width; left += wide {
			w := window{top, left, tall, wide}
			signs := make([]float32, s.channels)
			for c := range signs {
				signs[c] = randomSign(rng)
			}
			s.bump(rng, w, func(y, x int, value float32) {
				for c, sign := range signs {
					d[(c*s.height+top+y)*s.width+left+x] = sign * value
					length = math.Hypot(length, float64(value))
				}
			})
		}
	}
	for i := range d {
		d[i] = float32(float64(d[i]) / length)
	}
}

// bump tells the values of the paper's l2 pattern for a window, of length one: two peaks of opposite sign, one in each half,
// the halves split along a random axis.
func (s *square) bump(rng *rand.Rand, w window, set func(y, x int, value float32)) {
	rows, columns := w.height, w.width
	turned := rng.IntN(2) == 1
	if rows == 1 || columns == 1 {
		turned = rows == 1
	}
	if turned {
		rows, columns = columns, rows
	}
	values, length := make([]float64, rows*columns), 0.0
	peak := func(from, to int, sign float64) {
		tall := to - from
		part, norm := make([]float64, tall*columns), 0.0
		top, left := tall/2, columns/2
		for counter := range max(tall/2, columns/2) + 1 {
			for y := max(top, 0); y < min(top+2*counter+1, tall); y++ {
				for x := max(left, 0); x < min(left+2*counter+1, columns); x++ {
					part[y*columns+x] += 1 / float64((counter+1)*(counter+1))
				}
			}
			top, left = top-1, left-1
		}
		for _, v := range part {
			norm = math.Hypot(norm, v)
		}
		for i, v := range part {
			values[from*columns+i] = sign * v / norm
		}
	}
	if rows/2 > 0 {
		peak(0, rows/2, 1)
	}
	peak(rows/2, rows, -1)
	for _, v := range values {
		length = math.Hypot(length, v)
	}
	for y := range rows {
		for x := range columns {
			if v := float32(values[y*columns+x] / length); turned {
				set(x, y, v)
			} else {
				set(y, x, v)
			}
		}
	}
}

func randomSign(rng *rand.Rand) float32 { return float32(2*rng.IntN(2) - 1) }

// corners draws the windows of an linf query: [places, 5+channels] with whether the place starts, the window, and the
// sign of each channel.
func (s *square) corners(places []place) *tensors.Tensor {
	all := make([]float32, 0, len(places)*(5+s.channels))
	for _, at := range places {
		if !at.busy {
			all = append(all, make([]float32, 5+s.channels)...)
			continue
		}
		first := float32(0)
		if at.call == 0 {
			first = 1
		}
		w := s.window(at.rng, s.share(at.call), 1, false)
		all = append(all, first, float32(w.top), float32(w.left), float32(w.height), float32(w.width))
		for range s.channels {
			all = append(all, randomSign(at.rng))
		}
	}
	return tensors.FromFlatDataAndDimensions(all, len(places), 5+s.channels)
}

// bumps draws an l2 query: [places, 9+channels] with whether the place starts, the window, the second window whose
// budget it takes, and the sign of each channel; and the bump, [places, height, width], zero outside the window.
func (s *square) bumps(places []place) []any {
	all := make([]float32, 0, len(places)*(9+s.channels))
	pattern := make([]float32, len(places)*s.height*s.width)
	for i, at := range places {
		if !at.busy {
			all = append(all, make([]float32, 9+s.channels)...)
			continue
		}
		first := float32(0)
		if at.call == 0 {
			first = 1
		}
		share := s.share(at.call)
		a, b := s.window(at.rng, share, 3, true), s.window(at.rng, share, 3, true)
		all = append(all, first, float32(a.top), float32(a.left), float32(a.height), float32(a.width),
			float32(b.top), float32(b.left), float32(b.height), float32(b.width))
		for range s.channels {
			all = append(all, randomSign(at.rng))
		}
		s.bump(at.rng, a, func(y, x int, value float32) {
			pattern[(i*s.height+a.top+y)*s.width+a.left+x] = value
		})
	}
	return []any{tensors.FromFlatDataAndDimensions(all, len(places), 9+s.channels),
		tensors.FromFlatDataAndDimensions(pattern, len(places), 1, s.height, s.width)}
}

// compile compiles one query: in one piece, or without the model's part in two.
func (s *square) compile() (err error) {
	targeted := s.p.Goal.Targeted()
	key := fmt.Sprintf("square/%s/targeted=%t", s.p.Threat.Norm, targeted)
	if !s.v.Elsewhere() {
		s.compiled, err = s.v.Compile(key, func(o *robust.Oracle, args []*Node) []*Node {
			point := s.propose(args)
			logits := o.Logits(ReshapeLike(point, args[2]))
			return settle(args[0], args[1], args[3], args[6], point, logits, targeted)
		})
		return err
	}
	s.proposed, err = s.v.Compile(key+"/propose", func(_ *robust.Oracle, args []*Node) []*Node { return []*Node{s.propose(args)} })
	if err != nil {
		return err
	}
	s.settled, err = s.v.Compile(key+"/settle", func(_ *robust.Oracle, args []*Node) []*Node {
		return settle(args[0], args[1], args[2], args[3], args[4], args[5], targeted)
	})
	return err
}

// propose builds the candidate of each place, [places, pixels].
func (s *square) propose(args []*Node) *Node {
	norm, box, l := s.p.Threat.Norm, robust.Box{Lower: s.v.Model.Lower, Upper: s.v.Model.Upper}, s.layout
	best, images, epsilon, start, numbers := args[0], args[2], args[4], args[5], args[6]
	clean := l.planes(images)
	delta := Sub(l.planes(ReshapeLike(best, images)), clean)
	column := func(i int) *Node { return Reshape(Slice(numbers, AxisRange(), AxisRange(i, i+1)), -1, 1, 1, 1) }
	isStart := IsPositive(column(0))
	inside := func(from int) *Node { // the window in columns from, from+1 ... as a mask [places, 1, height, width]
		span := func(axis, first, length int) *Node {
			at := Iota(numbers.Graph(), shapes.Make(numbers.DType(), 1, 1, l.height, l.width), axis)
			begin := column(first)
			return And(GreaterOrEqual(at, begin), LessThan(at, Add(begin, column(length))))
		}
		return And(span(2, from, from+2), span(3, from+1, from+3))
	}
	signs := func(from int) *Node {
		return Reshape(Slice(numbers, AxisRange(), AxisRange(from, from+l.channels)), -1, l.channels, 1, 1)
	}
	where := func(c, a, b *Node) *Node {
		return Where(BroadcastToShape(c, delta.Shape()), BroadcastToShape(a, delta.Shape()), BroadcastToShape(b, delta.Shape()))
	}
	var moved *Node
	if norm == robust.Linf {
		moved = where(inside(1), Mul(signs(5), epsilon), delta)
	} else {
		moved = l.exchange(delta, inside(1), inside(5), Mul(args[7], signs(9)), epsilon)
	}
	moved = where(isStart, Mul(start, epsilon), moved)
	back := flat(l.image(Add(clean, moved), images))
	return robust.Shrink(norm, back, flat(images), epsilon, box)
}

// settle builds what a query's answer changes: the best point and its margin, and tells the candidate's margin and whether
// the goal is met there.
func settle(best, margin, classes, numbers, point, logits *Node, targeted bool) []*Node {
	gap := robust.Margin.Graph(logits, classes, targeted)
	met := NotEqual(ArgMax(logits, -1, dtypes.Int32), classes)
	if targeted {
		met = Not(met)
	}
	isStart := IsPositive(Slice(numbers, AxisRange(), AxisRange(0, 1)))
	better := Or(Or(Reshape(isStart, -1), GreaterThan(gap, margin)), met)
	return []*Node{choose(Reshape(better, -1, 1), point, best), Where(better, gap, margin), gap, met}
}

// exchange builds the l2 move: the first window gets its bump on top of what it had, at the length of all that both windows
// had and of what the image leaves of the budget (the paper's algorithm 3); the second loses what it had.
func (l layout) exchange(delta, first, second, bump, epsilon *Node) *Node {
	zero := ZerosLike(delta)
	in := func(mask, x *Node) *Node { return Where(BroadcastToShape(mask, delta.Shape()), x, zero) }
	length := func(x *Node, axes ...int) *Node { return Sqrt(ReduceAndKeep(Square(x), ReduceSum, axes...)) }
	both := length(in(Or(first, second), delta), 2, 3)
	unused := MaxScalar(Sub(Square(epsilon), Square(length(delta, 1, 2, 3))), 0)
	had := in(first, delta)
	fresh := Add(BroadcastToShape(bump, delta.Shape()), Div(had, AddScalar(length(had, 2, 3), 1e-12)))
	fresh = Mul(Div(fresh, AddScalar(length(fresh, 2, 3), 1e-12)), Sqrt(Add(DivScalar(unused, float64(l.channels)), Square(both))))
	moved := Add(in(first, fresh), in(And(Not(first), Not(second)), delta))
	return Mul(Div(moved, AddScalar(length(moved, 1, 2, 3), 1e-12)), epsilon)
}

// planes views images [places, InputShape...] as [places, channels, height, width].
func (l layout) planes(x *Node) *Node {
	if l.last {
		x = TransposeAllAxes(x, 0, 3, 1, 2)
	}
	return Reshape(x, -1, l.channels, l.height, l.width)
}

// image is the inverse of planes.
func (l layout) image(x, like *Node) *Node {
	if l.last {
		x = TransposeAllAxes(x, 0, 2, 3, 1)
	}
	return ReshapeLike(x, like)
}
