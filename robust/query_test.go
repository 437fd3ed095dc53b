package robust_test

import (
	"context"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/oracle"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/attack"
)

// elsewhere is a linear classifier that is asked, and counts.
type elsewhere struct {
	oracle.Linear
	scores bool
	asked  int
}

func (*elsewhere) Name() string    { return "elsewhere" }
func (*elsewhere) Notes() []string { return nil }
func (e *elsewhere) Classes() int  { return len(e.B) }
func (e *elsewhere) Scores() bool  { return e.scores }

func (e *elsewhere) Ask(_ context.Context, pixels []float32, n int) (logits []float32, classes []int32, err error) {
	e.asked += n
	for i := range n {
		x := pixels[i*len(pixels)/n : (i+1)*len(pixels)/n]
		classes = append(classes, e.Predict(x))
		for k := range e.B {
			z := float64(e.B[k])
			for j, w := range e.W {
				z += float64(w[k]) * float64(x[j])
			}
			logits = append(logits, float32(z))
		}
	}
	if !e.scores {
		logits = nil
	}
	return logits, classes, nil
}

// asker is an attack that asks about each example twice and gives up.
type asker struct {
	access robust.Access
	rows   func(n int) []int
	seen   *robust.Answers
}

func (*asker) Name() string            { return "asker" }
func (a *asker) Access() robust.Access { return a.access }

func (a *asker) Perturb(ctx context.Context, v *robust.Victim, p robust.Problem) (found *robust.Perturbation, err error) {
	pixels := tensors.MustCopyFlatData[float32](p.Images)
	a.seen, err = v.Query(ctx, a.rows(p.Images.Shape().Dimensions[0]), append(pixels, pixels...))
	return &robust.Perturbation{}, err
}

func twice(n int) []int { return append(robust.Rows(n), robust.Rows(n)...) }

// A model that is here and one that is elsewhere answer alike, by the access that the attack has, and every question is
// booked on its example.
func TestQuery(t *testing.T) {
	l := oracle.RandomLinear(6, 3, 1)
	e := testengine.Quick(t)
	here, err := robust.NewVictim(e, l.Model(0, 1), 4)
	require.NoError(t, err)
	far := &elsewhere{Linear: l, scores: true}
	there, err := robust.NewRemoteVictim(e, far, []int{6}, 0, 1, 4)
	require.NoError(t, err)
	p := robust.Problem{Threat: robust.Threat{Norm: robust.Linf, Epsilon: 0.1}}
	rows := make([][]float32, 7)
	for i := range rows {
		rows[i] = []float32{0.1 * float32(i), 0.9, 0.3, 0.05 * float32(i), 0.5, 1}
	}
	p.Images = tensors.FromValue(rows)
	for _, access := range []robust.Access{robust.Decisions, robust.Scores} {
		var seen []*robust.Answers
		for _, v := range []*robust.Victim{here, there} {
			before := far.asked
			a := &asker{access: access, rows: twice}
			o, err := robust.Evaluate(t.Context(), v, a, p)
			require.NoError(t, err)
			require.Equal(t, []int64{2, 2, 2, 2, 2, 2, 2}, o.Queries)
			require.NoError(t, o.Void())
			seen = append(seen, a.seen)
			if v == there {
				require.EqualValues(t, 14, o.Referee, "clean and final predictions")
				require.Equal(t, 28, far.asked-before)
			} else {
				require.Zero(t, o.Referee)
			}
		}
		require.Equal(t, seen[0].Classes, seen[1].Classes)
		require.InDeltaSlice(t, seen[0].Logits, seen[1].Logits, 1e-5)
		require.Equal(t, access == robust.Scores, seen[0].Logits != nil)
		for _, c := range seen[0].Classes {
			require.Less(t, c, int32(3))
		}
	}
	for _, v := range []*robust.Victim{here, there} {
		before := far.asked
		_, err = robust.Evaluate(t.Context(), v, &asker{rows: func(n int) []int { return append(robust.Rows(n), make([]int, n)...) }}, p)
		require.NoError(t, err)
		far.asked = before
		_, err = robust.Evaluate(t.Context(), v, &asker{rows: func(n int) []int { return append(robust.Rows(n), n+n, n, n, n, n, n, n) }}, p)
		require.ErrorContains(t, err, "must be booked")
		_, err = robust.Evaluate(t.Context(), v, &asker{rows: robust.Rows}, p)
		require.ErrorContains(t, err, "84 pixels for 7 images of 6")
	}
}

// What a model elsewhere cannot give is refused in one line, before it is asked anything.
func TestElsewhereRefuses(t *testing.T) {
	l := oracle.RandomLinear(6, 3, 1)
	far := &elsewhere{Linear: l}
	v, err := robust.NewRemoteVictim(testengine.Quick(t), far, []int{6}, 0, 1, 0)
	require.NoError(t, err)
	require.Equal(t, robust.Decisions, v.Gives())
	p := robust.Problem{Images: tensors.FromValue([][]float32{{0, 0, 0, 1, 1, 1}}), Threat: robust.Threat{Norm: robust.Linf, Epsilon: 0.1}}
	_, err = robust.Evaluate(t.Context(), v, attack.SquareAttack{}, p)
	require.ErrorContains(t, err, "needs scores, but elsewhere gives decisions only")
	far.scores = true
	_, err = robust.Evaluate(t.Context(), v, attack.PGD{}, p)
	require.ErrorContains(t, err, "needs gradients, but elsewhere gives scores only")
	require.Zero(t, far.asked)
	_, err = v.Predictions(t.Context(), p.Images, []*tensors.Tensor{p.Images})
	require.ErrorContains(t, err, "weights cannot be replaced")

	far.scores = false
	broken := errors.New("the line is dead")
	bad, err := robust.NewRemoteVictim(testengine.Quick(t), mute{far, broken}, []int{6}, 0, 1, 0)
	require.NoError(t, err)
	_, err = robust.Evaluate(t.Context(), bad, &asker{rows: twice}, p)
	require.ErrorIs(t, err, broken)
	few, err := robust.NewRemoteVictim(testengine.Quick(t), mute{far, nil}, []int{6}, 0, 1, 0)
	require.NoError(t, err)
	_, err = robust.Evaluate(t.Context(), few, &asker{rows: twice}, p)
	require.ErrorContains(t, err, "answered 0 classes and 0 scores for 1 images of 3 classes")
}

// mute gives no answers.
type mute struct {
	*elsewhere
	err error
}

func (m mute) Ask(context.Context, []float32, int) ([]float32, []int32, error) {
	return nil, nil, m.err
}

// Square asks a model elsewhere between the halves of its step what it asks one that is here within it.
func TestSquareElsewhere(t *testing.T) {
	l := oracle.RandomLinear(30, 3, 7)
	e := testengine.Quick(t)
	here, err := robust.NewVictim(e, l.Model(0, 1), 8)
	require.NoError(t, err)
	far := &elsewhere{Linear: l, scores: true}
	there, err := robust.NewRemoteVictim(e, far, []int{30}, 0, 1, 5)
	require.NoError(t, err)
	rows := make([][]float32, 20)
	for i := range rows {
		rows[i] = make([]float32, 30)
		for j := range rows[i] {
			rows[i][j] = float32((i*31+j*17)%29) / 28
		}
	}
	for _, norm := range []robust.Norm{robust.Linf, robust.L2} {
		p := robust.Problem{Images: tensors.FromValue(rows), Threat: robust.Threat{Norm: norm, Epsilon: 0.02}, Seed: 3}
		if norm == robust.L2 {
			p.Threat.Epsilon = 0.15
		}
		want, err := robust.Evaluate(t.Context(), here, attack.SquareAttack{Queries: 120}, p)
		require.NoError(t, err)
		before := far.asked
		got, err := robust.Evaluate(t.Context(), there, attack.SquareAttack{Queries: 120}, p)
		require.NoError(t, err)
		require.Equal(t, want.Success, got.Success)
		require.Equal(t, want.Queries, got.Queries)
		require.Positive(t, want.SuccessRate)
		require.Less(t, want.SuccessRate, 1.0)
		booked := int64(40)
		for _, q := range got.Queries {
			booked += q
		}
		require.EqualValues(t, booked, far.asked-before, "queries that were asked are those reported, and the referee's 40")

		// In l2 each step takes roots of what the norm leaves, so that a bit of difference between the two programs grows with steps.
		few := attack.SquareAttack{Queries: map[robust.Norm]int{robust.Linf: 120, robust.L2: 20}[norm]}
		want, err = robust.Evaluate(t.Context(), here, few, p)
		require.NoError(t, err)
		got, err = robust.Evaluate(t.Context(), there, few, p)
		require.NoError(t, err)
		require.InDeltaSlice(t, tensors.MustCopyFlatData[float32](want.Perturbed), tensors.MustCopyFlatData[float32](got.Perturbed), 1e-6)
	}
}
