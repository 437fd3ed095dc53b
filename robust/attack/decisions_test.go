package attack_test

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/oracle"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/attack"
)

// plane is a classifier of two classes whose boundary is a plane, and n points at the given distance from it on the side of class
// 0, far from its pixel bounds. Its logits are computed in float64, so that answers do not depend on the batch.
func plane(t *testing.T, d, n, batch int, margin float64) (*robust.Victim, robust.Problem, []float64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(uint64(d), 5))
	l := oracle.Linear{B: []float32{0, 0}}
	w, size := make([]float64, d), 0.0
	for i := range w {
		w[i] = rng.NormFloat64()
		size += w[i] * w[i]
	}
	size = math.Sqrt(size)
	for i := range w {
		w[i] = float64(float32(w[i] / size))
		l.W = append(l.W, []float32{float32(w[i]), 0})
	}
	m := exact(l.Model(-3, 4))
	v, err := robust.NewVictim(testengine.Quick(t), m, batch)
	require.NoError(t, err)
	flat := make([]float32, 0, n*d)
	for range n {
		x, at := make([]float64, d), 0.0
		for i := range x {
			x[i] = rng.Float64()
			at += x[i] * w[i]
		}
		for i := range x {
			flat = append(flat, float32(x[i]+(margin-at)*w[i]))
		}
	}
	p := robust.Problem{Images: tensors.FromFlatDataAndDimensions(flat, n, d), Goal: robust.Goal{Labels: make([]int32, n)},
		Threat: robust.Threat{Norm: robust.L2, Epsilon: math.Inf(1)}, Seed: 3}
	return v, p, w
}

// exact computes the logits of a linear model in float64.
func exact(m *nets.Model) *nets.Model {
	c := *m
	c.Logits = func(scope *model.Scope, x *Node) *Node {
		w := ConvertDType(scope.At("linear").GetVariable("weights").NodeValue(x.Graph()), dtypes.Float64)
		b := ConvertDType(scope.At("linear").GetVariable("biases").NodeValue(x.Graph()), dtypes.Float64)
		return ConvertDType(Add(MatMul(ConvertDType(x, dtypes.Float64), w), InsertAxes(b, 0)), dtypes.Float32)
	}
	return &c
}

// TestDecisionsClosedForm: the distance of a plane is known, and no point nearer is on the other side.
func TestDecisionsClosedForm(t *testing.T) {
	const margin = 0.3
	v, p, w := plane(t, 64, 4, 64, margin)
	for _, c := range []struct {
		attack robust.Attack
		norm   robust.Norm
		most   float64 // times the distance
	}{
		{attack.HopSkipJump{Queries: 20_000, Steps: 40}, robust.L2, 1.015},
		{attack.HopSkipJump{Queries: 6000}, robust.Linf, 1.05},
		{attack.SignOPT{Queries: 4000, Unclipped: true}, robust.L2, 1.01},
		{attack.SignOPT{Queries: 4000}, robust.L2, 1.01},
		{attack.Boundary{}, robust.L2, 1.02},
		{attack.RayS{Tolerance: 1e-4}, robust.Linf, 1.01},
	} {
		p.Threat.Norm = c.norm
		best := margin
		if c.norm == robust.Linf {
			best /= length(robust.L1, w)
		}
		o := evaluate(t, v, c.attack, p)
		require.Zero(t, o.RobustAccuracy)
		t.Logf("%s, %s: %.4f times, %.0f queries", o.Attack, c.norm, o.MedianNorm/best, o.MeanQueries)
		for i, n := range o.Norms {
			require.GreaterOrEqual(t, n, best*(1-1e-4), o.Attack)
			require.LessOrEqual(t, n, best*c.most, "%s, example %d", o.Attack, i)
		}
		if _, ok := c.attack.(attack.HopSkipJump); ok && c.norm == robust.L2 {
			rose, steps := 0, 0
			for _, trace := range o.Traces {
				require.LessOrEqual(t, trace.Steps[20], 1.03*margin)
				for k := 1; k < len(trace.Steps); k++ {
					require.LessOrEqual(t, trace.Steps[k], 1.01*trace.Steps[k-1])
					// From about the tenth step on it gains less than bisections are wide, which is 0.2 % here.
					if steps++; k < 10 && trace.Steps[k] > trace.Steps[k-1] {
						rose++
					}
				}
			}
			require.LessOrEqual(t, 20*rose, steps, "rose in %d of %d steps", rose, steps)
		}
	}
}

// length is the norm of a vector in plain Go.
func length(norm robust.Norm, d []float64) (sum float64) {
	for _, v := range d {
		switch norm {
		case robust.Linf:
			sum = max(sum, math.Abs(v))
		case robust.L2:
			sum += v * v
		default:
			sum += math.Abs(v)
		}
	}
	if norm == robust.L2 {
		return math.Sqrt(sum)
	}
	return sum
}

// falls reports whether distances never rise.
func falls(distances []float64) bool {
	return slices.IsSortedFunc(distances, func(a, b float64) int { return -cmp.Compare(a, b) })
}

// TestRaySClosedForm: its radius never grows, and ends at the optimum once blocks are single pixels.
func TestRaySClosedForm(t *testing.T) {
	v, p, w := plane(t, 16, 6, 6, 0.6)
	p.Threat.Norm = robust.Linf
	o := evaluate(t, v, attack.RayS{Queries: 1000, Tolerance: 2e-4}, p)
	for i, trace := range o.Traces {
		require.True(t, falls(trace.Steps), trace.Steps)
		require.GreaterOrEqual(t, o.Norms[i], 0.6/length(robust.L1, w)*(1-1e-4))
		require.LessOrEqual(t, o.Norms[i], 1.01*0.6/length(robust.L1, w))
		require.Less(t, o.Queries[i], int64(400), "it goes on where nothing helps")
	}
}

// orthonormal draws the rows of a basis of some dimensions.
func orthonormal(dimensions, d int) (basis [][]float64) {
	rng := rand.New(rand.NewPCG(4, 4))
	for len(basis) < dimensions {
		x := make([]float64, d)
		for i := range x {
			x[i] = rng.NormFloat64()
		}
		for i, s := range project(basis, x) {
			x[i] -= s
		}
		size := length(robust.L2, x)
		for i := range x {
			x[i] /= size
		}
		basis = append(basis, x)
	}
	return basis
}

// project returns the part of x that lies in the span of an orthonormal basis.
func project(basis [][]float64, x []float64) []float64 {
	inside := make([]float64, len(x))
	for _, b := range basis {
		at := 0.0
		for i := range b {
			at += b[i] * x[i]
		}
		for i := range b {
			inside[i] += at * b[i]
		}
	}
	return inside
}

// TestDecisionsInSubspace: inside a subspace the nearest point of a plane is at margin/|Sw|. An attack that takes no notice of
// its directions comes nearer.
func TestDecisionsInSubspace(t *testing.T) {
	const margin, d = 0.1, 64
	v, p, w := plane(t, d, 2, 64, margin)
	basis := orthonormal(16, d)
	inside := project(basis, w)
	best := margin / length(robust.L2, inside)
	clean := tensors.MustCopyFlatData[float32](p.Images)
	starts := slices.Clone(clean) // successes inside the subspace, twice as far as need be and not where they are nearest
	for i := range starts {
		starts[i] += float32(-2*best/length(robust.L2, inside)*inside[i%d] + 0.2*basis[3][i%d])
	}
	for _, a := range []robust.Attack{
		attack.HopSkipJump{Queries: 20_000, Steps: 40, Directions: attack.Subspace{Basis: basis}},
		attack.SignOPT{Queries: 4000, Directions: attack.Subspace{Basis: basis}},
		attack.Boundary{Queries: 3000, Directions: attack.Subspace{Basis: basis}},
	} {
		q := p
		q.Starts = tensors.FromFlatDataAndDimensions(starts, 2, d)
		o := evaluate(t, v, a, q)
		moved := tensors.MustCopyFlatData[float32](o.Perturbed)
		for i, n := range o.Norms {
			require.InEpsilon(t, best, n, 0.02, o.Attack)
			delta := make([]float64, d)
			for k := range delta {
				delta[k] = float64(moved[i*d+k]) - float64(clean[i*d+k])
			}
			for k, s := range project(basis, delta) {
				delta[k] -= s
			}
			require.Less(t, length(robust.L2, delta)/n, 0.01, o.Attack)
		}
		if _, ok := a.(attack.Boundary); ok {
			continue // keeps what its start has outside of the subspace
		}
		for _, trace := range evaluate(t, v, a, p).Traces {
			require.InEpsilon(t, best, trace.Steps[len(trace.Steps)-1], 0.02, o.Attack)
		}
	}
}

// deciders are the attacks by decisions, with so many queries, and a norm that they work in. Those of images have directions that
// vectors do not have.
var deciders = []struct {
	name   string
	images bool
	norm   robust.Norm
	with   func(queries int, budgets []int) robust.Attack
}{
	{"hopskipjump", false, robust.L2, func(n int, b []int) robust.Attack { return attack.HopSkipJump{Queries: n, Budgets: b} }},
	{"hopskipjump in linf", true, robust.Linf, func(n int, b []int) robust.Attack {
		return attack.HopSkipJump{Queries: n, Budgets: b, Directions: attack.DCT{Side: 4}}
	}},
	{"sign-opt", false, robust.L2, func(n int, b []int) robust.Attack {
		return attack.SignOPT{Queries: n, Probes: 40, Initial: 20, Budgets: b}
	}},
	{"sign-opt of images", true, robust.L2, func(n int, b []int) robust.Attack {
		return attack.SignOPT{Queries: n, Probes: 40, Initial: 20, Budgets: b, Directions: attack.Bilinear{Side: 6}}
	}},
	{"rays", false, robust.Linf, func(n int, b []int) robust.Attack { return attack.RayS{Queries: n, Budgets: b} }},
	{"boundary", false, robust.L2, func(n int, b []int) robust.Attack { return attack.Boundary{Queries: n, Budgets: b} }},
}

// TestDecisionsAccount: what traces tell is what the referee finds. Successes are successes when asked again and lie in the
// box, and queries keep within the budget.
func TestDecisionsAccount(t *testing.T) {
	m, p := convolutional(t, 12)
	v, err := robust.NewVictim(testengine.Quick(t), m, 12)
	require.NoError(t, err)
	for _, c := range deciders {
		p.Threat = robust.Threat{Norm: c.norm, Epsilon: math.Inf(1)}
		o := evaluate(t, v, c.with(300, nil), p)
		require.Equal(t, 1.0, o.SuccessRate, c.name)
		for i, trace := range o.Traces {
			last := len(trace.Queries) - 1
			require.LessOrEqual(t, o.Queries[i], int64(300))
			require.LessOrEqual(t, int64(trace.Queries[last]), o.Queries[i])
			require.Zero(t, o.Grads[i])
			require.InDelta(t, o.Norms[i], trace.Distances[last], 1e-12)
			require.True(t, math.IsInf(trace.Distance(0), 1))
			require.True(t, slices.IsSorted(trace.Queries))
			require.True(t, falls(trace.Distances))
			require.Empty(t, trace.Failure)
		}
	}
}

// TestDecisionsBudgets: one run keeps to the byte what others with fewer queries return, wherever they end: in the search for a
// start, among probes or in a bisection.
func TestDecisionsBudgets(t *testing.T) {
	const n = 3
	m, p := convolutional(t, n)
	v, err := robust.NewVictim(testengine.Quick(t), m, n)
	require.NoError(t, err)
	clean := tensors.MustCopyFlatData[float32](p.Images)
	budgets := []int{3, 30, 101, 300}
	for _, c := range deciders {
		for _, radius := range []float64{math.Inf(1), 0.3} { // with a radius, a query is kept back
			p.Threat = robust.Threat{Norm: c.norm, Epsilon: radius}
			all, err := c.with(300, budgets).Perturb(t.Context(), v, p)
			require.NoError(t, err)
			for k, budget := range budgets {
				a := c.with(budget, nil)
				if _, ok := a.(attack.SignOPT); ok && budget < 21 {
					continue // refused
				}
				few, err := a.Perturb(t.Context(), v, p)
				require.NoError(t, err)
				moved := tensors.MustCopyFlatData[float32](few.Images)
				for i, trace := range all.Traces {
					want := clean[i*432 : (i+1)*432]
					if kept := trace.Images[k]; kept != nil {
						delta := make([]float64, len(kept))
						for j := range kept {
							delta[j] = float64(kept[j]) - float64(want[j])
						}
						if length(c.norm, delta) > radius {
							continue // its projection is what comes back
						}
						want = kept
					}
					require.Equal(t, want, moved[i*432:(i+1)*432], "%s, %d queries", c.name, budget)
				}
			}
		}
	}
}

// TestDecisionsRepeat: the same seed gives the same bytes, whatever the batch; another seed others.
func TestDecisionsRepeat(t *testing.T) {
	var victims []*robust.Victim
	var p robust.Problem
	for _, batch := range []int{9, 9, 4, 32} {
		v, problem, _ := plane(t, 36, 9, batch, 0.3)
		victims, p = append(victims, v), problem
	}
	for _, c := range deciders {
		if c.images {
			continue
		}
		p.Threat.Norm = c.norm
		var all [][]float32
		var queries [][]int64
		for k, v := range victims {
			q := p
			if k == 0 {
				q.Seed++
			}
			o := evaluate(t, v, c.with(400, nil), q)
			all, queries = append(all, tensors.MustCopyFlatData[float32](o.Perturbed)), append(queries, o.Queries)
		}
		if c.name != "rays" { // draws nothing
			require.NotEqual(t, all[0], all[1], c.name)
		}
		for k := 2; k < len(all); k++ {
			require.Equal(t, all[1], all[k], c.name)
			require.Equal(t, queries[1], queries[k], c.name)
		}
	}
}

// TestDecisionsCounted: a counter in the model itself, which runs one image at a time, has as many as the victim books.
func TestDecisionsCounted(t *testing.T) {
	v, p, _ := plane(t, 36, 3, 1, 0.3)
	counter, err := v.Model.Store.RootScope().At("counter").CreateVariable("passes", tensors.FromValue(int32(0)))
	require.NoError(t, err)
	logits := v.Model.Logits
	v.Model.Logits = func(scope *model.Scope, x *Node) *Node {
		passes := scope.Store().GetVariable(counter.Path())
		passes.SetNodeValue(AddScalar(passes.NodeValue(x.Graph()), 1))
		return logits(scope, x)
	}
	counted := func() int64 {
		value, err := counter.Value()
		require.NoError(t, err)
		return int64(tensors.ToScalar[int32](value))
	}
	for _, c := range deciders {
		if c.images {
			continue
		}
		p.Threat.Norm = c.norm
		before := counted()
		_, err := c.with(250, nil).Perturb(context.Background(), v, p)
		require.NoError(t, err)
		passes, booked := counted()-before, int64(0)
		for _, q := range evaluate(t, v, c.with(250, nil), p).Queries {
			require.LessOrEqual(t, q, int64(250))
			booked += q
		}
		require.Equal(t, passes, booked, c.name)
	}
}

// TestDecisionsRadius: with a radius in the threat, what is beyond comes back inside it and is no success.
func TestDecisionsRadius(t *testing.T) {
	m, p := convolutional(t, 12)
	v, err := robust.NewVictim(testengine.Quick(t), m, 12)
	require.NoError(t, err)
	for _, c := range deciders {
		p.Threat = robust.Threat{Norm: c.norm, Epsilon: math.Inf(1)}
		free := evaluate(t, v, c.with(200, nil), p)
		p.Threat.Epsilon = free.MedianNorm
		o := evaluate(t, v, c.with(200, nil), p)
		require.InDelta(t, 0.5, o.RobustAccuracy, 0.1)
		for i, success := range o.Success {
			require.LessOrEqual(t, o.Queries[i], int64(200))
			require.Equal(t, o.Traces[i].Distance(200) <= free.MedianNorm, success)
			if !success {
				require.InDelta(t, free.MedianNorm, o.Norms[i], 2e-6, c.name)
				require.Greater(t, free.Norms[i], 0.99*free.MedianNorm)
			}
		}
	}
}

// TestDecisionsStarts: a given start is where a search begins; one that is no success fails, and says so.
func TestDecisionsStarts(t *testing.T) {
	v, p, w := plane(t, 36, 4, 4, 0.3)
	starts := tensors.MustCopyFlatData[float32](p.Images)
	for i := range 3 * 36 { // the last example's start is its clean image
		starts[i] -= float32(0.31 * w[i%36])
	}
	p.Starts = tensors.FromFlatDataAndDimensions(starts, 4, 36)
	for _, a := range []robust.Attack{attack.HopSkipJump{Queries: 20}, attack.SignOPT{Queries: 20}, attack.Boundary{Queries: 20}} {
		o := evaluate(t, v, a, p)
		for i := range 3 {
			require.Less(t, o.Norms[i], 0.3101, o.Attack)
		}
		require.False(t, o.Success[3])
		require.Equal(t, "the given start is no success", o.Traces[3].Failure)
		require.EqualValues(t, 2, o.Queries[3])
	}
	q := p
	q.Threat.Norm = robust.Linf
	o := evaluate(t, v, attack.RayS{Queries: 2}, q)
	require.Equal(t, []bool{true, true, true, false}, o.Success, "the signs of the start are the best ones")

	p.Starts = tensors.FromFlatDataAndDimensions(starts[:36], 1, 36)
	_, err := robust.Evaluate(context.Background(), v, attack.HopSkipJump{}, p)
	require.ErrorContains(t, err, "1 Starts for 4 examples")
}

// TestDecisionsFail: where nothing is a success, a search ends with its queries or says why it gives up.
func TestDecisionsFail(t *testing.T) {
	v, p, _ := plane(t, 36, 2, 4, 0.3)
	require.NoError(t, v.Model.Weights()[1].SetValue(tensors.FromValue([]float32{1e4, 0})))
	o := evaluate(t, v, attack.HopSkipJump{Queries: 500}, p)
	require.Equal(t, []int64{500, 500}, o.Queries)
	require.Empty(t, o.Traces[0].Failure)
	o = evaluate(t, v, attack.Boundary{Queries: 20_000}, p)
	require.Equal(t, []int64{10_001, 10_001}, o.Queries)
	require.Contains(t, o.Traces[1].Failure, "10000 points of noise")
	require.Equal(t, tensors.MustCopyFlatData[float32](p.Images), tensors.MustCopyFlatData[float32](o.Perturbed))
	o = evaluate(t, v, attack.SignOPT{}, p)
	require.Equal(t, []int64{101, 101}, o.Queries)
	require.Contains(t, o.Traces[0].Failure, "100 initial directions")
	p.Threat.Norm = robust.Linf
	o = evaluate(t, v, attack.RayS{}, p)
	require.Zero(t, o.SuccessRate)
	require.Contains(t, o.Traces[0].Failure, "no success in any direction")
}

// TestDecisionsTargets: with targets, a search begins at another image of the target's class, and ends in that class.
func TestDecisionsTargets(t *testing.T) {
	m, p := convolutional(t, 24)
	v, err := robust.NewVictim(testengine.Quick(t), m, 12)
	require.NoError(t, err)
	for _, y := range p.Goal.Labels {
		target := (y + 1) % 5
		for !slices.Contains(p.Goal.Labels, target) {
			target = (target + 1) % 5
		}
		p.Goal.Targets = append(p.Goal.Targets, target)
	}
	p.Threat = robust.Threat{Norm: robust.L2, Epsilon: math.Inf(1)}
	for _, a := range []robust.Attack{attack.HopSkipJump{Queries: 200}, attack.SignOPT{Queries: 200, Probes: 40},
		attack.Boundary{Queries: 200}} {
		o := evaluate(t, v, a, p)
		require.Equal(t, 1.0, o.SuccessRate)
		for _, trace := range o.Traces {
			require.Equal(t, 2, trace.Queries[0])
			require.Less(t, trace.Distances[len(trace.Distances)-1], trace.Distances[0])
		}
	}
}

// broken are directions that a user got wrong.
type broken struct{ attack.FullSpace }

func (broken) Name() string { return "broken" }

func (broken) Map([][]float64, []int) ([][]float64, error) { return nil, nil }

func TestDecisionsRefuse(t *testing.T) {
	v, p, _ := plane(t, 36, 2, 4, 0.3)
	jump := func(d attack.Directions) robust.Attack { return attack.HopSkipJump{Directions: d} }
	for want, a := range map[string]robust.Attack{
		"Queries = -1: need at least 2":                         attack.HopSkipJump{Queries: -1},
		"Queries = 1: need at least 2":                          attack.HopSkipJump{Queries: 1},
		"sign-opt: budget 50 below the clean image and the 100": attack.SignOPT{Queries: 50},
		"Budgets = [200 100]: must rise":                        attack.Boundary{Budgets: []int{200, 100}},
		"at most Queries = 50":                                  attack.Boundary{Queries: 50, Budgets: []int{10, 51}},
		"Gamma = NaN":                                           attack.HopSkipJump{Gamma: math.NaN()},
		"Steps = -1":                                            attack.HopSkipJump{Steps: -1},
		"Probes = -2":                                           attack.HopSkipJump{Probes: -2},
		"Alpha = -1":                                            attack.SignOPT{Alpha: -1},
		"Initial = -1":                                          attack.SignOPT{Initial: -1},
		"Source = -1":                                           attack.Boundary{Source: -1},
		"works in linf, not in l2":                              attack.RayS{},
		"bilinear: inputs of shape [36] are no images":          jump(attack.Bilinear{Side: 2}),
		"subspace: Basis is empty":                              jump(attack.Subspace{}),
		"row 0 of the basis has 3 values, the images have 36":   jump(attack.Subspace{Basis: [][]float64{{1, 2, 3}}}),
		"a direction has no length":                             jump(attack.Subspace{Basis: [][]float64{make([]float64, 36)}}),
		"broken: mapped 64 directions to 0":                     jump(broken{}),
	} {
		_, err := robust.Evaluate(context.Background(), v, a, p)
		require.ErrorContains(t, err, want)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := attack.HopSkipJump{}.Perturb(ctx, v, p)
	require.ErrorIs(t, err, context.Canceled)
	p.Threat.Norm = robust.L1
	for _, a := range []robust.Attack{attack.HopSkipJump{}, attack.SignOPT{}, attack.RayS{}, attack.Boundary{}} {
		_, err := robust.Evaluate(context.Background(), v, a, p)
		require.ErrorContains(t, err, "not in l1")
		require.Equal(t, robust.Decisions, a.Access())
	}
}
