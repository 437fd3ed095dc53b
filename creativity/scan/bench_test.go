package scan

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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
func shifted(rng *rand.Rand, rows, nodes int, by float32) [][]float32 {
	x := normals(rng, rows, nodes)
	for _, row := range x[rows-rows/5:] {
		for j := range nodes / 10 {
			row[j] += by
		}
	}
	return x
}

// scanning is one scan in steps, on one thread.
type scanning struct {
	normal, rows [][]float32
	background   *Background
	ranks        *Ranks
	options      Options
}

func newScanning(b *testing.B, samples, nodes, background int, shift float32) *scanning {
	rng := rand.New(rand.NewPCG(1, 1))
	s := &scanning{normal: normals(rng, background, nodes), rows: shifted(rng, samples, nodes, shift),
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
// order, p-values, ranks (the p-values that a scan takes), 500 scans of single samples, and one climb of a group scan, from all nodes,
// where a fifth of the samples is larger in a tenth of the nodes by no, half a, or one standard deviation.
//
// Where BENCH_PYTHON names a Python that has the Adversarial Robustness Toolbox, each is followed by the same there, on one thread: it
// tries some fifty α in a climb, where we try all. On one thread the processor's time is compared, on two the time that passes.
func BenchmarkScan(b *testing.B) {
	other := peer.Start(b, "testdata/art_scan.py")
	for _, shift := range []float32{1, 0.5, 0} {
		s := newScanning(b, 500, 2000, 2000, shift)
		climb := fmt.Sprintf("climb/shift=%v", shift)
		if other != nil {
			other("load " + s.write(b))
			assert.InEpsilon(b, other("sum of p-values"), floats.Sum(slices.Concat(s.pValues(b)...)), 1e-9)
			assert.InEpsilon(b, other("sum of singles"), s.singles(b), 1e-9)
			b.Logf("%s: score %.1f, ART's %.1f", climb, s.climb(b), other("sum of climb"))
		}
		if shift == 1 {
			s.compare(b, "background", "background", other, func() { s.sort(b) })
			s.compare(b, "p-values", "p-values", other, func() { s.pValues(b) })
			s.compare(b, "ranks", "p-values", other, func() { s.rank(b) })
			s.compare(b, "singles", "singles", other, func() { s.singles(b) })
		}
		s.compare(b, climb, "climb", other, func() { s.climb(b) })
	}
}

// compare times one and two threads; a climb is one thread's.
func (s *scanning) compare(b *testing.B, name, theirs string, other func(string) float64, run func()) {
	for threads := 1; threads <= 2; threads++ {
		b.Run(fmt.Sprintf("%s/threads=%d", name, threads), func(b *testing.B) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(threads))
			s.options.Workers = threads
			switch {
			case other == nil:
				peer.Compare(b, "ART", run, nil)
			case threads == 1:
				peer.CompareCPU(b, "ART", run, func() float64 { return other(theirs + " cpu") })
			default:
				peer.Compare(b, "ART", run, func() float64 { return other(theirs) })
			}
		})
	}
}

// BenchmarkScanGrowth tells how the steps grow with nodes, samples and background, on one thread, in the processor's time.
func BenchmarkScanGrowth(b *testing.B) {
	for _, k := range []struct{ samples, nodes, background int }{
		{500, 500, 2000}, {500, 2000, 2000}, {500, 10000, 2000}, {500, 50000, 2000},
		{125, 2000, 2000}, {2000, 2000, 2000}, {500, 2000, 500}, {500, 2000, 8000},
	} {
		b.Run(fmt.Sprintf("%dx%d/background=%d", k.samples, k.nodes, k.background), func(b *testing.B) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
			s := newScanning(b, k.samples, k.nodes, k.background, 1)
			b.ResetTimer()
			for _, step := range []struct {
				name string
				run  func()
			}{
				{"background", func() { s.sort(b) }}, {"ranks", func() { s.rank(b) }},
				{"singles", func() { s.singles(b) }}, {"climb", func() { s.climb(b) }},
			} {
				start := peer.CPU()
				for range b.N {
					step.run()
				}
				b.ReportMetric(1e3*(peer.CPU()-start)/float64(b.N), step.name+"-ms")
			}
		})
	}
}

// BenchmarkScanMemory scans 2,000 samples of 50,000 nodes against as many, singly and as a group, in a process of its own, and
// reports the most memory that Linux says it had at any time, with all activations.
func BenchmarkScanMemory(b *testing.B) {
	const child = "SCAN_MEMORY_CHILD"
	if os.Getenv(child) != "" {
		s := newScanning(b, 2000, 50000, 2000, 1)
		s.options.Workers = 2
		s.singles(b)
		s.climb(b)
		runtime.KeepAlive(s)
		status, err := os.ReadFile("/proc/self/status")
		require.NoError(b, err)
		var kilobytes float64
		_, err = fmt.Sscanf(regexp.MustCompile(`VmHWM:\s*\d+`).FindString(string(status)), "VmHWM: %g", &kilobytes)
		require.NoError(b, err)
		fmt.Printf("peak %g MB\n", kilobytes*1024/1e6)
		return
	}
	if runtime.GOOS != "linux" {
		b.Skip("only Linux tells the most memory that a process had")
	}
	for range b.N {
		cmd := exec.Command(os.Args[0], "-test.run", "^$", "-test.bench", "ScanMemory", "-test.benchtime", "1x")
		cmd.Env = append(os.Environ(), child+"=1")
		out, err := cmd.CombinedOutput()
		require.NoError(b, err, string(out))
		var megabytes float64
		_, err = fmt.Sscanf(regexp.MustCompile(`peak .*`).FindString(string(out)), "peak %g MB", &megabytes)
		require.NoError(b, err, string(out))
		b.ReportMetric(megabytes, "peak-MB")
	}
}
