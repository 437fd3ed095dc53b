package creativity

import (
	"math/rand/v2"

	"github.com/trustbook/trustbook/creativity/scan"
)

// Nodes compares which nodes of the changed layer the scans of single samples find, decoded as ever and with a mode
// (Kolmogorov-Smirnov, two tails).
type Nodes struct {
	// Mean Jaccard index of two samples' nodes: both as ever, both with the mode, one of each.
	Normal  float64 `json:"normal"`
	Mode    float64 `json:"mode"`
	Between float64 `json:"between"`
	// P is the p-value of the permutation test that both kinds have the same frequencies of nodes.
	P float64 `json:"p"`
}

// Apart is how much more alike the nodes are within the two kinds than between them: 0 where mode and normal decoding highlight
// the same.
func (n Nodes) Apart() float64 { return (n.Normal+n.Mode)/2 - n.Between }

// highlighted are the nodes of the first samples, one row of zeros and ones a sample.
func (s *Study) highlighted(ranks *scan.Ranks, nodes int) ([][]float64, error) {
	found, err := scan.Singles(ranks, scan.Options{Score: scan.KolmogorovSmirnov})
	if err != nil {
		return nil, err
	}
	all := make([][]float64, s.Config.Compared)
	for i := range all {
		all[i] = make([]float64, nodes)
		for _, j := range found[i].Nodes {
			all[i][j] = 1
		}
	}
	return all, nil
}

// both are the highlighted nodes of samples decoded as ever and with a mode.
func (s *Study) both(z *Scene, d *Decoded) (normal, mode [][]float64, err error) {
	usual, creative, err := z.Ranks(d, ChangedLayer, scan.Two)
	if err != nil {
		return nil, nil, err
	}
	_, nodes := usual.Size()
	if normal, err = s.highlighted(usual, nodes); err != nil {
		return nil, nil, err
	}
	mode, err = s.highlighted(creative, nodes)
	return normal, mode, err
}

func (s *Study) compare(z *Scene, d *Decoded) (n Nodes, err error) {
	normal, mode, err := s.both(z, d)
	if err != nil {
		return n, err
	}
	n.Normal, n.Mode, n.Between = within(normal), within(mode), between(normal, mode)
	n.P = permutationP(normal, mode, s.Config.Permutations, uint64(z.Seed))
	return n, nil
}

// jaccard is the share of the nodes of either that are of both; two empty sets are alike.
func jaccard(a, b []float64) float64 {
	var both, either float64
	for j := range a {
		both, either = both+min(a[j], b[j]), either+max(a[j], b[j])
	}
	if either == 0 {
		return 1
	}
	return both / either
}

func within(sets [][]float64) (mean float64) {
	pairs := float64(len(sets)*(len(sets)-1)) / 2
	for i := range sets {
		for k := range i {
			mean += jaccard(sets[i], sets[k]) / pairs
		}
	}
	return mean
}

func between(a, b [][]float64) (mean float64) {
	for _, x := range a {
		for _, y := range b {
			mean += jaccard(x, y) / float64(len(a)*len(b))
		}
	}
	return mean
}

// frequencies is the share of the sets that each node is in.
func frequencies(sets [][]float64) []float64 {
	f := make([]float64, len(sets[0]))
	for _, set := range sets {
		for j, in := range set {
			f[j] += in / float64(len(sets))
		}
	}
	return f
}

// permutationP tests whether the frequencies differ, by the sum of their squared differences under random relabelings; the
// given order counts as one of them, so that p is never 0.
func permutationP(a, b [][]float64, permutations int, seed uint64) float64 {
	all := append(append([][]float64{}, a...), b...)
	distance := func() (sum float64) {
		f, g := frequencies(all[:len(a)]), frequencies(all[len(a):])
		for j := range f {
			sum += (f[j] - g[j]) * (f[j] - g[j])
		}
		return sum
	}
	observed, as := distance(), 1
	rng := rand.New(rand.NewPCG(seed, 0x7065726d)) // the stream "perm"
	for range permutations {
		rng.Shuffle(len(all), func(i, k int) { all[i], all[k] = all[k], all[i] })
		if distance() >= observed*(1-1e-12) {
			as++
		}
	}
	return float64(as) / float64(permutations+1)
}
