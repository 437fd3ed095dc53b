package attack_test

import (
	"context"
	"math"
	"os"
	"testing"
	"time"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/oracle"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/attack"
)

// members are those of AutoAttack, made short.
func members() []robust.Attack {
	return []robust.Attack{attack.APGD{Steps: 6}, attack.APGD{Steps: 6, Loss: robust.DLR, Targets: 4},
		attack.FAB{Steps: 6, Targets: 4, EarlyStop: true}, attack.SquareAttack{Queries: 40}}
}

// besieged is the network that ensembles attack in batches of eight, compiled once for all tests, at a radius where
// some of the 40 examples fall.
func besieged(t *testing.T) (*robust.Victim, robust.Problem) {
	t.Helper()
	if siege.v == nil {
		m, p := convolutional(t, 40)
		p.Threat.Epsilon = 0.01
		v, err := robust.NewVictim(testengine.Quick(t), m, 8)
		require.NoError(t, err)
		siege.v, siege.p = v, p
	}
	return siege.v, siege.p
}

var siege struct {
	v *robust.Victim
	p robust.Problem
}

// TestEnsemble: the ensemble leaves no more standing than each member alone, a member runs on what those before it left
// only, and the stages add up to the referee's count.
func TestEnsemble(t *testing.T) {
	v, p := besieged(t)
	o := evaluate(t, v, attack.AutoAttack{Members: members()}, p)
	require.Len(t, o.Stages, 4)
	standing := 40
	for i, s := range o.Stages {
		t.Logf("%s: %d of %d fell", s.Attack, s.Fell, s.Attacked)
		require.Equal(t, members()[i].Name(), s.Attack)
		require.Equal(t, standing, s.Attacked)
		standing -= s.Fell
	}
	require.InDelta(t, float64(standing)/40, o.RobustAccuracy, 1e-12)
	require.Positive(t, standing)
	require.Less(t, standing, 40)
	for _, a := range members() {
		alone := evaluate(t, v, a, p)
		require.LessOrEqual(t, o.RobustAccuracy, alone.RobustAccuracy, a.Name())
	}
	// Gradients were booked on all, in numbers that the first member alone explains where it was enough.
	for i, solved := range o.Success {
		require.Positive(t, o.Grads[i])
		if !solved {
			require.GreaterOrEqual(t, o.Queries[i], int64(7+4*7+40+4)) // three members, and one look after each of four
		}
	}
	p.Threat.Epsilon = 0
	require.Equal(t, tensors.MustCopyFlatData[float32](p.Images), perturb(t, v, attack.AutoAttack{Members: members()}, p))
}

// TestResume: an ensemble that is stopped goes on to the same bytes and books, without doing again what was done.
func TestResume(t *testing.T) {
	v, p := besieged(t)
	want := evaluate(t, v, attack.AutoAttack{Members: members()}, p)

	dir := t.TempDir()
	for _, batches := range []int{1, 6, 8, 10} { // that are done when the run is stopped
		ctx, cancel := context.WithCancel(context.Background())
		q := p
		q.Progress = &canceler{left: batches, cancel: cancel}
		_, err := robust.Evaluate(ctx, v, attack.AutoAttack{Members: members(), Dir: dir}, q)
		require.ErrorIs(t, err, context.Canceled)
		require.Len(t, written(t, dir), batches)
	}
	for range 2 {
		before := written(t, dir)
		got := evaluate(t, v, attack.AutoAttack{Members: members(), Dir: dir}, p)
		require.Equal(t, tensors.MustCopyFlatData[float32](want.Perturbed), tensors.MustCopyFlatData[float32](got.Perturbed))
		require.Equal(t, want.Queries, got.Queries)
		require.Equal(t, want.Grads, got.Grads)
		require.Equal(t, want.Success, got.Success)
		after := written(t, dir)
		for name, time := range before {
			require.Equal(t, time, after[name], "a batch is done again")
		}
	}
	before := len(written(t, dir))
	p.Threat.Epsilon = 0.011 // another problem
	_ = evaluate(t, v, attack.AutoAttack{Members: members()[:1], Dir: dir}, p)
	require.Greater(t, len(written(t, dir)), before)
}

// canceler stops a run after so many batches.
type canceler struct {
	report.Silent
	left   int
	cancel func()
}

func (c *canceler) Advance(int) {
	if c.left--; c.left == 0 {
		c.cancel()
	}
}

// written returns the files of a folder and when they were written.
func written(t *testing.T, dir string) map[string]time.Time {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	times := map[string]time.Time{}
	for _, e := range entries {
		info, err := e.Info()
		require.NoError(t, err)
		times[e.Name()] = info.ModTime()
	}
	return times
}

// TestStandard: the name is for all four members only, and settings that mean nothing are errors.
func TestStandard(t *testing.T) {
	require.Equal(t, "autoattack(standard)", attack.AutoAttack{}.Name())
	require.NotContains(t, attack.AutoAttack{Members: attack.Standard(10)[:3]}.Name(), "standard")
	require.Len(t, attack.Standard(10), 4)
	require.Equal(t, attack.APGD{Loss: robust.DLR, Targets: 9}, attack.Standard(1000)[1])
	require.Equal(t, attack.APGD{Loss: robust.DLR, Targets: 4}, attack.Standard(5)[1])
	require.Equal(t, robust.Scores, attack.AutoAttack{Members: []robust.Attack{attack.SquareAttack{}}}.Access())

	v, p := perceptron(t, 4, 3) // of three classes
	l1 := p
	l1.Threat.Norm = robust.L1
	weights := p
	weights.Threat.Weights = []float64{0.1}
	for _, c := range []struct {
		attack robust.Attack
		p      robust.Problem
		want   string
	}{
		{attack.AutoAttack{Version: "plus"}, p, `Version = "plus"`},
		{attack.AutoAttack{Version: "standard", Members: members()}, p, "give one of the two"},
		{attack.AutoAttack{Members: []robust.Attack{nil}}, p, "Members[0] is nil"},
		{attack.AutoAttack{}, l1, "not for l1"},
		{attack.AutoAttack{}, weights, "moves inputs only"},
		{attack.APGD{}, weights, "moves inputs only"},
		{attack.APGD{Steps: -1}, p, "Steps = -1"},
		{attack.APGD{Restarts: -1}, p, "Restarts = -1"},
		{attack.APGD{Targets: -1}, p, "Targets = -1"},
		{attack.APGD{Targets: 2, Loss: robust.DLR}, p, "dlr: needs >= 4 classes, got 3"},
		{attack.PGD{MultiTarget: true, Loss: robust.DLR}, p, "dlr: needs >= 4 classes, got 3"},
		{attack.APGD{Loss: 7}, p, "Loss = 7"},
		{attack.APGD{}, l1, "not in l1"},
		{attack.SquareAttack{}, l1, "not in l1"},
		{attack.SquareAttack{Queries: -5}, p, "Queries = -5"},
		{attack.SquareAttack{PInit: 1.5}, p, "PInit = 1.5"},
		{attack.SquareAttack{Restarts: -5}, p, "Restarts = -5"},
		{attack.PGD{Loss: 9}, p, "Loss = 9"},
	} {
		_, err := robust.Evaluate(context.Background(), v, c.attack, c.p)
		require.ErrorContains(t, err, c.want, c.attack.Name())
		require.NotContains(t, err.Error(), "\n")
	}
}

// TestFewClasses: with two and three classes, where DLR towards a target does not exist, AutoAttack finds what linear
// classifiers lose by their closed form, towards targets too; its name says what stands in for DLR, and those of attacks
// towards classes how many there are.
func TestFewClasses(t *testing.T) {
	for _, classes := range []int32{2, 3} {
		l := oracle.RandomLinear(30, int(classes), 7)
		x, rows, labels := images(l, 24, 11)
		v, err := robust.NewVictim(testengine.Quick(t), l.Model(0, 1), 24)
		require.NoError(t, err)
		p := robust.Problem{Images: x, Goal: robust.Goal{Labels: labels}, Threat: robust.Threat{Epsilon: 0.06}, Seed: 3}
		a := robust.For(attack.AutoAttack{}, v.Model)
		require.Equal(t, "autoattack(standard, margin for dlr)", a.Name())
		members := attack.Standard(int(classes))
		require.Equal(t, attack.APGD{Loss: robust.Margin, Targets: int(classes) - 1}, members[1])
		members[3] = attack.SquareAttack{Queries: 40}
		ensemble := attack.AutoAttack{Members: members}

		o, err := robust.Evaluate(context.Background(), v, ensemble, p)
		require.NoError(t, err)
		fell := 0
		for i := range rows {
			if worst := l.WorstMargin(rows[i], labels[i], "linf", 0.06, 0, 1); math.Abs(worst) > 1e-4 {
				require.Equal(t, worst < 0, o.Success[i], "%d classes, example %d: margin %g", classes, i, worst)
			}
			if o.Success[i] {
				fell++
			}
		}
		require.Positive(t, fell)
		require.Less(t, fell, len(rows))

		targeted := p
		targeted.Goal.Targets = make([]int32, len(labels))
		for i, y := range labels {
			targeted.Goal.Targets[i] = (y + 1) % classes
		}
		reached, err := robust.Evaluate(context.Background(), v, ensemble, targeted)
		require.NoError(t, err)
		for i, success := range reached.Success {
			if classes == 2 { // the same problem
				require.Equal(t, o.Success[i], success, "example %d", i)
			}
			require.True(t, !success || o.Success[i], "%d classes, example %d reaches its target but leaves no label", classes, i)
		}

		if classes == 2 {
			continue
		}
		for _, c := range []struct {
			many, all robust.Attack
		}{
			{attack.APGD{Steps: 5, Targets: 9}, attack.APGD{Steps: 5, Targets: int(classes) - 1}},
			{attack.FAB{Steps: 5, Targets: 9}, attack.FAB{Steps: 5, Targets: int(classes) - 1}},
		} {
			many, err := robust.Evaluate(context.Background(), v, c.many, p)
			require.NoError(t, err)
			all, err := robust.Evaluate(context.Background(), v, c.all, p)
			require.NoError(t, err)
			require.Equal(t, c.all.Name(), many.Attack)
			require.Equal(t, tensors.MustCopyFlatData[float32](all.Perturbed), tensors.MustCopyFlatData[float32](many.Perturbed))
		}
	}
	four := oracle.RandomLinear(5, 4, 1).Model(0, 1)
	require.Equal(t, "autoattack(standard)", robust.For(attack.AutoAttack{}, four).Name())
	require.Equal(t, "cw(search=9, steps=1000, rate=0.01, targets=3)", robust.For(attack.CW{Targets: 9}, four).Name())
	require.Equal(t, attack.Filtered{Attack: attack.APGD{Targets: 3}}, robust.For(attack.Filtered{Attack: attack.APGD{Targets: 9}}, four))
}
