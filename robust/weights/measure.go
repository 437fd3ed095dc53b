package weights

import (
	"context"
	"math"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/attack"
	"github.com/trustbook/trustbook/robust/certify"
	"github.com/trustbook/trustbook/study"
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

// gauge measures networks of one architecture.
type gauge struct {
	*Assessor
	verifier *certify.Verifier
}

// gauged returns the gauge with the weights of a network.
func (s *Study) gauged(net *nets.Model) (*gauge, error) {
	if s.gauge == nil {
		g := &gauge{}
		var err error
		if g.Assessor, err = NewAssessor(s.e, net, min(1000, len(s.Data.Labels))); err != nil {
			return nil, err
		}
		if g.verifier, err = certify.NewVerifier(s.e, g.Net); err != nil {
			return nil, err
		}
		s.gauge = g
	}
	return s.gauge, s.gauge.Net.CopyWeights(net)
}

// Measure attacks, certifies and rounds a network that was trained with a method and seed.
func (s *Study) Measure(ctx context.Context, net *nets.Model, method string, seed int64) (Measured, error) {
	r, c := Measured{Method: method, Seed: seed}, s.Config
	g, err := s.gauged(net)
	if err != nil {
		return r, err
	}
	c.Progress.Begin("attack "+study.Label(method, seed), 0,
		2+3*len(c.Epsilon)+len(c.Certify)+2*len(g.Net.Dense)+len(c.VerifyAt)+len(c.Bits))
	defer c.Progress.End()
	for _, step := range []func(context.Context, *gauge, *Measured) error{s.attack, s.certify, s.verify, s.round} {
		if err := step(ctx, g, &r); err != nil {
			return r, err
		}
	}
	r.Norms, r.Complexity, err = complexity(g.Net, c.Train)
	return r, err
}

// pgd is the attack on weights.
func (c Config) pgd() robust.Attack { return attack.JointPGD{Steps: c.Steps, Restarts: c.Restarts} }

// test are the examples on which networks are measured.
func (s *Study) test() fit.Data { return fit.Data{Images: s.Data.Images, Labels: s.Data.Labels} }

// attack moves the weights, all together and layer by layer.
func (s *Study) attack(ctx context.Context, g *gauge, r *Measured) error {
	c, test := s.Config, s.test()
	seen, err := s.trainedOn(r.Seed)
	accuracy := func(by robust.Attack, d fit.Data, radii ...float64) (a float64) {
		if err == nil {
			a, err = g.Accuracy(ctx, by, d, radii, r.Seed)
			c.Progress.Advance(1)
		}
		return a
	}
	r.Clean, r.CleanTrain = accuracy(c.pgd(), test, 0), accuracy(c.pgd(), seen, 0)
	for _, epsilon := range c.Epsilon {
		r.Attacked = append(r.Attacked, accuracy(c.pgd(), test, epsilon))
		r.AttackedTrain = append(r.AttackedTrain, accuracy(c.pgd(), seen, epsilon))
		r.Random = append(r.Random, accuracy(attack.RandomWeights{Draws: c.Draws}, test, epsilon))
	}
	for k := range g.Net.Dense {
		r.Layers = append(r.Layers, Layer{Attacked: accuracy(c.pgd(), test, g.Coverage.Radii(c.LayerEpsilon, k)...)})
	}
	return err
}

// certify bounds what moving the weights can do, all together and layer by layer.
func (s *Study) certify(_ context.Context, g *gauge, r *Measured) error {
	test := s.test()
	for _, epsilon := range s.Config.Certify {
		b, err := g.Bounds(test, []float64{epsilon})
		if err != nil {
			return err
		}
		r.CertifiedBound = append(r.CertifiedBound, certify.Share(b.Certified(test.Labels)))
		r.CertifiedIBP = append(r.CertifiedIBP, positive(b.Margins(test.Labels)))
		s.Config.Progress.Advance(1)
	}
	for k := range r.Layers {
		b, err := g.Bounds(test, g.Coverage.Radii(s.Config.LayerCertify, k))
		if err != nil {
			return err
		}
		r.Layers[k].Certified = positive(b.Margins(test.Labels))
		for _, drops := range b.Total {
			r.Layers[k].Bound += slices.Max(drops) / float64(len(b.Total))
		}
		s.Config.Progress.Advance(1)
	}
	return nil
}

// verify attacks the bounds.
func (s *Study) verify(ctx context.Context, g *gauge, r *Measured) error {
	images, labels, err := s.Data.Sample(s.Config.VerifyImages)
	if err != nil {
		return err
	}
	for _, epsilon := range s.Config.VerifyAt {
		v, err := g.verifier.Verify(ctx, images, labels, robust.Threat{Weights: []float64{epsilon}},
			certify.VerifyConfig{Random: s.Config.VerifyRandom, Steps: s.Config.Steps, Seed: r.Seed})
		if err != nil {
			return err
		}
		r.Checks = append(r.Checks, *v)
		s.Config.Progress.Advance(1)
	}
	return nil
}

// round rounds the weights to each number of bits.
func (s *Study) round(ctx context.Context, g *gauge, r *Measured) error {
	for _, bits := range s.Config.Bits {
		b, _, err := g.bits(ctx, bits, s.Config.pgd(), s.test(), r.Seed)
		if err != nil {
			return err
		}
		r.Bits = append(r.Bits, b)
		s.Config.Progress.Advance(1)
	}
	return nil
}

// trainedOn are as many of a seed's training examples as there are test examples, evenly spread.
func (s *Study) trainedOn(seed int64) (fit.Data, error) {
	train, err := s.Data.Pool.Take(s.Config.Train, seed)
	if err != nil {
		return fit.Data{}, err
	}
	var rows []int
	for i := range s.Config.Test {
		rows = append(rows, i*s.Config.Train/s.Config.Test)
	}
	few := train.Subset(rows)
	images, _ := few.Tensors()
	return fit.Data{Images: images, Labels: few.Labels}, nil
}

// InfNorms are ||W^k||_∞ of the dense layers at the end of a network: the largest sum of |weights| into one output.
func InfNorms(m *nets.Model) (norms []float64, err error) {
	for _, l := range m.Dense {
		w, err := m.Store.GetVariable(l.Weight).Value()
		if err != nil {
			return nil, err
		}
		flat, err := tensors.CopyFlatData[float32](w)
		if err != nil {
			return nil, err
		}
		sums := make([]float64, w.Shape().Dimensions[1])
		for i, v := range flat {
			sums[i%len(sums)] += math.Abs(float64(v))
		}
		norms = append(norms, slices.Max(sums))
	}
	return norms, nil
}

// complexity are a network's norms and its RademacherBound for n training examples.
func complexity(m *nets.Model, n int) (norms []float64, bound float64, err error) {
	if norms, err = InfNorms(m); err != nil {
		return nil, 0, err
	}
	inputs := 1
	for _, size := range m.InputShape {
		inputs *= size
	}
	bound, err = RademacherBound(norms, max(math.Abs(m.Lower), math.Abs(m.Upper)), inputs, n)
	return norms, bound, err
}
