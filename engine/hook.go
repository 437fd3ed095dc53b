//go:build linux || darwin

package engine

// #include "pjrt.h"
import "C"

import (
	"os"
	"strings"
	"sync"
	"unsafe"
)

// GoMLX offers no place to look for a program before it is compiled, but PJRT's interface is a table of functions, handed
// to go-xla by [pjrtAPI]. A hook is such a table with two functions of ours: one knows the clients that start, the other
// looks for a compiled program first. They run on the plugin's own, and a program that the plugin cannot write or read is
// compiled as ever.
type hook struct {
	api   *C.pjrt_api // the plugin's own
	flags string      // XLA's flags as its first client finds them; it reads them once
	ready bool        // flags are known
}

// owner is who started a client.
type owner struct {
	hook   *hook
	path   string // of the plugin
	folder string
	kept   kept
	counts counts
}

var (
	hooks = map[uintptr]*hook{} // by the plugin's own table, which a second path may lead to
	// starting is the owner of the client that starts next, under the lock of Open.
	starting *owner

	ownersMu sync.Mutex
	owners   = map[unsafe.Pointer]*owner{}
)

// newHook returns a plugin's hook with the table to use in place of the plugin's; nil and the plugin's own where its
// interface lacks something.
func newHook(api uintptr) (*hook, uintptr) {
	own := *(**C.pjrt_api)(unsafe.Pointer(&api)) // it is C's: no address that Go may move
	table := C.hooked_api(own)
	if table == nil {
		return nil, api
	}
	if hooks[api] == nil {
		hooks[api] = &hook{api: own}
	}
	return hooks[api], uintptr(unsafe.Pointer(table))
}

// prepare makes the next client keep its programs in memory and, if that is not "", in a folder.
func (h *hook) prepare(plugin, folder string) *counts {
	starting = &owner{hook: h, path: plugin, folder: folder}
	return &starting.counts
}

// begin settles what the owner's client keeps programs in, once it has started.
func (o *owner) begin() {
	if strings.Contains(o.hook.flags+os.Getenv("XLA_DEBUG_OPTIONS"), "xla_dump") {
		return // who wants to see programs being compiled does
	}
	o.kept.memory = &inMemory
	if o.folder == "" {
		return
	}
	if f := openFolder(o.folder); f != nil && f.setIdentity(o.path, o.hook.flags) {
		o.kept.folder = f
	}
}

//export hookedCreate
func hookedCreate(args *C.PJRT_Client_Create_Args) unsafe.Pointer {
	o := starting
	if !o.hook.ready {
		o.hook.flags, o.hook.ready = os.Getenv(xlaFlags), true
	}
	if err := C.pjrt_call(o.hook.api, C.PJRT_Client_Create, unsafe.Pointer(args)); err != nil {
		return err
	}
	o.begin()
	ownersMu.Lock()
	defer ownersMu.Unlock()
	owners[args.client] = o // another's, where one that was destroyed lay there before
	return nil
}

//export hookedCompile
func hookedCompile(args *C.PJRT_Client_Compile_Args) unsafe.Pointer {
	ownersMu.Lock()
	o := owners[args.client]
	ownersMu.Unlock()
	if o.kept.memory == nil {
		o.counts.compiled.Add(1)
		return C.pjrt_call(o.hook.api, C.PJRT_Client_Compile, unsafe.Pointer(args))
	}
	p := args.program
	key := keyOf([]byte(o.path), goBytes(p.format, p.format_size), nameless(goBytes(p.code, p.code_size)),
		goBytes(args.compile_options, args.compile_options_size))
	if data := o.kept.get(key); data != nil {
		loaded := C.deserialize(o.hook.api, args.client, unsafe.Pointer(unsafe.SliceData(data)), C.size_t(len(data)))
		if loaded != nil {
			args.executable = loaded
			o.counts.found.Add(1)
			return nil
		}
		o.kept.drop(key)
	}
	o.counts.compiled.Add(1)
	if err := C.pjrt_call(o.hook.api, C.PJRT_Client_Compile, unsafe.Pointer(args)); err != nil {
		return err
	}
	var out C.PJRT_Executable_Serialize_Args
	if C.serialize(o.hook.api, args.executable, &out) == 0 {
		o.kept.put(key, append([]byte(nil), goBytes(out.serialized_bytes, out.serialized_bytes_size)...))
		C.serialized_free(&out)
	}
	return nil
}

// goBytes is C's memory as bytes, for as long as C keeps it.
func goBytes(start *C.char, size C.size_t) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(start)), int(size))
}
