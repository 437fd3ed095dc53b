package unsup

import (
	"context"
	"math"
	"math/rand/v2"

	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/representation"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/information"
	"github.com/trustbook/trustbook/robust/uae"
)

// Estimated are estimates of information that is known: of two standard normal numbers with a correlation.
type Estimated struct {
	Seed         int64     `json:"seed"`
	Correlations []float64 `json:"correlations"`
	True         []float64 `json:"true"` // -½ ln(1 - ρ²), in nats
	Estimates    []float64 `json:"estimates"`
}

// Error is the largest difference from the truth, in nats.
func (m Estimated) Error() float64 {
	largest := 0.0
	for i, x := range m.Estimates {
		largest = max(largest, math.Abs(x-m.True[i]))
	}
	return largest
}

var correlations = []float64{0, 0.5, 0.9}

// Estimate holds the estimator against information that is known.
func (s *Study) Estimate(ctx context.Context, seed int64) (Estimated, error) {
	c := s.Config
	m := Estimated{Seed: seed, Correlations: correlations}
	for _, rho := range correlations {
		rng := rand.New(rand.NewPCG(uint64(seed), math.Float64bits(rho)))
		x, y := make([]float32, c.EstimateOn), make([]float32, c.EstimateOn)
		for i := range x {
			a, b := rng.NormFloat64(), rng.NormFloat64()
			x[i], y[i] = float32(a), float32(rho*a+math.Sqrt(1-rho*rho)*b)
		}
		got, err := information.MINE{Steps: c.Estimates, Seed: seed, Progress: c.Progress}.Estimate(ctx, s.e,
			tensors.FromFlatDataAndDimensions(x, len(x), 1), tensors.FromFlatDataAndDimensions(y, len(y), 1))
		if err != nil {
			return m, err
		}
		m.True, m.Estimates = append(m.True, -math.Log(1-rho*rho)/2), append(m.Estimates, got)
	}
	return m, nil
}

// Learned is what one network brought for a seed.
type Learned struct {
	Network string   `json:"network"`
	Seed    int64    `json:"seed"`
	Attack  Attacked `json:"attack"`
	Scores  []Score  `json:"scores"` // in the order of Config.Arms
	// Blank is the error of reconstructing each test image as the mean training image: what a network must beat to have learned.
	Blank float64 `json:"blank"`
}

// Attacked is what the search for examples brought on a network's own images.
type Attacked struct {
	Rate       float64 `json:"rate"`  // successes that the referee confirms
	Wrong      int     `json:"wrong"` // successes that it does not
	Noise      float64 `json:"noise"` // the share of images that the network treats no worse with noise of the same norm
	Similarity float64 `json:"similarity"`
	NoisySame  float64 `json:"noisy_similarity"` // with noise of the same norm, by an estimator of the same training
	L2         float64 `json:"l2"`
	Dead       float64 `json:"dead"`
	// MI and First are mean estimates over successes, at the example and at the first iterate that was one; absent without any.
	MI    *float64 `json:"mi,omitempty"`
	First *float64 `json:"first_mi,omitempty"`
	// Lower is the share of successes whose estimate is below that of their first.
	Lower *float64 `json:"lower,omitempty"`
	// DistantRate and DistantL2 are of the search by squared distances.
	DistantRate float64 `json:"distant_rate"`
	DistantL2   float64 `json:"distant_l2"`
}

// Score is how good a network is at its task.
type Score struct {
	Beside   string   `json:"beside"`
	Longer   bool     `json:"longer"`
	Error    *float64 `json:"error,omitempty"`    // mean ‖x - Φ(x)‖² over test images; absent for contrastive networks
	Accuracy *float64 `json:"accuracy,omitempty"` // of a linear classifier of features; absent where these are no aim
}

// Score returns the score of an arm.
func (m Learned) Score(beside string, longer bool) (Score, bool) {
	for _, x := range m.Scores {
		if x.Beside == beside && x.Longer == longer {
			return x, true
		}
	}
	return Score{}, false
}

// Gain is how much better a network is that learned from one thing beside its images than one that learned from another, for as long:
// the share of the error that is gone, or the accuracy that was gained. It is false where one was not measured.
func (m Learned) Gain(beside, than string) (float64, bool) { return m.gain(beside, false, than, false) }

func (m Learned) gain(beside string, longer bool, than string, thanLonger bool) (float64, bool) {
	a, okA := m.Score(beside, longer)
	b, okB := m.Score(than, thanLonger)
	switch {
	case !okA || !okB:
		return 0, false
	case a.Accuracy != nil && b.Accuracy != nil:
		return *a.Accuracy - *b.Accuracy, true
	case a.Error != nil && b.Error != nil && *b.Error > 0:
		return 1 - *a.Error / *b.Error, true
	}
	return 0, false
}

// Measure attacks a network, and has it learn anew from what is found and from what stands beside that.
func (s *Study) Measure(ctx context.Context, t Task, seed int64) (Learned, error) {
	m := Learned{Network: t.Name, Seed: seed}
	z, err := s.sceneOf(seed)
	if err != nil {
		return m, err
	}
	m.Blank = s.blank(z.train.Images)
	if m.Attack, err = s.attack(ctx, t, seed); err != nil {
		return m, err
	}
	for _, a := range s.Config.Arms() {
		n, err := s.Train(ctx, t, a, seed)
		if err != nil {
			return m, err
		}
		score, err := s.score(ctx, n, z.probe)
		if err != nil {
			return m, err
		}
		score.Beside, score.Longer = a.name(), a.Longer
		m.Scores = append(m.Scores, score)
	}
	return m, ctx.Err()
}

// attack makes a network's examples, and has them judged.
func (s *Study) attack(ctx context.Context, t Task, seed int64) (a Attacked, err error) {
	z, err := s.sceneOf(seed)
	if err != nil {
		return a, err
	}
	m, err := s.Make(ctx, t, seed)
	if err != nil {
		return a, err
	}
	images := z.train.Images
	v, err := uae.Check(ctx, s.e, m.Objective, images, m.Examples, epsilon)
	if err != nil {
		return a, err
	}
	a.Rate, a.Wrong, a.Dead, a.L2 = v.Rate(), len(v.Wrong), m.Examples.Dead, stat.Mean(m.Examples.L2, nil)
	if a.Noise, err = s.noiseRate(ctx, m.Objective, images, m.Noise); err != nil {
		return a, err
	}
	a.MI, a.First, a.Lower = over(m.Examples)
	if a.Similarity, err = s.similarity(ctx, m, images, m.Examples.Images, seed); err != nil {
		return a, err
	}
	if a.NoisySame, err = s.similarity(ctx, m, images, m.Noise, seed); err != nil {
		return a, err
	}
	v, err = uae.Check(ctx, s.e, m.Objective, images, m.Distant, epsilon)
	if err != nil {
		return a, err
	}
	a.DistantRate, a.DistantL2 = v.Rate(), stat.Mean(m.Distant.L2, nil)
	return a, nil
}

// noiseRate is the share of images that an objective finds no worse with noise.
func (s *Study) noiseRate(ctx context.Context, o *uae.Objective, images, noisy *tensors.Tensor) (float64, error) {
	ex := &uae.Examples{Images: noisy, Success: make([]bool, images.Shape().Dimensions[0])}
	for i := range ex.Success {
		ex.Success[i] = true
	}
	v, err := uae.Check(ctx, s.e, o, images, ex, epsilon)
	if err != nil {
		return 0, err
	}
	return v.Rate(), nil
}

// similarity is the mean estimate of what images share with their partners, by estimators trained for that alone.
func (s *Study) similarity(ctx context.Context, m *Made, images, partners *tensors.Tensor, seed int64) (float64, error) {
	n, search := s.Config.Compared, s.Config.search(1, seed)
	search.EstimatorRate = 1e-3 // ten times that of the search, at which an estimator hardly leaves its start
	values, err := search.Similarity(ctx, s.e, m.Objective, m.Expansion, first(images, n), first(partners, n), s.Config.Similarity)
	if err != nil {
		return 0, err
	}
	return stat.Mean(values, nil), nil
}

// over are means over successes.
func over(ex *uae.Examples) (mi, firstMI, lower *float64) {
	var a, b, c []float64
	for i, ok := range ex.Success {
		if ok && ex.MI != nil {
			a, b, c = append(a, ex.MI[i]), append(b, ex.FirstMI[i]), append(c, 0)
			if ex.MI[i] < ex.FirstMI[i] {
				c[len(c)-1] = 1
			}
		}
	}
	if len(a) == 0 {
		return nil, nil, nil
	}
	x, y, z := stat.Mean(a, nil), stat.Mean(b, nil), stat.Mean(c, nil)
	return &x, &y, &z
}

// score measures a network on the test images.
func (s *Study) score(ctx context.Context, n *Network, probe fit.Data) (r Score, err error) {
	if n.Task.Name != Contrastive {
		out, err := representation.Features(s.e, n.Model, s.Test.Images)
		if err != nil {
			return r, err
		}
		e := distance(s.Test.Images, tensors.MustCopyFlatData[float32](out))
		r.Error = &e
	}
	if n.Task.reconstructs() {
		return r, nil
	}
	train, err := representation.Features(s.e, n.Encoder, probe.Images)
	if err != nil {
		return r, err
	}
	test, err := representation.Features(s.e, n.Encoder, s.Test.Images)
	if err != nil {
		return r, err
	}
	accuracy, err := representation.Probe{}.Accuracy(ctx, s.e, train, probe.Labels, test, s.Test.Labels)
	r.Accuracy = &accuracy
	return r, err
}

// distance is the mean squared l2 distance of images.
func distance(images *tensors.Tensor, others []float32) float64 {
	flat, sum := tensors.MustCopyFlatData[float32](images), 0.0
	for i, x := range flat {
		d := float64(x) - float64(others[i])
		sum += d * d
	}
	return sum / float64(images.Shape().Dimensions[0])
}

// blank is the mean squared distance of test images from the mean of others.
func (s *Study) blank(images *tensors.Tensor) float64 {
	flat := tensors.MustCopyFlatData[float32](images)
	n := images.Shape().Dimensions[0]
	size := len(flat) / n
	mean := make([]float64, size)
	for i, x := range flat {
		mean[i%size] += float64(x) / float64(n)
	}
	all := make([]float32, s.Test.Images.Shape().Size())
	for i := range all {
		all[i] = float32(mean[i%size])
	}
	return distance(s.Test.Images, all)
}

// Supervised is what the same search brought against a classifier, on test images that it tells right.
type Supervised struct {
	Seed     int64    `json:"seed"`
	Accuracy float64  `json:"accuracy"` // of the classifier
	Images   int      `json:"images"`
	Rate     float64  `json:"rate"` // fooled, as the referee confirms
	Wrong    int      `json:"wrong"`
	Noise    float64  `json:"noise"` // fooled by noise of the same norm
	L2       float64  `json:"l2"`
	MI       *float64 `json:"mi,omitempty"`
	First    *float64 `json:"first_mi,omitempty"`
}

// Classifier is trained on the labeled images of a seed.
func (s *Study) Classifier(ctx context.Context, seed int64) (*nets.Model, error) {
	z, err := s.sceneOf(seed)
	if err != nil {
		return nil, err
	}
	net, err := nets.NewCNN(nets.CNNConfig{Input: s.Shape(), Channels: []int{16, 32}, Dense: 64, Classes: s.Data.Pool.Classes,
		MeanPool: true, Seed: seed})
	if err != nil {
		return nil, err
	}
	_, err = fit.TrainOrLoad(ctx, s.e, net, z.probe, fit.Config{Phases: []fit.Phase{{Epochs: 20, Loss: fit.CrossEntropy()}},
		BatchSize: min(s.Config.Batch, s.Config.Probe), Seed: seed}, s.options("train classifier"))
	return net, err
}

// Supervise attacks a classifier by the same search.
func (s *Study) Supervise(ctx context.Context, seed int64) (r Supervised, err error) {
	r.Seed = seed
	net, err := s.Classifier(ctx, seed)
	if err != nil {
		return r, err
	}
	p, err := nets.NewPredictor(s.e.Backend(), net, 200)
	if err != nil {
		return r, err
	}
	classes, err := p.Classes(s.Test.Images)
	if err != nil {
		return r, err
	}
	var rows []int
	right := 0
	for i, y := range s.Test.Labels {
		if classes[i] == y {
			if right++; len(rows) < s.Config.Classified {
				rows = append(rows, i)
			}
		}
	}
	r.Accuracy, r.Images = float64(right)/float64(len(classes)), len(rows)
	if len(rows) == 0 {
		return r, nil // nothing to fool, which the claim's control sees
	}
	dims := append([]int{len(rows)}, s.Shape()...)
	images := tensors.FromFlatDataAndDimensions(nets.PickRows(tensors.MustCopyFlatData[float32](s.Test.Images),
		s.Test.Images.Shape().Size()/len(classes),
		rows), dims...)
	o, err := uae.Margin(net, robust.Goal{Labels: nets.PickRows(s.Test.Labels, 1, rows)}, 0)
	if err != nil {
		return r, err
	}
	x, err := uae.FirstConv(net)
	if err != nil {
		return r, err
	}
	search := uae.Supervised()
	search.Steps, search.Hidden, search.Seed = s.Config.Search, s.Config.Hidden, seed
	ex, err := s.generate(ctx, search, o, x, images)
	if err != nil {
		return r, err
	}
	v, err := uae.Check(ctx, s.e, o, images, ex, epsilon)
	if err != nil {
		return r, err
	}
	r.Rate, r.Wrong, r.L2 = v.Rate(), len(v.Wrong), stat.Mean(ex.L2, nil)
	r.MI, r.First, _ = over(ex)
	r.Noise, err = s.noiseRate(ctx, o, images, matched(images, ex.L2, seed))
	return r, err
}
