//go:build !linux && !darwin

package engine

import (
	"errors"
	"unsafe"
)

func dlopen(string) (unsafe.Pointer, error) {
	return nil, errors.New("loading plugins is not supported on this system")
}

func pjrtAPI(string) (uintptr, error) {
	return 0, errors.New("loading plugins is not supported on this system: use Linux, macOS or WSL, or the backend \"go\"")
}

func quietStderr() (restore func()) { return func() {} }

func share(api uintptr) uintptr { return api }

func keepNext(string, string) {}

func keepMemory() {}
