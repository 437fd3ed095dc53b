//go:build !linux

package engine

// Elsewhere nothing tells the processor's sets of instructions in a way that is known to us: programs stay in memory.

func isPrivate(string) bool { return false }

func (f *folder) setIdentity(string, string) bool { return false }
