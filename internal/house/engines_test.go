package house

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestOneEngineAPackage: the first test of a process decides whether XLA optimizes, so tests of one package that want it both
// ways pass or fail by their order. Benchmarks, which take b, run alone.
func TestOneEngineAPackage(t *testing.T) {
	quick, full := "testengine."+"Quick(", "testengine."+"Get(t)"
	found := map[string]int{}
	for _, p := range packages(t) {
		files, err := filepath.Glob(filepath.Join(p.Dir, "*_test.go"))
		require.NoError(t, err)
		var text strings.Builder
		for _, file := range files {
			b, err := os.ReadFile(file) // of this module
			require.NoError(t, err)
			text.Write(b)
		}
		takesQuick, takesFull := strings.Contains(text.String(), quick), strings.Contains(text.String(), full)
		if takesQuick && takesFull {
			t.Errorf("%s: tests with %s...) and with %s: take one of them throughout", p.name(), quick, full)
		}
		if takesQuick {
			found[quick]++
		}
		if takesFull {
			found[full]++
		}
	}
	require.Len(t, found, 2, "no package takes one of the two: have they other names?")
}
