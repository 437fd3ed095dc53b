//go:build !linux && !darwin

package engine

// hook is never made: no plugin loads here.
type hook struct{}

func newHook(api uintptr) (*hook, uintptr) { return nil, api }

func (*hook) prepare(string, string) *counts { return new(counts) }
