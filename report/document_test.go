package report

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDocumentIsDeterministic(t *testing.T) {
	a, err := sampleDocument().HTML()
	require.NoError(t, err)
	b, err := sampleDocument().HTML()
	require.NoError(t, err)
	assert.Equal(t, string(a), string(b))
	path := filepath.Join(t.TempDir(), "report.html")
	require.NoError(t, sampleDocument().WriteFile(path))
	c, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(a), string(c))
	if to := os.Getenv("REPORT_SAMPLE"); to != "" { // to look at the sample in a browser
		require.NoError(t, sampleDocument().WriteFile(to))
		_, err := Save(filepath.Dir(to), sampleTable(), sampleLines(), sampleHeat(), sampleMixed(), sampleGrid())
		require.NoError(t, err)
	}
}
