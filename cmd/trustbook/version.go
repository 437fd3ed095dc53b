package main

import (
	"fmt"
	"runtime/debug"

	"github.com/trustbook/trustbook/engine"
)

// version is that of this module's latest release, or of the one being prepared.
const version = "0.1.0"

// versionText is what --version prints: the release, the commit where the build knows it, and the toolchain.
func versionText() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "trustbook " + version
	}
	commit, changed := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = ", commit " + s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = " with changes"
		}
	}
	return fmt.Sprintf("trustbook %s (%s%s%s)", version, info.GoVersion, commit, changed)
}

// versionNames are the keys of moduleVersions in the order of the report.
var versionNames = []string{"trustbook", "go", "gomlx", "go_xla", "backend"}

// moduleVersions tells what the program was built of. The commit is left out: a change of a comment must not change results.
func moduleVersions(e *engine.Engine) map[string]string {
	versions := map[string]string{"trustbook": version, "backend": e.Description()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return versions
	}
	versions["go"] = info.GoVersion
	for _, m := range info.Deps {
		switch m.Path {
		case "github.com/gomlx/gomlx":
			versions["gomlx"] = m.Version
		case "github.com/gomlx/go-xla":
			versions["go_xla"] = m.Version
		}
	}
	return versions
}
