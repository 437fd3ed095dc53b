package hardlabel

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/information"
)

// Spaces that directions are drawn from.
const (
	SpaceFull     = "full"     // all of the ambient space
	SpaceManifold = "manifold" // the linear space that the spheres lie in
	SpaceRandom   = "random"   // a random linear space of as many dimensions
)

const (
	innerRadius = 1.0 // of class 0, the source
	outerRadius = 1.3 // of class 1
	queryStep   = 1e-3
	bisections  = 30
	shuffles    = 10
)

// Spheres is an experiment that asks how much a network's decisions tell of the data's manifold. Two concentric spheres are the
// classes, of radius 1 and 1.3, in a random linear space of Intrinsic dimensions within one of Ambient dimensions. A network is
// trained on points of them: a multilayer perceptron with hidden layers of 256 and 256, by Adam at 1e-3 on batches of 128.
//
// Then hard-label queries are made as attacks make them: at points of the decision boundary, found by bisection between
// points of both classes, each a step of 1e-3 in a random direction. How much does the decision tell of whether the step
// led off the source's manifold? The definition is this replication's own: the paper's could not be read.
type Spheres struct {
	Intrinsic  int    // zero: 16
	Ambient    int    // zero: Intrinsic
	Train      int    // points that the network is trained on, half of each class; zero: 2000
	Steps      int    // of training, to the nearest whole epoch; zero: 1500
	Space      string // SpaceFull, SpaceManifold or SpaceRandom, of directions; "": SpaceFull. It does not change the network
	Points     int    // of the boundary; zero: 40
	Directions int    // from each of them; zero: 50
	Seed       int64
}

// Leak is what decisions told of the manifold.
type Leak struct {
	// MI is the mutual information, in nats, of the decision of a query and the change of the distance D₀ from the source's
	// sphere, in units of its standard deviation at the point; over all points, by Ross's estimator with 3 neighbors.
	MI float64 `json:"mi"`
	// Shuffled is the same with decisions shuffled, which is 0 but for noise: the mean of ten times, since one alone scatters by 0.02.
	Shuffled float64 `json:"shuffled"`
	// Rho is the mean cosine between the boundary's normal and the gradient of D₀, both as far as they lie in the space of
	// directions.
	Rho        float64 `json:"rho"`
	ClosedForm float64 `json:"closed_form"` // what MI would be with a flat boundary, normal directions and Rho everywhere
	// Cosine is the mean cosine between the gradient that decisions give, as HopSkipJump estimates it, and that of D₀.
	Cosine   float64 `json:"cosine"`
	Accuracy float64 `json:"accuracy"` // of the network, on fresh points: as many as queries
}

func (s Spheres) withDefaults() Spheres {
	s.Intrinsic = cmp.Or(s.Intrinsic, 16)
	s.Ambient, s.Train, s.Space = cmp.Or(s.Ambient, s.Intrinsic), cmp.Or(s.Train, 2000), cmp.Or(s.Space, SpaceFull)
	s.Steps, s.Points, s.Directions = cmp.Or(s.Steps, 1500), cmp.Or(s.Points, 40), cmp.Or(s.Directions, 50)
	return s
}

// Validate reports the first setting that cannot work.
func (s Spheres) Validate() error {
	s = s.withDefaults()
	switch {
	case s.Intrinsic < 2 || s.Ambient < s.Intrinsic:
		return errors.Errorf("hardlabel: spheres of Intrinsic = %d dimensions in Ambient = %d: want 2 at least, and no more than ambient ones",
			s.Intrinsic, s.Ambient)
	case s.Train < 2 || s.Steps < 1:
		return errors.Errorf("hardlabel: Train = %d points of two spheres, Steps = %d: want at least 2 and 1", s.Train, s.Steps)
	case !slices.Contains([]string{SpaceFull, SpaceManifold, SpaceRandom}, s.Space):
		return errors.Errorf("hardlabel: Space = %q: want %q, %q or %q", s.Space, SpaceFull, SpaceManifold, SpaceRandom)
	case s.Points < 1 || s.Directions < 2:
		return errors.Errorf("hardlabel: Points = %d, Directions = %d: want at least 1 and 2", s.Points, s.Directions)
	}
	return nil
}

// Measure trains the network, or loads it from o.Dir, and measures. Where spaces are compared, Network and Leak share one
// network.
func (s Spheres) Measure(ctx context.Context, e *engine.Engine, o fit.Options) (*Leak, error) {
	m, err := s.Network(ctx, e, o)
	if err != nil {
		return nil, err
	}
	return s.Leak(ctx, e, m)
}

// Network trains the network, or loads it from o.Dir. Space, Points and Directions do not matter.
func (s Spheres) Network(ctx context.Context, e *engine.Engine, o fit.Options) (*nets.Model, error) {
	s = s.withDefaults()
	if err := s.Validate(); err != nil {
		return nil, err
	}
	points, labels := s.shells().sample(s.stream("train"), s.Train)
	pixels := make([]float32, 0, s.Train*s.Ambient)
	for _, p := range points {
		for _, v := range p {
			pixels = append(pixels, float32(v))
		}
	}
	m, err := nets.NewMLP(nets.MLPConfig{Input: []int{s.Ambient}, Hidden: []int{256, 256}, Classes: 2, Lower: -2, Upper: 2, Seed: s.Seed})
	if err != nil {
		return nil, err
	}
	batch := min(128, s.Train)
	epoch := s.Train / batch
	_, err = fit.TrainOrLoad(ctx, e, m, fit.Data{Images: tensors.FromFlatDataAndDimensions(pixels, s.Train, s.Ambient), Labels: labels},
		fit.Config{
			Phases:    []fit.Phase{{Epochs: max(1, (s.Steps+epoch/2)/epoch), Loss: fit.CrossEntropy()}},
			BatchSize: batch, LearningRate: 1e-3, Seed: s.Seed,
		}, o)
	return m, err
}

// Leak measures a network that Network gave, of the same spheres and seed.
func (s Spheres) Leak(ctx context.Context, e *engine.Engine, m *nets.Model) (*Leak, error) {
	s = s.withDefaults()
	if err := s.Validate(); err != nil {
		return nil, err
	}
	if len(m.InputShape) != 1 || m.InputShape[0] != s.Ambient || m.Classes != 2 {
		return nil, errors.Errorf("hardlabel: %s takes %v: want a network of two classes from Spheres.Network for %d values",
			m.Name, m.InputShape, s.Ambient)
	}
	margins, err := newMargins(e, m, s.Points)
	if err != nil {
		return nil, err
	}
	sh, leak := s.shells(), &Leak{}
	boundary, err := s.boundary(ctx, margins, sh, leak)
	if err != nil {
		return nil, err
	}
	_, slopes, err := margins.of(ctx, boundary)
	if err != nil {
		return nil, err
	}
	directions, basis := s.directions(sh)
	queries := make([][]float64, len(directions))
	for i, u := range directions {
		queries[i] = along(boundary[i/s.Directions], queryStep, u)
	}
	answers, _, err := margins.of(ctx, queries)
	if err != nil {
		return nil, err
	}
	var decisions []int
	var changes [][]float64
	for i, x := range boundary {
		from, to := i*s.Directions, (i+1)*s.Directions
		signs, change := make([]float64, s.Directions), make([]float64, s.Directions)
		for j := range signs {
			decision := 0
			if answers[from+j] > 0 {
				decision = 1
			}
			decisions = append(decisions, decision)
			signs[j] = float64(2*decision - 1)
			change[j] = (sh.distance(queries[from+j]) - sh.distance(x)) / queryStep
		}
		floats.Scale(1/stat.StdDev(change, nil), change)
		for _, c := range change {
			changes = append(changes, []float64{c})
		}
		gradient := sh.gradient(x)
		leak.Rho += cosine(within(basis, slopes[i]), within(basis, gradient)) / float64(s.Points)
		leak.Cosine += cosine(estimate(signs, directions[from:to]), gradient) / float64(s.Points)
	}
	leak.ClosedForm = information.SignGaussian(leak.Rho)
	if leak.MI, err = information.Ross(decisions, changes, 3); err != nil {
		return nil, err
	}
	rng := s.stream("shuffle")
	for range shuffles {
		rng.Shuffle(len(decisions), func(i, j int) { decisions[i], decisions[j] = decisions[j], decisions[i] })
		mi, err := information.Ross(decisions, changes, 3)
		if err != nil {
			return nil, err
		}
		leak.Shuffled += mi / shuffles
	}
	return leak, nil
}

// boundary bisects between fresh points of both classes that are classified right, and notes the accuracy.
func (s Spheres) boundary(ctx context.Context, margins *margins, sh *shells, leak *Leak) ([][]float64, error) {
	n := s.Points * s.Directions
	fresh, labels := sh.sample(s.stream("fresh"), n)
	answers, _, err := margins.of(ctx, fresh)
	if err != nil {
		return nil, err
	}
	var right [2][][]float64
	for i, label := range labels {
		if (answers[i] > 0) == (label == 1) {
			right[label] = append(right[label], fresh[i])
			leak.Accuracy += 1 / float64(n)
		}
	}
	if min(len(right[0]), len(right[1])) < s.Points {
		return nil, errors.Errorf("hardlabel: the network is right on %d and %d of %d fresh points, by class: want %d each to bisect between",
			len(right[0]), len(right[1]), n, s.Points)
	}
	inside, outside, middle := slices.Clone(right[0][:s.Points]), slices.Clone(right[1][:s.Points]), make([][]float64, s.Points)
	for range bisections {
		for i := range middle {
			middle[i] = make([]float64, s.Ambient)
			floats.AddTo(middle[i], inside[i], outside[i])
			floats.Scale(0.5, middle[i])
		}
		answers, _, err := margins.of(ctx, middle)
		if err != nil {
			return nil, err
		}
		for i, answer := range answers {
			if answer > 0 {
				outside[i] = middle[i]
			} else {
				inside[i] = middle[i]
			}
		}
	}
	return outside, nil
}

// directions draws the unit directions of all points, and returns the basis of their space; nil: all.
func (s Spheres) directions(sh *shells) (directions, basis [][]float64) {
	rng := s.stream("directions " + s.Space)
	switch s.Space {
	case SpaceManifold:
		basis = sh.basis
	case SpaceRandom:
		basis = orthonormal(rng, s.Intrinsic, s.Ambient)
	}
	for range s.Points * s.Directions {
		u := gaussian(rng, s.Ambient)
		if basis != nil {
			u = combine(basis, gaussian(rng, len(basis)))
		}
		floats.Scale(1/floats.Norm(u, 2), u)
		directions = append(directions, u)
	}
	return directions, basis
}

// stream are random numbers for one purpose.
func (s Spheres) stream(purpose string) *rand.Rand {
	sum := uint64(14695981039346656037) // FNV-1a
	for _, c := range []byte(purpose) {
		sum = (sum ^ uint64(c)) * 1099511628211
	}
	return rand.New(rand.NewPCG(uint64(s.Seed), sum))
}

// shells are the two spheres.
type shells struct{ basis [][]float64 }

func (s Spheres) shells() *shells {
	return &shells{orthonormal(s.stream("basis"), s.Intrinsic, s.Ambient)}
}

// sample draws points of both spheres in turn.
func (sh *shells) sample(rng *rand.Rand, n int) (points [][]float64, labels []int32) {
	for i := range n {
		z := gaussian(rng, len(sh.basis))
		radius := innerRadius
		if i%2 == 1 {
			radius = outerRadius
		}
		floats.Scale(radius/floats.Norm(z, 2), z)
		points, labels = append(points, combine(sh.basis, z)), append(labels, int32(i%2))
	}
	return points, labels
}

// split returns the point's length in the spheres' space, its direction there, and what stands off that space.
func (sh *shells) split(x []float64) (length float64, inside, off []float64) {
	z := within(sh.basis, x)
	inside = combine(sh.basis, z)
	off = slices.Clone(x)
	floats.Sub(off, inside)
	length = floats.Norm(z, 2)
	floats.Scale(1/length, inside)
	return length, inside, off
}

// distance is D₀, that of the inner sphere.
func (sh *shells) distance(x []float64) float64 {
	length, _, off := sh.split(x)
	return math.Hypot(length-innerRadius, floats.Norm(off, 2))
}

// gradient is that of D₀.
func (sh *shells) gradient(x []float64) []float64 {
	length, inside, off := sh.split(x)
	floats.Scale(length-innerRadius, inside)
	floats.Add(inside, off)
	floats.Scale(1/floats.Norm(inside, 2), inside)
	return inside
}

// estimate is HopSkipJump's: the mean of directions with the signs of their decisions, less the mean sign unless all are equal.
func estimate(signs []float64, directions [][]float64) []float64 {
	mean := stat.Mean(signs, nil)
	if math.Abs(mean) == 1 {
		mean = 0
	}
	sum := make([]float64, len(directions[0]))
	for j, u := range directions {
		floats.AddScaled(sum, signs[j]-mean, u)
	}
	return sum
}

// margins asks a network by how much class 1 is ahead of class 0, in float64: a step of 1e-3 from the boundary moves float32
// logits by little more than they are rounded by.
type margins struct {
	exec  *model.Exec
	batch int // of points: all are asked about in multiples of it, so that one graph is compiled
}

func newMargins(e *engine.Engine, m *nets.Model, batch int) (*margins, error) {
	exec, err := model.NewExec(e.Backend(), m.Store, func(scope *model.Scope, x *Node) []*Node {
		var weights []*Node
		for _, w := range m.Weights() {
			weights = append(weights, ConvertDType(scope.Store().GetVariable(w.Path()).NodeValue(x.Graph()), dtypes.Float64))
		}
		var margin *Node
		robust.WithWeights(m, scope, weights, func() {
			logits := m.Logits(scope, x)
			margin = Sub(Slice(logits, AxisRange(), AxisElem(1)), Slice(logits, AxisRange(), AxisElem(0)))
		})
		return []*Node{margin, Gradient(ReduceAllSum(margin), x)[0]}
	})
	return &margins{exec, batch}, errors.WithMessagef(err, "hardlabel: %s", m.Name)
}

// of returns the margins of points and their gradients.
func (m *margins) of(ctx context.Context, points [][]float64) (values []float64, slopes [][]float64, err error) {
	size := len(points[0])
	for batch := range slices.Chunk(points, m.batch) {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		out, err := m.exec.Call(tensors.FromFlatDataAndDimensions(slices.Concat(batch...), len(batch), size))
		if err != nil {
			return nil, nil, errors.WithMessage(err, "hardlabel")
		}
		margins, err := tensors.CopyFlatData[float64](out[0])
		if err != nil {
			return nil, nil, err
		}
		flat, err := tensors.CopyFlatData[float64](out[1])
		if err != nil {
			return nil, nil, err
		}
		values, slopes = append(values, margins...), slices.AppendSeq(slopes, slices.Chunk(flat, size))
	}
	return values, slopes, nil
}

// orthonormal draws so many rows of the size, by Gram and Schmidt's process.
func orthonormal(rng *rand.Rand, rows, size int) [][]float64 {
	var basis [][]float64
	for range rows {
		row := gaussian(rng, size)
		for range 2 { // once leaves what rounding makes of it
			for _, b := range basis {
				floats.AddScaled(row, -floats.Dot(row, b), b)
			}
		}
		floats.Scale(1/floats.Norm(row, 2), row)
		basis = append(basis, row)
	}
	return basis
}

func gaussian(rng *rand.Rand, n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = rng.NormFloat64()
	}
	return out
}

// within returns the coordinates of a vector in the basis; without one, the vector.
func within(basis [][]float64, v []float64) []float64 {
	if basis == nil {
		return v
	}
	out := make([]float64, len(basis))
	for k, row := range basis {
		out[k] = floats.Dot(row, v)
	}
	return out
}

// combine is the vector that has the coordinates in the basis.
func combine(basis [][]float64, coordinates []float64) []float64 {
	out := make([]float64, len(basis[0]))
	for k, row := range basis {
		floats.AddScaled(out, coordinates[k], row)
	}
	return out
}

// along is x + step·u.
func along(x []float64, step float64, u []float64) []float64 {
	out := slices.Clone(x)
	floats.AddScaled(out, step, u)
	return out
}

func cosine(a, b []float64) float64 {
	return floats.Dot(a, b) / (floats.Norm(a, 2) * floats.Norm(b, 2))
}
