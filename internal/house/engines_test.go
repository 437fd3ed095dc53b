package house

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestOneEngineAPackage: the first test of a process decides how far XLA optimizes, so tests of one package that want it in several
// ways pass or fail by their order. Benchmarks, which take b, run alone.
func TestOneEngineAPackage(t *testing.T) {
	ways := []string{"testengine." + "Quick(", "testengine." + "Training(", "testengine." + "Get(t)"}
	found := map[string]bool{}
	for _, p := range packages(t) {
		files, err := filepath.Glob(filepath.Join(p.Dir, "*_test.go"))
		require.NoError(t, err)
		var text strings.Builder
		for _, file := range files {
			b, err := os.ReadFile(file) // of this module
			require.NoError(t, err)
			text.Write(b)
		}
		var taken []string
		for _, way := range ways {
			if strings.Contains(text.String(), way) {
				taken, found[way] = append(taken, way), true
			}
		}
		if len(taken) > 1 {
			t.Errorf("%s: tests with %s...): take one of them throughout", p.name(), strings.Join(taken, "...) and with "))
		}
	}
	require.Len(t, found, len(ways), "no package takes one of them: have they other names?")
}
