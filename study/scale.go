package study

import "github.com/pkg/errors"

// AtScale returns the configuration of a scale: "smoke" (seconds: it proves that everything works), "quick" or ""
// (minutes on two cores: the zero value) or "paper" (for a GPU). Errors name the paper's package.
func AtScale[C any](name, scale string, smoke, paper func() C) (C, error) {
	var quick C
	switch scale {
	case "smoke":
		return smoke(), nil
	case "quick", "":
		return quick, nil
	case "paper":
		return paper(), nil
	}
	return quick, errors.Errorf("%s: scale %q: want smoke, quick or paper", name, scale)
}
