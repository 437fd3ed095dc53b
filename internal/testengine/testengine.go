// Package testengine gives tests an open engine: XLA once for the whole test process, since that is what users run.
//
//	e := testengine.Get(t)
//	exec, err := graph.NewExec(e.Backend(), fn)
package testengine

import (
	"sync"
	"testing"

	"github.com/trustbook/trustbook/engine"
)

var shared = sync.OnceValues(func() (*engine.Engine, error) { return engine.Open("") })

// Get returns the engine that GOMLX_BACKEND names, else XLA, opened once per process and never closed. Where it does
// not open the test fails, with the command that gets the plugin: a skipped test would look like a passed one.
func Get(t testing.TB) *engine.Engine {
	t.Helper()
	e, err := shared()
	if err != nil {
		t.Fatalf("%v", err)
	}
	return e
}

// Pure returns the pure-Go backend, for tests that compare backends. It has no gradient for GoMLX's MaxPool.
func Pure(t testing.TB) *engine.Engine {
	t.Helper()
	e, err := engine.Open("go")
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(e.Close)
	return e
}
