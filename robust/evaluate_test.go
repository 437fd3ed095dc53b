package robust_test

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/oracle"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/robust"
)

// The model of these tests is x → (x_0, x_1, x_2) on three pixels in [0, 1]: the class is the brightest pixel.
var brightest = oracle.Linear{W: [][]float32{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}, B: make([]float32, 3)}

func victim(t *testing.T, batch int) *robust.Victim {
	t.Helper()
	v, err := robust.NewVictim(testengine.Quick(t), brightest.Model(0, 1), batch)
	require.NoError(t, err)
	return v
}

// fake is an attack made of a function; found is what it claims.
type fake struct {
	access robust.Access
	run    func(v *robust.Victim, p robust.Problem) (*robust.Perturbation, error)
}

func (fake) Name() string            { return "fake" }
func (f fake) Access() robust.Access { return f.access }
func (f fake) Perturb(_ context.Context, v *robust.Victim, p robust.Problem) (*robust.Perturbation, error) {
	return f.run(v, p)
}

// returning is an attack that answers with the given images, whatever it is asked.
func returning(images ...[]float32) fake {
	return fake{robust.Decisions, func(*robust.Victim, robust.Problem) (*robust.Perturbation, error) {
		return &robust.Perturbation{Images: tensors.FromValue(images)}, nil
	}}
}

// three examples of classes 0, 1, 2; the last is labeled wrongly in some tests.
func problem(epsilon float64) robust.Problem {
	return robust.Problem{
		Images: tensors.FromValue([][]float32{{0.5, 0.4, 0}, {0.1, 0.9, 0.2}, {0, 0, 0.3}}),
		Goal:   robust.Goal{Labels: []int32{0, 1, 2}},
		Threat: robust.Threat{Norm: robust.Linf, Epsilon: epsilon},
	}
}

func raised(o *robust.Outcome) (names []string) {
	for _, c := range o.Checks {
		if c.Raised {
			names = append(names, c.Name)
		}
	}
	return names
}

func TestEvaluateHonest(t *testing.T) {
	o, err := robust.Evaluate(context.Background(), victim(t, 2),
		returning([]float32{0.4, 0.5, 0}, []float32{0.2, 0.8, 0.2}, []float32{0.1, 0, 0.2}), problem(0.1))
	require.NoError(t, err)
	require.Equal(t, []bool{true, false, false}, o.Success)
	require.Equal(t, []int32{0, 1, 2}, o.Clean)
	require.Equal(t, []int32{1, 1, 2}, o.Final)
	require.Equal(t, 1.0, o.CleanAccuracy)
	require.InDelta(t, 2./3, o.RobustAccuracy, 1e-12)
	require.InDelta(t, 1./3, o.SuccessRate, 1e-12)
	require.InDelta(t, 0.1, o.MedianNorm, 1e-6)
	require.InDelta(t, 0.1, o.MaxNorm, 1e-6)
	require.Equal(t, 3, o.Attacked)
	require.Empty(t, raised(o))
}

// TestEvaluateNorms measures one perturbation in each norm.
func TestEvaluateNorms(t *testing.T) {
	for norm, want := range map[robust.Norm]float64{robust.Linf: 0.4, robust.L2: 0.5, robust.L1: 0.7} {
		p := robust.Problem{Images: tensors.FromValue([][]float32{{0.5, 0.4, 0}}), Goal: robust.Goal{Labels: []int32{0}},
			Threat: robust.Threat{Norm: norm, Epsilon: want}}
		moved := []float32{0.1, 0.7, 0}
		o, err := robust.Evaluate(context.Background(), victim(t, 1), returning(moved), p)
		require.NoError(t, err)
		require.InDelta(t, want, o.Norms[0], 1e-6, norm)
		require.Empty(t, raised(o), norm)
		p.Threat.Epsilon = want - 1e-4
		o, err = robust.Evaluate(context.Background(), victim(t, 1), returning(moved), p)
		require.NoError(t, err)
		require.Equal(t, []string{"budget"}, raised(o), norm)
		require.Equal(t, 1.0, o.RobustAccuracy, norm)
	}
}

// TestEvaluateCatchesCheats: what breaks the rules does not count, and raises the check of its name.
func TestEvaluateCatchesCheats(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	stay := [][]float32{{0.5, 0.4, 0}, {0.1, 0.9, 0.2}, {0, 0, 0.3}}
	for name, c := range map[string]struct {
		first  []float32 // the answer to the first example; the others are moved harmlessly
		checks []string
	}{
		"over budget":             {[]float32{0.3, 0.6, 0}, []string{"budget"}},
		"barely over budget":      {[]float32{0.5 - 0.1, 0.4 + 0.100002, 0}, []string{"budget"}},
		"below the bounds":        {[]float32{0.4, 0.5, -0.05}, []string{"bounds"}},
		"over budget and bounds":  {[]float32{0.4, 2, 0}, []string{"budget", "bounds"}},
		"NaN":                     {[]float32{0.4, nan, 0}, []string{"finite"}},
		"infinite":                {[]float32{0.4, inf, 0}, []string{"finite"}},
		"minus infinite":          {[]float32{-inf, 0.4, 0}, []string{"finite"}},
		"unmoved":                 {[]float32{0.5, 0.4, 0}, []string{"unmoved"}},
		"moved without a success": {[]float32{0.6, 0.4, 0}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := robust.Evaluate(context.Background(), victim(t, 2),
				returning(c.first, []float32{0.1, 0.95, 0.2}, []float32{0, 0, 0.35}), problem(0.1))
			require.NoError(t, err)
			require.Equal(t, c.checks, raised(o))
			require.Equal(t, []bool{false, false, false}, o.Success)
			require.Equal(t, 1.0, o.RobustAccuracy)
			require.Zero(t, o.SuccessRate)
			require.Zero(t, o.MedianNorm)
			require.Falsef(t, math.IsNaN(o.MaxNorm), "figures go to JSON, which has no NaN")
		})
	}
	t.Run("claims examples it was not given", func(t *testing.T) {
		p := problem(0.5)
		p.Goal.Labels = []int32{1, 1, 2} // the first is lost already: the attack sees two
		o, err := robust.Evaluate(context.Background(), victim(t, 2), returning([]float32{0.6, 0.4, 0.2}, []float32{0.5, 0, 0.3}), p)
		require.NoError(t, err)
		require.Equal(t, []bool{false, true, true}, o.Success)
		require.Equal(t, 2, o.Attacked)
		require.InDelta(t, 2./3, o.CleanAccuracy, 1e-12)
		require.Zero(t, o.RobustAccuracy)
		require.Equal(t, stay[0], tensors.MustCopyFlatData[float32](o.Perturbed)[:3])
	})
	t.Run("changes the images it was given", func(t *testing.T) {
		p := problem(0.1)
		o, err := robust.Evaluate(context.Background(), victim(t, 2), fake{robust.Decisions,
			func(_ *robust.Victim, p robust.Problem) (*robust.Perturbation, error) {
				tensors.MustMutableFlatData(p.Images, func(pixels []float32) { clear(pixels) })
				return &robust.Perturbation{Images: p.Images}, nil
			}}, p)
		require.NoError(t, err)
		require.Contains(t, raised(o), "budget")
		require.Equal(t, slices.Concat(stay...), tensors.MustCopyFlatData[float32](p.Images))
	})
}

// TestEvaluateCatchesWeightCheats does the same for attacks on weights: weight k of the identity moves.
func TestEvaluateCatchesWeightCheats(t *testing.T) {
	flip := [][]float32{{0.95, 0.05, 0}, {0, 1, 0}, {0, 0, 1}} // logits of (0.5, 0.45, 0): 0.475, 0.475 → class 0
	strong := [][]float32{{0.5, 0.5, 0}, {0, 1, 0}, {0, 0, 1}}
	bias := []float32{0, 0, 0}
	startingWith := func(w float64) [][]float32 { return [][]float32{{float32(w), 0, 0}, {0, 1, 0}, {0, 0, 1}} }
	for name, c := range map[string]struct {
		weights []any
		radii   []float64
		success bool
		checks  []string
	}{
		"inside":               {[]any{strong, bias}, []float64{0.5, 0}, true, nil},
		"over budget":          {[]any{strong, bias}, []float64{0.3, 0}, false, []string{"budget"}},
		"bias over budget":     {[]any{flip, []float32{-1, 1, 0}}, []float64{0.5, 0.5}, false, []string{"budget"}},
		"not allowed at all":   {[]any{strong, bias}, nil, false, []string{"budget", "unmoved"}},
		"NaN":                  {[]any{startingWith(math.NaN()), bias}, []float64{1, 1}, false, []string{"budget"}},
		"infinite":             {[]any{startingWith(math.Inf(1)), bias}, []float64{1, 1}, false, []string{"budget"}},
		"moved without effect": {[]any{flip, bias}, []float64{0.1}, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := robust.Problem{Images: tensors.FromValue([][]float32{{0.5, 0.4, 0}}), Goal: robust.Goal{Labels: []int32{0}},
				Threat: robust.Threat{Epsilon: 0.1, Weights: c.radii}}
			o, err := robust.Evaluate(context.Background(), victim(t, 1), fake{robust.Gradients,
				func(*robust.Victim, robust.Problem) (*robust.Perturbation, error) {
					return &robust.Perturbation{Weights: []*tensors.Tensor{
						tensors.MustFromAnyValue(c.weights[0]), tensors.MustFromAnyValue(c.weights[1])}}, nil
				}}, p)
			require.NoError(t, err)
			require.Equal(t, c.success, o.Success[0])
			require.Equal(t, c.checks, raised(o))
		})
	}
}

// TestEvaluateProtectsTheModel: an attack that writes to the model's own weights is found out, and undone.
func TestEvaluateProtectsTheModel(t *testing.T) {
	zeros := tensors.FromFlatDataAndDimensions(make([]float32, 9), 3, 3)
	for name, spoil := range map[string]func(v *robust.Victim, p robust.Problem) error{
		"on the host": func(v *robust.Victim, _ robust.Problem) error { return v.Model.Weights()[0].SetValue(zeros) },
		"in a graph": func(v *robust.Victim, p robust.Problem) error { // as an attack does that forgets to restore
			step, err := v.Compile("spoil", func(o *robust.Oracle, args []*Node) []*Node {
				w := o.Weights(args[0].Graph())[0]
				v.Model.Weights()[0].SetNodeValue(ZerosLike(w))
				return []*Node{o.Predict(args[0])}
			})
			if err != nil {
				return err
			}
			_, err = step.Call(context.Background(), robust.Rows(3), p.Images)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := victim(t, 3)
			_, err := robust.Evaluate(context.Background(), v, fake{robust.Gradients,
				func(v *robust.Victim, p robust.Problem) (*robust.Perturbation, error) {
					return &robust.Perturbation{Images: p.Images}, spoil(v, p)
				}}, problem(0.1))
			oneLine(t, err, "changed weight /linear/weights")
			classes, err := v.Predictions(context.Background(), problem(0).Images, nil)
			require.NoError(t, err)
			require.Equal(t, []int32{0, 1, 2}, classes)
		})
	}
}

// TestEvaluateRefusesBrokenAnswers: what cannot be judged at all is an error of one line.
func TestEvaluateRefusesBrokenAnswers(t *testing.T) {
	weights := func(w ...*tensors.Tensor) fake {
		return fake{robust.Gradients, func(*robust.Victim, robust.Problem) (*robust.Perturbation, error) {
			return &robust.Perturbation{Weights: w}, nil
		}}
	}
	square, bias := tensors.FromValue([][]float32{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}), tensors.FromValue([]float32{0, 0, 0})
	for name, c := range map[string]struct {
		attack fake
		want   string
	}{
		"shape": {returning([]float32{0, 0, 0}), "shape"},
		"nothing": {fake{robust.Decisions, func(*robust.Victim, robust.Problem) (*robust.Perturbation, error) {
			return nil, nil
		}}, "no perturbation"},
		"own error": {fake{robust.Decisions, func(*robust.Victim, robust.Problem) (*robust.Perturbation, error) {
			return nil, errors.New("lost my way")
		}}, "lost my way"},
		"too few weights":  {weights(square), "1 weight tensors for a model with 2"},
		"nil weight":       {weights(square, nil), "weight"},
		"shape of weights": {weights(tensors.FromFlatDataAndDimensions(make([]float32, 9), 9), bias), "shape"},
		"type of weights":  {weights(tensors.FromFlatDataAndDimensions(make([]float64, 9), 3, 3), bias), "shape"},
		"float64 images": {fake{robust.Decisions, func(_ *robust.Victim, p robust.Problem) (*robust.Perturbation, error) {
			return &robust.Perturbation{Images: tensors.FromFlatDataAndDimensions(make([]float64, 9), 3, 3)}, nil
		}}, "shape"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := robust.Evaluate(context.Background(), victim(t, 2), c.attack, problem(0.1))
			oneLine(t, err, c.want)
		})
	}
}

// oneLine asks for an error of one line that says something.
func oneLine(t *testing.T, err error, want string) {
	t.Helper()
	require.ErrorContains(t, err, want)
	require.NotContains(t, err.Error(), "\n")
}

// TestAccess: an attack gets what it declared and no more.
func TestAccess(t *testing.T) {
	asks := map[robust.Access]func(o *robust.Oracle, args []*Node) []*Node{
		robust.Decisions: func(o *robust.Oracle, args []*Node) []*Node { return []*Node{o.Predict(args[0])} },
		robust.Scores:    func(o *robust.Oracle, args []*Node) []*Node { return []*Node{o.Logits(args[0])} },
		robust.Gradients: func(o *robust.Oracle, args []*Node) []*Node { // of the images alone: needs no model
			return o.Gradient(ReduceAllSum(Square(args[0])), args[0])
		},
	}
	weights := func(o *robust.Oracle, args []*Node) []*Node { return o.Weights(args[0].Graph()) }
	try := func(v *robust.Victim, declared robust.Access, fn func(o *robust.Oracle, args []*Node) []*Node) error {
		_, err := robust.Evaluate(context.Background(), v, fake{declared, func(v *robust.Victim, p robust.Problem) (*robust.Perturbation, error) {
			step, err := v.Compile("probe", fn)
			if err != nil {
				return nil, err
			}
			_, err = step.Call(context.Background(), robust.Rows(3), p.Images)
			return &robust.Perturbation{Images: p.Images}, err
		}}, problem(0.1))
		return err
	}
	for declared := robust.Decisions; declared <= robust.Gradients; declared++ {
		for asked, fn := range asks {
			err := try(victim(t, 3), declared, fn)
			if asked <= declared {
				require.NoErrorf(t, err, "declared %s, asked for %s", declared, asked)
			} else {
				require.ErrorContains(t, err, "declared access to "+declared.String()+" only, but asks for "+asked.String())
			}
		}
	}
	require.ErrorContains(t, try(victim(t, 3), robust.Scores, weights), "declared access to scores only")
	// A step that was compiled under more access is not handed out under less.
	v := victim(t, 3)
	require.NoError(t, try(v, robust.Gradients, asks[robust.Gradients]))
	require.ErrorContains(t, try(v, robust.Decisions, asks[robust.Gradients]), "declared access to decisions only")
}

// TestQueries counts passes exactly, example by example, and refuses to let passes go unbooked.
func TestQueries(t *testing.T) {
	three := func(o *robust.Oracle, args []*Node) []*Node { // three forward passes, one backward pass
		loss := ReduceAllSum(Add(o.Logits(args[0]), o.Logits(OneMinus(args[0]))))
		return append(o.Gradient(loss, args[0]), o.Predict(args[0]))
	}
	run := func(p robust.Problem, body func(v *robust.Victim, step *robust.Step, p robust.Problem) error) (*robust.Outcome, error) {
		return robust.Evaluate(context.Background(), victim(t, 2), fake{robust.Gradients,
			func(v *robust.Victim, p robust.Problem) (*robust.Perturbation, error) {
				step, err := v.Compile("three", three)
				if err != nil {
					return nil, err
				}
				return &robust.Perturbation{Images: p.Images}, body(v, step, p)
			}}, p)
	}
	call := func(v *robust.Victim, step *robust.Step, p robust.Problem, rows []int) error {
		images := rows
		if len(images) == 0 {
			images = []int{0}
		}
		_, err := step.Call(context.Background(), rows, v.Images(tensors.MustCopyFlatData[float32](p.Images), images))
		return err
	}
	o, err := run(problem(0.1), func(v *robust.Victim, step *robust.Step, p robust.Problem) error {
		return errors.WithMessage(cmpErr(call(v, step, p, []int{0, 1}), call(v, step, p, []int{2}), call(v, step, p, []int{2})), "calls")
	})
	require.NoError(t, err)
	require.Equal(t, []int64{3, 3, 6}, o.Queries)
	require.Equal(t, []int64{1, 1, 2}, o.Grads)
	require.InDelta(t, 4, o.MeanQueries, 1e-12)

	// Lost examples are not attacked and cost nothing; the mean is over the attacked ones.
	p := problem(0.1)
	p.Goal.Labels = []int32{1, 1, 2}
	o, err = run(p, func(v *robust.Victim, step *robust.Step, p robust.Problem) error { return call(v, step, p, []int{1}) })
	require.NoError(t, err)
	require.Equal(t, []int64{0, 0, 3}, o.Queries)
	require.InDelta(t, 1.5, o.MeanQueries, 1e-12)

	for name, body := range map[string]func(v *robust.Victim, step *robust.Step, p robust.Problem) error{
		"on no example": func(v *robust.Victim, step *robust.Step, p robust.Problem) error { return call(v, step, p, nil) },
		"on example 7 of 3": func(v *robust.Victim, step *robust.Step, p robust.Problem) error {
			_, err := step.Call(context.Background(), []int{7}, v.Images(make([]float32, 9), []int{0}))
			return err
		},
		"referee's view": func(v *robust.Victim, _ *robust.Step, p robust.Problem) error {
			_, err := v.Predictions(context.Background(), p.Images, nil)
			return err
		},
		"referee's own step": func(v *robust.Victim, _ *robust.Step, p robust.Problem) error {
			step, err := v.Compile("referee", nil)
			if err != nil {
				return err
			}
			return call(v, step, p, []int{0, 1})
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := run(problem(0.1), body)
			require.Error(t, err)
			require.Contains(t, err.Error(), "robust: ")
		})
	}
}

func cmpErr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// TestGoals covers targeted and label-free goals, and examples that are lost before.
func TestGoals(t *testing.T) {
	p := problem(0.5)
	p.Goal = robust.Goal{Labels: []int32{0, 1, 2}, Targets: []int32{1, 2, 0}}
	answers := returning([]float32{0.4, 0.5, 0}, []float32{0.6, 0.5, 0.2}, []float32{0.5, 0.2, 0.3})
	o, err := robust.Evaluate(context.Background(), victim(t, 2), answers, p)
	require.NoError(t, err)
	require.Equal(t, []bool{true, false, true}, o.Success, "the second became 0, not the target 2")
	p.Goal = robust.Goal{}
	o, err = robust.Evaluate(context.Background(), victim(t, 2), answers, p)
	require.NoError(t, err)
	require.Equal(t, []bool{true, true, true}, o.Success)
	require.Equal(t, 1.0, o.CleanAccuracy)
	require.Zero(t, o.RobustAccuracy)
}

// TestBadInput: each mistake gets one line that names it.
func TestBadInput(t *testing.T) {
	with := func(change func(p *robust.Problem)) robust.Problem {
		p := problem(0.1)
		change(&p)
		return p
	}
	nan := float32(math.NaN())
	for want, p := range map[string]robust.Problem{
		"Images is nil":        with(func(p *robust.Problem) { p.Images = nil }),
		"wants float32 [n, 3]": with(func(p *robust.Problem) { p.Images = tensors.FromValue([][]float32{{1, 2}, {1, 2}, {1, 2}}) }),
		"(Float64)[3, 3]":      with(func(p *robust.Problem) { p.Images = tensors.FromFlatDataAndDimensions(make([]float64, 9), 3, 3) }),
		"no images given": with(func(p *robust.Problem) {
			p.Images = tensors.FromFlatDataAndDimensions([]float32{}, 0, 3)
			p.Goal = robust.Goal{}
		}),
		"at [0,1] is not finite": with(func(p *robust.Problem) {
			p.Images = tensors.FromValue([][]float32{{0, nan, 0}, {0, 0, 0}, {0, 0, 0}})
		}),
		"outside the bounds [0, 1]": with(func(p *robust.Problem) {
			p.Images = tensors.FromValue([][]float32{{0, 0, 0}, {0, 0, 1.5}, {0, 0, 0}})
		}),
		"label 3 at row 1":               with(func(p *robust.Problem) { p.Goal.Labels = []int32{0, 3, 1} }),
		"label -1 at row 0":              with(func(p *robust.Problem) { p.Goal.Labels = []int32{-1, 0, 1} }),
		"2 labels for 3 examples":        with(func(p *robust.Problem) { p.Goal.Labels = []int32{0, 1} }),
		"1 targets for 3 examples":       with(func(p *robust.Problem) { p.Goal.Targets = []int32{0} }),
		"targets: nets: label 9":         with(func(p *robust.Problem) { p.Goal.Targets = []int32{1, 2, 9} }),
		"target 1 at row 1":              with(func(p *robust.Problem) { p.Goal.Targets = []int32{1, 1, 1} }),
		"Epsilon = -1":                   with(func(p *robust.Problem) { p.Threat.Epsilon = -1 }),
		"Epsilon = NaN":                  with(func(p *robust.Problem) { p.Threat.Epsilon = math.NaN() }),
		"Epsilon = +Inf":                 with(func(p *robust.Problem) { p.Threat.Epsilon = math.Inf(1) }),
		"Norm = 7":                       with(func(p *robust.Problem) { p.Threat.Norm = 7 }),
		"Weights[0] = -0.5":              with(func(p *robust.Problem) { p.Threat.Weights = []float64{-0.5} }),
		"3 entries for 2 weight tensors": with(func(p *robust.Problem) { p.Threat.Weights = []float64{0, 0.1, 0} }),
	} {
		t.Run(want, func(t *testing.T) {
			_, err := robust.Evaluate(context.Background(), victim(t, 2), returning([]float32{0, 0, 0}), p)
			oneLine(t, err, want)
		})
	}
	_, err := robust.NewVictim(testengine.Quick(t), nil, 1)
	oneLine(t, err, "needs an engine and a model")
	_, err = robust.NewVictim(testengine.Quick(t), brightest.Model(0, 1), -1)
	oneLine(t, err, "batch size -1")
	_, err = robust.ParseNorm("l3")
	oneLine(t, err, `norm "l3"`)
	_, err = robust.ParseLoss("mse")
	oneLine(t, err, `loss "mse"`)
	for _, n := range norms {
		parsed, err := robust.ParseNorm(strings.ToUpper(n.String()))
		require.NoError(t, err)
		require.Equal(t, n, parsed)
	}
}

// TestModelGivesNaN: a broken model is named, not counted as robust.
func TestModelGivesNaN(t *testing.T) {
	broken := oracle.Linear{W: [][]float32{{float32(math.NaN()), 0}, {0, 1}}, B: make([]float32, 2)}
	v, err := robust.NewVictim(testengine.Quick(t), broken.Model(0, 1), 1)
	require.NoError(t, err)
	_, err = robust.Evaluate(context.Background(), v, returning([]float32{0, 0}),
		robust.Problem{Images: tensors.FromValue([][]float32{{1, 0}})})
	oneLine(t, err, "logits of example 0 are NaN or infinite")
}

// TestCanceled: a context that is done stops the evaluation.
func TestCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := robust.Evaluate(ctx, victim(t, 2), returning([]float32{0, 0, 0}), problem(0.1))
	require.ErrorIs(t, err, context.Canceled)
}

// TestLosses compares with plain Go.
func TestLosses(t *testing.T) {
	logits := [][]float64{{1, 2, -1}, {300, -300, 0}, {0, 0, 0}}
	classes := []int32{1, 0, 2}
	for _, loss := range []robust.Loss{robust.CrossEntropy, robust.Margin} {
		for _, targeted := range []bool{false, true} {
			var want []float64
			for i, z := range logits {
				sum, best := 0.0, math.Inf(-1)
				for j, v := range z {
					sum += math.Exp(v - z[classes[i]])
					if int32(j) != classes[i] {
						best = max(best, v-z[classes[i]])
					}
				}
				value := math.Log(sum)
				if loss == robust.Margin {
					value = best
				}
				if targeted {
					value = -value
				}
				want = append(want, value)
			}
			exec, err := NewExec(testengine.Quick(t).Backend(), func(z, y *Node) *Node { return loss.Graph(z, y, targeted) })
			require.NoError(t, err)
			out, err := exec.Call1(rows(logits).tensor(), classes)
			require.NoError(t, err)
			for i, got := range tensors.MustCopyFlatData[float32](out) {
				require.InDelta(t, want[i], float64(got), 1e-5*(1+math.Abs(want[i])), "%s, targeted %t, row %d", loss, targeted, i)
			}
		}
	}
}
