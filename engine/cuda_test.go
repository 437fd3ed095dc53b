package engine

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestCUDARuntimeOf13 lays out site-packages as the CUDA 13 wheels do: everything in nvidia/cu13.
func TestCUDARuntimeOf13(t *testing.T) {
	root := tree(t, cuda13SO)
	site := filepath.Join(root, "lib/python3.11/site-packages")
	for _, f := range []string{"cu13/lib/libcudart.so.13", "cu13/lib/libcublas.so.13", "cu13/lib/libcublasLt.so.13",
		"cudnn/lib/libcudnn.so.9", "cu13/lib/libunrelated.so.1", "cu13/bin/ptxas"} {
		touch(t, filepath.Join(site, "nvidia", f))
	}
	got := findCUDARuntime(filepath.Join(root, cuda13SO))
	assert.Equal(t, filepath.Join(site, "nvidia/cu13"), got.dataDir)
	assert.Equal(t, []string{
		filepath.Join(site, "nvidia/cu13/lib/libcudart.so.13"), filepath.Join(site, "nvidia/cu13/lib/libcublasLt.so.13"),
		filepath.Join(site, "nvidia/cu13/lib/libcublas.so.13"), filepath.Join(site, "nvidia/cudnn/lib/libcudnn.so.9"),
	}, got.libraries)
}

// TestCUDARuntimeOf12 lays it out as the CUDA 12 wheels do: a folder for each library, ptxas in cuda_nvcc.
func TestCUDARuntimeOf12(t *testing.T) {
	root := tree(t, jax12SO)
	nvidia := filepath.Join(root, "lib/python3.11/site-packages/nvidia")
	for _, f := range []string{"cuda_runtime/lib/libcudart.so.12", "cublas/lib/libcublas.so.12", "cuda_nvcc/nvvm/libdevice/libdevice.10.bc"} {
		touch(t, filepath.Join(nvidia, f))
	}
	got := findCUDARuntime(filepath.Join(root, jax12SO))
	assert.Equal(t, filepath.Join(nvidia, "cuda_nvcc"), got.dataDir)
	assert.Len(t, got.libraries, 2)
}

// TestCUDARuntimeElsewhere: a plugin outside site-packages has nothing beside it.
func TestCUDARuntimeElsewhere(t *testing.T) {
	root := tree(t, "xla_cuda_plugin.so")
	assert.Equal(t, cudaRuntime{}, findCUDARuntime(filepath.Join(root, "xla_cuda_plugin.so")))
}

// TestLoadInAnyOrder: c needs b, b needs a, d needs what is not there.
func TestLoadInAnyOrder(t *testing.T) {
	needs := map[string]string{"a": "", "b": "a", "c": "b", "d": "absent"}
	loaded := map[string]bool{"": true}
	left := loadInAnyOrder([]string{"c", "d", "b", "a"}, func(name string) error {
		if !loaded[needs[name]] {
			return errors.New("needs " + needs[name])
		}
		loaded[name] = true
		return nil
	})
	assert.Equal(t, []string{"d"}, left)
	assert.True(t, loaded["c"])
}
