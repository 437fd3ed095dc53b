package fewshot

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"
)

// Sinusoid draws the regression tasks of Finn, Abbeel and Levine (arXiv 1703.03400): y = a·sin(x - φ) with amplitude
// a ~ U[0.1, 5], phase φ ~ U[0, π] and x ~ U[-5, 5], a and φ new for each task.
type Sinusoid struct {
	Shots   int // points to learn from; zero: 10
	Queries int // points to be judged on; zero: 10
	Tasks   int // in a batch; zero: 25
	Seed    int64
}

func (s Sinusoid) withDefaults() Sinusoid {
	s.Shots, s.Queries, s.Tasks = cmp.Or(s.Shots, 10), cmp.Or(s.Queries, 10), cmp.Or(s.Tasks, 25)
	return s
}

// Key implements [Source].
func (s Sinusoid) Key() string { return fmt.Sprintf("sinusoid 1, %+v", s.withDefaults()) }

// Batch implements [Source]: float32 x and y of shape [tasks, points, 1].
func (s Sinusoid) Batch(i int) (*Batch, error) {
	s = s.withDefaults()
	if s.Shots < 1 || s.Queries < 1 || s.Tasks < 1 || i < 0 {
		return nil, errors.Errorf("fewshot: sinusoid with %d shots, %d queries, %d tasks, batch %d: want at least 1, 1, 1 and 0",
			s.Shots, s.Queries, s.Tasks, i)
	}
	rng := rand.New(rand.NewPCG(uint64(s.Seed), uint64(i)))
	var x, y [2][]float32
	for range s.Tasks {
		amplitude, phase := 0.1+4.9*rng.Float64(), math.Pi*rng.Float64()
		for part, n := range []int{s.Shots, s.Queries} {
			for range n {
				at := 10*rng.Float64() - 5
				x[part], y[part] = append(x[part], float32(at)), append(y[part], float32(amplitude*math.Sin(at-phase)))
			}
		}
	}
	shaped := func(values []float32, n int) *tensors.Tensor {
		return tensors.FromFlatDataAndDimensions(values, s.Tasks, n, 1)
	}
	return &Batch{Support: shaped(x[0], s.Shots), SupportLabels: shaped(y[0], s.Shots),
		Query: shaped(x[1], s.Queries), QueryLabels: shaped(y[1], s.Queries)}, nil
}
