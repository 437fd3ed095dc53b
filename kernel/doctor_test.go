package kernel

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/engine"
)

// find returns the check of a name.
func find(t *testing.T, r Report, name string) Check {
	t.Helper()
	for _, c := range r.Checks {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no check %q in %+v", name, r)
	return Check{}
}

// TestDoctor breaks a sound checkout in one way after another and expects the check to say so, with a fix.
func TestDoctor(t *testing.T) {
	home := checkout(t)
	put := func(path, text string) {
		path = filepath.Join(home, path)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o755))
	}
	site := ".venv/lib/python3.12/site-packages/"
	put("requirements.txt", "some-lab==4.5.0\nxla-none==1.0; sys_platform == \"nonesuch\"\n")
	put(site+"some_lab-4.5.0.dist-info/METADATA", "")
	put(".tools/goimports", "")
	put(".venv/bin/python", "#!/bin/sh\necho Python 3.12.1\n")
	cache := t.TempDir()
	ctx := context.Background()
	_, err := Install(ctx, Options{})
	require.NoError(t, err)
	programs := filepath.Join(cache, "programs")
	t.Setenv(engine.ProgramsEnv, programs)
	examine := func() Report {
		return Doctor(ctx, DoctorOptions{Backend: "go", CacheDir: filepath.Join(cache, "deep", "er")})
	}

	r := examine()
	assert.True(t, r.OK, "%+v", r)
	for _, c := range r.Checks {
		assert.True(t, c.OK, c.Name)
		assert.NotEmpty(t, c.Found, c.Name)
		assert.Empty(t, c.Fix, c.Name)
	}
	assert.NoDirExists(t, filepath.Join(cache, "deep"), "the doctor changes nothing")

	for name, spoil := range map[string]func(){
		"virtual environment": func() { put("requirements.txt", "some-lab==4.5.1\n") },
		"kernel":              func() { put(".venv/share/jupyter/kernels/gonb/kernel.json", `{"argv": ["/usr/bin/gonb"]}`) },
		"goimports":           func() { os.Remove(filepath.Join(home, ".tools/goimports")); t.Setenv("PATH", "/usr/bin:/bin") },
		"Python":              func() { put(".venv/bin/python", "#!/bin/sh\necho Python 3.9.9\n") },
		"compiled programs": func() {
			require.NoError(t, os.Mkdir(programs, 0o700))
			require.NoError(t, os.Chmod(programs, 0o777))
		},
		"cache folder": func() { require.NoError(t, os.WriteFile(filepath.Join(cache, "deep"), nil, 0o644)) },
	} {
		spoil()
		r := examine()
		c := find(t, r, name)
		assert.False(t, c.OK, name)
		assert.NotEmpty(t, c.Fix, name)
		assert.False(t, r.OK)
	}

	extra := DoctorOptions{Backend: "xla:nonsense",
		Extra: func(context.Context) []Check { return []Check{{Name: "data", OK: true, Found: "mnist"}} }}
	r = Doctor(ctx, extra)
	assert.False(t, find(t, r, "plugin").OK)
	assert.Contains(t, find(t, r, "plugin").Fix, "xla:cpu")
	assert.True(t, find(t, r, "data").OK)
}

// TestDoctorNamesTheFoldersSearched: where there is no plugin, the doctor is where the search is told.
func TestDoctorNamesTheFoldersSearched(t *testing.T) {
	home := checkout(t)
	require.NoError(t, os.RemoveAll(filepath.Join(home, ".venv/lib")))
	t.Setenv("PATH", t.TempDir())
	c := find(t, Doctor(context.Background(), DoctorOptions{Backend: "xla:cuda"}), "plugin")
	assert.False(t, c.OK)
	assert.Contains(t, c.Found, filepath.Join(home, ".venv"))
	assert.Contains(t, c.Fix, "jax-cuda13-plugin")
}
