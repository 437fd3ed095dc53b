package generative

import (
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/pkg/errors"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// Fidelity says how much of what is generated is real, and how much of what is real is generated.
type Fidelity struct {
	Precision float64 `json:"precision"` // share of generated samples within reach of a real one (Kynkäänniemi et al.)
	Recall    float64 `json:"recall"`    // share of real samples within reach of a generated one
	// Density is how many real samples reach a generated one, over k; above 1 where generated ones crowd (Naeem et al.).
	Density  float64 `json:"density"`
	Coverage float64 `json:"coverage"` // share of real samples that reach a generated one
}

// Compare takes features [n][d] of both sets. A sample reaches as far as its k-th nearest neighbor in its own set, and what is exactly
// as far away, as Kynkäänniemi et al. have it; the papers have k = 3 for precision and recall, 5 for density and coverage. Naeem et
// al.'s package prdc reaches less than that far: it finds less where distances are equal, as those of samples that are there twice or
// of features that are whole numbers, and the same elsewhere. Compare needs more than k samples a set.
func Compare(real, generated [][]float64, k int) (Fidelity, error) {
	if k < 1 {
		return Fidelity{}, errors.Errorf("generative: k = %d neighbors: want at least 1", k)
	}
	who := "precision and recall with k = " + strconv.Itoa(k)
	x, y, err := matrices(who, comparedSets, real, generated, k+1)
	if err != nil {
		return Fidelity{}, err
	}
	centered(x, y)
	ofReal, err := reach(who, x, k)
	if err != nil {
		return Fidelity{}, err
	}
	ofGenerated, err := reach(who, y, k)
	if err != nil {
		return Fidelity{}, err
	}
	n, m := len(real), len(generated)
	precise, recalled, covered, reached := make([]bool, m), 0, 0, 0
	err = squaredDistances(who, x, y, func(i int, row []float64) {
		recall, cover := false, false
		for j, d := range row {
			recall = recall || d <= ofGenerated[j]
			if d <= ofReal[i] {
				precise[j], cover = true, true
				reached++
			}
		}
		recalled, covered = recalled+one(recall), covered+one(cover)
	})
	if err != nil {
		return Fidelity{}, err
	}
	f := Fidelity{Recall: float64(recalled) / float64(n), Coverage: float64(covered) / float64(n),
		Density: float64(reached) / float64(k) / float64(m)}
	hits := 0
	for _, p := range precise {
		hits += one(p)
	}
	f.Precision = float64(hits) / float64(m)
	return f, nil
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

// reach is the squared distance of each row to its k-th nearest other row.
func reach(who string, x *mat.Dense, k int) ([]float64, error) {
	n, _ := x.Dims()
	all := make([]float64, n)
	err := squaredDistances(who, x, x, func(i int, row []float64) {
		row[i] = -1 // itself, whatever rounding says
		slices.Sort(row)
		all[i] = row[k]
	})
	return all, err
}

// Diversity is the mean Euclidean distance of two different samples of features [n][d]. It needs two samples.
func Diversity(samples [][]float64) (float64, error) {
	x, err := matrix("sample", samples, 2, "diversity")
	if err != nil {
		return 0, err
	}
	centered(x, mat.DenseCopyOf(x))
	n := len(samples)
	sum := 0.0
	err = squaredDistances("diversity", x, x, func(i int, row []float64) {
		for _, v := range row[i+1:] {
			sum += math.Sqrt(v)
		}
	})
	if err != nil {
		return 0, err
	}
	return sum / (float64(n) * float64(n-1) / 2), nil
}

// Nearest finds for each sample the nearest of others: its row, and the Euclidean distance. Distances of generated samples to the
// training set that are far below those of held-out samples tell a memory.
func Nearest(samples, among [][]float64) (distances []float64, rows []int, err error) {
	const who = "nearest neighbors"
	x, y, err := matrices(who, [2]string{"sample", "known sample"}, samples, among, 1)
	if err != nil {
		return nil, nil, err
	}
	centered(x, y)
	err = squaredDistances(who, x, y, func(i int, row []float64) {
		best := floats.MinIdx(row)
		// Anew by differences: a sample that is another one is exactly 0 away.
		distances, rows = append(distances, math.Sqrt(distance2(samples[i], among[best]))), append(rows, best)
	})
	if err != nil {
		return nil, nil, err
	}
	return distances, rows, nil
}

// EffectiveClasses is how many classes labels are spread over: e to the entropy of their shares, 1 where all are the same. Labels are
// from 0 to classes-1, others are an error: what a classifier leaves open, as by -1, is no class.
func EffectiveClasses(labels []int32, classes int) (float64, error) {
	if len(labels) == 0 {
		return 0, errors.New("generative: no labels to count classes of")
	}
	counts := map[int32]int{}
	for i, l := range labels {
		if l < 0 || int(l) >= classes {
			return 0, errors.Errorf("generative: label %d is %d: want 0 to %d, one of %d classes", i, l, classes-1, classes)
		}
		counts[l]++
	}
	entropy := 0.0
	for _, l := range slices.Sorted(maps.Keys(counts)) {
		p := float64(counts[l]) / float64(len(labels))
		entropy -= p * math.Log(p)
	}
	return math.Exp(entropy), nil
}
