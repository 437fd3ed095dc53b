package engine

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tree makes empty files under a new folder and returns it.
func tree(t *testing.T, files ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, f := range files {
		touch(t, filepath.Join(root, f))
	}
	return root
}

func touch(t *testing.T, path string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, nil, 0o644))
}

const (
	cpuSO    = "lib/python3.11/site-packages/xla_plugins/xla_cpu_pjrt/xla_cpu_pjrt.so"
	cuda13SO = "lib/python3.11/site-packages/xla_plugins/xla_cuda13_pjrt/xla_gpu_pjrt.so"
	jax13SO  = "lib/python3.11/site-packages/jax_plugins/xla_cuda13/xla_cuda_plugin.so"
	jax12SO  = "lib/python3.11/site-packages/jax_plugins/xla_cuda12/xla_cuda_plugin.so"
)

// fake is a machine with nothing on it but what env names.
func fake(env map[string]string) *searcher {
	return &searcher{
		getenv: func(k string) string { return env[k] },
		sites:  func() []string { return nil },
		nvidia: func() bool { return false },
	}
}

// TestSearchOrder takes the found plugin away, place by place, and expects the next in the documented order.
func TestSearchOrder(t *testing.T) {
	home, work := tree(t, ".local/lib/go-xla/pjrt_c_api_cpu_v0.83.1_plugin.so"), tree(t, ".venv/"+cpuSO, "deep/er/x")
	require.NoError(t, os.WriteFile(filepath.Join(work, "go.mod"), []byte("module "+ModulePath+"\n\ngo 1.26\n"), 0o644))
	notebook := tree(t, ".venv/"+cpuSO, "notebooks/x.ipynb")
	require.NoError(t, os.WriteFile(filepath.Join(notebook, "go.mod"), []byte("// house\nmodule "+ModulePath+" // ours\n"), 0o644))
	built := tree(t, ".venv/"+cpuSO, "bin/trustbook")
	require.NoError(t, os.WriteFile(filepath.Join(built, "go.mod"), []byte("module "+ModulePath+"\n"), 0o644))
	checkout := tree(t, ".venv/"+cpuSO)
	venv, conda := tree(t, cpuSO), tree(t, cpuSO)
	listed, system := tree(t, "pjrt_c_api_cpu_plugin.so"), tree(t, "pjrt-plugin-cpu.so")
	python := tree(t, "xla_plugins/xla_cpu_pjrt/xla_cpu_pjrt.so")

	env := map[string]string{"VIRTUAL_ENV": venv, "CONDA_PREFIX": conda, HomeEnv: checkout,
		notebookEnv: filepath.Join(notebook, "notebooks"), PluginPathEnv: "/nowhere:" + listed}
	s := fake(env)
	s.homeDir, s.workDir, s.system = home, filepath.Join(work, "deep", "er"), []string{system}
	s.program = filepath.Join(built, "bin")
	s.sites = func() []string { return []string{python} }

	for _, want := range []string{
		filepath.Join(venv, cpuSO),
		filepath.Join(conda, cpuSO),
		filepath.Join(checkout, ".venv", cpuSO),
		filepath.Join(notebook, ".venv", cpuSO),
		filepath.Join(work, ".venv", cpuSO),
		filepath.Join(built, ".venv", cpuSO),
		filepath.Join(listed, "pjrt_c_api_cpu_plugin.so"),
		filepath.Join(home, ".local/lib/go-xla/pjrt_c_api_cpu_v0.83.1_plugin.so"),
		filepath.Join(system, "pjrt-plugin-cpu.so"),
		filepath.Join(python, "xla_plugins/xla_cpu_pjrt/xla_cpu_pjrt.so"),
	} {
		for _, kind := range []Kind{"", CPU} {
			got, err := s.find(kind)
			require.NoError(t, err)
			assert.Equal(t, want, got[0].Path)
			assert.Equal(t, CPU, got[0].Kind)
			assert.NotEmpty(t, got[0].Why)
		}
		require.NoError(t, os.Remove(want))
	}
	_, err := s.find("")
	require.Error(t, err)
	fix, ok := IsNoPlugin(err)
	assert.True(t, ok)
	assert.Equal(t, "make setup", fix, "inside a checkout")
	assert.Contains(t, err.Error(), "`make setup`")
	assert.NotContains(t, err.Error(), "\n")

	_, err = fake(nil).find("")
	assert.ErrorContains(t, err, "`pip install xla-cpu-pjrt==0.0.1`")
	_, err = s.find(CUDA)
	assert.ErrorContains(t, err, "jax-cuda13-plugin")
}

// TestAnotherModulesEnvironmentIsNotOurs: a go.mod of something else does not lend its .venv.
func TestAnotherModulesEnvironmentIsNotOurs(t *testing.T) {
	work := tree(t, ".venv/"+cpuSO)
	for _, mod := range []string{"module example.com/other\n", "module " + ModulePath + "/tools\n", "require " + ModulePath + " v1.0.0\n"} {
		require.NoError(t, os.WriteFile(filepath.Join(work, "go.mod"), []byte(mod), 0o644))
		s := fake(nil)
		s.workDir = work
		_, err := s.find("")
		assert.Error(t, err, mod)
	}
}

// TestCUDAIsPreferredOnlyWithADevice covers "xla" alone with and without an NVIDIA device, and the order of the
// plugins of one environment.
func TestCUDAIsPreferredOnlyWithADevice(t *testing.T) {
	venv := tree(t, cpuSO, jax12SO, jax13SO, cuda13SO)
	s := fake(map[string]string{"VIRTUAL_ENV": venv})

	got, err := s.find("")
	require.NoError(t, err)
	assert.Equal(t, filepath.Join(venv, cpuSO), got[0].Path, "no device: the CPU plugin")

	s.nvidia = func() bool { return true }
	got, err = s.find("")
	require.NoError(t, err)
	require.Len(t, got, 3, "all of CUDA's, so that the next is tried where one lacks its libraries; never the CPU's")
	for i, want := range []string{cuda13SO, jax13SO, jax12SO} {
		assert.Equal(t, Plugin{CUDA, filepath.Join(venv, want), "VIRTUAL_ENV"}, got[i])
		require.NoError(t, os.Remove(got[i].Path))
	}
	got, err = s.find("")
	require.NoError(t, err)
	assert.Equal(t, CPU, got[0].Kind, "a device but no CUDA plugin")
	_, err = s.find(CUDA)
	assert.Error(t, err, "asked for CUDA, there is none: no fallback")
}

// TestOddFolders: brackets in a folder's name are no pattern, a folder named like a plugin is none, and of several
// Pythons and plugin versions the newest counts.
func TestOddFolders(t *testing.T) {
	odd := filepath.Join(t.TempDir(), "a [b] *c")
	require.NoError(t, os.MkdirAll(filepath.Join(odd, "lib/python3.9/site-packages/xla_plugins/xla_cpu_pjrt/xla_cpu_pjrt.so"), 0o755))
	s := fake(map[string]string{"VIRTUAL_ENV": odd})
	_, err := s.find("")
	require.Error(t, err)

	for _, python := range []string{"3.9", "3.10"} {
		path := filepath.Join(odd, "lib/python"+python+"/site-packages/xla_plugins/xla_cpu_pjrt/plugin.so")
		touch(t, path)
	}
	got, err := s.find("")
	require.NoError(t, err)
	assert.Contains(t, got[0].Path, "python3.10")
}

func TestKindOf(t *testing.T) {
	for path, want := range map[string]Kind{
		"/home/nvidia/cuda/venv/xla_plugins/xla_cpu_pjrt/xla_cpu_pjrt.so": CPU,
		"/home/cpu/jax_plugins/xla_cuda13/xla_cuda_plugin.so":             CUDA,
		"/x/xla_cuda12/plugin.so":                                         CUDA,
		"/x/plugin.so":                                                    "",
	} {
		assert.Equal(t, want, kindOf(path), path)
	}
}

func TestParseSpec(t *testing.T) {
	env := ""
	getenv := func(string) string { return env }
	good := map[string]spec{
		"":                              {},
		"xla":                           {},
		"xla:cpu":                       {kind: CPU},
		"xla:cuda":                      {kind: CUDA},
		"xla:cuda,tf32=true":            {kind: CUDA, options: "tf32=true"},
		"xla,tf32=true":                 {options: "tf32=true"},
		"go":                            {pure: true},
		"xla:/a,b/xla_cpu_pjrt.so":      {kind: CPU, path: "/a,b/xla_cpu_pjrt.so"},
		"xla:/a/xla_cuda_plugin.so,x=1": {kind: CUDA, path: "/a/xla_cuda_plugin.so", options: "x=1"},
	}
	for text, want := range good {
		got, err := parseSpec(text, getenv)
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
	}
	for _, text := range []string{"xla:", "xla:tpu", "cuda", "torch", "go:4", "go,x", "XLA", "xla:cpu:0", " "} {
		_, err := parseSpec(text, getenv)
		require.Error(t, err, text)
		for _, s := range Specs {
			assert.Contains(t, err.Error(), s)
		}
	}
	env = "go"
	got, err := parseSpec("", getenv)
	require.NoError(t, err)
	assert.True(t, got.pure, "GOMLX_BACKEND counts where nothing is asked for")
	got, err = parseSpec("xla", getenv)
	require.NoError(t, err)
	assert.False(t, got.pure, "and only there")
	env = "nonsense"
	_, err = parseSpec("", getenv)
	assert.ErrorContains(t, err, "GOMLX_BACKEND")
}
