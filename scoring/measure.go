package scoring

import (
	"context"
	"fmt"

	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
)

// Measured is one network of the zoo.
type Measured struct {
	Network
	Seed          int64            `json:"seed"`
	Epochs        int              `json:"epochs"`         // that it took
	TrainAccuracy float64          `json:"train_accuracy"` // on the labels trained on
	TestAccuracy  float64          `json:"test_accuracy"`  // on clean test examples
	Curves        map[string]Curve `json:"curves"`         // by CurveName
	// Baselines are the measures of BaselineNames.
	Baselines map[string]float64 `json:"baselines"`
}

// Gap is the generalization gap: training minus test accuracy.
func (m Measured) Gap() float64 { return m.TrainAccuracy - m.TestAccuracy }

// Invariant is one network of the experiment on invariance.
type Invariant struct {
	Width int     `json:"width"`
	Angle float64 `json:"angle"` // up to which its training examples were turned
	Seed  int64   `json:"seed"`
	Curve Curve   `json:"curve"` // under rotation
}

// responder measures networks of one architecture, with the weights of the given one.
func (s *Study) responder(m *nets.Model) (*Responder, error) {
	shapes := ""
	for _, w := range m.Weights() {
		shapes += w.Shape().String()
	}
	r := s.responders[shapes]
	if r == nil {
		copied, err := m.Clone()
		if err != nil {
			return nil, err
		}
		if r, err = NewResponder(s.e, copied, ResponseOptions{Seed: 1}); err != nil {
			return nil, err
		}
		s.responders[shapes] = r
	}
	return r, r.Model.CopyWeights(m)
}

// CurveName names a curve: the perturbation and, for mixup, the layer.
func CurveName(p Perturbation, layer int) string { return fmt.Sprintf("%s, layer %d", p.Name(), layer) }

// curves are the perturbations and layers that a configuration asks for.
func (c Config) curves(each func(p Perturbation, layer int) error) error {
	for _, name := range c.Perturbations {
		p, err := ByName(name)
		if err != nil {
			return err
		}
		for _, layer := range c.Layers {
			if p.Needs().Partner == NoPartner && layer > 0 {
				continue
			}
			if err := each(p, layer); err != nil {
				return err
			}
		}
	}
	return nil
}

// Measure takes accuracies, curves and baselines of a network that was trained on the given examples. What was set to train
// it, and the epochs that it took, are left for the caller to fill in.
func (s *Study) Measure(ctx context.Context, net *nets.Model, train fit.Data, seed int64) (Measured, error) {
	m := Measured{Seed: seed, Curves: map[string]Curve{}}
	r, err := s.responder(net)
	if err != nil {
		return m, err
	}
	if _, m.TrainAccuracy, err = r.Margins(ctx, train); err != nil {
		return m, err
	}
	if _, m.TestAccuracy, err = r.Margins(ctx, fit.Data{Images: s.Data.Images, Labels: s.Data.Labels}); err != nil {
		return m, err
	}
	sample := train.Sample(s.Config.Sample, seed)
	err = s.Config.curves(func(p Perturbation, layer int) error {
		c, err := r.Respond(ctx, sample, p, layer)
		m.Curves[CurveName(p, layer)] = c
		return err
	})
	if err != nil {
		return m, err
	}
	intra, found := m.Curves[intraCurve]
	if !found {
		if intra, err = r.Respond(ctx, sample, At(Mixup{Kind: IntraClass}, 0, 0.5), 0); err != nil {
			return m, err
		}
	}
	m.Baselines, err = r.Baselines(ctx, sample, intra)
	return m, err
}

// turn is the curve under rotation of a network that was trained on the given examples.
func (s *Study) turn(ctx context.Context, net *nets.Model, train fit.Data, seed int64) (Curve, error) {
	r, err := s.responder(net)
	if err != nil {
		return Curve{}, err
	}
	return r.Respond(ctx, train.Sample(s.Config.RotationSample, seed), Rotation{}, 0)
}
