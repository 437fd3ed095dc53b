package kernel

import (
	"fmt"
	"regexp"
	"runtime"
	"strings"
)

// pin is one line of requirements.txt: a package at an exact version.
type pin struct {
	name, version string
	marker        string // after the semicolon, such as `sys_platform == "linux"`
}

// here reports whether the pin holds on this system. Only markers on sys_platform are understood.
func (p pin) here() bool {
	platform := runtime.GOOS
	return p.marker == "" || strings.Contains(p.marker, `"`+platform+`"`)
}

var (
	pinLine   = regexp.MustCompile(`^([A-Za-z0-9._-]+)==([A-Za-z0-9.+!-]+)$`)
	pinMarker = regexp.MustCompile(`^sys_platform == "[a-z]+"$`)
)

// parsePins reads requirements.txt. A line that is no exact pin is an error: it would install something else on
// another day.
func parsePins(text string) ([]pin, error) {
	var pins []pin
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		spec, marker, _ := strings.Cut(line, ";")
		marker = strings.TrimSpace(marker)
		m := pinLine.FindStringSubmatch(strings.TrimSpace(spec))
		if m == nil || marker != "" && !pinMarker.MatchString(marker) {
			return nil, fmt.Errorf("requirements.txt line %d: %q is not package==version", i+1, line)
		}
		pins = append(pins, pin{m[1], m[2], marker})
	}
	return pins, nil
}
