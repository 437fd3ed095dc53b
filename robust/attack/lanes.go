package attack

import (
	"context"
	"math/rand/v2"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/robust"
)

// lanes runs many searches, each of the same number of calls of one compiled step, on a batch whose places are filled
// anew as soon as they fall free: a solved example costs nothing more, and the device has no idle places until the
// last searches. State lives on the device; the host sees a few numbers a place and call.
type lanes struct {
	v    *robust.Victim
	p    robust.Problem
	name string
	// calls is how many calls of the step a search has, the first of which evaluates its start.
	calls int
	// open prepares the state of that many places.
	open func(places int) error
	// step makes one call for the places that are taken; filled says that some have begun a new search. It returns, a
	// place, the loss (higher is better for the adversary) and whether the goal is met at the point just evaluated.
	step func(ctx context.Context, rows []int, places []place, filled bool) (losses []float32, met []bool, err error)
	// found is the point just evaluated of each place, best the one with the highest loss, both [places, ...].
	found, best func() *tensors.Tensor
	// keep moves the state of the given places, in that order, into as many new ones.
	keep func(from []int, places int) error

	clean, result []float32
	solved        []bool
	losses        [][]float32 // of each call of the first search on each example; for tests
}

// search is one run on one example.
type search struct {
	row     int
	target  int32 // class that the loss aims at, where the attack aims
	restart int
}

// place is where a search runs.
type place struct {
	search
	call int // of the search, from 0
	busy bool
	rng  *rand.Rand
}

// begin reads the problem.
func (l *lanes) begin() (err error) {
	switch {
	case l.p.Threat.MovesWeights():
		return errors.New("this attack moves inputs only: use JointPGD for a threat with weights")
	case l.p.Goal.Classes() == nil:
		return errors.New("the goal has neither labels nor targets: Evaluate fills in the clean predictions")
	}
	if l.clean, err = tensors.CopyFlatData[float32](l.p.Images); err != nil {
		return err
	}
	if err := l.p.Threat.RequireBudget(); err != nil {
		return err
	}
	l.result, l.solved = slices.Clone(l.clean), make([]bool, l.n())
	if l.p.Progress == nil {
		l.p.Progress = report.Silent{}
	}
	return nil
}

func (l *lanes) n() int { return l.p.Images.Shape().Dimensions[0] }

// run makes the searches in order, leaving out those on examples that are solved by then.
func (l *lanes) run(ctx context.Context, queue []search) (*robust.Perturbation, error) {
	l.p.Progress.Begin(l.name, 0, len(queue))
	defer l.p.Progress.End()
	touched := make([]bool, l.n())
	size := len(l.clean) / l.n()
	places := make([]place, l.fitting(len(queue)))
	if err := l.open(len(places)); err != nil {
		return nil, err
	}
	for {
		filled := false
		for i := range places {
			for !places[i].busy && len(queue) > 0 {
				if s := queue[0]; l.solved[s.row] {
					l.p.Progress.Advance(1)
				} else {
					places[i], filled = place{search: s, busy: true, rng: l.random(s)}, true
				}
				queue = queue[1:]
			}
		}
		var rows []int
		for _, s := range places {
			if s.busy {
				rows = append(rows, s.row)
			}
		}
		if len(rows) == 0 {
			break
		}
		if small := l.fitting(len(rows)); len(queue) == 0 && small < len(places) && l.left(places) >= worthCompiling {
			var err error
			if places, err = l.shrink(places, small); err != nil {
				return nil, err
			}
			filled = true
		}
		losses, met, err := l.step(ctx, rows, places, filled)
		if err != nil {
			return nil, err
		}
		if err := l.settle(places, losses, met, touched, size); err != nil {
			return nil, err
		}
	}
	return &robust.Perturbation{Images: tensors.FromFlatDataAndDimensions(l.result, l.p.Images.Shape().Dimensions...)}, nil
}

// settle looks at what a call gave: solved searches and those at their end leave.
func (l *lanes) settle(places []place, losses []float32, met []bool, touched []bool, size int) error {
	var solved, ended []int
	for i := range places {
		s := &places[i]
		if !s.busy {
			continue
		}
		if losses[i] != losses[i] {
			return errors.Errorf("NaN loss at step %d, example %d: look at the model's weights", s.call, s.row)
		}
		if l.losses != nil && s.restart == 0 {
			l.losses[s.row] = append(l.losses[s.row], losses[i])
		}
		s.call++
		switch {
		case met[i] && !l.solved[s.row]:
			l.solved[s.row] = true
			solved = append(solved, i)
		case s.call == l.calls && !l.solved[s.row] && !touched[s.row]:
			touched[s.row] = true
			ended = append(ended, i)
		}
	}
	for i := range places {
		if s := &places[i]; s.busy && (l.solved[s.row] || s.call == l.calls) {
			s.busy = false
			l.p.Progress.Advance(1)
		}
	}
	for _, part := range []struct {
		places []int
		images func() *tensors.Tensor
	}{{solved, l.found}, {ended, l.best}} {
		if len(part.places) == 0 {
			continue
		}
		images, err := tensors.CopyFlatData[float32](part.images())
		if err != nil {
			return err
		}
		for _, i := range part.places {
			copy(l.result[places[i].row*size:(places[i].row+1)*size], images[i*size:])
		}
	}
	return nil
}

// Compiling the step for a smaller batch takes about as long as this many calls.
const worthCompiling = 100

// fitting is the batch size for that many searches: the victim's, a quarter or a sixteenth of it.
func (l *lanes) fitting(searches int) int {
	places := l.v.Batch
	for range 2 {
		if small := places / 4; small >= searches && small > 0 && l.calls >= worthCompiling {
			places = small
		}
	}
	return places
}

// left is the longest that a search still has to go.
func (l *lanes) left(places []place) (calls int) {
	for _, s := range places {
		if s.busy {
			calls = max(calls, l.calls-s.call)
		}
	}
	return calls
}

func (l *lanes) shrink(places []place, small int) ([]place, error) {
	var from []int
	kept := make([]place, 0, small)
	for i, s := range places {
		if s.busy {
			from, kept = append(from, i), append(kept, s)
		}
	}
	return append(kept, make([]place, small-len(kept))...), l.keep(from, small)
}

// random is the generator of a search: what it draws depends on nothing but seed and search.
func (l *lanes) random(s search) *rand.Rand {
	return rand.New(rand.NewPCG(uint64(l.p.Seed), uint64(s.row)<<32|uint64(s.restart)<<16|uint64(s.target+1)))
}

// images returns the clean images of all places, [places, InputShape...].
func (l *lanes) images(places []place) *tensors.Tensor {
	rows := make([]int, len(places))
	for i, s := range places {
		rows[i] = s.row
	}
	flat := nets.PickRows(l.clean, len(l.clean)/l.n(), rows)
	return tensors.FromFlatDataAndDimensions(flat, append([]int{len(places)}, l.v.Model.InputShape...)...)
}

// ints returns a class of each place, int32 [places].
func ints(places []place, class func(s search) int32) *tensors.Tensor {
	out := make([]int32, len(places))
	for i, s := range places {
		out[i] = class(s.search)
	}
	return tensors.FromFlatDataAndDimensions(out, len(out))
}

// moveRows returns a tensor with the given rows of t first; the others are zero.
func moveRows(t *tensors.Tensor, from []int, rows int) (*tensors.Tensor, error) {
	flat, err := tensors.CopyFlatData[float32](t)
	if err != nil {
		return nil, err
	}
	dims := slices.Clone(t.Shape().Dimensions)
	size := len(flat) / dims[0]
	dims[0] = rows
	out := append(nets.PickRows(flat, size, from), make([]float32, (rows-len(from))*size)...)
	return tensors.FromFlatDataAndDimensions(out, dims...), nil
}
