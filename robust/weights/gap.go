package weights

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/study"
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

// Kendall is the rank correlation between the complexity bound and the gap in cross-entropy over networks, such as those
// of one seed: 1 if the bound ranks them as the gap does. It takes two networks or more.
func Kendall(points []GapPoint) float64 {
	var bound, gap []float64
	for _, g := range points {
		bound, gap = append(bound, math.Log(g.Complexity)), append(gap, g.Loss())
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

// gap is the experiment on generalization with one factor: the networks of all seeds, trained together.
func (s *Study) gap(ctx context.Context, mu float64) (study.Piece[[]GapPoint], error) {
	p := study.Piece[[]GapPoint]{Name: fmt.Sprintf("generalization gap, μ=%g", mu), Tasks: 1}
	var jobs []fit.Job
	var keys []any
	for _, seed := range s.Config.Seeds {
		train, err := s.Data.Draw(s.Config.GapTrain, seed)
		if err != nil {
			return p, err
		}
		train.Labels, train.Checksum = Noisy(train.Labels, s.Data.Pool.Classes, s.Config.GapNoise, seed), ""
		job, err := s.job(train, seed, fit.Phase{Epochs: s.Config.GapEpochs, Loss: Loss(0, mu, s.Config.EpsilonTrain)})
		if err != nil {
			return p, err
		}
		key, err := fit.Key(job.Model, s.e.Name(), job.Train, job.Config)
		if err != nil {
			return p, err
		}
		jobs, keys = append(jobs, job), append(keys, key)
	}
	p.Key = "weights-gap-" + fit.Hash(append(keys, s.Config.GapTest, s.Config.GapNoise)...)
	p.Do = func() (points []GapPoint, err error) {
		if err := s.trainAll(ctx, jobs, fmt.Sprintf("learn noisy labels, μ=%g", mu)); err != nil {
			return nil, err
		}
		for _, job := range jobs {
			g, err := s.point(ctx, job)
			if err != nil {
				return nil, err
			}
			g.Mu = mu
			points = append(points, g)
		}
		return points, nil
	}
	return p, nil
}

// point measures the generalization gap of a trained network.
func (s *Study) point(ctx context.Context, job fit.Job) (p GapPoint, err error) {
	p.Seed = job.Config.Seed
	few, err := s.Data.Test.Take(s.Config.GapTest, 0)
	if err != nil {
		return p, err
	}
	images, _ := few.Tensors()
	test := fit.Data{Images: images, Labels: Noisy(few.Labels, job.Model.Classes, s.Config.GapNoise, -1-p.Seed)}
	if s.losses == nil {
		if s.losses, err = NewAssessor(s.e, job.Model, 500); err != nil {
			return p, err
		}
	}
	if err := s.losses.Net.CopyWeights(job.Model); err != nil {
		return p, err
	}
	if p.TrainLoss, p.TrainAccuracy, err = s.losses.losses(ctx, job.Train); err != nil {
		return p, err
	}
	if p.TestLoss, p.TestAccuracy, err = s.losses.losses(ctx, test); err != nil {
		return p, err
	}
	p.Norms, p.Complexity, err = complexity(job.Model, len(job.Train.Labels))
	return p, err
}

// losses returns the mean cross-entropy and the accuracy of an assessor's network on examples.
func (a *Assessor) losses(ctx context.Context, d fit.Data) (mean, accuracy float64, err error) {
	step, err := a.victim.Compile("weights/losses", func(o *robust.Oracle, args []*Node) []*Node {
		logits := o.Logits(args[0])
		return []*Node{robust.CrossEntropy.Graph(logits, args[1], false), ArgMax(logits, -1)}
	})
	if err != nil {
		return 0, 0, err
	}
	flat, err := tensors.CopyFlatData[float32](d.Images)
	if err != nil {
		return 0, 0, err
	}
	var predicted []int32
	for rows := range a.victim.Batches(robust.Rows(len(d.Labels))) {
		out, err := step.Call(ctx, nil, a.victim.Images(flat, rows), a.victim.Ints(d.Labels, rows))
		if err != nil {
			return 0, 0, err
		}
		each, err := tensors.CopyFlatData[float32](out[0])
		if err != nil {
			return 0, 0, err
		}
		classes, err := tensors.CopyFlatData[int32](out[1])
		if err != nil {
			return 0, 0, err
		}
		for i := range rows {
			mean += float64(each[i]) / float64(len(d.Labels))
		}
		predicted = append(predicted, classes[:len(rows)]...)
	}
	return mean, matches(predicted, d.Labels), nil
}
