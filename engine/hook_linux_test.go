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

	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// openKept opens the CPU plugin with a folder of its own for compiled programs.
func openKept(t *testing.T, dir string) *Engine {
	t.Helper()
	spec := os.Getenv("GOMLX_BACKEND")
	if !strings.Contains(spec, "cpu") {
		spec = "xla:cpu"
	}
	e, err := OpenWith(spec, Options{Programs: dir})
	if _, missing := IsNoPlugin(err); missing {
		t.Skip("the tests run without the CPU plugin")
	}
	require.NoError(t, err)
	t.Cleanup(e.Close)
	return e
}

// programs are of the kinds that networks and attacks are made of, each of a number that makes it another program.
var programs = map[string]func(x *Node, number int) *Node{
	"product": func(x *Node, number int) *Node {
		w := Sin(MulScalar(IotaFull(x.Graph(), shapes.Make(x.DType(), 64, 32)), float64(number)))
		return Softmax(Dot(x, w).Product())
	},
	"gradient of a convolution": func(x *Node, number int) *Node {
		images := Reshape(x, 16, 8, 8, 1)
		kernel := Cos(AddScalar(Iota(x.Graph(), shapes.Make(x.DType(), 3, 3, 1, 4), 1), float64(number)))
		return Gradient(ReduceAllSum(Exp(MulScalar(Convolve(images, kernel).Done(), 0.1))), x)[0]
	},
	"reductions": func(x *Node, number int) *Node {
		return Concatenate([]*Node{ReduceMax(x, 1), ReduceMean(x, 1), ReduceSum(Exp(MulScalar(x, 1/float64(number))), 1)}, 0)
	},
}

// result compiles a program and runs it.
func result(t *testing.T, e *Engine, name string, number int) []float32 {
	x := make([]float32, 16*64)
	for i := range x {
		x[i] = float32(i%37)/11 - 1.3
	}
	run, err := NewExec(e.Backend(), func(x *Node) *Node { return programs[name](x, number) })
	if !assert.NoError(t, err) {
		return nil
	}
	defer run.Finalize()
	y, err := run.Call1(tensors.FromFlatDataAndDimensions(x, 16, 64))
	if !assert.NoError(t, err) {
		return nil
	}
	return tensors.MustCopyFlatData[float32](y)
}

func forgetPrograms() {
	inMemory.mu.Lock()
	defer inMemory.mu.Unlock()
	inMemory.data, inMemory.order, inMemory.size = nil, nil, 0
}

// TestProgramsComputeTheSameBits as compiled, as found in memory, as found in the folder, and where its file is damaged or is no
// program at all.
func TestProgramsComputeTheSameBits(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "programs")
	e := openKept(t, dir)
	files := map[string][]byte{}
	for name := range programs {
		forgetPrograms()
		before := e.Programs()
		compiled := result(t, e, name, 1)
		assert.Equal(t, Programs{before.Compiled + 1, before.Found}, e.Programs())
		assert.Equal(t, compiled, result(t, e, name, 1), "%s from memory", name)
		forgetPrograms()
		assert.Equal(t, compiled, result(t, e, name, 1), "%s from the folder", name)
		assert.Equal(t, Programs{before.Compiled + 1, before.Found + 2}, e.Programs())
		assert.NotEqual(t, compiled, result(t, e, name, 2), "another program")

		forgetPrograms()
		found, _ := filepath.Glob(filepath.Join(dir, "*"+programSuffix))
		for _, path := range found {
			data, err := os.ReadFile(path)
			require.NoError(t, err)
			if files[path] == nil {
				files[path] = data
				data[len(data)/2] ^= 1
				require.NoError(t, os.WriteFile(path, data, 0o600))
			}
		}
		before = e.Programs()
		assert.Equal(t, compiled, result(t, e, name, 1), "%s from a damaged file", name)
		assert.Equal(t, Programs{before.Compiled + 1, before.Found}, e.Programs())

		// Intact, but no program: as another version of the plugin would find it.
		forgetPrograms()
		for _, path := range found {
			data := []byte("no program")
			require.NoError(t, os.WriteFile(path, append(append([]byte(programHead), checksum(path, data)...), data...), 0o600))
		}
		before = e.Programs()
		assert.Equal(t, compiled, result(t, e, name, 1), "%s from a file of something else", name)
		assert.Equal(t, Programs{before.Compiled + 1, before.Found}, e.Programs())
	}
	_, n, size, err := ProgramsIn(dir)
	require.NoError(t, err)
	assert.Equal(t, 2*len(programs), n)
	assert.Positive(t, size)
}

// TestProgramsTogether compiles the same and other programs from many goroutines, on three clients of
// one folder, and gives programs and clients back meanwhile.
func TestProgramsTogether(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "programs")
	e := openKept(t, dir)
	want := map[string][]float32{}
	for name := range programs {
		want[name] = result(t, e, name, 3)
	}
	var all sync.WaitGroup
	for worker := range 6 {
		mine, err := OpenWith("xla:"+e.Plugin()+[]string{"", ",tf32=false"}[worker%2], Options{Programs: dir})
		require.NoError(t, err)
		all.Go(func() {
			defer mine.Close()
			for round := range 3 {
				for name := range programs {
					assert.Equal(t, want[name], result(t, mine, name, 3))
					result(t, mine, name, 10+round)
				}
				if worker == 0 {
					forgetPrograms()
				}
			}
		})
	}
	all.Wait()
}

// TestProgramsOfAnotherProcess: two processes start one after the other, and the second finds what the first compiled, unless
// the flags or the number of cores are others. The bits are the same.
func TestProgramsOfAnotherProcess(t *testing.T) {
	dir, child := os.Getenv("TRUSTBOOK_TEST_PROGRAMS"), true
	if dir == "" {
		dir, child = filepath.Join(t.TempDir(), "programs"), false
		openKept(t, "off") // is there a plugin?
	}
	if child {
		e := openKept(t, dir)
		for name := range programs {
			fmt.Printf("%s %x\n", name, result(t, e, name, 1))
		}
		fmt.Printf("counted %v\n", e.Programs())
		return
	}
	program, err := os.Executable()
	require.NoError(t, err)
	run := func(env ...string) (bits string, counted Programs) {
		c := exec.Command(program, "-test.run", "^TestProgramsOfAnotherProcess$")
		c.Env = append(append(os.Environ(), "TRUSTBOOK_TEST_PROGRAMS="+dir), env...)
		out, err := c.Output()
		require.NoError(t, err, string(out))
		lines := strings.Split(string(out), "\n")
		sums := map[string]string{}
		for _, line := range lines {
			if _, err := fmt.Sscanf(line, "counted {%d %d}", &counted.Compiled, &counted.Found); err == nil {
				continue
			}
			if name, sum, ok := strings.Cut(line, " ["); ok {
				sums[name] = sum
			}
		}
		require.Len(t, sums, len(programs), string(out))
		return fmt.Sprint(sums), counted
	}
	n := len(programs)
	bits, counted := run()
	assert.Equal(t, Programs{n, 0}, counted)
	again, counted := run()
	assert.Equal(t, Programs{0, n}, counted)
	assert.Equal(t, bits, again)
	_, counted = run("XLA_FLAGS=--xla_cpu_enable_fast_math=true")
	assert.Equal(t, Programs{n, 0}, counted)
	_, counted = run("PJRT_NPROC=1")
	assert.Equal(t, Programs{n, 0}, counted)
	again, counted = run("XLA_FLAGS=--xla_dump_to=" + t.TempDir())
	assert.Equal(t, Programs{n, 0}, counted, "who dumps programs has them compiled")
	assert.Equal(t, bits, again)
	_, counted = run()
	assert.Equal(t, Programs{0, n}, counted)
}

// TestIdentity: the plugin's bytes, not its path or times alone, and the flags tell folders' programs apart.
func TestIdentity(t *testing.T) {
	f := newFolder(t)
	plugin := filepath.Join(t.TempDir(), "plugin.so")
	identity := func(path, flags string) string {
		require.True(t, f.setIdentity(path, flags))
		return string(f.identity)
	}
	require.NoError(t, os.WriteFile(plugin, []byte("one"), 0o600))
	one := identity(plugin, "--a")
	assert.Equal(t, one, identity(plugin, "--a"), "by the note of it")
	assert.NotEqual(t, one, identity(plugin, "--b"))
	t.Setenv("NPROC", "1")
	assert.NotEqual(t, one, identity(plugin, "--a"))
	t.Setenv("NPROC", "")
	assert.Equal(t, one, identity(plugin, "--a"))
	copied := plugin + ".copy"
	require.NoError(t, os.WriteFile(copied, []byte("one"), 0o600))
	assert.Equal(t, one, identity(copied, "--a"))
	info, err := os.Stat(plugin)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(plugin, []byte("two"), 0o600))
	require.NoError(t, os.Chtimes(plugin, info.ModTime(), info.ModTime()))
	assert.NotEqual(t, one, identity(plugin, "--a"), "same size, same time")
	notes, _ := filepath.Glob(filepath.Join(f.dir, "*.plugin"))
	require.Len(t, notes, 3)
	for _, note := range notes {
		require.NoError(t, os.WriteFile(note, []byte("damaged"), 0o600))
	}
	assert.Equal(t, one, identity(copied, "--a"))
	assert.False(t, f.setIdentity(plugin, "flags.txt"), "a file of flags may change")
	assert.False(t, f.setIdentity(filepath.Join(f.dir, "none.so"), ""))
}

func TestProcessor(t *testing.T) {
	assert.NotEmpty(t, processor())
	text := "processor\t: 0\nmodel name\t: X\ncpu MHz\t\t: 2000\nflags\t\t: sse avx\n\nprocessor\t: 1\nmodel name\t: X\nflags\t\t: sse avx\n"
	assert.Equal(t, "model name\t: X\nflags\t\t: sse avx", processorIn(text))
	assert.Equal(t, "Features\t: neon\nCPU part\t: 0xd40\n", processorIn("BogoMIPS\t: 2\nFeatures\t: neon\nCPU part\t: 0xd40\n"))
	assert.Empty(t, processorIn("model name\t: X\n"), "what it can do is not told")
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
	require.Len(t, places, 7)
	for _, m := range places {
		assert.Equal(t, place[m[1]], m[2], m[1])
	}
	structures := regexp.MustCompile(`(?m)^typedef struct \{\n((?:  [^\n]*\n)+)\} (PJRT_\w+);`).FindAllStringSubmatch(string(own), -1)
	require.Len(t, structures, 8)
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
