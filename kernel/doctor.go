package kernel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/trustbook/trustbook/engine"
)

// Check is one thing that the doctor looked at.
type Check struct {
	Name  string `json:"name"`
	OK    bool   `json:"ok"`
	Found string `json:"found"` // what is there, in a line
	Fix   string `json:"fix"`   // the command or step that mends it; empty where OK
}

// Report is the doctor's finding: OK where every check is.
type Report struct {
	OK     bool    `json:"ok"`
	Checks []Check `json:"checks"`
}

// DoctorOptions says what to examine. The zero value examines this machine, seen from the working directory.
type DoctorOptions struct {
	Backend  string // specification of the backend, see [engine.Open]
	Home     string // checkout; default: as for [Options]
	CacheDir string // folder that must be writable; default: the user's cache folder's trustbook
	// Extra adds checks of packages that this one does not know, such as data sets.
	Extra func(context.Context) []Check
}

// Doctor examines everything that Trustbook needs: Go and its build cache, a C compiler, Python, the virtual environment, the notebook
// kernel with its tools, the XLA plugin, the devices and the cache folder. It changes nothing and uses no network.
func Doctor(ctx context.Context, o DoctorOptions) Report {
	home := o.Home
	if home == "" {
		home = engine.ProjectRoot()
	}
	checks := []Check{checkGo(ctx), checkBuildCache(ctx), checkCompiler(ctx), checkPython(ctx, home), checkEnvironment(home)}
	checks = append(checks, checkBackend(o.Backend)...)
	checks = append(checks, checkKernel(home), checkTool(home, "gonb"), checkTool(home, "goimports"), checkCache(o.CacheDir), checkPrograms())
	if o.Extra != nil {
		checks = append(checks, o.Extra(ctx)...)
	}
	report := Report{OK: true, Checks: checks}
	for _, c := range checks {
		report.OK = report.OK && c.OK
	}
	return report
}

// good and bad make a check's two outcomes.
func good(name, found string) Check     { return Check{Name: name, OK: true, Found: found} }
func bad(name, found, fix string) Check { return Check{Name: name, Found: found, Fix: fix} }

// output runs a program and returns the first line that it prints.
func output(ctx context.Context, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return strings.TrimSpace(line), err
}

// oldestGo and newer fetch the exact toolchain that go.mod asks for; older ones do not build this module.
var oldestGo = [2]int{1, 21}

// installGo mends what fails for want of Go.
const installGo = "install Go 1.21 or newer: https://go.dev/dl"

func checkGo(ctx context.Context) Check {
	const name, fix = "go", installGo
	path, err := findGo("")
	if err != nil {
		return bad(name, "not on the PATH", fix)
	}
	out, err := output(ctx, path, "env", "GOVERSION")
	if err != nil {
		return bad(name, out, fix)
	}
	if !atLeast(strings.TrimPrefix(out, "go"), oldestGo) {
		return bad(name, out+" at "+path, fix)
	}
	return good(name, out+" at "+path)
}

func checkCompiler(ctx context.Context) Check {
	const name = "C compiler"
	const fix = "Debian and Ubuntu: apt-get install gcc libc6-dev; macOS: xcode-select --install"
	cc := "cc"
	if path, err := findGo(""); err == nil {
		if out, err := output(ctx, path, "env", "CC"); err == nil && out != "" {
			cc = strings.Fields(out)[0]
		}
	}
	path, err := exec.LookPath(cc)
	if err != nil {
		return bad(name, cc+" is not on the PATH", fix)
	}
	out, err := output(ctx, path, "--version")
	if err != nil {
		return bad(name, out, fix)
	}
	return good(name, out)
}

func checkPython(ctx context.Context, home string) Check {
	const name, fix = "Python", "install Python 3.10 or newer, with its venv module"
	path := filepath.Join(home, ".venv", "bin", "python")
	if home == "" || !isExecutable(path) {
		var err error
		if path, err = exec.LookPath("python3"); err != nil {
			return bad(name, "python3 is not on the PATH", fix)
		}
	}
	out, err := output(ctx, path, "--version")
	if err != nil || !atLeast(strings.TrimPrefix(out, "Python "), [2]int{3, 10}) {
		return bad(name, out+" at "+path, fix)
	}
	return good(name, out+" at "+path)
}

// checkEnvironment compares the packages in the virtual environment with the pins of requirements.txt.
func checkEnvironment(home string) Check {
	const name, fix = "virtual environment", "make setup"
	if home == "" {
		return bad(name, "no checkout of "+engine.ModulePath+" here", "run this inside a checkout, or set "+engine.HomeEnv)
	}
	root := environmentOf(home)
	if root == "" {
		return bad(name, "none: no .venv in "+home+", and none is active", fix)
	}
	data, err := os.ReadFile(filepath.Join(home, "requirements.txt"))
	if err != nil {
		return bad(name, oneLine(err), "get requirements.txt back: git checkout requirements.txt")
	}
	pins, err := parsePins(string(data))
	if err != nil {
		return bad(name, oneLine(err), "get requirements.txt back: git checkout requirements.txt")
	}
	var wrong []string
	for _, p := range pins {
		if !p.here() {
			continue
		}
		folder := strings.ReplaceAll(p.name, "-", "_") + "-" + p.version + ".dist-info"
		if m, _ := filepath.Glob(filepath.Join(globEscape(root), "lib", "python3*", "site-packages", folder)); len(m) == 0 {
			wrong = append(wrong, p.name+" "+p.version)
		}
	}
	if len(wrong) > 0 {
		return bad(name, root+" lacks "+strings.Join(wrong, ", "), fix)
	}
	return good(name, fmt.Sprintf("%s with all %d pins of requirements.txt", root, len(pins)))
}

// environmentOf is the environment that notebooks of a checkout run in; "" where there is none.
func environmentOf(home string) string {
	for _, root := range []string{filepath.Join(home, ".venv"), os.Getenv("VIRTUAL_ENV"), os.Getenv("CONDA_PREFIX")} {
		if root != "" && isDir(root) {
			return root
		}
	}
	return ""
}

// checkBackend opens the backend: a plugin that is there may still not start.
func checkBackend(spec string) []Check {
	const plugin, devices = "plugin", "devices"
	e, err := engine.Open(spec)
	if err != nil {
		fix, missing := engine.IsNoPlugin(err)
		found := strings.TrimPrefix(oneLine(err), "engine: ")
		if missing {
			found = "none in " + searched()
		} else {
			fix = "name another backend: " + strings.Join(engine.Specs, ", ")
		}
		return []Check{bad(plugin, found, fix), bad(devices, "none: no backend is open", fix)}
	}
	defer e.Close()
	found := e.Name() + ", pure Go: 20 to 50 times slower than XLA"
	if e.Plugin() != "" {
		found = fmt.Sprintf("%s, PJRT %s, %s", e.Name(), e.PJRTVersion(), e.Plugin())
	}
	list := e.Devices()
	what := fmt.Sprintf("%d: %s", len(list), strings.Join(list, "; "))
	if e.Name() != "xla:cuda" && engine.HasNVIDIA() {
		what += " (an NVIDIA device is present but not used: " + cudaFix() + ")"
	}
	return []Check{good(plugin, found), good(devices, what)}
}

// cudaFix is what makes an NVIDIA device used.
func cudaFix() string {
	for _, p := range engine.Plugins() {
		if p.Kind == engine.CUDA {
			return "ask for the backend xla:cuda"
		}
	}
	return (&engine.NoPluginError{Kind: engine.CUDA}).Fix()
}

// searched lists the folders that were looked at for a plugin.
func searched() string {
	var list []string
	for _, f := range engine.Folders() {
		list = append(list, fmt.Sprintf("%s (%s)", f.Path, f.Why))
	}
	return strings.Join(list, ", ")
}

// checkKernel looks whether the environment's kernel is ours and belongs to this checkout.
func checkKernel(home string) Check {
	const name, fix = "kernel", "trustbook kernel install"
	root := environmentOf(home)
	if home == "" || root == "" {
		return bad(name, "no environment to look in", "make setup")
	}
	dir := filepath.Join(root, "share", "jupyter", "kernels", Name)
	data, err := os.ReadFile(filepath.Join(dir, "kernel.json"))
	if errors.Is(err, os.ErrNotExist) {
		return bad(name, "not installed in "+dir, fix)
	}
	var s spec
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err == nil && len(s.Argv) == 0 {
		err = errors.New("kernel.json names no program")
	}
	if err != nil {
		return bad(name, oneLine(err), fix)
	}
	launch, err := os.ReadFile(s.Argv[0])
	switch {
	case err != nil:
		return bad(name, oneLine(err), fix)
	case s.Argv[0] != filepath.Join(dir, "launch") || !strings.Contains(string(launch), engine.HomeEnv+"='"+home+"'"):
		return bad(name, dir+" is not wired to "+home, fix)
	}
	return good(name, dir)
}

func checkTool(home, name string) Check {
	path := tool(home, name)
	if path == "" {
		return bad(name, "neither in .tools nor on the PATH", "make setup")
	}
	return good(name, path)
}

// checkCache looks whether the cache folder can be written to.
func checkCache(dir string) Check {
	const name = "cache folder"
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return bad(name, oneLine(err), "set XDG_CACHE_HOME or HOME to a folder that you can write to")
		}
		dir = filepath.Join(base, "trustbook")
	}
	if _, found, fix := writable(dir); found != "" {
		return bad(name, found, fix)
	}
	return good(name, dir)
}

// checkPrograms tells of the programs that XLA compiled, which the command line and notebooks keep. None is needed.
func checkPrograms() Check {
	const name = "compiled programs"
	dir, n, size, err := engine.ProgramsIn(engine.UserPrograms())
	switch {
	case err != nil:
		return bad(name, strings.TrimPrefix(oneLine(err), "engine: "), "chmod go-w "+dir+", or set "+engine.ProgramsEnv+" to another folder")
	case dir == "":
		return good(name, "not kept")
	}
	return good(name, fmt.Sprintf("%d (%.1f MB) in %s; to empty it: trustbook cache clear", n, float64(size)/1e6, dir))
}

// writable writes a file into a folder, or into its nearest parent that exists, which is at, and removes it again. Where that
// fails it says what was found, and what mends it.
func writable(dir string) (at, found, fix string) {
	at = dir
	for !isDir(at) && filepath.Dir(at) != at {
		if _, err := os.Lstat(at); err == nil {
			return at, at + " is not a folder", "remove it"
		}
		at = filepath.Dir(at)
	}
	f, err := os.CreateTemp(at, ".trustbook-doctor-*")
	if err != nil {
		return at, oneLine(err), "make it writable: chmod u+w " + at
	}
	f.Close()
	os.Remove(f.Name())
	return at, "", ""
}

var versionNumber = regexp.MustCompile(`^(\d+)\.(\d+)`)

// atLeast compares the first two numbers of a version.
func atLeast(version string, oldest [2]int) bool {
	m := versionNumber.FindStringSubmatch(version)
	if m == nil {
		return false
	}
	major, _ := strconv.Atoi(m[1])
	minor, _ := strconv.Atoi(m[2])
	return major > oldest[0] || major == oldest[0] && minor >= oldest[1]
}

// globEscape keeps a folder's name from being read as a pattern.
func globEscape(path string) string {
	return regexp.MustCompile(`[*?\[\\]`).ReplaceAllString(path, `\$0`)
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
