package engine

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTuneCPU(t *testing.T) {
	plugin, err := FindPlugin("")
	require.NoError(t, err)
	if plugin == "" || kindOf(plugin) == CUDA {
		t.Skip("the tests run without the CPU plugin")
	}
	t.Setenv(xlaFlags, "--xla_cpu_use_xnnpack=true --xla_cpu_enable_fast_math=false")
	restore := tuneCPU(plugin)
	require.Equal(t, "--xla_cpu_use_xnnpack=true --xla_cpu_enable_fast_math=false --xla_cpu_prefer_vector_width=512",
		os.Getenv(xlaFlags), "what the user set stays")
	restore()
	require.Equal(t, "--xla_cpu_use_xnnpack=true --xla_cpu_enable_fast_math=false", os.Getenv(xlaFlags))

	require.NoError(t, os.Unsetenv(xlaFlags))
	restore = tuneCPU(plugin)
	require.Equal(t, "--xla_cpu_use_xnnpack=false --xla_cpu_prefer_vector_width=512", os.Getenv(xlaFlags))
	restore()
	_, present := os.LookupEnv(xlaFlags)
	require.False(t, present)

	// A library that does not know the flags, and a file that is none.
	other := filepath.Join(t.TempDir(), "other.so")
	require.NoError(t, os.WriteFile(other, []byte("\x00xla_cpu_use_xnnpack\x00"), 0o644))
	sh, err := exec.LookPath("sh")
	require.NoError(t, err)
	for _, path := range []string{other, filepath.Join(t.TempDir(), "none.so"), sh} {
		restore := tuneCPU(path)
		_, present := os.LookupEnv(xlaFlags)
		require.False(t, present, path)
		restore()
	}
}
