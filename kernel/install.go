// Package kernel sets up what notebooks need, the GoNB kernel wired to a checkout of this module and to its XLA
// plugin, and examines a machine for everything that Trustbook needs.
//
//	installed, err := kernel.Install(ctx, kernel.Options{})
//	report := kernel.Doctor(ctx, kernel.DoctorOptions{})
//
// A cell of a GoNB notebook is compiled in a temporary module. As GoNB sets it up, that module knows nothing of this
// one, and every cell asks the network for its imports. The kernel installed here starts GoNB with a go command of
// its own, a short script, that gives the temporary module the requirements and checksums of the checkout and asks
// the network only for imports that these do not cover. So any notebook can import any package of this module, or
// any module that it requires, with no set-up cell and no network.
package kernel

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"text/template"

	"github.com/google/renameio/v2"

	"github.com/trustbook/trustbook/engine"
)

// Name is the kernel's name, which notebooks carry in their metadata.
const Name = "gonb"

// Options says what to install where. The zero value finds everything by itself.
type Options struct {
	// Home is the checkout that cells import. Default: the one that TRUSTBOOK_HOME or the working directory names.
	Home string
	// Prefix is the environment that gets the kernel, in Prefix/share/jupyter/kernels/gonb. Default: the checkout's
	// .venv, where there is none VIRTUAL_ENV, then CONDA_PREFIX.
	Prefix string
	// GoNB is the kernel's program. Default: the checkout's .tools/gonb, else the one on the PATH.
	GoNB string
	// Backend is the specification that cells get where GOMLX_BACKEND is not set. Default: none where the checkout's
	// own .venv holds the plugin, since cells then find it, else the plugin found now, by its path.
	Backend string
}

// Installed tells what [Install] wrote.
type Installed struct {
	Dir    string `json:"dir"`    // the kernel's folder
	Home   string `json:"home"`   // the checkout that cells import
	GoNB   string `json:"gonb"`   // the kernel's program
	Go     string `json:"go"`     // the go command behind the kernel's own
	Plugin string `json:"plugin"` // the plugin that cells will use; empty for the pure-Go backend
}

// spec is Jupyter's kernel.json.
type spec struct {
	Argv          []string          `json:"argv"`
	DisplayName   string            `json:"display_name"`
	Language      string            `json:"language"`
	InterruptMode string            `json:"interrupt_mode"`
	Env           map[string]string `json:"env"`
}

//go:embed launch.sh.tmpl
var launchText string

//go:embed go.sh.tmpl
var goText string

// Install registers the kernel for one Python environment and writes nowhere else. Installing again replaces what
// was there. Errors are one line each: no checkout, no environment, no GoNB, no Go, or no plugin.
func Install(ctx context.Context, o Options) (*Installed, error) {
	in, backend, err := o.resolve()
	if err != nil {
		return nil, err
	}
	// GoNB's own installer proves that its program runs, and brings the logo; kernel.json is then ours.
	cmd := exec.CommandContext(ctx, in.GoNB, "--install", "-force_deps")
	cmd.Env = append(os.Environ(), "JUPYTER_DATA_DIR="+filepath.Dir(filepath.Dir(in.Dir)))
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("kernel: %s --install: %w: %s", in.GoNB, err, lastLine(out))
	}
	values := map[string]string{
		"Module": engine.ModulePath, "Home": in.Home, "Go": in.Go, "GoNB": in.GoNB,
		"Dir": in.Dir, "Tools": filepath.Join(in.Home, ".tools"), "Backend": backend,
	}
	launch := filepath.Join(in.Dir, "launch")
	if err := os.MkdirAll(filepath.Join(in.Dir, "bin"), 0o755); err != nil {
		return nil, fmt.Errorf("kernel: %w", err)
	}
	for path, text := range map[string]string{launch: launchText, filepath.Join(in.Dir, "bin", "go"): goText} {
		script, err := render(text, values)
		if err != nil {
			return nil, err
		}
		if err := renameio.WriteFile(path, script, 0o755); err != nil {
			return nil, fmt.Errorf("kernel: %w", err)
		}
	}
	data, err := json.MarshalIndent(spec{
		Argv:        []string{launch, "--kernel", "{connection_file}"},
		DisplayName: "Go (gonb)", Language: "go", InterruptMode: "message", Env: map[string]string{},
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("kernel: %w", err)
	}
	if err := renameio.WriteFile(filepath.Join(in.Dir, "kernel.json"), append(data, '\n'), 0o644); err != nil {
		return nil, fmt.Errorf("kernel: %w", err)
	}
	return in, nil
}

// resolve fills the defaults in and checks that everything is there, before anything is written.
func (o Options) resolve() (in *Installed, backend string, err error) {
	if runtime.GOOS == "windows" {
		return nil, "", errors.New("kernel: Windows is not supported: use WSL")
	}
	in = &Installed{Home: o.Home, GoNB: o.GoNB}
	if in.Home == "" {
		in.Home = engine.ProjectRoot()
	}
	if in.Home == "" {
		return nil, "", fmt.Errorf("kernel: no checkout of %s here: run this inside one, or set %s to its folder",
			engine.ModulePath, engine.HomeEnv)
	}
	if in.Home, err = filepath.Abs(in.Home); err != nil {
		return nil, "", fmt.Errorf("kernel: %w", err)
	}
	if _, err := os.Stat(filepath.Join(in.Home, "go.mod")); err != nil {
		return nil, "", fmt.Errorf("kernel: %s is no checkout of %s: it has no go.mod", in.Home, engine.ModulePath)
	}

	prefix := o.Prefix
	if own := filepath.Join(in.Home, ".venv"); prefix == "" && isDir(own) {
		prefix = own
	}
	for _, env := range []string{"VIRTUAL_ENV", "CONDA_PREFIX"} {
		if prefix == "" {
			prefix = os.Getenv(env)
		}
	}
	if prefix == "" || !isDir(prefix) {
		return nil, "", fmt.Errorf("kernel: no Python environment to install into%s: run `make setup`", quoted(prefix))
	}
	if prefix, err = filepath.Abs(prefix); err != nil {
		return nil, "", fmt.Errorf("kernel: %w", err)
	}
	in.Dir = filepath.Join(prefix, "share", "jupyter", "kernels", Name)

	if in.GoNB == "" {
		in.GoNB = tool(in.Home, "gonb")
	}
	if in.GoNB == "" || !isFile(in.GoNB) {
		return nil, "", fmt.Errorf("kernel: GoNB is not installed%s: run `make setup`", quoted(in.GoNB))
	}
	if in.Go, err = findGo(in.Dir); err != nil {
		return nil, "", err
	}
	for _, path := range []string{in.Home, in.Dir, in.GoNB, in.Go} {
		if strings.ContainsAny(path, "'\n") {
			return nil, "", fmt.Errorf("kernel: the path %q holds a quote or a line break, which the kernel's scripts cannot: move it", path)
		}
	}

	backend = o.Backend
	if backend == "go" {
		return in, backend, nil
	}
	in.Plugin, err = engine.FindPlugin(backend)
	if err != nil {
		return nil, "", err
	}
	own := filepath.Join(in.Home, ".venv") + string(filepath.Separator)
	if backend == "" && !strings.HasPrefix(in.Plugin, own) {
		backend = "xla:" + in.Plugin
	}
	if strings.ContainsAny(backend, "'\n") {
		return nil, "", fmt.Errorf("kernel: the backend %q holds a quote or a line break", backend)
	}
	return in, backend, nil
}

// findGo finds the go command on the PATH, but never the kernel's own script, which a notebook's terminal may see.
func findGo(dir string) (string, error) {
	for _, folder := range filepath.SplitList(os.Getenv("PATH")) {
		path := filepath.Join(folder, "go")
		if folder == filepath.Join(dir, "bin") || !filepath.IsAbs(path) || !isExecutable(path) {
			continue
		}
		return path, nil
	}
	return "", errors.New("kernel: Go is not on the PATH: install it, see https://go.dev/dl")
}

// tool finds a program in the checkout's .tools, else on the PATH; "" where it is in neither.
func tool(home, name string) string {
	if own := filepath.Join(home, ".tools", name); home != "" && isExecutable(own) {
		return own
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return ""
	}
	if path, err = filepath.Abs(path); err != nil {
		return ""
	}
	return path
}

func render(text string, values map[string]string) ([]byte, error) {
	t, err := template.New("").Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, fmt.Errorf("kernel: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, values); err != nil {
		return nil, fmt.Errorf("kernel: %w", err)
	}
	return b.Bytes(), nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func isExecutable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

func quoted(path string) string {
	if path == "" {
		return ""
	}
	return fmt.Sprintf(" (%s is not there)", path)
}

// lastLine is the last line of a program's output that says anything.
func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}
