package weights

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
)

// GapPoint is one network of the experiment on generalization: few training examples, some with random labels, learned
// long, with the norms held down by a factor Mu.
type GapPoint struct {
	Mu            float64   `json:"mu"`
	Seed          int64     `json:"seed"`
	TrainLoss     float64   `json:"train_loss"` // mean cross-entropy
	TestLoss      float64   `json:"test_loss"`  // on test examples whose labels are as noisy
	TrainAccuracy float64   `json:"train_accuracy"`
	TestAccuracy  float64   `json:"test_accuracy"`
	Norms         []float64 `json:"norms"`
	Complexity    float64   `json:"complexity"` // RademacherBound
}

// Loss is the generalization gap of the cross-entropy.
func (g GapPoint) Loss() float64 { return g.TestLoss - g.TrainLoss }

// Accuracy is the generalization gap of the accuracy.
func (g GapPoint) Accuracy() float64 { return g.TrainAccuracy - g.TestAccuracy }

// Kendall is the rank correlation between the logarithm of the complexity bound and the gap in cross-entropy over the
// factors of one seed: 1 if the bound ranks the networks as the gap does.
func (r *Result) Kendall(seed int64) float64 {
	var bound, gap []float64
	for _, g := range r.Gaps {
		if g.Seed == seed {
			bound, gap = append(bound, math.Log(g.Complexity)), append(gap, g.Loss())
		}
	}
	if len(gap) < 2 {
		return math.NaN()
	}
	return stat.Kendall(bound, gap, nil)
}

// Noisy replaces a share of the labels by classes drawn at random.
func Noisy(labels []int32, classes int, share float64, seed int64) []int32 {
	rng := rand.New(rand.NewPCG(uint64(seed), 0x6e6f697379)) // the stream "noisy"
	noisy := make([]int32, len(labels))
	for i, y := range labels {
		if noisy[i] = y; rng.Float64() < share {
			noisy[i] = rng.Int32N(int32(classes))
		}
	}
	return noisy
}

// gaps runs the experiment on generalization, all seeds of a factor together.
func (s *study) gaps(ctx context.Context) (points []GapPoint, err error) {
	var scale *loss
	for _, mu := range s.c.GapMus {
		var jobs []fit.Job
		var tests []fit.Data
		var keys []any
		for _, seed := range s.c.Seeds {
			job, test, err := s.planGap(mu, seed)
			if err != nil {
				return nil, err
			}
			key, err := fit.Key(job.Model, s.e.Name(), job.Train, job.Config)
			if err != nil {
				return nil, err
			}
			jobs, tests, keys = append(jobs, job), append(tests, test), append(keys, key)
		}
		found, err := remember(s, "weights-gap-"+fit.Hash(append(keys, s.c.GapTest, s.c.GapNoise)...), func() (found []GapPoint, err error) {
			if _, err := fit.TrainAll(ctx, s.e, jobs, s.c.Progress, s.title(fmt.Sprintf("learn noisy labels, μ=%g", mu))); err != nil {
				return nil, err
			}
			for i, job := range jobs {
				if scale == nil {
					if scale, err = newLoss(s.e, job.Model, 500); err != nil {
						return nil, err
					}
				}
				p, err := scale.point(job.Model, job.Train, tests[i])
				if err != nil {
					return nil, err
				}
				p.Mu, p.Seed = mu, s.c.Seeds[i]
				found = append(found, p)
			}
			return found, nil
		})
		if err != nil {
			return nil, err
		}
		points = append(points, found...)
	}
	return points, nil
}

func (s *study) planGap(mu float64, seed int64) (fit.Job, fit.Data, error) {
	net, err := s.network(seed)
	if err != nil {
		return fit.Job{}, fit.Data{}, err
	}
	train, err := s.data.Draw(s.c.GapTrain, seed)
	if err != nil {
		return fit.Job{}, fit.Data{}, err
	}
	few, err := s.data.Test.Take(s.c.GapTest, 0)
	if err != nil {
		return fit.Job{}, fit.Data{}, err
	}
	images, _ := few.Tensors()
	test := fit.Data{Images: images, Labels: Noisy(few.Labels, net.Classes, s.c.GapNoise, -1-seed)}
	train.Labels, train.Checksum = Noisy(train.Labels, net.Classes, s.c.GapNoise, seed), ""
	return fit.Job{Model: net, Train: train, Options: fit.Options{Dir: s.c.Dir}, Config: fit.Config{BatchSize: s.c.BatchSize,
		LearningRate: s.c.LearningRate, Seed: seed, Phases: []fit.Phase{{Epochs: s.c.GapEpochs, Loss: Loss(0, mu, s.c.EpsilonTrain)}}}}, test, nil
}

// loss measures cross-entropy and accuracy of networks of one architecture.
type loss struct {
	net    *nets.Model
	victim *robust.Victim // for its batches
	exec   *model.Exec
}

func newLoss(e *engine.Engine, like *nets.Model, batch int) (*loss, error) {
	net, err := like.Clone()
	if err != nil {
		return nil, err
	}
	v, err := robust.NewVictim(e, net, batch)
	if err != nil {
		return nil, err
	}
	exec, err := model.NewExec(e.Backend(), net.Store, func(scope *model.Scope, images, labels *Node) []*Node {
		logits := net.Logits(scope, images)
		return []*Node{robust.CrossEntropy.Graph(logits, labels, false), ArgMax(logits, -1)}
	})
	return &loss{net: net, victim: v, exec: exec}, err
}

// on returns the mean cross-entropy and the accuracy.
func (l *loss) on(d fit.Data) (mean, accuracy float64, err error) {
	flat, err := tensors.CopyFlatData[float32](d.Images)
	if err != nil {
		return 0, 0, err
	}
	var predicted []int32
	for rows := range l.victim.Batches(robust.Rows(len(d.Labels))) {
		out, err := l.exec.Call(l.victim.Images(flat, rows), l.victim.Ints(d.Labels, rows))
		if err != nil {
			return 0, 0, err
		}
		losses, err := tensors.CopyFlatData[float32](out[0])
		if err != nil {
			return 0, 0, err
		}
		classes, err := tensors.CopyFlatData[int32](out[1])
		if err != nil {
			return 0, 0, err
		}
		for i := range rows {
			mean += float64(losses[i]) / float64(len(d.Labels))
		}
		predicted = append(predicted, classes[:len(rows)]...)
	}
	return mean, matches(predicted, d.Labels), nil
}

func (l *loss) point(net *nets.Model, train, test fit.Data) (p GapPoint, err error) {
	if err := l.net.CopyWeights(net); err != nil {
		return p, err
	}
	if p.TrainLoss, p.TrainAccuracy, err = l.on(train); err != nil {
		return p, err
	}
	if p.TestLoss, p.TestAccuracy, err = l.on(test); err != nil {
		return p, err
	}
	if p.Norms, err = InfNorms(net); err != nil {
		return p, err
	}
	p.Complexity, err = RademacherBound(p.Norms, max(math.Abs(net.Lower), math.Abs(net.Upper)), product(net.InputShape), len(train.Labels))
	return p, err
}
