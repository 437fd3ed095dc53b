//go:build linux || darwin

package engine

// #include "pjrt.h"
import "C"

import (
	"os"
	"unsafe"
)

// shared are the executables of the plugin that share was called for.
var shared = newExecutables()

// share returns a table of functions to use in place of a plugin's, so that its executables are shared: GoMLX has no place for
// that, but PJRT's interface is a table, handed to go-xla by [pjrtAPI]. A second plugin of the process gets its own table back.
func share(api uintptr) uintptr {
	if table := C.sharing_api(*(**C.pjrt_api)(unsafe.Pointer(&api))); table != nil { // C's: no address that Go may move
		return uintptr(unsafe.Pointer(table))
	}
	return api
}

//export sharedCompile
func sharedCompile(args *C.PJRT_Client_Compile_Args) unsafe.Pointer {
	p := args.program
	key := keyOf(args.client, goBytes(p.format, p.format_size), nameless(goBytes(p.code, p.code_size)),
		goBytes(args.compile_options, args.compile_options_size))
	if args.executable = shared.take(key); args.executable != nil {
		return nil
	}
	if err := C.plugin_call(C.PJRT_Client_Compile, unsafe.Pointer(args)); err != nil {
		return err
	}
	shared.add(key, args.executable)
	return nil
}

//export sharedDestroy
func sharedDestroy(args *C.PJRT_LoadedExecutable_Destroy_Args) unsafe.Pointer {
	if unused := shared.give(args.executable); unused != nil {
		return C.destroy_executable(unused)
	}
	return nil
}

//export sharedClientDestroy
func sharedClientDestroy(args *C.PJRT_Client_Destroy_Args) unsafe.Pointer {
	for _, unused := range shared.leave(args.client) {
		if err := C.destroy_executable(unused); err != nil {
			return err
		}
	}
	return C.plugin_call(C.PJRT_Client_Destroy, unsafe.Pointer(args))
}

// goBytes is C's memory as bytes, for as long as C keeps it.
func goBytes(start *C.char, size C.size_t) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(start)), int(size))
}

// keepMemory has the C library keep what XLA frees: arrays of a few MiB, that each step makes anew, would else come from the system
// every time, which clears each of their pages. It leaves settings of the user's alone.
func keepMemory() {
	if os.Getenv("GLIBC_TUNABLES") == "" && os.Getenv("MALLOC_TRIM_THRESHOLD_") == "" && os.Getenv("MALLOC_MMAP_THRESHOLD_") == "" {
		C.keep_memory()
	}
}
