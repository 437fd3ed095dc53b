package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/gomlx/compute"
)

// Specs lists the forms that [Open] takes, for help texts.
var Specs = []string{"xla", "xla:cpu", "xla:cuda", "xla:/path/to/plugin.so", "go"}

// spec is a parsed backend specification.
type spec struct {
	pure    bool   // the pure-Go backend
	kind    Kind   // CPU, CUDA, or "" for the best that is there
	path    string // an explicit plugin, made absolute
	options string // go-xla's options after the first comma, such as "tf32=true"

	programs string // the folder of compiled programs, "" for none
}

// ErrUnknown tells a backend that does not exist from one that is not installed.
var ErrUnknown = errors.New("unknown backend")

// parseSpec reads "", "go", "xla", "xla:cpu", "xla:cuda" or "xla:<path of a plugin>", the xla forms with
// optional ",option=value" parts. An empty text stands for GOMLX_BACKEND, and where that is empty too for "xla".
func parseSpec(text string, getenv func(string) string) (spec, error) {
	asked := text
	from := ""
	if asked == "" {
		asked = getenv(compute.ConfigEnvVar)
		from = " in " + compute.ConfigEnvVar
	}
	if asked == "" {
		return spec{}, nil
	}
	wrong := fmt.Errorf("engine: %w %q%s: use one of %s", ErrUnknown, asked, from, strings.Join(Specs, ", "))
	name, rest, hasPlugin := strings.Cut(asked, ":")
	if !hasPlugin {
		name, rest, _ = strings.Cut(asked, ",")
		if rest != "" {
			rest = "," + rest
		}
	}
	switch {
	case name == "go" && rest == "":
		return spec{pure: true}, nil
	case name != "xla" || (hasPlugin && rest == ""):
		return spec{}, wrong
	}
	if looksLikePath(rest) {
		path, options := splitPath(rest)
		abs, err := filepath.Abs(path)
		if err != nil {
			return spec{}, fmt.Errorf("engine: plugin %q: %w", path, err)
		}
		return spec{path: abs, kind: kindOf(abs), options: options}, nil
	}
	plugin, options, _ := strings.Cut(rest, ",")
	switch Kind(plugin) {
	case "", CPU, CUDA:
		return spec{kind: Kind(plugin), options: options}, nil
	}
	return spec{}, wrong
}

// looksLikePath tells a plugin's path from the name of a kind.
func looksLikePath(text string) bool {
	return strings.ContainsRune(text, '/') || strings.ContainsRune(text, os.PathSeparator) ||
		strings.Contains(text, ".so") || strings.Contains(text, ".dylib")
}

// splitPath cuts the options from a plugin's path, which may hold commas itself: the cut is the first comma after
// the file's extension.
func splitPath(text string) (path, options string) {
	for _, ext := range []string{".so,", ".dylib,"} {
		if i := strings.LastIndex(text, ext); i >= 0 {
			cut := i + len(ext)
			return text[:cut-1], text[cut:]
		}
	}
	return text, ""
}
