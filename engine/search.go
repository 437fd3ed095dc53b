package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Kind is the sort of device that a PJRT plugin drives.
type Kind string

// The kinds of plugin that are looked for.
const (
	CPU  Kind = "cpu"
	CUDA Kind = "cuda"
)

// Environment variables that the search reads, beside VIRTUAL_ENV and CONDA_PREFIX.
const (
	// HomeEnv names the folder of a Trustbook checkout. The notebook kernel sets it, because a notebook's cells run
	// in a temporary module elsewhere.
	HomeEnv = "TRUSTBOOK_HOME"
	// PluginPathEnv lists folders with plugins, as PJRT's own tools read it.
	PluginPathEnv = "PJRT_PLUGIN_LIBRARY_PATH"
	// notebookEnv is where GoNB says which folder the notebook lies in.
	notebookEnv = "GONB_DIR"
)

// ModulePath is the module whose checkout's .venv is searched.
const ModulePath = "github.com/trustbook/trustbook"

// Folder is one place where plugins are looked for.
type Folder struct {
	Path string // absolute
	Why  string // how it came to be searched, such as "VIRTUAL_ENV"

	patterns map[Kind][]string // glob patterns under Path, best first
}

// Plugin is a PJRT plugin found on this machine.
type Plugin struct {
	Kind Kind
	Path string // absolute
	Why  string // the folder's reason
}

// sitePatterns are where PyPI's packages put plugins, seen from site-packages: the OpenXLA project's own packages
// (xla-cpu-pjrt, xla-cuda12-pjrt, xla-cuda13-pjrt), then those inside JAX's CUDA packages. Newest CUDA first.
var sitePatterns = map[Kind][]string{
	CPU: {"xla_plugins/xla_cpu_pjrt/*.so"},
	CUDA: {
		"xla_plugins/xla_cuda13_pjrt/*.so", "jax_plugins/xla_cuda13/*.so",
		"xla_plugins/xla_cuda12_pjrt/*.so", "jax_plugins/xla_cuda12/*.so",
	},
}

// plainPatterns are the names of plugins that lie in a folder of their own, as go-xla's installer leaves them.
var plainPatterns = map[Kind][]string{
	CPU:  {"pjrt_c_api_cpu*_plugin.so", "pjrt?plugin?cpu*.so", "pjrt_c_api_cpu*_plugin.dylib", "xla_cpu_pjrt.so"},
	CUDA: {"pjrt_c_api_cuda*_plugin.so", "pjrt_c_api_gpu*_plugin.so", "pjrt?plugin?cuda*.so", "xla_gpu_pjrt.so", "xla_cuda_plugin.so"},
}

// searcher finds plugins; the fields stand for the machine, so that tests can give it another.
type searcher struct {
	getenv  func(string) string
	workDir string
	homeDir string
	program string          // the folder of the running program
	sites   func() []string // site-packages of the Python on the PATH, asked last
	nvidia  func() bool     // an NVIDIA device is present
	system  []string        // go-xla's system folders
}

func newSearcher() *searcher {
	s := &searcher{getenv: os.Getenv, sites: pythonSites, nvidia: hasNVIDIA,
		system: []string{"/usr/local/lib/go-xla", "/usr/local/lib/go-xla/nvidia", "/usr/local/lib/gomlx/pjrt"}}
	s.workDir, _ = os.Getwd()
	s.homeDir, _ = os.UserHomeDir()
	s.program = programDir()
	return s
}

// Folders returns the places where plugins are looked for, in order, whether or not they exist:
//
//  1. the active virtual environment: VIRTUAL_ENV, then CONDA_PREFIX;
//  2. the project's own .venv: of the checkout named by TRUSTBOOK_HOME, else of the one that holds the notebook
//     (GONB_DIR), the working directory or the running program;
//  3. the folders in PJRT_PLUGIN_LIBRARY_PATH;
//  4. go-xla's own folders: ~/.local/lib/go-xla and /usr/local/lib/go-xla;
//  5. the packages of the python3 on the PATH.
func Folders() []Folder {
	s := newSearcher()
	return append(s.folders(), s.pythonFolders()...)
}

func (s *searcher) folders() []Folder {
	var found []Folder
	add := func(path, why string, patterns map[Kind][]string) {
		if path == "" {
			return
		}
		if abs, err := filepath.Abs(path); err == nil {
			path = abs
		}
		if !slices.ContainsFunc(found, func(f Folder) bool { return f.Path == path }) {
			found = append(found, Folder{path, why, patterns})
		}
	}
	environment := func(root, why string) {
		if root == "" {
			return
		}
		for _, site := range sitePackages(root) {
			add(site, why, sitePatterns)
		}
	}

	environment(s.getenv("VIRTUAL_ENV"), "VIRTUAL_ENV")
	environment(s.getenv("CONDA_PREFIX"), "CONDA_PREFIX")
	if home := s.getenv(HomeEnv); home != "" {
		environment(filepath.Join(home, ".venv"), HomeEnv)
	}
	for _, start := range []struct{ dir, why string }{
		{s.getenv(notebookEnv), "the notebook's project"}, {s.workDir, "the project"}, {s.program, "the program's project"},
	} {
		if root := projectRoot(start.dir); root != "" {
			environment(filepath.Join(root, ".venv"), start.why)
		}
	}
	for _, dir := range filepath.SplitList(s.getenv(PluginPathEnv)) {
		add(dir, PluginPathEnv, plainPatterns)
	}
	if s.homeDir != "" {
		own := filepath.Join(s.homeDir, ".local", "lib", "go-xla")
		for _, dir := range []string{own, filepath.Join(own, "nvidia"), filepath.Join(s.homeDir, ".local", "lib", "gomlx", "pjrt")} {
			add(dir, "go-xla", plainPatterns)
		}
	}
	for _, dir := range s.system {
		add(dir, "go-xla", plainPatterns)
	}
	return found
}

// pythonFolders asks the python3 on the PATH, which takes a moment: it is the last resort.
func (s *searcher) pythonFolders() []Folder {
	var found []Folder
	for _, site := range s.sites() {
		found = append(found, Folder{site, "python3 on the PATH", sitePatterns})
	}
	return found
}

// Plugins returns every plugin found, in the order of [Folders], CUDA before CPU within one folder.
func Plugins() []Plugin {
	s := newSearcher()
	var all []Plugin
	for _, f := range append(s.folders(), s.pythonFolders()...) {
		for _, kind := range []Kind{CUDA, CPU} {
			for _, p := range f.plugins(kind) {
				if !slices.ContainsFunc(all, func(q Plugin) bool { return q.Path == p.Path }) {
					all = append(all, p)
				}
			}
		}
	}
	return all
}

// find returns the plugins of a kind, at least one, in the order in which they should be tried. With no kind they are
// CUDA's where there is one and an NVIDIA device besides, else the CPU's.
func (s *searcher) find(kind Kind) ([]Plugin, error) {
	if kind == "" && s.nvidia() {
		if found := s.all(CUDA); len(found) > 0 {
			return found, nil
		}
	}
	if kind == "" {
		kind = CPU
	}
	if found := s.all(kind); len(found) > 0 {
		return found, nil
	}
	inProject := projectRoot(s.workDir) != "" || s.getenv(HomeEnv) != ""
	return nil, fmt.Errorf("engine: %w", &NoPluginError{Kind: kind, inProject: inProject})
}

// all returns every plugin of a kind. The python3 on the PATH is asked only where the other folders hold none.
func (s *searcher) all(kind Kind) []Plugin {
	var found []Plugin
	for _, more := range []func() []Folder{s.folders, s.pythonFolders} {
		for _, f := range more() {
			found = append(found, f.plugins(kind)...)
		}
		if len(found) > 0 {
			break
		}
	}
	return found
}

// plugins returns the folder's plugins of a kind, one for each pattern: of several versions the last by name.
func (f Folder) plugins(kind Kind) []Plugin {
	var found []Plugin
	for _, pattern := range f.patterns[kind] {
		// The folder goes through os.DirFS rather than into the pattern, so that brackets in its name stay a name.
		matches, err := fs.Glob(os.DirFS(f.Path), pattern)
		if err != nil {
			continue
		}
		slices.Sort(matches)
		for _, m := range slices.Backward(matches) {
			path := filepath.Join(f.Path, filepath.FromSlash(m))
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
				found = append(found, Plugin{Kind: kind, Path: path, Why: f.Why})
				break
			}
		}
	}
	return found
}

// NoPluginError says that no plugin of a kind was found, and how to get one.
type NoPluginError struct {
	Kind      Kind
	inProject bool
}

// Fix is the one command that gets the plugin.
func (e *NoPluginError) Fix() string {
	switch {
	case e.Kind == CUDA:
		// It brings NVIDIA's libraries too, which the plain xla-cuda13-pjrt expects to find.
		return `pip install "jax-cuda13-plugin[with-cuda]"`
	case runtime.GOOS != "linux":
		return "docker build -t trustbook .devcontainer && docker run -it -v \"$PWD\":/w -w /w trustbook make setup" // the wheel is Linux's
	case e.inProject:
		return "make setup"
	}
	return "pip install xla-cpu-pjrt==0.0.1"
}

// Error implements error in one line.
func (e *NoPluginError) Error() string {
	return fmt.Sprintf("no XLA plugin for %s found: run `%s` (`trustbook doctor` lists the folders searched)", e.Kind, e.Fix())
}

// IsNoPlugin reports whether an error of [Open] means that no plugin was found, and which command gets one.
func IsNoPlugin(err error) (fix string, ok bool) {
	var missing *NoPluginError
	if errors.As(err, &missing) {
		return missing.Fix(), true
	}
	return "", false
}

// kindOf guesses a plugin's kind from its file's name, else from its folder's; "" where neither tells.
func kindOf(path string) Kind {
	for _, name := range []string{filepath.Base(path), filepath.Base(filepath.Dir(path))} {
		name = strings.ToLower(name)
		switch {
		case strings.Contains(name, "cuda"), strings.Contains(name, "gpu"):
			return CUDA
		case strings.Contains(name, "cpu"):
			return CPU
		}
	}
	return ""
}

// sitePackages returns the package folders of a virtual or conda environment, newest Python first.
func sitePackages(root string) []string {
	matches, _ := fs.Glob(os.DirFS(root), "lib/python3*/site-packages")
	slices.SortFunc(matches, func(a, b string) int { return len(b) - len(a) + strings.Compare(b, a) })
	found := make([]string, 0, len(matches)+1)
	for _, m := range matches {
		found = append(found, filepath.Join(root, filepath.FromSlash(m)))
	}
	if len(found) == 0 { // named all the same, for the doctor's list
		found = append(found, filepath.Join(root, "lib", "python3", "site-packages"))
	}
	return found
}

var moduleLine = regexp.MustCompile(`(?m)^module\s+"?` + regexp.QuoteMeta(ModulePath) + `"?\s*(//.*)?$`)

// projectRoot walks from dir upwards to the checkout of this module, and returns "" where there is none.
func projectRoot(dir string) string {
	if dir == "" || !filepath.IsAbs(dir) {
		return ""
	}
	for {
		if data, err := os.ReadFile(filepath.Join(dir, "go.mod")); err == nil && moduleLine.Match(data) {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			return ""
		}
		dir = up
	}
}

// programDir is the folder of the running program, behind links: bin/trustbook finds its checkout from anywhere.
func programDir() string {
	program, err := os.Executable()
	if err != nil {
		return ""
	}
	if real, err := filepath.EvalSymlinks(program); err == nil {
		program = real
	}
	return filepath.Dir(program)
}

// ProjectRoot returns the checkout of this module that TRUSTBOOK_HOME, the notebook's folder, the working directory or
// the running program's folder lies in, or "" where there is none.
func ProjectRoot() string {
	wd, _ := os.Getwd()
	for _, dir := range []string{os.Getenv(HomeEnv), os.Getenv(notebookEnv), wd, programDir()} {
		if root := projectRoot(dir); root != "" {
			return root
		}
	}
	return ""
}

// pythonSites asks the python3 on the PATH for its package folders. No Python, no folders.
func pythonSites() []string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	const script = "import site,sysconfig\n" +
		"p=[sysconfig.get_paths()['purelib'],sysconfig.get_paths()['platlib'],site.getusersitepackages()]+site.getsitepackages()\n" +
		"print('\\n'.join(dict.fromkeys(p)))"
	out, err := exec.CommandContext(ctx, "python3", "-I", "-c", script).Output()
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(strings.Split(strings.TrimSpace(string(out)), "\n"), func(p string) bool { return !filepath.IsAbs(p) })
}
