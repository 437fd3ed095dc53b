package scoring

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/pkg/errors"
)

// Hyperparameter is one setting with which a network of a zoo was trained.
type Hyperparameter struct{ Name, Value string }

// CMIOptions change how [ConditionalMutualInformation] counts; the zero value is the competition's way.
type CMIOptions struct {
	// ExcludeSelfPairs leaves out the pairs of a network with itself. With them, which count as "not greater" for gap and
	// measure, a measure that orders all networks the wrong way round does not get a perfect score; without, it does.
	ExcludeSelfPairs bool
}

// CMI is how much a measure tells of the order of generalization gaps that no two hyper-parameters tell already.
type CMI struct {
	// Score is the smallest of Pairs, from 0 to 1; the competition shows it times 100.
	Score float64 `json:"score"`
	// Pairs are the scores with each pair of hyper-parameters known, by the names "width, depth" in the order given.
	Pairs map[string]float64 `json:"pairs"`
}

// ConditionalMutualInformation scores a measure as the competition Predicting Generalization in Deep Learning does (PGDL;
// Jiang et al., arXiv 2012.07976; its scoring program): over ordered pairs of networks, the mutual information in bits of
// "the gap is greater" and "the measure is greater" given two hyper-parameters of both networks, divided by the entropy of
// the former, cells of equal weight; the smallest over all pairs of hyper-parameters.
//
// models[i] are the hyper-parameters of network i, the same names in the same order for all; they must make a complete
// grid, each combination once, of at least three hyper-parameters with two values or more. gaps and measure have one value a
// network, and measure must grow with the gap: the score is not indifferent to its sign.
func ConditionalMutualInformation(models [][]Hyperparameter, gaps, measure []float64, o CMIOptions) (*CMI, error) {
	names, values, err := grid(models)
	if err != nil {
		return nil, err
	}
	if len(gaps) != len(models) || len(measure) != len(models) {
		return nil, errors.Errorf("scoring: %d networks with %d gaps and %d values of the measure: give one each",
			len(models), len(gaps), len(measure))
	}
	if err := finite("gap", gaps); err != nil {
		return nil, err
	}
	if err := finite("measure", measure); err != nil {
		return nil, err
	}
	if constant(gaps) {
		return nil, errors.New("scoring: all gaps are equal: nothing to predict")
	}
	r := &CMI{Score: math.Inf(1), Pairs: map[string]float64{}}
	for a := range names {
		for b := range a {
			score := conditional(values[b], values[a], gaps, measure, o)
			r.Pairs[names[b]+", "+names[a]] = score
			r.Score = min(r.Score, score)
		}
	}
	return r, nil
}

// conditional is the score with two hyper-parameters known.
func conditional(first, second []int, gaps, measure []float64, o CMIOptions) float64 {
	tables := map[[4]int]*[2][2]float64{} // counts, by whether gap and measure are greater
	var cells [][4]int                    // in the order of appearance: sums must not depend on a map's
	bit := map[bool]int{true: 1}
	for i := range gaps {
		for j := range gaps {
			if i == j && o.ExcludeSelfPairs {
				continue
			}
			cell := [4]int{first[i], first[j], second[i], second[j]}
			if tables[cell] == nil {
				tables[cell], cells = &[2][2]float64{}, append(cells, cell)
			}
			tables[cell][bit[gaps[i] > gaps[j]]][bit[measure[i] > measure[j]]]++
		}
	}
	var information, entropy float64
	for _, cell := range cells {
		mi, h := mutual(tables[cell])
		information, entropy = information+mi, entropy+h
	}
	if entropy == 0 {
		return 0
	}
	return information / entropy
}

// mutual is the mutual information, in bits, of the rows and columns of a table of counts, and the entropy of its rows.
func mutual(t *[2][2]float64) (information, entropy float64) {
	n := t[0][0] + t[0][1] + t[1][0] + t[1][1]
	var row, column [2]float64
	for i := range 2 {
		for j := range 2 {
			row[i] += t[i][j] / n
			column[j] += t[i][j] / n
		}
	}
	for i := range 2 {
		for j := range 2 {
			if p := t[i][j] / n; p > 0 {
				information += p * math.Log2(p/(row[i]*column[j]))
			}
		}
		entropy -= row[i] * math.Log2(row[i]+1e-12) // as the scoring program guards against log 0
	}
	return information, entropy
}

// grid checks that the networks make a complete grid. It returns the hyper-parameters' names and, for each, the number of
// its value in each network; hyper-parameters of a single value are left out.
func grid(models [][]Hyperparameter) (names []string, values [][]int, err error) {
	if len(models) == 0 {
		return nil, nil, errors.New("scoring: no networks given")
	}
	var all [][]string // the values of each hyper-parameter
	for i, m := range models {
		if len(m) != len(models[0]) {
			return nil, nil, errors.Errorf("scoring: network %d has %d hyper-parameters, the first has %d", i, len(m), len(models[0]))
		}
		for k, h := range m {
			if h.Name != models[0][k].Name {
				return nil, nil, errors.Errorf("scoring: hyper-parameter %d of network %d is %q, that of the first is %q",
					k, i, h.Name, models[0][k].Name)
			}
			if i == 0 {
				all = append(all, nil)
			}
			if !slices.Contains(all[k], h.Value) {
				all[k] = append(all[k], h.Value)
			}
		}
	}
	var kept []int
	size := 1
	for k := range all {
		if len(all[k]) > 1 {
			kept = append(kept, k)
			size *= len(all[k])
		}
	}
	if len(kept) < 3 {
		return nil, nil, errors.Errorf("scoring: %s with more than one value: conditioning on two of them needs at least 3",
			count(len(kept), "hyper-parameter"))
	}
	seen := map[string]bool{}
	values = make([][]int, len(kept))
	for i, m := range models {
		place := make([]int, len(kept))
		for v, k := range kept {
			place[v] = slices.Index(all[k], m[k].Value)
			values[v] = append(values[v], place[v])
		}
		if key := fmt.Sprint(place); seen[key] {
			return nil, nil, errors.Errorf("scoring: network %d repeats %s: each combination may come once", i, describe(m))
		}
		seen[fmt.Sprint(place)] = true
	}
	for _, k := range kept {
		names = append(names, models[0][k].Name)
	}
	if len(models) == size {
		return names, values, nil
	}
	for n := range size { // which one is missing
		place, wanted := make([]int, len(kept)), make([]Hyperparameter, len(kept))
		for v := len(kept) - 1; v >= 0; v-- {
			choices := all[kept[v]]
			place[v], n = n%len(choices), n/len(choices)
			wanted[v] = Hyperparameter{Name: names[v], Value: choices[place[v]]}
		}
		if !seen[fmt.Sprint(place)] {
			return nil, nil, errors.Errorf("scoring: incomplete grid: no model with %s", describe(wanted))
		}
	}
	return names, values, nil
}

func describe(m []Hyperparameter) string {
	parts := make([]string, len(m))
	for i, h := range m {
		parts[i] = h.Name + "=" + h.Value
	}
	return strings.Join(parts, ", ")
}
