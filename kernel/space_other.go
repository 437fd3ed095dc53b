//go:build !linux && !darwin

package kernel

// freeSpace does not know.
func freeSpace(string) (bytes uint64, ok bool) { return 0, false }
