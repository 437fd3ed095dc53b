package robust

import (
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestChecksDocumented: docs/checks.md has one section a check, in the same order, and none besides.
func TestChecksDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/checks.md")
	require.NoError(t, err)
	var written, made []string
	for _, m := range regexp.MustCompile(`(?m)^## (.+)$`).FindAllSubmatch(text, -1) {
		written = append(written, string(m[1]))
	}
	for _, c := range (&Outcome{}).checks(tally{}, 0, nil, signs{}) {
		made = append(made, c.Name)
		require.NotEmpty(t, c.Meaning)
		require.NotEmpty(t, c.Advice)
	}
	require.Equal(t, made, written)
}
