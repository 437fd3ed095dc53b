//go:build linux || darwin

package engine

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// openCPU opens the CPU plugin, by another specification where a client of its own is wanted.
func openCPU(t *testing.T, own bool) *Engine {
	t.Helper()
	spec := os.Getenv("GOMLX_BACKEND")
	if !strings.Contains(spec, "cpu") {
		spec = "xla:cpu"
	}
	if own {
		spec += ",tf32=false"
	}
	e, err := OpenWith(spec, Options{Programs: "off"}) // make test keeps programs for all
	if _, missing := IsNoPlugin(err); missing {
		t.Skip("the tests run without the CPU plugin")
	}
	require.NoError(t, err)
	return e
}

// kinds are programs such as networks and attacks are made of, each of a number that makes it another program.
var kinds = map[string]func(x *Node, number int) *Node{
	"product": func(x *Node, number int) *Node {
		return Softmax(Dot(MulScalar(x, 1/float64(number)), Transpose(x, 0, 1)).Product())
	},
	"gradient of a convolution": func(x *Node, number int) *Node {
		images, kernel := Reshape(x, 16, 8, 8, 1), MulScalar(Reshape(Slice(x, AxisElem(0), AxisRange(0, 36)), 3, 3, 1, 4), 1/float64(number))
		return Gradient(ReduceAllSum(Exp(MulScalar(Convolve(images, kernel).Done(), 0.1))), x)[0]
	},
	"reductions": func(x *Node, number int) *Node {
		return Concatenate([]*Node{ReduceMax(x, 1), ReduceMean(x, 1), ReduceSum(Exp(MulScalar(x, 1/float64(number))), 1)}, 0)
	},
}

// run makes an executor of a program, runs it, and finalizes it unless keep is true.
func run(t *testing.T, e *Engine, kind string, number int, keep bool) ([]float32, *Exec) {
	x := make([]float32, 16*64)
	for i := range x {
		x[i] = float32(i%37)/11 - 1.3
	}
	exec, err := NewExec(e.Backend(), func(x *Node) *Node { return kinds[kind](x, number) })
	if !assert.NoError(t, err) {
		return nil, nil
	}
	y, err := exec.Call1(tensors.FromFlatDataAndDimensions(x, 16, 64))
	if !assert.NoError(t, err) {
		return nil, nil
	}
	if !keep {
		exec.Finalize()
	}
	return tensors.MustCopyFlatData[float32](y), exec
}

// counted tells how many programs f had compiled, and how many were found.
func counted(f func()) (compiled, found int) {
	shared.mu.Lock()
	compiled, found = shared.compiled, shared.found
	shared.mu.Unlock()
	f()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	return shared.compiled - compiled, shared.found - found
}

// TestProgramsAreCompiledOnce, in use or given back, and give the same bits; another program and another client's are others.
func TestProgramsAreCompiledOnce(t *testing.T) {
	e, other := openCPU(t, false), openCPU(t, true)
	defer e.Close()
	for kind := range kinds {
		var first []float32
		var execs [2]*Exec
		compiled, found := counted(func() {
			first, execs[0] = run(t, e, kind, 101, true)
			var again []float32
			again, execs[1] = run(t, e, kind, 101, true)
			assert.Equal(t, first, again, kind)
		})
		assert.Equal(t, []int{1, 1}, []int{compiled, found}, kind)
		execs[0].Finalize()
		compiled, found = counted(func() {
			again, _ := run(t, e, kind, 101, false)
			assert.Equal(t, first, again, "one of two users has gone")
			execs[1].Finalize()
			again, _ = run(t, e, kind, 101, false)
			assert.Equal(t, first, again, "all users have gone")
		})
		assert.Equal(t, []int{0, 2}, []int{compiled, found}, kind)
		compiled, found = counted(func() {
			another, _ := run(t, e, kind, 102, false)
			assert.NotEqual(t, first, another, kind)
			same, _ := run(t, other, kind, 101, false)
			assert.Equal(t, first, same, kind)
		})
		assert.Equal(t, []int{2, 0}, []int{compiled, found}, kind)
	}
	other.Close()
	again := openCPU(t, true)
	defer again.Close()
	compiled, _ := counted(func() { run(t, again, "product", 101, false) })
	assert.Equal(t, 1, compiled, "with a client its programs go")
}

// TestProgramsTogether makes, runs and gives back the same and other programs from many goroutines.
func TestProgramsTogether(t *testing.T) {
	e := openCPU(t, false)
	defer e.Close()
	want := map[string][]float32{}
	for kind := range kinds {
		want[kind], _ = run(t, e, kind, 3, false)
	}
	var all sync.WaitGroup
	for worker := range 4 {
		mine := openCPU(t, worker%2 == 1)
		all.Go(func() {
			defer mine.Close()
			for round := range 2 {
				for kind := range kinds {
					got, _ := run(t, mine, kind, 3, false)
					assert.Equal(t, want[kind], got)
					run(t, mine, kind, 10+round, false)
				}
			}
		})
	}
	all.Wait()
}

// TestPJRTLayout compares pjrt.h with the interface's header: the places of functions, and the fields of structures.
func TestPJRTLayout(t *testing.T) {
	module, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/gomlx/go-xla").Output()
	require.NoError(t, err)
	header, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(module)), "pjrt", "pjrt_c_api.h"))
	require.NoError(t, err)
	own, err := os.ReadFile("pjrt.h")
	require.NoError(t, err)
	place := map[string]string{}
	for i, m := range regexp.MustCompile(`(?m)^ *_PJRT_API_STRUCT_FIELD\((\w+)\);`).FindAllStringSubmatch(string(header), -1) {
		place[m[1]] = fmt.Sprint(i)
	}
	places := regexp.MustCompile(`(?m)^  (PJRT_\w+) = (\d+),`).FindAllStringSubmatch(string(own), -1)
	require.Len(t, places, 9)
	for _, m := range places {
		assert.Equal(t, place[m[1]], m[2], m[1])
	}
	structures := regexp.MustCompile(`(?m)^typedef struct \{\n((?:  [^\n]*\n)+)\} (PJRT_\w+);`).FindAllStringSubmatch(string(own), -1)
	require.Len(t, structures, 10)
	for _, m := range structures {
		theirs := regexp.MustCompile(`(?ms)^struct ` + m[2] + ` \{\n(.*?)^\};`).FindStringSubmatch(string(header))
		require.NotNil(t, theirs, m[2])
		want, got := fieldsOf(theirs[1]), fieldsOf(m[1])
		require.GreaterOrEqual(t, len(want), len(got), m[2])
		assert.Equal(t, want[:len(got)], got, m[2])
	}
}

// fieldsOf are the fields of a C structure, each as "size name" or "pointer name".
func fieldsOf(body string) (fields []string) {
	body = regexp.MustCompile(`//[^\n]*`).ReplaceAllString(body, "")
	for line := range strings.SplitSeq(body, ";") {
		line = strings.Join(strings.Fields(line), " ")
		if line == "" {
			continue
		}
		kind, name := "pointer", line[strings.LastIndexAny(line, " *")+1:]
		if function := regexp.MustCompile(`\(\*(\w+)\)`).FindStringSubmatch(line); function != nil {
			name = function[1]
		} else if strings.HasPrefix(line, "size_t ") {
			kind = "size"
		} else if !strings.Contains(line, "*") && !strings.Contains(line, "Callback ") {
			kind = line
		}
		fields = append(fields, kind+" "+name)
	}
	return fields
}
