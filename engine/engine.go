// Package engine opens the compute backend that everything else runs on: the one that was asked for, else XLA
// through a PJRT plugin found on this machine, else an error that says how to get one.
package engine

import "github.com/gomlx/compute"

// Engine is an open backend with what a reader needs to know of it.
type Engine struct {
	backend compute.Backend
	name    string // "xla:cpu", "xla:cuda" or "go"
	plugin  string // path of the PJRT plugin; empty for the pure-Go backend
}

// Backend returns the GoMLX backend, for graph.NewExec and model.NewExec.
func (e *Engine) Backend() compute.Backend { return e.backend }

// Name returns "xla:cpu", "xla:cuda" or "go".
func (e *Engine) Name() string { return e.name }

// Plugin returns the path of the PJRT plugin, or "" for the pure-Go backend.
func (e *Engine) Plugin() string { return e.plugin }
