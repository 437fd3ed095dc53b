package weights

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/attack"
	"github.com/trustbook/trustbook/robust/certify"
)

// Measured are the figures of one trained network. Radii are those of Config, in its order.
type Measured struct {
	Method string `json:"method"`
	Seed   int64  `json:"seed"`

	Clean         float64   `json:"clean"`          // accuracy on the test examples
	CleanTrain    float64   `json:"clean_train"`    // on as many training examples
	Attacked      []float64 `json:"attacked"`       // test accuracy under weight PGD, at each of Epsilon
	AttackedTrain []float64 `json:"attacked_train"` // training accuracy under weight PGD on those
	Random        []float64 `json:"random"`         // test accuracy under the worst of Draws random corners

	CertifiedBound []float64 `json:"certified_bound"` // certified accuracy by Margin - Total, at each of Certify
	CertifiedIBP   []float64 `json:"certified_ibp"`   // by intervals
	Layers         []Layer   `json:"layers"`          // each layer alone
	Norms          []float64 `json:"norms"`           // ||W^k||_∞
	Complexity     float64   `json:"complexity"`      // RademacherBound for the training examples

	Checks []certify.Verification `json:"checks"` // attacks on the bounds, at each of VerifyAt
	Bits   []Bits                 `json:"bits"`   // at each of Bits
}

// Layer are the figures of one layer perturbed alone.
type Layer struct {
	Attacked  float64 `json:"attacked"`  // test accuracy under weight PGD at LayerEpsilon
	Bound     float64 `json:"bound"`     // mean over the test examples of max_j B_yj at LayerCertify
	Certified float64 `json:"certified"` // certified accuracy at LayerCertify
}

// Bits are the figures of a network whose weights are rounded.
type Bits struct {
	Rounded   float64 `json:"rounded"`   // test accuracy
	Attacked  float64 `json:"attacked"`  // under weight PGD inside the same radii
	Certified float64 `json:"certified"` // certified accuracy inside these radii
	// Broken counts examples with a certificate that rounding misclassifies all the same: must be 0.
	Broken int `json:"broken"`
}

// gauge measures networks of one architecture.
type gauge struct {
	*Assessor
	c        Config
	test     fit.Data
	verifier *certify.Verifier
	images   *tensors.Tensor // on which the bounds are attacked
	labels   []int32
}

func newGauge(e *engine.Engine, like *nets.Model, d *fit.Sets, c Config) (*gauge, error) {
	g := &gauge{c: c, test: fit.Data{Images: d.Images, Labels: d.Labels}}
	var err error
	if g.Assessor, err = NewAssessor(e, like, min(1000, len(d.Labels))); err != nil {
		return nil, err
	}
	if g.verifier, err = certify.NewVerifier(e, g.Net); err != nil {
		return nil, err
	}
	g.images, g.labels, err = d.Sample(c.VerifyImages)
	return g, err
}

// measure attacks, certifies and rounds one network. train is what it was trained on.
func (g *gauge) measure(ctx context.Context, net *nets.Model, method string, seed int64, train fit.Data) (Measured, error) {
	r := Measured{Method: method, Seed: seed}
	c := g.c
	if err := g.Net.CopyWeights(net); err != nil {
		return r, err
	}
	layers := len(g.Net.Dense)
	c.Progress.Begin(fmt.Sprintf("attack %s, seed %d", method, seed), 0, 2+3*len(c.Epsilon)+len(c.Certify)+2*layers+len(c.VerifyAt)+len(c.Bits))
	defer c.Progress.End()
	seen, err := spread(train, len(g.test.Labels))
	if err != nil {
		return r, err
	}
	pgd, random := attack.JointPGD{Steps: c.Steps, Restarts: c.Restarts}, attack.RandomWeights{Draws: c.Draws}
	accuracy := func(into *float64, by robust.Attack, d fit.Data, radii ...float64) {
		if err == nil {
			*into, err = g.Accuracy(ctx, by, d, radii, seed)
			c.Progress.Advance(1)
		}
	}
	accuracy(&r.Clean, pgd, g.test, 0)
	accuracy(&r.CleanTrain, pgd, seen, 0)
	r.Attacked, r.AttackedTrain, r.Random = make([]float64, len(c.Epsilon)), make([]float64, len(c.Epsilon)), make([]float64, len(c.Epsilon))
	for i, epsilon := range c.Epsilon {
		accuracy(&r.Attacked[i], pgd, g.test, epsilon)
		accuracy(&r.AttackedTrain[i], pgd, seen, epsilon)
		accuracy(&r.Random[i], random, g.test, epsilon)
	}
	r.Layers = make([]Layer, layers)
	for k := range layers {
		accuracy(&r.Layers[k].Attacked, pgd, g.test, g.Coverage.Radii(c.LayerEpsilon, k)...)
	}
	if err != nil {
		return r, err
	}
	if err := g.certify(&r); err != nil {
		return r, err
	}
	for _, epsilon := range c.VerifyAt {
		v, err := g.verifier.Verify(ctx, g.images, g.labels, robust.Threat{Weights: []float64{epsilon}},
			certify.VerifyConfig{Random: c.VerifyRandom, Steps: c.Steps, Seed: seed})
		if err != nil {
			return r, err
		}
		r.Checks = append(r.Checks, *v)
		c.Progress.Advance(1)
	}
	for _, bits := range c.Bits {
		b, err := g.rounded(ctx, bits, seed)
		if err != nil {
			return r, err
		}
		r.Bits = append(r.Bits, b)
		c.Progress.Advance(1)
	}
	r.Norms, err = InfNorms(g.Net)
	if err != nil {
		return r, err
	}
	r.Complexity, err = RademacherBound(r.Norms, max(math.Abs(g.Net.Lower), math.Abs(g.Net.Upper)), product(g.Net.InputShape), len(train.Labels))
	return r, err
}

func (g *gauge) certify(r *Measured) error {
	for _, epsilon := range g.c.Certify {
		b, err := g.Bounds(g.test, []float64{epsilon})
		if err != nil {
			return err
		}
		r.CertifiedBound = append(r.CertifiedBound, certify.Share(b.Certified(g.test.Labels)))
		r.CertifiedIBP = append(r.CertifiedIBP, positive(b.Margins(g.test.Labels)))
		g.c.Progress.Advance(1)
	}
	for k := range r.Layers {
		b, err := g.Bounds(g.test, g.Coverage.Radii(g.c.LayerCertify, k))
		if err != nil {
			return err
		}
		r.Layers[k].Certified = positive(b.Margins(g.test.Labels))
		for _, drops := range b.Total {
			r.Layers[k].Bound += slices.Max(drops) / float64(len(b.Total))
		}
		g.c.Progress.Advance(1)
	}
	return nil
}

// rounded measures what rounding to so many bits does, and what the worst perturbation inside the same radii does.
func (g *gauge) rounded(ctx context.Context, bits int, seed int64) (b Bits, err error) {
	predicted, err := g.Rounded(ctx, g.test, bits)
	if err != nil {
		return b, err
	}
	radii, err := RoundingRadii(g.Net, bits)
	if err != nil {
		return b, err
	}
	if b.Attacked, err = g.Accuracy(ctx, attack.JointPGD{Steps: g.c.Steps, Restarts: g.c.Restarts}, g.test, radii, seed); err != nil {
		return b, err
	}
	bounds, err := g.Bounds(g.test, radii)
	if err != nil {
		return b, err
	}
	margins := bounds.Margins(g.test.Labels)
	for i, y := range g.test.Labels {
		if margins[i] > 0 && predicted[i] != y {
			b.Broken++
		}
	}
	b.Rounded, b.Certified = matches(predicted, g.test.Labels), positive(margins)
	return b, nil
}

// positive is the share of positive values.
func positive(values []float64) float64 {
	n := 0
	for _, v := range values {
		if v > 0 {
			n++
		}
	}
	return float64(n) / float64(len(values))
}

// spread takes n examples, evenly spread over d.
func spread(d fit.Data, n int) (fit.Data, error) {
	flat, err := tensors.CopyFlatData[float32](d.Images)
	if err != nil {
		return fit.Data{}, err
	}
	size := len(flat) / len(d.Labels)
	few := fit.Data{}
	var pixels []float32
	for i := range n {
		at := i * len(d.Labels) / n
		pixels = append(pixels, flat[at*size:(at+1)*size]...)
		few.Labels = append(few.Labels, d.Labels[at])
	}
	few.Images = tensors.FromFlatDataAndDimensions(pixels, append([]int{n}, d.Images.Shape().Dimensions[1:]...)...)
	return few, nil
}

// InfNorms are ||W^k||_∞ of the dense layers at the end of a network: the largest sum of |weights| into one output.
func InfNorms(m *nets.Model) ([]float64, error) {
	var norms []float64
	for _, l := range m.Dense {
		w, err := m.Store.GetVariable(l.Weight).Value()
		if err != nil {
			return nil, err
		}
		flat, err := tensors.CopyFlatData[float32](w)
		if err != nil {
			return nil, err
		}
		outputs := w.Shape().Dimensions[1]
		sums, largest := make([]float64, outputs), 0.0
		for i, v := range flat {
			sums[i%outputs] += math.Abs(float64(v))
		}
		for _, s := range sums {
			largest = max(largest, s)
		}
		norms = append(norms, largest)
	}
	return norms, nil
}

func product(sizes []int) int {
	n := 1
	for _, s := range sizes {
		n *= s
	}
	return n
}
