package nets_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/gobackend"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/support/exceptions"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/nets"
)

// randomGraph is a classifier that testdata/random_graphs.py drew, and what it computes.
type randomGraph struct {
	Seed     uint64
	Name     string
	Ops      []string // such as "Pad-11": operators and their versions
	Model    []byte   // the ONNX file
	Shape    []int
	X        []float32   // images of Shape
	Logits   [][]float64 // by ONNX Runtime
	Gradient []float64   // by X, of the sum of sin(1+i) times the i-th logit of the batch, by PyTorch in double precision
	Error    string      // why there is no graph, or none to compare with
}

// refusals are the operators that LoadONNX may refuse, and a word of its reason. What is not listed must load.
var refusals = map[string]string{
	"MaxPool":         "its indices are used",
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

// load writes the graph to a folder and loads it.
func (g *randomGraph) load(dir string) (*nets.Model, error) {
	path := filepath.Join(dir, "random.onnx")
	if err := os.WriteFile(path, g.Model, 0o600); err != nil {
		return nil, err
	}
	return nets.LoadONNX(path, nets.ONNXOptions{})
}

// compare runs the model, and says what differs: empty, if logits are within 1e-4 of one plus their size and gradients
// within 1e-3 of theirs.
func (g *randomGraph) compare(backend compute.Backend, m *nets.Model) (difference string) {
	var logits, gradient []float32
	err := exceptions.TryCatch[error](func() {
		e := model.MustNewExec(backend, m.Store, func(scope *model.Scope, x *Node) (*Node, *Node) {
			z := m.Logits(scope, x)
			weights := Reshape(Sin(OnePlus(Iota(x.Graph(), mustShape(z.Shape().Size()), 0))), z.Shape().Dimensions...)
			return z, Gradient(ReduceAllSum(Mul(z, weights)), x)[0]
		})
		defer e.Finalize()
		out := e.MustCall(tensors.FromFlatDataAndDimensions(slices.Clone(g.X), g.Shape...))
		logits, gradient = tensors.MustCopyFlatData[float32](out[0]), tensors.MustCopyFlatData[float32](out[1])
		for _, t := range out {
			t.FinalizeAll()
		}
	})
	if err != nil {
		text := err.Error()
		_, cause, ok := strings.Cut(text, "panicked: ")
		if ok {
			text = cause
		}
		text, _, _ = strings.Cut(text, "\n")
		return "does not run: " + text
	}
	want := slices.Concat(g.Logits...)
	off, size := farthest(logits, want)
	if !(off <= 1e-4*(1+size)) {
		return fmt.Sprintf("logits differ by %.2g of %.2g: %.4v, want %.4v", off, size, head(logits), head(want))
	}
	off, size = farthest(gradient, g.Gradient)
	if !(off <= 1e-3*size+1e-6) {
		return fmt.Sprintf("gradients differ by %.2g of %.2g: %.4v, want %.4v", off, size, head(gradient), head(g.Gradient))
	}
	return ""
}

func head[T any](values []T) []T { return values[:min(len(values), 8)] }

// farthest is the largest difference, and the largest wanted value.
func farthest(got []float32, want []float64) (off, size float64) {
	if len(got) != len(want) {
		return math.Inf(1), float64(len(want))
	}
	for i, w := range want {
		d := math.Abs(float64(got[i]) - w)
		if d > off || d != d {
			off = d
		}
		size = max(size, math.Abs(w))
	}
	return off, size
}

// sequential is the pure-Go backend, one operator after another: where one panics, compare can say so.
func sequential(t testing.TB) compute.Backend {
	t.Helper()
	b, err := gobackend.New("ops_sequential")
	require.NoError(t, err)
	t.Cleanup(b.Finalize)
	return b
}

func readGraphs(t testing.TB) []*randomGraph {
	t.Helper()
	content, err := os.ReadFile("testdata/random_graphs.json.gz")
	require.NoError(t, err)
	z, err := gzip.NewReader(bytes.NewReader(content))
	require.NoError(t, err)
	content, err = io.ReadAll(z)
	require.NoError(t, err)
	var graphs []*randomGraph
	require.NoError(t, json.Unmarshal(content, &graphs))
	require.NotEmpty(t, graphs)
	return graphs
}

// TestONNXRandomGraphs compares random graphs, which together hold every operator in every version from opset 7 on, with
// ONNX Runtime's logits and PyTorch's gradients. All run on the pure-Go backend, which compiles in no time, and every
// sixth on XLA too.
func TestONNXRandomGraphs(t *testing.T) {
	pure, xla := sequential(t), testengine.Get(t).Backend()
	for i, g := range readGraphs(t) {
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

// FuzzONNXGraphs looks for graphs that are not computed as elsewhere; see TestONNXRandomGraphs.
func FuzzONNXGraphs(f *testing.F) {
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

// TestONNXManyGraphs does the same for as many seeds as TRUSTBOOK_GRAPHS says, from TRUSTBOOK_FIRST on, and sums up.
// make fuzz-onnx runs it.
func TestONNXManyGraphs(t *testing.T) {
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
