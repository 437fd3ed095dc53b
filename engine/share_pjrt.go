//go:build linux || darwin

package engine

// #include "pjrt.h"
import "C"

import (
	"bytes"
	"os"
	"strings"
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

// starting is the folder that the client which starts next keeps programs in, "" for none, and the path of its plugin. The lock
// of Open guards it, and flags.
var starting struct{ dir, plugin string }

// flags are XLA's, as its first client found them: it reads them once.
var flags struct {
	known bool
	text  string
}

// keepNext has the next client keep programs in a folder.
func keepNext(dir, plugin string) { starting.dir, starting.plugin = dir, plugin }

//export sharedClientCreate
func sharedClientCreate(args *C.PJRT_Client_Create_Args) unsafe.Pointer {
	if !flags.known {
		flags.known, flags.text = true, os.Getenv(xlaFlags)
	}
	if err := C.plugin_call(C.PJRT_Client_Create, unsafe.Pointer(args)); err != nil {
		return err
	}
	// Who has XLA dump programs wants to see them compiled.
	if starting.dir != "" && !strings.Contains(flags.text+os.Getenv("XLA_DEBUG_OPTIONS"), "xla_dump") {
		if f := openFolder(starting.dir); f != nil && f.setIdentity(starting.plugin, flags.text) {
			shared.keep(args.client, f)
		}
	}
	return nil
}

//export sharedCompile
func sharedCompile(args *C.PJRT_Client_Compile_Args) unsafe.Pointer {
	p := args.program
	key := keyOf(args.client, goBytes(p.format, p.format_size), nameless(goBytes(p.code, p.code_size)),
		goBytes(args.compile_options, args.compile_options_size))
	if args.executable = shared.take(key); args.executable != nil {
		return nil
	}
	f := shared.folder(args.client)
	if args.executable = readProgram(f, args.client, key.text); args.executable != nil {
		shared.add(key, args.executable, true)
		return nil
	}
	if err := C.plugin_call(C.PJRT_Client_Compile, unsafe.Pointer(args)); err != nil {
		return err
	}
	keepProgram(f, args.executable, key.text)
	shared.add(key, args.executable, false)
	return nil
}

// readProgram returns a program's executable from a folder, or nil; one that the plugin cannot read is removed.
func readProgram(f *folder, client unsafe.Pointer, text digest) unsafe.Pointer {
	if f == nil {
		return nil
	}
	data := f.get(text)
	if data == nil {
		return nil
	}
	loaded := C.deserialize(client, unsafe.Pointer(unsafe.SliceData(data)), C.size_t(len(data)))
	if loaded == nil {
		f.remove(text)
	}
	return loaded
}

// keepProgram writes an executable into a folder, if the plugin can.
func keepProgram(f *folder, loaded unsafe.Pointer, text digest) {
	if f == nil {
		return
	}
	var out C.PJRT_Executable_Serialize_Args
	if C.serialize(loaded, &out) == 0 {
		f.put(text, bytes.Clone(goBytes(out.serialized_bytes, out.serialized_bytes_size)))
		C.serialized_free(&out)
	}
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
