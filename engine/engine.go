// Package engine opens the compute backend that everything else runs on: the one that was asked for, else XLA
// through a PJRT plugin found on this machine, else an error that says how to get one. Nothing is ever downloaded,
// and the pure-Go backend, 20 to 50 times slower, is used only when it is asked for by name.
//
//	e, err := engine.Open("")           // GOMLX_BACKEND, else "xla"
//	if err != nil { ... }
//	defer e.Close()
//	exec, err := graph.NewExec(e.Backend(), fn)
//
// Where plugins are looked for is told by [Folders], in order.
package engine

import (
	"fmt"
	"sync"

	"github.com/gomlx/compute"
)

// Engine is an open backend with what a reader needs to know of it.
// Its methods may be called from several goroutines.
type Engine struct {
	backend compute.Backend
	name    string // "xla:cpu", "xla:cuda" or "go"
	plugin  string // path of the PJRT plugin; empty for the pure-Go backend
	version string // "0.81": PJRT's; empty for the pure-Go backend

	shared *client
	close  sync.Once
}

// Backend returns the GoMLX backend, for graph.NewExec and model.NewExec.
func (e *Engine) Backend() compute.Backend { return e.backend }

// Name returns "xla:cpu", "xla:cuda" or "go".
func (e *Engine) Name() string { return e.name }

// OnCPU reports whether XLA compiles for the CPU, where small pieces of work one after the other can be faster than all
// at once.
func (e *Engine) OnCPU() bool { return e.name == "xla:cpu" }

// Plugin returns the path of the PJRT plugin, or "" for the pure-Go backend.
func (e *Engine) Plugin() string { return e.plugin }

// PJRTVersion returns the version of the plugin's interface, such as "0.81", or "" for the pure-Go backend.
func (e *Engine) PJRTVersion() string { return e.version }

// Devices describes every device that computations can run on, at least one.
// XLA's CPU plugin reports several on any machine: they share the same cores.
func (e *Engine) Devices() []string {
	devices := make([]string, e.backend.NumDevices())
	for i := range devices {
		devices[i] = e.backend.DeviceDescription(compute.DeviceNum(i))
	}
	return devices
}

// Description says in one line what was opened, such as "xla:cpu, PJRT 0.81, 4 devices".
func (e *Engine) Description() string {
	if e.plugin == "" {
		return e.name + ", pure Go"
	}
	n := e.backend.NumDevices()
	plural := "s"
	if n == 1 {
		plural = ""
	}
	return fmt.Sprintf("%s, PJRT %s, %d device%s", e.name, e.version, n, plural)
}

// Programs counts the programs that were compiled, and those that were found compiled, by all engines that share the
// client. Both are 0 where nothing is kept: for the pure-Go backend and CUDA.
func (e *Engine) Programs() Programs {
	if e.shared.counts == nil {
		return Programs{}
	}
	return e.shared.counts.programs()
}

// Close gives the engine back. The client behind it is destroyed when the last engine that shares it is closed;
// tensors that live on it are then lost. Calling Close again does nothing.
func (e *Engine) Close() {
	e.close.Do(func() { release(e.shared) })
}
