package scan

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/floats"

	"github.com/trustbook/trustbook/internal/peer"
	"github.com/trustbook/trustbook/npy"
)

// shifted are activations of which the last fifth of the rows is larger in the first tenth of the nodes.
func shifted(rng *rand.Rand, rows, nodes int) [][]float32 {
	x := normals(rng, rows, nodes)
	for _, row := range x[rows-rows/5:] {
		for j := range nodes / 10 {
			row[j] += 0.5
		}
	}
	return x
}

// scanning is one scan in steps.
type scanning struct {
	normal, rows [][]float32
	background   *Background
	ranks        *Ranks
	options      Options
}

func newScanning(b *testing.B, samples, nodes, background int) *scanning {
	rng := rand.New(rand.NewPCG(1, 1))
	s := &scanning{normal: normals(rng, background, nodes), rows: shifted(rng, samples, nodes),
		options: Options{Starts: 1, NoLadder: true, Workers: 1}}
	s.sort(b)
	s.rank(b)
	return s
}

func (s *scanning) sort(b *testing.B) {
	var err error
	s.background, err = NewBackground(s.normal)
	require.NoError(b, err)
}

func (s *scanning) rank(b *testing.B) {
	var err error
	s.ranks, err = s.background.Ranks(s.rows, Upper)
	require.NoError(b, err)
}

func (s *scanning) pValues(b *testing.B) (all [][]float64) {
	least, most, err := s.background.PValues(s.rows, Upper)
	require.NoError(b, err)
	return append(least, most...)
}

func (s *scanning) singles(b *testing.B) (sum float64) {
	found, err := Singles(s.ranks, s.options)
	require.NoError(b, err)
	for _, f := range found {
		sum += f.Score
	}
	return sum
}

// climb scans as if the ranks were new, and not yet in order.
func (s *scanning) climb(b *testing.B) float64 {
	r := s.ranks
	found, _, err := Group(&Ranks{rows: r.rows, nodes: r.nodes, levels: r.levels, small: r.small, large: r.large, bits: r.bits}, s.options)
	require.NoError(b, err)
	return found.Score
}

// write puts the activations where Python reads them.
func (s *scanning) write(b *testing.B) (folder string) {
	folder = b.TempDir()
	for name, rows := range map[string][][]float32{"background": s.normal, "activations": s.rows} {
		t, err := tensors.FromAnyValue(rows)
		require.NoError(b, err)
		require.NoError(b, npy.WriteImages(filepath.Join(folder, name+".npy"), t))
	}
	return folder
}

// BenchmarkScan scans 500 samples of 2,000 nodes against a background of 2,000, on one thread and on two: the background's
// order, p-values, ranks (the p-values that a scan takes), 500 scans of single samples, and one climb of a group scan, from all nodes.
//
// Where BENCH_PYTHON names a Python that has the Adversarial Robustness Toolbox, each is followed by the same there, on one thread: it
// tries some fifty α in a climb, where we try all. On one thread the processor's time is compared, on two the time that passes.
func BenchmarkScan(b *testing.B) {
	s := newScanning(b, 500, 2000, 2000)
	other := peer.Start(b, "testdata/art_scan.py")
	if other != nil {
		other("load " + s.write(b))
		assert.InEpsilon(b, other("sum of p-values"), floats.Sum(slices.Concat(s.pValues(b)...)), 1e-9)
		assert.InEpsilon(b, other("sum of singles"), s.singles(b), 1e-9)
		b.Logf("score of the climb: %.1f, ART's %.1f", s.climb(b), other("sum of climb"))
	}
	for _, k := range []struct {
		name, theirs string
		run          func()
	}{
		{"background", "background", func() { s.sort(b) }}, {"p-values", "p-values", func() { s.pValues(b) }},
		{"ranks", "p-values", func() { s.rank(b) }}, {"singles", "singles", func() { s.singles(b) }}, {"climb", "climb", func() { s.climb(b) }},
	} {
		for threads := 1; threads <= 2; threads++ {
			b.Run(fmt.Sprintf("%s/threads=%d", k.name, threads), func(b *testing.B) {
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(threads))
				s.options.Workers = threads
				var theirs func() float64
				if other != nil {
					name := k.theirs
					if threads == 1 {
						name += " cpu"
					}
					theirs = func() float64 { return other(name) }
				}
				if threads == 1 {
					peer.CompareCPU(b, "ART", k.run, theirs)
				} else {
					peer.Compare(b, "ART", k.run, theirs)
				}
			})
		}
	}
}
