package fit

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
)

// loose is a state of tensors that are in no store.
type loose []*tensors.Tensor

func (l *loose) Collect() (all []Variable, err error) {
	for i, t := range *l {
		v, err := Keep(string(rune('a'+i)), t, i == 0)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}

func (l *loose) Restore(all []Variable) (err error) {
	for i, v := range all {
		if (*l)[i], err = v.Tensor(); err != nil {
			return err
		}
	}
	return nil
}

// ball rolls down a parabola: one executable finds the slope, another moves place and speed. Its notes are its heights.
type ball struct {
	state       loose
	heights     []float64
	slope, move *Exec
	made        []int // the steps that were made
}

func newBall(t *testing.T) *ball {
	slope, move := rolling(t)
	return &ball{state: loose{tensors.FromValue([]float32{3, -2}), tensors.FromValue([]float32{0, 0})}, slope: slope, move: move}
}

// rolling is compiled once for all balls.
func rolling(t *testing.T) (slope, move *Exec) {
	once.Do(func() {
		e := testengine.Quick(t)
		var err error
		slopeOnce, err = NewExec(e.Backend(), func(x *Node) (*Node, *Node) {
			height := ReduceAllSum(Square(x))
			return height, Gradient(height, x)[0]
		})
		require.NoError(t, err)
		moveOnce, err = NewExec(e.Backend(), func(x, speed, slope *Node) (*Node, *Node) {
			speed = Sub(MulScalar(speed, 0.9), MulScalar(slope, 0.05))
			return Add(x, speed), speed
		})
		require.NoError(t, err)
	})
	return slopeOnce, moveOnce
}

var (
	once                sync.Once
	slopeOnce, moveOnce *Exec
)

func (b *ball) loop(key string, steps int) *Loop {
	return &Loop{Kind: "ball", Name: "rolling", Key: key, State: &b.state, Notes: &b.heights,
		Stretches: []Stretch{{"down", steps / 2}, {"none", 0}, {"up", steps - steps/2}},
		Step: func(_ context.Context, i int) error {
			b.made = append(b.made, i)
			found, err := b.slope.Call(b.state[0])
			if err != nil {
				return err
			}
			b.heights = append(b.heights, float64(tensors.ToScalar[float32](found[0])))
			b.state, err = b.move.Call(b.state[0], b.state[1], found[1])
			return err
		}}
}

// Tensors that are in no store, several executables and notes: stopped after any step, in either stretch, or damaged, the
// loop ends with the same bytes.
func TestLoopOfLooseTensors(t *testing.T) {
	const steps = 9
	want, dir := t.TempDir(), t.TempDir()
	b := newBall(t)
	require.NoError(t, b.loop("k", steps).Run(t.Context(), Options{Dir: want}))
	require.Len(t, b.heights, steps)
	require.Less(t, b.heights[steps-1], b.heights[0]/2)
	for stop := 1; stop < steps; stop++ {
		require.NoError(t, os.RemoveAll(dir))
		ctx, cancel := context.WithCancel(t.Context())
		first := newBall(t)
		p := &counter{each: func(int) {
			if len(first.made) == stop {
				cancel()
			}
		}}
		require.ErrorIs(t, first.loop("k", steps).Run(ctx, Options{Dir: dir, Progress: p}), context.Canceled)
		again := newBall(t)
		p = &counter{}
		require.NoError(t, again.loop("k", steps).Run(t.Context(), Options{Dir: dir, Progress: p, Label: "roll"}))
		require.Equal(t, stop, again.made[0])
		require.Len(t, again.made, steps-stop)
		require.Equal(t, "roll, up", p.tasks[len(p.tasks)-1])
		require.Equal(t, len(p.tasks), p.ended)
		require.Equal(t, b.heights, again.heights)
		same(t, want, dir)
	}
	found := newBall(t)
	require.NoError(t, found.loop("k", steps).Run(t.Context(), Options{Dir: dir}))
	require.Empty(t, found.made)
	require.Equal(t, b.heights, found.heights)
	require.True(t, b.state[0].Equal(found.state[0]))

	// What lies under this training's name and is not this training counts as absent.
	path := filepath.Join(dir, "ball-k.bin")
	good, err := os.ReadFile(path)
	require.NoError(t, err)
	other := t.TempDir()
	require.NoError(t, newBall(t).loop("other", steps).Run(t.Context(), Options{Dir: other}))
	another, err := os.ReadFile(filepath.Join(other, "ball-other.bin"))
	require.NoError(t, err)
	for what, data := range map[string][]byte{"of another key": another, "cut off": good[:len(good)-1],
		"of an older format": append([]byte(oldMagic), good[len(magic):]...)} {
		require.NoError(t, os.WriteFile(path, data, 0o644))
		require.NoError(t, os.WriteFile(filepath.Join(dir, ".ball-k.bin123"), data, 0o644)) // a killed writer's
		anew := newBall(t)
		require.NoError(t, anew.loop("k", steps).Run(t.Context(), Options{Dir: dir}))
		require.Len(t, anew.made, steps, what)
		same(t, want, dir)
	}
}

// A weight that is not finite ends the loop, as does the step's own error or check, and nothing is kept.
func TestLoopErrors(t *testing.T) {
	for want, change := range map[string]func(b *ball, l *Loop){
		"ball: rolling: weight a is not finite after step 3: ": func(b *ball, l *Loop) {
			inner := l.Step
			l.Step = func(ctx context.Context, i int) error {
				err := inner(ctx, i)
				if i == 2 {
					b.state[0] = tensors.FromValue([]float32{0, float32(math.Inf(1))})
				}
				return err
			}
		},
		"ball: rolling: the step slipped": func(_ *ball, l *Loop) {
			l.Step = func(context.Context, int) error { return errors.New("the step slipped") }
		},
		"ball: rolling: the check failed": func(_ *ball, l *Loop) { l.Check = func() error { return errors.New("the check failed") } },
	} {
		dir := t.TempDir()
		b := newBall(t)
		l := b.loop("k", 6)
		change(b, l)
		require.ErrorContains(t, l.Run(t.Context(), Options{Dir: dir, CheckpointEvery: -1}), want)
		for _, f := range b.made {
			require.Less(t, f, 3)
		}
		data, err := os.ReadFile(filepath.Join(dir, "ball-k.bin"))
		if err == nil {
			c, err := decode(data[len(magic)+32:])
			require.NoError(t, err)
			require.Equal(t, 2, c.Step, "the last that was well")
			require.Equal(t, int32(dtypes.Float32), c.Variables[0].DType)
		}
	}
}

// A step may skip those that are not needed; they count as done.
func TestLoopSkips(t *testing.T) {
	var made []int
	var l *Loop
	none := loose{}
	l = &Loop{Kind: "x", Name: "x", State: &none, Stretches: []Stretch{{"a", 5}, {"b", 3}}, Step: func(_ context.Context, i int) error {
		if made = append(made, i); i == 1 {
			l.SkipTo(5)
		}
		return nil
	}}
	p := &counter{each: func(int) {}}
	require.NoError(t, l.Run(t.Context(), Options{Progress: p}))
	require.Equal(t, []int{0, 1, 5, 6, 7}, made)
	require.Equal(t, 3, p.last)
	require.Equal(t, 2, p.ended)
}
