package kernel

import (
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/modfile"
	"gopkg.in/yaml.v3"
)

// TestEnvironmentsAgree: environment.yml and requirements.txt hold the same pins, in the same order.
func TestEnvironmentsAgree(t *testing.T) {
	text, err := os.ReadFile("../requirements.txt")
	require.NoError(t, err)
	pins, err := parsePins(string(text))
	require.NoError(t, err)
	require.NotEmpty(t, pins)

	data, err := os.ReadFile("../environment.yml")
	require.NoError(t, err)
	var conda struct {
		Channels     []string
		Dependencies []yaml.Node
	}
	require.NoError(t, yaml.Unmarshal(data, &conda))
	assert.Equal(t, []string{"conda-forge"}, conda.Channels)
	var pip []pin
	names := map[string]bool{}
	for _, d := range conda.Dependencies {
		if d.Kind == yaml.ScalarNode {
			names[regexp.MustCompile(`^[a-z-]+`).FindString(d.Value)] = true
			continue
		}
		var section struct{ Pip []string }
		require.NoError(t, d.Decode(&section))
		for _, line := range section.Pip {
			p, err := parsePins(line)
			require.NoError(t, err)
			pip = append(pip, p...)
		}
	}
	assert.Equal(t, pins, pip)
	for _, name := range []string{"python", "go", "pip"} {
		assert.True(t, names[name], name)
	}
}

// TestKernelAndLibraryAgree: the kernel that is built and the gonbui that notebooks import are one version.
func TestKernelAndLibraryAgree(t *testing.T) {
	version := func(path string) string {
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		f, err := modfile.Parse(path, data, nil)
		require.NoError(t, err)
		for _, r := range f.Require {
			if r.Mod.Path == "github.com/janpfeifer/gonb" {
				return r.Mod.Version
			}
		}
		return ""
	}
	assert.NotEmpty(t, version("../go.mod"))
	assert.Equal(t, version("../go.mod"), version("../tools/go.mod"))
}

func TestParsePins(t *testing.T) {
	pins, err := parsePins("# head\n\na==1.2\nb-c==3; sys_platform == \"linux\" # why\n")
	require.NoError(t, err)
	assert.Equal(t, []pin{{"a", "1.2", ""}, {"b-c", "3", `sys_platform == "linux"`}}, pins)
	for _, text := range []string{"a", "a>=1", "a==1.*", "a==1,<2", "-r other.txt", `a==1; python_version < "3.11"`} {
		_, err := parsePins(text)
		assert.ErrorContains(t, err, "line 1", text)
	}
}
