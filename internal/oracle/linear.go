// Package oracle has the closed forms and brute-force answers that tests compare with.
package oracle

import (
	"math"
	"math/rand/v2"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/trustbook/trustbook/nets"
)

// Linear is a linear classifier x·W + b whose robust accuracy is known in closed form. W is [inputs][classes].
type Linear struct {
	W [][]float32
	B []float32
}

// RandomLinear draws Gaussian weights.
func RandomLinear(inputs, classes int, seed uint64) Linear {
	rng := rand.New(rand.NewPCG(seed, 1))
	l := Linear{B: make([]float32, classes)}
	for range inputs {
		row := make([]float32, classes)
		for j := range row {
			row[j] = float32(rng.NormFloat64())
		}
		l.W = append(l.W, row)
	}
	for j := range l.B {
		l.B[j] = 0.1 * float32(rng.NormFloat64())
	}
	return l
}

// Model returns it as a network with pixel bounds.
func (l Linear) Model(lower, upper float64) *nets.Model {
	store := model.NewStore()
	scope := store.RootScope().At("linear")
	if _, err := scope.CreateVariable("weights", tensors.FromValue(l.W)); err != nil {
		panic(err)
	}
	if _, err := scope.CreateVariable("biases", tensors.FromValue(l.B)); err != nil {
		panic(err)
	}
	return &nets.Model{
		Network:    nets.Network{Name: "linear", Store: store, WeightPaths: []string{"/linear/weights", "/linear/biases"}},
		InputShape: []int{len(l.W)},
		Dense:      []nets.DenseLayer{{Weight: "/linear/weights", Bias: "/linear/biases"}}, Lower: lower, Upper: upper, Classes: len(l.B),
		Logits: func(scope *model.Scope, x *Node) *Node {
			at := scope.At("linear")
			w := at.GetVariable("weights").NodeValue(x.Graph())
			b := at.GetVariable("biases").NodeValue(x.Graph())
			return Add(MatMul(x, w), InsertAxes(b, 0))
		}}
}

// Predict returns the class of the largest logit.
func (l Linear) Predict(x []float32) int32 {
	best, at := math.Inf(-1), 0
	for j := range l.B {
		if z := l.logit(x, j); z > best {
			best, at = z, j
		}
	}
	return int32(at)
}

func (l Linear) logit(x []float32, j int) float64 {
	z := float64(l.B[j])
	for i, v := range x {
		z += float64(v) * float64(l.W[i][j])
	}
	return z
}

// WorstMargin is the smallest margin of class y over the other classes that any perturbation of radius epsilon in the
// norm ("linf", "l2", "l1") inside [lower, upper] can reach. For l2 it finds the multiplier by bisection.
func (l Linear) WorstMargin(x []float32, y int32, norm string, epsilon, lower, upper float64) float64 {
	worst := math.Inf(1)
	for j := range l.B {
		if int32(j) == y {
			continue
		}
		margin := l.logit(x, int(y)) - l.logit(x, j)
		// The adversary moves along d = W_j - W_y by at most room.
		d, room := make([]float64, len(x)), make([]float64, len(x))
		for i, v := range x {
			d[i] = float64(l.W[i][j]) - float64(l.W[i][y])
			if d[i] > 0 {
				room[i] = upper - float64(v)
			} else {
				room[i] = float64(v) - lower
			}
			d[i] = math.Abs(d[i])
		}
		worst = min(worst, margin-bestGain(d, room, norm, epsilon))
	}
	return worst
}

// bestGain maximizes Σ d_i·m_i over 0 <= m_i <= room_i with the norm of m at most epsilon.
func bestGain(d, room []float64, norm string, epsilon float64) (gain float64) {
	switch norm {
	case "linf":
		for i := range d {
			gain += d[i] * min(epsilon, room[i])
		}
	case "l1": // fractional knapsack
		order := make([]int, len(d))
		for i := range order {
			order[i] = i
		}
		slices.SortFunc(order, func(a, b int) int { return -compare(d[a], d[b]) })
		for _, i := range order {
			m := min(epsilon, room[i])
			gain += d[i] * m
			epsilon -= m
		}
	case "l2": // m_i = min(t·d_i, room_i) with the t at which the norm is epsilon
		length := func(t float64) (n float64) {
			for i := range d {
				m := min(t*d[i], room[i])
				n += m * m
			}
			return math.Sqrt(n)
		}
		from, to := 0.0, 1e6
		for range 200 {
			if t := (from + to) / 2; length(t) <= epsilon {
				from = t
			} else {
				to = t
			}
		}
		for i := range d {
			gain += d[i] * min(from*d[i], room[i])
		}
	}
	return gain
}

func compare(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
