// Package information estimates the mutual information of labels and numbers, in nats: how much is known of one by the
// other. [Ross] takes it from samples, [SignGaussian] is its closed form where the labels are signs of normal numbers.
//
//	found, err := information.Ross(labels, values, 3)
//	want := information.SignGaussian(rho)
package information

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"sort"

	"github.com/pkg/errors"
	"gonum.org/v1/gonum/mathext"
)

// noise is how much is added to values, as a share of their spread, so that no two are equal: distances of 0 say nothing.
const noise = 1e-10

// Ross estimates the mutual information of labels and values [n][dimensions], by nearest neighbors (Ross, PLoS ONE 9(2):
// e87357, 2014), with as many neighbors as given; 3 is usual:
//
//	ψ(n) + ψ(neighbors) − ⟨ψ(n of the label)⟩ − ⟨ψ(m)⟩
//
// where m counts the samples, itself among them, that are nearer to a sample than its last neighbor of the same label, in l2.
// Where there is little, the estimate may be negative. The scale of the values does not matter, but between dimensions it
// does.
//
// Values are moved by noise of 1e-10 of how far they are spread, from a generator of fixed seed, since equal ones break the
// estimator: the same input gives the same bits. One dimension takes time n·log n, more take n².
func Ross(labels []int, values [][]float64, neighbors int) (float64, error) {
	count, err := check(labels, values, neighbors)
	if err != nil {
		return 0, err
	}
	moved := distinct(values)
	var nearer []int
	if len(values[0]) == 1 {
		nearer = alongLine(labels, moved, neighbors)
	} else {
		nearer = inSpace(labels, moved, neighbors)
	}
	n := float64(len(labels))
	sum := 0.0
	for i, m := range nearer {
		sum += mathext.Digamma(float64(count[labels[i]])) + mathext.Digamma(float64(m))
	}
	return mathext.Digamma(n) + mathext.Digamma(float64(neighbors)) - sum/n, nil
}

// check returns how many samples each label has.
func check(labels []int, values [][]float64, neighbors int) (map[int]int, error) {
	if len(labels) == 0 || len(labels) != len(values) {
		return nil, errors.Errorf("information: %d labels for %d values: want one each, of at least one", len(labels), len(values))
	}
	if neighbors < 1 {
		return nil, errors.Errorf("information: k=%d neighbors: want at least 1", neighbors)
	}
	for i, v := range values {
		if len(v) == 0 || len(v) != len(values[0]) {
			return nil, errors.Errorf("information: %d numbers at %d, %d at 0: want as many, and at least one", len(v), i, len(values[0]))
		}
		for j, x := range v {
			if math.IsNaN(x) || math.IsInf(x, 0) {
				return nil, errors.Errorf("information: value %g at [%d,%d] is not finite", x, i, j)
			}
		}
	}
	count := map[int]int{}
	for _, label := range labels {
		count[label]++
	}
	if len(count) == 1 {
		return nil, errors.Errorf("information: all %d labels equal; MI is 0 and not estimable", len(labels))
	}
	for _, label := range labels {
		if n := count[label]; n <= neighbors {
			return nil, errors.Errorf("information: class %d has %d samples, need > k=%d", label, n, neighbors)
		}
	}
	return count, nil
}

// distinct returns the values with noise, in units of their spread around their means, which would else swallow it.
func distinct(values [][]float64) [][]float64 {
	n, size := len(values), len(values[0])
	means, spread := make([]float64, size), 0.0
	for _, v := range values {
		for j, x := range v {
			means[j] += x / float64(n)
		}
	}
	for _, v := range values {
		for j, x := range v {
			spread = max(spread, math.Abs(x-means[j]))
		}
	}
	if spread == 0 {
		spread = 1
	}
	rng := rand.New(rand.NewPCG(0, 0x74696573)) // the stream "ties"
	moved := make([][]float64, n)
	for i, v := range values {
		moved[i] = make([]float64, size)
		for j, x := range v {
			moved[i][j] = (x-means[j])/spread + noise*rng.NormFloat64()
		}
	}
	return moved
}

// alongLine counts, for each of the values, those that are nearer than the last neighbor of its label, itself among them.
func alongLine(labels []int, values [][]float64, neighbors int) []int {
	all := make([]float64, len(values))
	byLabel := map[int][]int{} // samples of a label, by value
	for i, v := range values {
		all[i] = v[0]
		byLabel[labels[i]] = append(byLabel[labels[i]], i)
	}
	slices.Sort(all)
	nearer := make([]int, len(values))
	for _, own := range byLabel {
		slices.SortFunc(own, func(a, b int) int { return cmp.Compare(values[a][0], values[b][0]) })
		for at, i := range own {
			x := values[i][0]
			// The window of neighbors+1 in a row around it whose farther end is nearest.
			far := math.Inf(1)
			for first := max(0, at-neighbors); first <= at && first+neighbors < len(own); first++ {
				far = min(far, max(x-values[own[first]][0], values[own[first+neighbors]][0]-x))
			}
			from := sort.Search(len(all), func(j int) bool { return x-all[j] < far })
			to := sort.Search(len(all), func(j int) bool { return all[j]-x >= far })
			nearer[i] = to - from
		}
	}
	return nearer
}

// inSpace is alongLine in any number of dimensions.
func inSpace(labels []int, values [][]float64, neighbors int) []int {
	nearer := make([]int, len(values))
	all, own := make([]float64, len(values)), make([]float64, 0, len(values))
	for i, v := range values {
		own = own[:0]
		for j, w := range values {
			all[j] = 0
			for d, x := range v {
				all[j] += (x - w[d]) * (x - w[d])
			}
			if labels[j] == labels[i] {
				own = append(own, all[j])
			}
		}
		slices.Sort(own)
		for _, d := range all {
			if d < own[neighbors] { // own[0] is its distance from itself
				nearer[i]++
			}
		}
	}
	return nearer
}

// SignGaussian is the mutual information, in nats, of a standard normal number and the sign of another that correlates with it
// by rho:
//
//	ln 2 − E H(Φ(ρb/√(1 − ρ²))),   b normal, H the entropy of a coin in nats
//
// from 0 at rho = 0 to ln 2 at ±1 and beyond, accurate to 1e-12. NaN gives NaN.
func SignGaussian(rho float64) float64 {
	if math.Abs(rho) >= 1 {
		return math.Ln2
	}
	// With b = u·√(1 − ρ²) the integrand falls like a normal density in u whatever rho is, and is smooth: a sum of equal
	// steps converges faster than any power of the step.
	scale := math.Sqrt((1 - rho) * (1 + rho))
	const step, end = 1.0 / 16, 12 * 16
	sum := 0.0
	for i := -end; i <= end; i++ {
		u := step * float64(i)
		sum += math.Exp(-scale*scale*u*u/2) * coin(rho*u)
	}
	return math.Ln2 - sum*step*scale/math.Sqrt(2*math.Pi)
}

// coin is the entropy of what happens with probability Φ(t).
func coin(t float64) float64 {
	entropy := 0.0
	for _, x := range []float64{t, -t} {
		if p := math.Erfc(x/math.Sqrt2) / 2; p > 0 {
			entropy -= p * math.Log(p)
		}
	}
	return entropy
}
