package onnx_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
)

// randomGraph is a classifier that testdata/random_graphs.py drew, and what it computes.
type randomGraph struct {
	reference
	Seed  uint64
	Ops   []string // such as "Pad-11": operators and their versions
	Error string   // why there is no graph, or none to compare with
}

// refusals are the operators that Load may refuse, and a word of its reason. What is not listed must load.
var refusals = map[string]string{
	"MaxPool":         "its indices are used",
	"Resize":          "ONNX Runtime and the format differ in it",
	"ScatterElements": "with places that may repeat",
	"ScatterND":       "with places that may repeat",
}

// refusalListed tells whether a graph holds an operator that may be refused for this reason, or is one that a fixed batch
// was drawn for: many such compute over the batch, and only of those that load anything is known.
func (g *randomGraph) refusalListed(reason string) bool {
	if strings.Contains(reason, "the export fixed the batch size at") {
		return true
	}
	return slices.ContainsFunc(g.Ops, func(op string) bool {
		name, _, _ := strings.Cut(op, "-")
		why, ok := refusals[name]
		return ok && strings.Contains(reason, why)
	})
}

// TestRandomGraphs compares random graphs, which together hold every operator in every version from opset 7 on, with
// ONNX Runtime's logits and PyTorch's gradients. All run on the pure-Go backend, which compiles in no time, and every
// sixth on XLA too.
func TestRandomGraphs(t *testing.T) {
	pure, xla := sequential(t), testengine.Quick(t).Backend()
	for i, g := range readReferences[*randomGraph](t, "testdata/random_graphs.json.gz") {
		t.Run(fmt.Sprintf("%d %s", g.Seed, g.Name), func(t *testing.T) {
			m, err := g.load(t.TempDir())
			if err != nil {
				t.Log(err)
				require.True(t, g.refusalListed(err.Error()), "refused, and of none of its operators is this expected")
				return
			}
			require.Equal(t, len(g.Logits[0]), m.Classes)
			require.Equal(t, g.Shape[1:], m.InputShape)
			c, err := m.Clone()
			require.NoError(t, err)
			require.Empty(t, g.compare(pure, m))
			if i%6 == 0 {
				require.Empty(t, g.compare(xla, c), "on XLA")
			}
		})
	}
}

// graphServer draws graphs on demand, with the Python that BENCH_PYTHON names.
type graphServer struct {
	in  io.WriteCloser
	out *bufio.Reader
}

// startGraphs skips the test where BENCH_PYTHON is not set.
func startGraphs(t testing.TB) *graphServer {
	t.Helper()
	python := os.Getenv("BENCH_PYTHON")
	if python == "" {
		t.Skip("BENCH_PYTHON is not set: want a Python that has what robust/attack/testdata/requirements.txt lists")
	}
	cmd := exec.Command(python, "testdata/random_graphs.py", "serve")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _, _ = in.Close(), cmd.Wait() })
	return &graphServer{in, bufio.NewReader(out)}
}

func (s *graphServer) graph(seed uint64) (*randomGraph, error) {
	if _, err := fmt.Fprintln(s.in, seed); err != nil {
		return nil, err
	}
	line, err := s.out.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("random_graphs.py ended: %w", err)
	}
	g := &randomGraph{}
	return g, json.Unmarshal(line, g)
}

// FuzzGraphs looks for graphs that are not computed as elsewhere; see TestRandomGraphs.
func FuzzGraphs(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seed)
	}
	s, pure, dir := startGraphs(f), sequential(f), f.TempDir()
	f.Fuzz(func(t *testing.T, seed uint64) {
		g, err := s.graph(seed)
		require.NoError(t, err)
		if g.Error != "" {
			t.Skip(g.Error)
		}
		m, err := g.load(dir)
		if err != nil {
			require.True(t, g.refusalListed(err.Error()), "%s: %v", g.Name, err)
			return
		}
		require.Empty(t, g.compare(pure, m), g.Name)
	})
}

// TestManyGraphs does the same for as many seeds as TRUSTBOOK_GRAPHS says, from TRUSTBOOK_FIRST on, and sums up.
// make fuzz-onnx runs it.
func TestManyGraphs(t *testing.T) {
	count, _ := strconv.ParseUint(os.Getenv("TRUSTBOOK_GRAPHS"), 10, 64)
	first, _ := strconv.ParseUint(os.Getenv("TRUSTBOOK_FIRST"), 10, 64)
	if count == 0 {
		t.Skip("TRUSTBOOK_GRAPHS is not set: how many graphs to draw")
	}
	s, pure, dir := startGraphs(t), sequential(t), t.TempDir()
	graphs := make(chan *randomGraph, 16) // Python draws while Go computes
	go func() {
		defer close(graphs)
		for seed := range count {
			g, err := s.graph(first + seed)
			if err != nil {
				g = &randomGraph{Seed: first + seed, Error: err.Error()}
			}
			if graphs <- g; err != nil {
				return
			}
		}
	}()
	tally := map[string][]string{}
	right, listed, drawn := 0, 0, map[string]int{}
	for g := range graphs {
		for _, op := range g.Ops {
			drawn[op]++
		}
		if g.Error != "" {
			tally["no reference: "+g.Error] = append(tally["no reference: "+g.Error], fmt.Sprint(g.Seed))
			continue
		}
		m, err := g.load(dir)
		switch {
		case err == nil:
			if d := g.compare(pure, m); d != "" {
				t.Errorf("seed %d, %s: %s", g.Seed, g.Name, d)
			} else {
				right++
			}
		case g.refusalListed(err.Error()):
			listed++
		default:
			_, reason, _ := strings.Cut(err.Error(), "random.onnx: ")
			tally["refused: "+reason] = append(tally["refused: "+reason], fmt.Sprint(g.Seed))
		}
	}
	for reason, seeds := range tally {
		t.Errorf("%d times %s (seeds %s)", len(seeds), reason, strings.Join(head(seeds), " "))
	}
	t.Logf("%d graphs of %d operators in their versions: %d right, %d refused as listed", count, len(drawn), right, listed)
}
