package engine

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// hasNVIDIA reports whether an NVIDIA device is there to run on, not merely its software.
func hasNVIDIA() bool {
	if m, _ := filepath.Glob("/dev/nvidia[0-9]*"); len(m) > 0 {
		return true
	}
	if _, err := os.Stat("/dev/dxg"); err != nil { // WSL has no /dev/nvidia0: ask the driver's tool there
		if _, err := os.Stat("/proc/driver/nvidia/version"); err != nil {
			return false
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "nvidia-smi", "-L").Output()
	return err == nil && strings.Contains(string(out), "GPU 0")
}

// HasNVIDIA reports whether an NVIDIA device is present.
func HasNVIDIA() bool { return hasNVIDIA() }

// cudaLibraries are the NVIDIA libraries that XLA's CUDA plugins need when they are loaded (the OpenXLA project's) or
// open by name while they run (JAX's).
var cudaLibraries = []string{
	"libcudart", "libnvJitLink", "libnvrtc-builtins", "libnvrtc", "libcublasLt", "libcublas", "libcusparse", "libcusolver", "libcufft",
	"libcupti", "libcudnn", "libcudnn_graph", "libcudnn_ops", "libcudnn_cnn", "libcudnn_adv",
	"libcudnn_engines_precompiled", "libcudnn_engines_runtime_compiled", "libcudnn_heuristic", "libnccl", "libnvshmem_host",
}

// cudaRuntime is what of NVIDIA's Python packages lies beside a plugin.
type cudaRuntime struct {
	libraries []string // shared libraries to load, absolute
	dataDir   string   // the folder with bin/ptxas and nvvm/libdevice, "" where none
}

// findCUDARuntime looks for NVIDIA's packages in the site-packages folder that holds the plugin: nvidia/<name>/lib
// up to CUDA 12, nvidia/cu13/lib since. A plugin outside site-packages has nothing beside it, and relies on the
// system's libraries.
func findCUDARuntime(plugin string) cudaRuntime {
	var found cudaRuntime
	for dir := filepath.Dir(plugin); ; dir = filepath.Dir(dir) {
		nvidia := filepath.Join(dir, "nvidia")
		if info, err := os.Stat(nvidia); err == nil && info.IsDir() {
			found.libraries = cudaLibrariesIn(nvidia)
			found.dataDir = cudaDataDir(nvidia, strings.Contains(plugin, "cuda12"))
			return found
		}
		if name := filepath.Base(dir); name == "site-packages" || name == "dist-packages" || filepath.Dir(dir) == dir {
			return found
		}
	}
}

// cudaLibrariesIn lists the wanted libraries under a folder of NVIDIA's packages. One soname found twice (CUDA 12 and
// 13 side by side have different ones) is taken once.
func cudaLibrariesIn(nvidia string) []string {
	matches, _ := fs.Glob(os.DirFS(nvidia), "*/lib/*.so.*")
	slices.Sort(matches)
	var found []string
	for _, wanted := range cudaLibraries {
		for _, m := range matches {
			if name, _, ok := strings.Cut(filepath.Base(m), ".so"); ok && name == wanted {
				found = append(found, filepath.Join(nvidia, filepath.FromSlash(m)))
			}
		}
	}
	return found
}

// cudaDataDir is the folder in which XLA finds ptxas and libdevice: CUDA 12's package or the newer one.
func cudaDataDir(nvidia string, twelve bool) string {
	candidates := []string{"cu13", "cuda_nvcc"}
	if twelve {
		candidates = []string{"cuda_nvcc", "cu12"}
	}
	for _, name := range candidates {
		dir := filepath.Join(nvidia, name)
		for _, sign := range []string{"bin/ptxas", "nvvm/libdevice"} {
			if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(sign))); err == nil {
				return dir
			}
		}
	}
	return ""
}

// prepareCUDA makes NVIDIA's libraries and compiler, as pip installs them, visible to a plugin that is about to be
// loaded. LD_LIBRARY_PATH is read when a process starts, so it cannot help here: the libraries are loaded by path,
// and the plugin's own requests by name then find them in the process.
func prepareCUDA(plugin string) {
	found := findCUDARuntime(plugin)
	loadInAnyOrder(found.libraries, func(path string) error {
		_, err := dlopen(path)
		return err
	})
	const flag = "--xla_gpu_cuda_data_dir="
	if flags := os.Getenv(xlaFlags); found.dataDir != "" && !strings.Contains(flags, flag) && !strings.ContainsAny(found.dataDir, " \t") {
		os.Setenv(xlaFlags, strings.TrimSpace(flags+" "+flag+found.dataDir))
	}
}

// loadInAnyOrder loads libraries that need one another, again and again until a round brings no more. What is left
// fails to load for want of something else (a driver, an older CUDA's library): the plugin will say so if it needs it.
func loadInAnyOrder(paths []string, load func(string) error) (left []string) {
	left = paths
	for {
		var failed []string
		for _, path := range left {
			if load(path) != nil {
				failed = append(failed, path)
			}
		}
		if len(failed) == 0 || len(failed) == len(left) {
			return failed
		}
		left = failed
	}
}
