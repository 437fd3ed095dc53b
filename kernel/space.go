//go:build linux || darwin

package kernel

import "golang.org/x/sys/unix"

// freeSpace is how many bytes this user may still write where a folder lies.
func freeSpace(dir string) (bytes uint64, ok bool) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, false
	}
	return s.Bavail * uint64(s.Bsize), true
}
