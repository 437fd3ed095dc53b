// Package house tests the rules of docs/design.md that no compiler knows: imports go down only, no paper imports another,
// and only package report displays, while no library prints, logs or reads flags. It has no code of its own.
package house

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/trustbook/trustbook/"

// may tells what each package may import of this module. Entries ending in /* speak of every package below; the first
// that fits counts. A package that fits none may import nothing: a new one has to find its place here.
var may = []struct {
	pkg     string
	imports []string
}{
	{"engine", nil},
	{"report", nil},
	{"nets", nil},
	{"nets/onnx", []string{"nets"}},
	{"npy", nil},
	{"remote", nil},                  // a client that knows of no attacks: robust takes it by an interface of its own
	{"datasets", []string{"report"}}, // for the interface of progress bars
	{"kernel", []string{"engine"}},
	{"fit", []string{"engine", "datasets", "nets", "report"}},
	{"study", []string{"report", "fit"}},
	{"creativity/scan", nil},
	{"generative", nil},
	{"robust", []string{"engine", "datasets", "nets", "report", "fit"}},
	{"robust/attack", []string{"engine", "datasets", "nets", "report", "fit", "robust"}},
	{"robust/certify", []string{"engine", "datasets", "nets", "report", "fit", "robust"}},
	{"robust/information", []string{"engine", "datasets", "nets", "report", "fit"}},
	{"robust/manifold", []string{"engine"}},
	{"representation", []string{"engine", "nets", "fit", "robust/manifold"}},
	{"robust/uae", []string{"engine", "nets", "report", "robust", "robust/information"}},
	{"fewshot", []string{"engine", "datasets", "nets", "report", "fit"}},
	{"fewshot/meta", []string{"engine", "datasets", "nets", "report", "fit", "fewshot", "robust"}}, // for the projections of its attacks
	{"fewshot/paired", []string{"datasets"}},
	{"fewshot/paired/lab", nil},
	{"fewshot/pfsgan", []string{"engine", "nets", "fit", "fewshot/paired", "fewshot/paired/lab"}},
	// The papers: everything above, and no other paper.
	{"robust/*", []string{"engine", "datasets", "nets", "nets/onnx", "npy", "remote", "report", "fit", "study", "robust",
		"robust/attack", "robust/certify", "robust/information", "robust/manifold", "robust/uae", "representation"}},
	{"scoring", []string{"engine", "datasets", "nets", "nets/onnx", "npy", "report", "fit", "study", "robust", "robust/attack"}},
	{"creativity", []string{"creativity/scan", "engine", "datasets", "nets", "nets/onnx", "npy", "report", "fit", "study", "robust",
		"robust/attack"}},
	{"watermark", []string{"engine", "nets", "remote", "report", "fit"}},
	{"watermark/removal", []string{"engine", "datasets", "nets", "report", "fit", "robust", "robust/attack", "watermark"}},
	{"watermark/*", []string{"engine", "datasets", "nets", "nets/onnx", "npy", "remote", "report", "fit", "study", "robust",
		"robust/attack", "watermark", "watermark/removal"}},
	{"fewshot/*", []string{"engine", "datasets", "nets", "nets/onnx", "npy", "report", "fit", "study", "fewshot", "fewshot/meta",
		"fewshot/paired", "fewshot/paired/lab", "fewshot/pfsgan", "generative", "robust", "robust/attack"}},
	{"cmd/*", []string{"*"}},
	{"internal/*", []string{"*"}},
}

// allowed reports whether the package may import the other; both are named without the module.
func allowed(pkg, other string) bool {
	library := !strings.HasPrefix(pkg, "internal/") && !strings.HasPrefix(pkg, "cmd/")
	if strings.HasPrefix(other, "cmd/") || strings.HasPrefix(other, "internal/") && library {
		return false
	}
	for _, rule := range may {
		folder, below := strings.CutSuffix(rule.pkg, "*")
		if pkg == rule.pkg || below && strings.HasPrefix(pkg, folder) {
			return slices.Contains(rule.imports, "*") || slices.Contains(rule.imports, other)
		}
	}
	return false
}

// listed is what go list tells of a package.
type listed struct {
	ImportPath, Dir string
	GoFiles         []string
	Imports, Deps   []string
}

func (l listed) name() string { return strings.TrimPrefix(l.ImportPath, module) }

// library reports whether a package is for users to import.
func (l listed) library() bool {
	return !strings.HasPrefix(l.name(), "cmd/") && !strings.HasPrefix(l.name(), "internal/")
}

func packages(t *testing.T) (all []listed) {
	t.Helper()
	root, err := exec.Command("go", "env", "GOMOD").Output()
	require.NoError(t, err)
	list := exec.Command("go", "list", "-json=ImportPath,Dir,GoFiles,Imports,Deps", "./...")
	list.Dir = filepath.Dir(strings.TrimSpace(string(root)))
	out, err := list.Output()
	require.NoError(t, err)
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else {
			require.NoError(t, err)
		}
		all = append(all, p)
	}
	require.Greater(t, len(all), 8, "go list found hardly anything")
	return all
}

// TestImportsGoDown checks direct imports, and with them all others: what may be imported imports down only, too.
func TestImportsGoDown(t *testing.T) {
	for _, p := range packages(t) {
		for _, other := range p.Imports {
			if name, ours := strings.CutPrefix(other, module); ours && !allowed(p.name(), name) {
				t.Errorf("%s imports %s: imports go down only", p.name(), name)
			}
		}
		for _, other := range p.Deps {
			name, ours := strings.CutPrefix(other, module)
			if ours && p.library() && (strings.HasPrefix(name, "cmd/") || strings.HasPrefix(name, "internal/")) {
				t.Errorf("%s depends on %s, which is not for libraries", p.name(), name)
			}
		}
	}
}

// TestRules is the negative control of the rules themselves.
func TestRules(t *testing.T) {
	for _, c := range []struct {
		pkg, other string
		want       bool
	}{
		{"robust/joint", "robust/attack", true},
		{"robust/joint", "robust/weights", false},
		{"robust/weights", "robust/joint", false},
		{"robust", "robust/attack", false},
		{"robust/attack", "robust/joint", false},
		{"nets", "robust", false},
		{"nets", "nets/onnx", false},
		{"nets/onnx", "nets", true},
		{"fit", "nets/onnx", false},
		{"robust/vit", "nets/onnx", true},
		{"engine", "report", false},
		{"report", "nets", false},
		{"fit", "robust", false},
		{"scoring", "watermark", false},
		{"watermark", "remote", true},
		{"watermark", "watermark/removal", false},
		{"watermark/gradsigns", "watermark/removal", true},
		{"robust/hardlabel", "remote", true},
		{"robust/hardlabel", "robust/manifold", true},
		{"robust/manifold", "robust", false},
		{"representation", "robust", false},
		{"robust", "remote", false},
		{"remote", "robust", false},
		{"fewshot/maml", "robust/attack", true},
		{"fewshot/maml", "fewshot/meta", true},
		{"fewshot/meta", "fewshot/maml", false},
		{"fewshot/meta", "study", false},
		{"study", "robust", false},
		{"fewshot/maml", "fewshot/pairgan", false},
		{"fewshot/pairgan", "fewshot/paired/lab", true},
		{"fewshot/paired", "fewshot/maml", false},
		{"robust", "cmd/trustbook", false},
		{"robust", "internal/oracle", false},
		{"cmd/trustbook", "robust/joint", true},
		{"cmd/nbcheck", "internal/ipynb", true},
		{"internal/oracle", "nets", true},
		{"newcomer", "engine", false},
	} {
		require.Equal(t, c.want, allowed(c.pkg, c.other), "%s imports %s", c.pkg, c.other)
	}
}

// talk finds what a file prints, logs or reads from the command line.
func talk(file *ast.File, fset *token.FileSet) (found []string) {
	for _, imported := range file.Imports {
		switch name := strings.Trim(imported.Path.Value, `"`); name {
		case "log", "log/slog", "flag", "github.com/spf13/cobra", "github.com/spf13/pflag":
			found = append(found, fmt.Sprintf("%s: imports %s", fset.Position(imported.Pos()), name))
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok {
				switch name := x.Name + "." + n.Sel.Name; name {
				case "fmt.Print", "fmt.Printf", "fmt.Println", "os.Stdout", "os.Stderr", "os.Exit", "os.Args":
					found = append(found, fmt.Sprintf("%s: uses %s", fset.Position(n.Pos()), name))
				}
			}
		case *ast.CallExpr:
			if f, ok := n.Fun.(*ast.Ident); ok && (f.Name == "print" || f.Name == "println") {
				found = append(found, fmt.Sprintf("%s: calls %s", fset.Position(n.Pos()), f.Name))
			}
		}
		return true
	})
	return found
}

// TestOnlyReportDisplays: library code neither prints nor logs nor reads flags; package report alone shows things.
func TestOnlyReportDisplays(t *testing.T) {
	for _, p := range packages(t) {
		for _, other := range p.Imports {
			if strings.Contains(other, "gonbui") && p.name() != "report" {
				t.Errorf("%s imports %s: only report displays", p.name(), other)
			}
		}
		if !p.library() || p.name() == "report" {
			continue
		}
		for _, file := range p.GoFiles {
			fset := token.NewFileSet()
			parsed, err := parser.ParseFile(fset, filepath.Join(p.Dir, file), nil, parser.SkipObjectResolution)
			require.NoError(t, err)
			for _, found := range talk(parsed, fset) {
				t.Errorf("%s: libraries do not print, log or read flags", found)
			}
		}
	}
	// It finds each kind.
	fset := token.NewFileSet()
	bad, err := parser.ParseFile(fset, "bad.go", `package bad
import ("fmt"; "os"; "flag"; "log")
func f() { fmt.Println(); println(); fmt.Fprintln(os.Stderr); os.Exit(flag.NArg()); log.Print(fmt.Sprint()) }`, 0)
	require.NoError(t, err)
	require.Len(t, talk(bad, fset), 6)
}
