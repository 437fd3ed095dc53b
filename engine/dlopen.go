//go:build linux || darwin

package engine

/*
#cgo linux LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdlib.h>

typedef const void *(*api_function)(void);
static const void *call_api(void *f) { return ((api_function)f)(); }
*/
import "C"

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// dlMu serializes dlopen with the reading of its error, which belongs to the thread, and keeps the two on one.
var dlMu sync.Mutex

// dlopen loads a shared library for the life of the process.
func dlopen(path string) (unsafe.Pointer, error) {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	var handle unsafe.Pointer
	if err := onThread(func() { handle = C.dlopen(name, C.RTLD_LAZY|C.RTLD_LOCAL) }); handle == nil {
		return nil, err
	}
	return handle, nil
}

// pjrtAPI loads a plugin and returns the address of its PJRT_Api.
func pjrtAPI(path string) (uintptr, error) {
	handle, err := dlopen(path)
	if err != nil {
		return 0, err
	}
	symbol := C.CString("GetPjrtApi")
	defer C.free(unsafe.Pointer(symbol))
	var f unsafe.Pointer
	if err := onThread(func() { f = C.dlsym(handle, symbol) }); f == nil {
		return 0, errors.Join(errors.New("it is no PJRT plugin"), err)
	}
	api := C.call_api(f)
	if api == nil {
		return 0, errors.New("it is no working PJRT plugin: GetPjrtApi returned nothing")
	}
	return uintptr(api), nil
}

// onThread runs f and returns what dlerror, which each thread has of its own, says after it.
func onThread(f func()) error {
	dlMu.Lock()
	defer dlMu.Unlock()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	C.dlerror()
	f()
	if message := C.dlerror(); message != nil {
		return errors.New(C.GoString(message))
	}
	return nil
}

// quietStderr sends what C++ code writes to standard error nowhere until the returned function is called: XLA's CUDA
// plugin logs its start there whatever the log level. Errors come back as errors. A log level that the user set
// keeps it as it is.
func quietStderr() (restore func()) {
	if level := os.Getenv("TF_CPP_MIN_LOG_LEVEL"); level != "" && level != "3" {
		return func() {}
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return func() {}
	}
	defer null.Close()
	saved, err := unix.Dup(2)
	if err != nil {
		return func() {}
	}
	unix.CloseOnExec(saved)
	if err := unix.Dup2(int(null.Fd()), 2); err != nil {
		unix.Close(saved)
		return func() {}
	}
	return func() {
		_ = unix.Dup2(saved, 2)
		unix.Close(saved)
	}
}
