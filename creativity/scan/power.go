package scan

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"

	"gonum.org/v1/gonum/stat"
)

// Area is the area under a receiver operating characteristic: how likely an anomalous score is above a clean one, ties counting
// half.
type Area struct {
	AUC  float64 `json:"auc"`
	Low  float64 `json:"low"` // of the 95% interval
	High float64 `json:"high"`
}

// Detect compares scores of clean and of anomalous samples or groups. The interval is that of DeLong, DeLong and Clarke-Pearson
// (1988), cut off at 0 and 1; it needs two scores of each and says little where the area is near 0 or 1.
func Detect(clean, anomalous []float64) (Area, error) {
	if len(clean) < 2 || len(anomalous) < 2 {
		return Area{}, fmt.Errorf("scan: %d clean and %d anomalous scores: want two of each at least", len(clean), len(anomalous))
	}
	above := placements(anomalous, clean) // of each anomalous score, the share of clean ones below it
	below := placements(clean, anomalous)
	auc := stat.Mean(above, nil)
	deviation := math.Sqrt(stat.Variance(above, nil)/float64(len(above)) + stat.Variance(below, nil)/float64(len(below)))
	const z = 1.959963984540054
	return Area{auc, max(0, auc-z*deviation), min(1, auc+z*deviation)}, nil
}

// placements are, for each score, the share of the others that are below it, ties counting half.
func placements(scores, others []float64) []float64 {
	sorted := slices.Clone(others)
	slices.Sort(sorted)
	shares := make([]float64, len(scores))
	for i, s := range scores {
		below := sort.SearchFloat64s(sorted, s)
		upTo := sort.Search(len(sorted), func(i int) bool { return sorted[i] > s })
		shares[i] = float64(below+upTo) / float64(2*len(sorted))
	}
	return shares
}

// Overlap is the share of what was found that is true, and the share of what is true that was found. With nothing found precision is 0.
func Overlap(found, truth []int) (precision, recall float64) {
	both := 0
	for _, x := range found {
		if slices.Contains(truth, x) {
			both++
		}
	}
	return float64(both) / float64(max(1, len(found))), float64(both) / float64(max(1, len(truth)))
}

// Power is how well group scans tell groups with anomalous rows from clean ones.
type Power struct {
	Area
	Clean     []float64 `json:"clean"`     // scores of the clean groups, one a run
	Anomalous []float64 `json:"anomalous"` // of the groups with anomalous rows
	// Subsets are what was found in the groups with anomalous rows; rows from Size - Count on are the anomalous ones.
	Subsets []Subset `json:"subsets"`
	Size    int      `json:"size"`
	Count   int      `json:"count"`
	// RowPrecision and RowRecall are of the anomalous rows, means over the runs.
	RowPrecision float64 `json:"row_precision"`
	RowRecall    float64 `json:"row_recall"`
}

// DetectionPower draws, in each run, a clean group of so many rows and another of as many, the given number of which are
// anomalous, and scans both. Groups of a run share no row, and are of one size: scores grow with size by themselves. Both ranks are of
// one background and tail. There must be clean rows for both groups.
func DetectionPower(clean, anomalous *Ranks, size, count, runs int, o Options) (*Power, error) {
	o = o.withDefaults()
	if err := o.check(clean); err != nil {
		return nil, err
	}
	if err := o.check(anomalous); err != nil {
		return nil, err
	}
	switch {
	case clean.nodes != anomalous.nodes || !slices.Equal(clean.levels, anomalous.levels):
		return nil, fmt.Errorf("scan: clean and anomalous rows are of different backgrounds or tails: want those of one")
	case size < 1 || count < 0 || count > size || runs < 2:
		return nil, fmt.Errorf("scan: %d runs of groups of %d rows with %d anomalous ones: want two runs at least and no more"+
			" anomalous rows than rows", runs, size, count)
	case 2*size-count > clean.rows || count > anomalous.rows:
		return nil, fmt.Errorf("scan: groups of %d rows, %d of them anomalous, take %d clean rows and %d anomalous ones: there are %d and %d",
			size, count, 2*size-count, count, clean.rows, anomalous.rows)
	}
	p := &Power{Size: size, Count: count}
	rng := rand.New(rand.NewPCG(o.Seed, 0))
	for range runs {
		normal, other := rng.Perm(clean.rows), rng.Perm(anomalous.rows)
		alone := join(chosen{clean, normal[:size]})
		mixed := join(chosen{clean, normal[size : 2*size-count]}, chosen{anomalous, other[:count]})
		for _, g := range []struct {
			ranks  *Ranks
			scores *[]float64
		}{{alone, &p.Clean}, {mixed, &p.Anomalous}} {
			found, _, err := Group(g.ranks, o)
			if err != nil {
				return nil, err
			}
			*g.scores = append(*g.scores, found.Score)
			if g.ranks == mixed {
				p.Subsets = append(p.Subsets, found)
			}
		}
	}
	truth := make([]int, count)
	for i := range truth {
		truth[i] = size - count + i
	}
	for _, s := range p.Subsets {
		precision, recall := Overlap(s.Rows, truth)
		p.RowPrecision += precision / float64(runs)
		p.RowRecall += recall / float64(runs)
	}
	var err error
	p.Area, err = Detect(p.Clean, p.Anomalous)
	return p, err
}
