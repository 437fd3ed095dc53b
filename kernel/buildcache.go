package kernel

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// leastSpace is what must be free for Go's build cache, in bytes. The program alone takes 316 MB there, and every cell adds some.
// Its test changes it.
var leastSpace uint64 = 1 << 30

// checkBuildCache looks whether Go can keep what it compiles: a notebook's cells are compiled, and fail where it cannot.
func checkBuildCache(ctx context.Context) Check {
	const name, other = "build cache", "set GOCACHE to a folder that you can write to"
	path, err := findGo("")
	if err != nil {
		return bad(name, "no Go to ask where it is", installGo)
	}
	dir, err := output(ctx, path, "env", "GOCACHE")
	if err != nil {
		return bad(name, dir, installGo)
	}
	if !filepath.IsAbs(dir) { // "off", also where Go finds no place for it
		if given := os.Getenv("GOCACHE"); given != "" {
			return bad(name, "GOCACHE="+given+" is no absolute path: Go compiles nothing", "unset GOCACHE, or "+other)
		}
		if _, err := os.UserCacheDir(); err != nil {
			return bad(name, "none: "+oneLine(err), "set HOME to a folder that you can write to")
		}
		return bad(name, "GOCACHE="+dir+" in Go's settings: Go compiles nothing", "go env -u GOCACHE")
	}
	if modules, err := output(ctx, path, "env", "GOMODCACHE"); err == nil && modules == "" {
		return bad(name, dir+", but no module cache: neither HOME, GOPATH nor GOMODCACHE is set", "set HOME to a folder that you can write to")
	}
	at, found, fix := writable(dir)
	for _, part := range partsOf(dir) { // made by another user, maybe, such as by a container's root
		if found == "" {
			_, found, fix = writable(part)
		}
	}
	if found != "" {
		return bad(name, found, fix+", or "+other)
	}
	if free, ok := freeSpace(at); ok && free < leastSpace {
		return bad(name, fmt.Sprintf("%s with %d MB free, want %d", dir, free>>20, leastSpace>>20),
			"make room there, such as by go clean -cache, or "+other)
	}
	return good(name, dir)
}

// partsOf are the folders of a build cache, 00 to ff, as far as they exist.
func partsOf(dir string) (parts []string) {
	for i := range 256 {
		if part := filepath.Join(dir, fmt.Sprintf("%02x", i)); isDir(part) {
			parts = append(parts, part)
		}
	}
	return parts
}
