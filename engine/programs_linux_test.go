package engine

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// openKept opens the CPU plugin with a folder for compiled programs, by a client that no other test has.
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
	return e
}

// reads tells how many programs f had read from a folder, and how many compiled.
func reads(f func()) (compiled, read int) {
	shared.mu.Lock()
	before := shared.read
	shared.mu.Unlock()
	compiled, _ = counted(f)
	shared.mu.Lock()
	defer shared.mu.Unlock()
	return compiled, shared.read - before
}

// TestProgramsComputeTheSameBits as compiled, as found in the folder, and where its file is damaged or is no program at all. A client
// that is closed forgets what it compiled, so that the next looks in the folder.
func TestProgramsComputeTheSameBits(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "programs")
	once := func(kind string, number int) []float32 {
		e := openKept(t, dir)
		defer e.Close()
		y, _ := run(t, e, kind, number, false)
		return y
	}
	spoil := func(change func(path string, data []byte) []byte) {
		found, _ := filepath.Glob(filepath.Join(dir, "*"+programSuffix))
		for _, path := range found {
			data, err := os.ReadFile(path)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(path, change(path, data), 0o600))
		}
	}
	for kind := range kinds {
		var first []float32
		check := func(what string, wantCompiled, wantRead int) {
			compiled, read := reads(func() {
				y := once(kind, 1)
				if first == nil {
					first = y
				}
				assert.Equal(t, first, y, "%s: %s", kind, what)
			})
			assert.Equal(t, []int{wantCompiled, wantRead}, []int{compiled, read}, "%s: %s", kind, what)
		}
		check("as compiled", 1, 0)
		check("from the folder", 0, 1)
		check("from the folder again", 0, 1)
		assert.NotEqual(t, first, once(kind, 2), "another program")
		spoil(func(_ string, data []byte) []byte { data[len(data)/2] ^= 1; return data })
		check("from a damaged file", 1, 0)
		check("mended", 0, 1)
		spoil(func(path string, _ []byte) []byte { // intact, but no program: as another version of the plugin would find it
			data := []byte("no program")
			return append(append([]byte(programHead), checksum(path, data)...), data...)
		})
		check("from a file of something else", 1, 0)
	}
	_, n, size, err := ProgramsIn(dir)
	require.NoError(t, err)
	assert.Equal(t, 2*len(kinds), n)
	assert.Positive(t, size)
	letter := filepath.Join(dir, "letter.txt")
	require.NoError(t, os.WriteFile(letter, nil, 0o600))
	_, removed, bytes, err := ClearPrograms(dir)
	require.NoError(t, err)
	assert.Equal(t, []any{n, size}, []any{removed, bytes})
	_, n, _, err = ProgramsIn(dir)
	require.NoError(t, err)
	assert.Zero(t, n)
	assert.FileExists(t, letter)
	compiled, _ := reads(func() { once("product", 1) })
	assert.Equal(t, 1, compiled)
}

// TestProgramsOfAnotherProcess: two processes start one after the other, and the second finds what the first compiled, unless
// the flags or the number of cores are others. The bits are the same.
func TestProgramsOfAnotherProcess(t *testing.T) {
	if dir := os.Getenv("TRUSTBOOK_TEST_PROGRAMS"); dir != "" { // one of the processes
		e := openKept(t, dir)
		compiled, read := reads(func() {
			for kind := range kinds {
				y, _ := run(t, e, kind, 1, false)
				fmt.Printf("%s %x\n", kind, y)
			}
		})
		fmt.Printf("counted %d %d\n", compiled, read)
		return
	}
	openKept(t, "off").Close() // is there a plugin?
	dir := filepath.Join(t.TempDir(), "programs")
	program, err := os.Executable()
	require.NoError(t, err)
	start := func(env ...string) (bits string, compiled, read int) {
		c := exec.Command(program, "-test.run", "^TestProgramsOfAnotherProcess$")
		c.Env = append(append(os.Environ(), "TRUSTBOOK_TEST_PROGRAMS="+dir), env...)
		out, err := c.Output()
		require.NoError(t, err, string(out))
		sums := map[string]string{}
		for line := range strings.Lines(string(out)) {
			if name, sum, ok := strings.Cut(line, " ["); ok {
				sums[name] = sum
			}
			_, _ = fmt.Sscanf(line, "counted %d %d", &compiled, &read)
		}
		require.Len(t, sums, len(kinds), string(out))
		return fmt.Sprint(sums), compiled, read
	}
	n, first := len(kinds), ""
	for _, c := range []struct {
		what     string
		env      []string
		compiled bool
	}{
		{"the first", nil, true},
		{"the second", nil, false},
		{"other flags", []string{"XLA_FLAGS=--xla_cpu_enable_fast_math=true"}, true},
		{"another number of cores", []string{"PJRT_NPROC=1"}, true},
		{"who dumps programs has them compiled", []string{"XLA_FLAGS=--xla_dump_to=" + t.TempDir()}, true},
		{"as before", nil, false},
	} {
		bits, compiled, read := start(c.env...)
		if first == "" {
			first = bits
		}
		want := []int{0, n}
		if c.compiled {
			want = []int{n, 0}
		}
		assert.Equal(t, want, []int{compiled, read}, c.what)
		if !strings.Contains(fmt.Sprint(c.env), "fast_math") {
			assert.Equal(t, first, bits, c.what)
		}
	}
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

// TestKeptProgramsTogether compiles, reads and runs programs of one folder from many goroutines, each time by a new client.
func TestKeptProgramsTogether(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "programs")
	want := map[string][]float32{}
	e := openCPU(t, false)
	for kind := range kinds {
		want[kind], _ = run(t, e, kind, 3, false)
	}
	e.Close()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for round := range 3 {
				mine := openKept(t, dir)
				for kind := range kinds {
					got, _ := run(t, mine, kind, 3, false)
					assert.Equal(t, want[kind], got)
					run(t, mine, kind, 10+round, false)
				}
				mine.Close()
			}
		})
	}
	all.Wait()
}
