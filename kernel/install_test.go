package kernel

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/engine"
)

// fakeGoNB stands for the kernel's program: it leaves a kernel.json where it was told, as GoNB's --install does, and
// otherwise prints what it was started with.
const fakeGoNB = `#!/bin/sh
if [ "$1" = --install ]; then
	mkdir -p "$JUPYTER_DATA_DIR/kernels/gonb" && echo '{}' >"$JUPYTER_DATA_DIR/kernels/gonb/kernel.json"
else
	echo "args $*"
	echo "home $TRUSTBOOK_HOME"
	echo "backend $GOMLX_BACKEND"
	echo "programs $TRUSTBOOK_PROGRAMS"
	echo "go $(command -v go)"
fi
`

// checkout lays a checkout with an environment, a plugin and a kernel program out, and makes it the only one seen.
func checkout(t *testing.T) string {
	t.Helper()
	home := filepath.Join(t.TempDir(), "my checkout")
	write := func(path, text string, mode os.FileMode) {
		path = filepath.Join(home, path)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), mode))
	}
	write("go.mod", "module "+engine.ModulePath+"\n\ngo 1.26\n", 0o644)
	write("go.sum", "", 0o444)
	write("a/a.go", "package a\n\nconst Answer = 42\n", 0o644)
	write(".tools/gonb", fakeGoNB, 0o755)
	write(".venv/lib/python3.12/site-packages/xla_plugins/xla_cpu_pjrt/xla_cpu_pjrt.so", "", 0o644)
	for _, env := range []string{"VIRTUAL_ENV", "CONDA_PREFIX", "GONB_DIR", "GOMLX_BACKEND", "PJRT_PLUGIN_LIBRARY_PATH", "GOWORK", "GOFLAGS"} {
		t.Setenv(env, "")
	}
	t.Setenv(engine.HomeEnv, home)
	t.Chdir(t.TempDir()) // out of the real checkout
	return home
}

func run(t *testing.T, dir, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOPROXY=off", "GOSUMDB=off")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	return string(out)
}

func TestInstallWiresTheKernel(t *testing.T) {
	home := checkout(t)
	for range 2 { // a second time replaces the first
		in, err := Install(context.Background(), Options{})
		require.NoError(t, err)
		assert.Equal(t, home, in.Home)
		assert.Equal(t, filepath.Join(home, ".venv/share/jupyter/kernels/gonb"), in.Dir)

		var s spec
		data, err := os.ReadFile(filepath.Join(in.Dir, "kernel.json"))
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(data, &s))
		assert.Equal(t, "go", s.Language)
		t.Setenv(engine.ProgramsEnv, "")
		assert.Contains(t, run(t, t.TempDir(), s.Argv[0], s.Argv[1:]...), "programs on\n", "cells are processes of their own")
		t.Setenv(engine.ProgramsEnv, "/of/the/user")
		out := run(t, t.TempDir(), s.Argv[0], s.Argv[1:]...)
		assert.Contains(t, out, "args --kernel {connection_file}\n")
		assert.Contains(t, out, "home "+home+"\n")
		assert.Contains(t, out, "programs /of/the/user\n")
		assert.Contains(t, out, "backend \n", "the checkout's own plugin is found by the search")
		assert.Contains(t, out, "go "+in.Dir+"/bin/go\n")
	}
}

// TestCellsImportTheCheckout does what GoNB does for a cell, with no network: make a module, get, build, run.
func TestCellsImportTheCheckout(t *testing.T) {
	checkout(t)
	in, err := Install(context.Background(), Options{})
	require.NoError(t, err)
	goCommand, cell := filepath.Join(in.Dir, "bin", "go"), t.TempDir()
	run(t, cell, goCommand, "mod", "init", "gonb_0a1b2c3d")
	main := "package main\n\nimport \"" + engine.ModulePath + "/a\"\n\nfunc main() { println(a.Answer) }\n"
	require.NoError(t, os.WriteFile(filepath.Join(cell, "main.go"), []byte(main), 0o644))
	run(t, cell, goCommand, "get")
	run(t, cell, goCommand, "build", "-o", "cell")
	assert.Equal(t, "42\n", run(t, cell, filepath.Join(cell, "cell")))
	mod, err := os.ReadFile(filepath.Join(cell, "go.mod"))
	require.NoError(t, err)
	assert.True(t, strings.HasPrefix(string(mod), "module gonb_0a1b2c3d\n"), string(mod))

	// Elsewhere it is the plain go command.
	other := t.TempDir()
	run(t, other, goCommand, "mod", "init", "example.com/mine")
	mod, err = os.ReadFile(filepath.Join(other, "go.mod"))
	require.NoError(t, err)
	assert.NotContains(t, string(mod), engine.ModulePath)
}

func TestPluginElsewhereIsWiredByPath(t *testing.T) {
	home := checkout(t)
	elsewhere := t.TempDir()
	plugin := filepath.Join(elsewhere, "pjrt_c_api_cpu_plugin.so")
	require.NoError(t, os.WriteFile(plugin, nil, 0o644))
	require.NoError(t, os.RemoveAll(filepath.Join(home, ".venv/lib")))
	t.Setenv("PJRT_PLUGIN_LIBRARY_PATH", elsewhere)
	in, err := Install(context.Background(), Options{})
	require.NoError(t, err)
	assert.Equal(t, plugin, in.Plugin)
	assert.Contains(t, run(t, home, filepath.Join(in.Dir, "launch")), "backend xla:"+plugin+"\n")
	t.Setenv("GOMLX_BACKEND", "go")
	assert.Contains(t, run(t, home, filepath.Join(in.Dir, "launch")), "backend go\n", "the user's choice counts")
}

func TestInstallErrors(t *testing.T) {
	for what, c := range map[string]struct {
		spoil func(t *testing.T, home string) Options
		want  string
	}{
		"no checkout": {func(t *testing.T, _ string) Options {
			t.Setenv(engine.HomeEnv, "")
			t.Chdir(t.TempDir())
			return Options{}
		}, engine.HomeEnv},
		"wrong checkout": {func(t *testing.T, _ string) Options { return Options{Home: t.TempDir()} }, "no go.mod"},
		"no environment": {func(t *testing.T, home string) Options {
			os.RemoveAll(filepath.Join(home, ".venv"))
			return Options{}
		}, "make setup"},
		"wrong prefix": {func(t *testing.T, home string) Options { return Options{Prefix: home + "/none"} }, "make setup"},
		"no plugin": {func(t *testing.T, home string) Options {
			os.RemoveAll(filepath.Join(home, ".venv/lib"))
			return Options{Backend: "xla:cuda"}
		}, "pip install"},
		"no such plugin": {func(t *testing.T, home string) Options { return Options{Backend: "xla:" + home + "/none.so"} }, "not a file"},
		"no go":          {func(t *testing.T, _ string) Options { t.Setenv("PATH", t.TempDir()); return Options{} }, "go.dev"},
		"gonb fails": {func(t *testing.T, home string) Options {
			os.WriteFile(filepath.Join(home, ".tools/gonb"), []byte("#!/bin/sh\necho some; echo reason; exit 3\n"), 0o755)
			return Options{}
		}, "reason"},
		"quote": {func(t *testing.T, home string) Options {
			odd := filepath.Join(t.TempDir(), "it's")
			os.Mkdir(odd, 0o755)
			return Options{Prefix: odd}
		}, "quote"},
	} {
		t.Run(what, func(t *testing.T) {
			home := checkout(t)
			in, err := Install(context.Background(), c.spoil(t, home))
			require.ErrorContains(t, err, c.want)
			assert.Nil(t, in)
			assert.NotContains(t, err.Error(), "\n")
			assert.NoFileExists(t, filepath.Join(home, ".venv/share/jupyter/kernels/gonb/launch"))
		})
	}
}
