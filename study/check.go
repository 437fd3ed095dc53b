package study

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/pkg/errors"
)

// Setting is a setting of a configuration under the name that users know it by: its JSON key.
type Setting[T any] struct {
	Name  string
	Value T
}

// Count names a whole number for [AtLeast].
func Count(name string, value int) Setting[int] { return Setting[int]{name, value} }

// AtLeast reports the first of the settings that is less than least.
func AtLeast(least int, settings ...Setting[int]) error {
	for _, s := range settings {
		if s.Value < least {
			return errors.Errorf("%s = %d: must be at least %d", s.Name, s.Value, least)
		}
	}
	return nil
}

// Rate names a number for [Positive].
func Rate(name string, value float64) Setting[float64] { return Setting[float64]{name, value} }

// Positive reports the first of the settings that is not a finite number above 0.
func Positive(settings ...Setting[float64]) error {
	for _, s := range settings {
		if !(s.Value > 0) || math.IsInf(s.Value, 1) {
			return errors.Errorf("%s = %g: must be finite and > 0", s.Name, s.Value)
		}
	}
	return nil
}

// Seeds reports a seed that is given twice: an interval over seeds needs different ones.
func Seeds(seeds []int64) error {
	for i, s := range seeds {
		if slices.Contains(seeds[:i], s) {
			return errors.Errorf("seed %d is given twice: an interval over seeds needs different ones", s)
		}
	}
	return nil
}

// Distinct reports a list that is empty or names a value twice.
func Distinct[T comparable](name string, list []T) error {
	if len(list) == 0 {
		return errors.Errorf("%s is empty: give at least one value", name)
	}
	for i, v := range list {
		if slices.Contains(list[:i], v) {
			return errors.Errorf("%s = %v: %v is given twice", name, list, v)
		}
	}
	return nil
}

// First returns the first error, under the name of the paper's package; nil if there is none. Checks that are listed in
// one call are reported in that order, so that the same mistake always gives the same message.
func First(name string, errs ...error) error {
	return errors.WithMessage(cmp.Or(errs...), name)
}

// Pick returns the elements with the given names, in the order of all; kind says in errors what is picked ("method").
func Pick[T any](kind string, names []string, all []T, name func(T) string) ([]T, error) {
	var known []string
	for _, x := range all {
		known = append(known, name(x))
	}
	for _, n := range names {
		if !slices.Contains(known, n) {
			return nil, errors.Errorf("%s %q: want some of %s", kind, n, strings.Join(known, ", "))
		}
	}
	return Where(all, func(x T) bool { return slices.Contains(names, name(x)) }), nil
}
