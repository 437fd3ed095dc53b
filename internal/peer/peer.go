// Package peer lets benchmarks time the same work elsewhere, by turns with our own: machines are noisy, and their noise hits both
// of a pair. The other side is a Python script that answers each line with the name of a case by a line with its seconds. [Output] is
// for tests that compare values.
//
//	other := peer.Start(b, "testdata/torch_maml.py")
//	peer.Compare(b, "PyTorch", run, func() float64 { return other("strided") })
package peer

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var (
	mu      sync.Mutex
	started = map[string]func(name string) (float64, error){}
)

// Start starts a script with the Python that BENCH_PYTHON names, once in a process; it ends with the process, whose pipe it reads.
// The returned function gives the seconds of a case. It is nil where BENCH_PYTHON is empty.
func Start(b *testing.B, script string) func(name string) float64 {
	b.Helper()
	python := os.Getenv("BENCH_PYTHON")
	if python == "" {
		return nil
	}
	mu.Lock()
	defer mu.Unlock()
	ask := started[script]
	if ask == nil {
		var err error
		if ask, err = start(python, script); err != nil {
			b.Fatalf("BENCH_PYTHON=%s: want a Python that has what %s imports: %v", python, script, err)
		}
		started[script] = ask
	}
	return func(name string) float64 {
		seconds, err := ask(name)
		if err != nil {
			b.Fatalf("%s: %s: %v", script, name, err)
		}
		return seconds
	}
}

func start(python, script string) (func(name string) (float64, error), error) {
	cmd := exec.Command(python, script)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewReader(out)
	versions, err := lines.ReadString('\n')
	if err != nil {
		return nil, err
	}
	fmt.Print("against ", versions)
	return func(name string) (float64, error) {
		if _, err := io.WriteString(in, name+"\n"); err != nil {
			return 0, err
		}
		line, err := lines.ReadString('\n')
		if err != nil {
			return 0, err
		}
		return strconv.ParseFloat(strings.TrimSpace(line), 64)
	}, nil
}

// Output is what a script prints, run once with the Python that BENCH_PYTHON names; what it writes to standard error is shown if it
// fails. The test is skipped where BENCH_PYTHON is empty.
func Output(t testing.TB, script string, arguments ...string) []byte {
	t.Helper()
	python := os.Getenv("BENCH_PYTHON")
	if python == "" {
		t.Skip("BENCH_PYTHON is not set: want a Python that has what robust/attack/testdata/requirements.txt lists, as of make bench-python")
	}
	out, err := exec.Command(python, append([]string{script}, arguments...)...).Output()
	if err != nil {
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			err = fmt.Errorf("%w\n%s", err, failed.Stderr)
		}
		t.Fatalf("BENCH_PYTHON=%s: want a Python that has what %s imports: %v", python, script, err)
	}
	return out
}

// Compare runs ours b.N times, each followed by theirs unless that is nil, and reports the median of their milliseconds and of the
// pairs' ratios, ours divided by theirs.
func Compare(b *testing.B, them string, ours func(), theirs func() float64) {
	start := time.Now()
	compare(b, them, ours, theirs, func() float64 { return time.Since(start).Seconds() })
}

// CompareCPU is Compare by the processor's seconds, of all threads, which others on a busy machine touch less. Theirs must be such too.
// Those of ours are reported as cpu-ms.
func CompareCPU(b *testing.B, them string, ours func(), theirs func() float64) {
	b.ReportMetric(1e3*compare(b, them, ours, theirs, CPU), "cpu-ms")
}

// compare returns the median of our seconds.
func compare(b *testing.B, them string, ours func(), theirs, clock func() float64) float64 {
	ours() // compiles
	var mine, ratios, seconds []float64
	b.ResetTimer()
	for range b.N {
		start := clock()
		ours()
		took := clock() - start
		mine = append(mine, took)
		if theirs != nil {
			b.StopTimer()
			t := theirs()
			seconds, ratios = append(seconds, t), append(ratios, took/t)
			b.StartTimer()
		}
	}
	if theirs != nil {
		b.ReportMetric(1e3*median(seconds), them+"-ms")
		b.ReportMetric(median(ratios), "times-"+them)
	}
	return median(mine)
}

// CPU is how many seconds of processor this process has used so far, in all threads.
func CPU() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
