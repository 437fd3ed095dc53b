package engine_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/internal/testengine"
)

// sumOfSquares runs a graph and its gradient on the engine: 1+4+9 and 2x.
func sumOfSquares(t *testing.T, e *engine.Engine) {
	t.Helper()
	exec, err := NewExec(e.Backend(), func(x *Node) (*Node, *Node) {
		y := ReduceAllSum(Square(x))
		return y, Gradient(y, x)[0]
	})
	require.NoError(t, err)
	defer exec.Finalize()
	y, dx, err := exec.Call2([]float32{1, 2, 3})
	require.NoError(t, err)
	assert.Equal(t, float32(14), tensors.ToScalar[float32](y))
	assert.Equal(t, []float32{2, 4, 6}, dx.Value())
}

func TestOpenTwiceSharesAndCloses(t *testing.T) {
	sumOfSquares(t, testengine.Get(t))
	spec := "xla:" + testengine.Get(t).Plugin() + ",tf32=true" // another client than the shared one
	a, err := engine.Open(spec)
	require.NoError(t, err)
	b, err := engine.Open(spec)
	require.NoError(t, err)
	assert.Same(t, a.Backend(), b.Backend())
	a.Close()
	a.Close() // a second Close must not take b's share
	sumOfSquares(t, b)
	b.Close()
	assert.True(t, b.Backend().IsFinalized())
	c, err := engine.Open(spec)
	require.NoError(t, err)
	defer c.Close()
	sumOfSquares(t, c)
	sumOfSquares(t, testengine.Get(t))
}

func TestDescription(t *testing.T) {
	e := testengine.Get(t)
	assert.Regexp(t, `^xla:(cpu|cuda), PJRT \d+\.\d+, \d+ devices?$`, e.Description())
	assert.NotEmpty(t, e.Devices())
	assert.FileExists(t, e.Plugin())
	assert.Equal(t, e.Name(), strings.SplitN(e.Description(), ",", 2)[0])
}

func TestPureGo(t *testing.T) {
	e := testengine.Pure(t)
	sumOfSquares(t, e)
	assert.Equal(t, "go", e.Name())
	assert.Equal(t, "go, pure Go", e.Description())
	assert.Empty(t, e.Plugin())
	assert.NotEmpty(t, e.Devices())
}

// TestMisleadingFolder: go-xla tells CPU from CUDA by the plugin's name; a folder's name must not matter.
func TestMisleadingFolder(t *testing.T) {
	real := testengine.Get(t)
	if real.Name() != "xla:cpu" {
		t.Skip("needs the CPU plugin")
	}
	dir := filepath.Join(t.TempDir(), "nvidia,cuda")
	require.NoError(t, os.Mkdir(dir, 0o755))
	link := filepath.Join(dir, "xla_cpu_pjrt.so")
	require.NoError(t, os.Symlink(real.Plugin(), link))
	e, err := engine.Open("xla:" + link)
	require.NoError(t, err)
	defer e.Close()
	assert.Equal(t, "xla:cpu", e.Name())
	sumOfSquares(t, e)
}

func TestOpenErrorsAreOneLine(t *testing.T) {
	dir := t.TempDir()
	text, elf := filepath.Join(dir, "text_cpu.so"), filepath.Join(dir, "short_cpu.so")
	require.NoError(t, os.WriteFile(text, []byte("not a library"), 0o644))
	require.NoError(t, os.WriteFile(elf, []byte("\x7fELF\x02\x01\x01"), 0o644))
	for spec, want := range map[string]string{
		"tpu":                       "use one of",
		"xla:" + dir + "/no.so":     "not a file",
		"xla:" + dir + "/":          "not a file",
		"xla:" + text:               "does not load",
		"xla:" + elf:                "does not load",
		"xla:cpu,nosuch=1":          "nosuch",
		"xla:cpu,preallocate=maybe": "preallocate",
	} {
		e, err := engine.Open(spec)
		require.Error(t, err, spec)
		assert.Nil(t, e)
		assert.ErrorContains(t, err, want)
		assert.NotContains(t, err.Error(), "\n")
	}
}

// TestStandardErrorStaysClean opens CUDA's plugin where there is none to use: one line comes back as an error, and
// nothing is written to the terminal. It needs no GPU, only a broken plugin.
func TestStandardErrorStaysClean(t *testing.T) {
	dir := t.TempDir()
	broken := filepath.Join(dir, "xla_cuda_plugin.so")
	require.NoError(t, os.WriteFile(broken, []byte("\x7fELF"), 0o644))
	saved := os.Stderr
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	os.Stderr = writer
	_, openErr := engine.Open("xla:" + broken)
	os.Stderr = saved
	writer.Close()
	said, err := io.ReadAll(reader)
	require.NoError(t, err)
	assert.Empty(t, string(said))
	assert.ErrorContains(t, openErr, "jax-cuda13-plugin")
}

// TestBrokenPluginDoesNotHideAWorkingOne puts a plugin that cannot load before the real one in the search.
func TestBrokenPluginDoesNotHideAWorkingOne(t *testing.T) {
	real := testengine.Get(t)
	if real.Name() != "xla:cpu" {
		t.Skip("needs the CPU plugin")
	}
	broken := filepath.Join(t.TempDir(), "lib/python3.12/site-packages/xla_plugins/xla_cpu_pjrt/xla_cpu_pjrt.so")
	require.NoError(t, os.MkdirAll(filepath.Dir(broken), 0o755))
	require.NoError(t, os.WriteFile(broken, []byte("\x7fELF"), 0o644))
	t.Setenv("VIRTUAL_ENV", strings.TrimSuffix(broken, "/lib/python3.12/site-packages/xla_plugins/xla_cpu_pjrt/xla_cpu_pjrt.so"))
	t.Setenv(engine.PluginPathEnv, filepath.Dir(real.Plugin()))
	e, err := engine.Open("xla:cpu")
	require.NoError(t, err)
	defer e.Close()
	assert.NotEqual(t, broken, e.Plugin())
	sumOfSquares(t, e)
}

// TestOpenConcurrently opens, uses and closes from many goroutines at once.
func TestOpenConcurrently(t *testing.T) {
	spec := "xla:" + testengine.Get(t).Plugin() + ",tf32=true"
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			e, err := engine.Open(spec)
			if assert.NoError(t, err) {
				sumOfSquares(t, e)
				e.Close()
			}
		})
	}
	all.Wait()
}

// A product sees the factor it is given, also one that lies where another lay before: XNNPACK in XLA remembers factors by
// their address.
func TestFreshWeights(t *testing.T) {
	e := testengine.Get(t)
	exec, err := NewExec(e.Backend(), func(x, w *Node) *Node { return Dot(x, w).Product() })
	require.NoError(t, err)
	defer exec.Finalize()
	for _, size := range [][3]int{{32, 1568, 64}, {128, 784, 128}, {32, 64, 10}, {256, 256, 256}} {
		rows, inner, columns := size[0], size[1], size[2]
		ones := make([]float32, rows*inner)
		for i := range ones {
			ones[i] = 1
		}
		x := tensors.FromFlatDataAndDimensions(ones, rows, inner)
		wrong := 0
		for i := range 200 {
			weights := make([]float32, inner*columns)
			for k := range weights {
				weights[k] = float32(i%2 + 1)
			}
			w := tensors.FromFlatDataAndDimensions(weights, inner, columns)
			y, err := exec.Call1(x, w)
			require.NoError(t, err)
			if tensors.MustCopyFlatData[float32](y)[0] != float32((i%2+1)*inner) {
				wrong++
			}
			require.NoError(t, w.FinalizeAll())
		}
		assert.Zero(t, wrong, "%v: calls that computed with the factor of an earlier one", size)
	}
}
