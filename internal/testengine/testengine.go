// Package testengine gives tests an open engine: XLA once for the whole test process, since that is what users run.
//
//	e := testengine.Get(t)
//	exec, err := graph.NewExec(e.Backend(), fn)
package testengine

import (
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/trustbook/trustbook/engine"
)

// What XLA is told to leave out. It reads this when its first client starts, and never again; a plugin that does not know a flag ends the
// process, and wants TRUSTBOOK_FULL_TESTS then. Without fusion emitters fused loops are written as LLVM code at once, not through MLIR.
const (
	lessOptimized = " --xla_llvm_disable_expensive_passes=true --xla_cpu_use_fusion_emitters=false"
	compiledFast  = "--xla_backend_optimization_level=0" + lessOptimized // a third of the time to compile, programs that take twice as long
	runFast       = "--xla_backend_optimization_level=1" + lessOptimized // three quarters of it, and hardly a program takes longer
)

const flags = "XLA_FLAGS"

var (
	mutex  sync.Mutex
	opened bool
	chosen string // the flags that it was opened with
	shared *engine.Engine
	failed error
)

// Get returns the engine that GOMLX_BACKEND names, else XLA, opened once per process and never closed. Where it does
// not open the test fails, with the command that gets the plugin: a skipped test would look like a passed one.
//
// Benchmarks take it from here, and tests of what exactly XLA computes; all others from [Quick] or [Training]: the first that asks
// decides for its process.
func Get(t testing.TB) *engine.Engine {
	t.Helper()
	return get(t, "")
}

// Quick is Get for tests that mostly compile: XLA leaves out its optimizations, unless TRUSTBOOK_FULL_TESTS is set, as
// `make test-full` does.
func Quick(t testing.TB) *engine.Engine {
	t.Helper()
	return get(t, without(compiledFast))
}

// Training is Quick for packages whose tests train or attack for longer than they compile: XLA leaves out the optimizations that do
// not pay for themselves.
func Training(t testing.TB) *engine.Engine {
	t.Helper()
	return get(t, without(runFast))
}

// Environment adds to a process's environment what makes its engine like [Quick]'s, for tests that run programs. Unless
// TRUSTBOOK_FULL_TESTS is set.
func Environment(env []string) []string {
	if set := without(compiledFast); set != "" {
		return append(env, flags+"="+set)
	}
	return env
}

// without are the user's flags with what else to leave out, or nothing for all of XLA's optimizations.
func without(optimizations string) string {
	if os.Getenv("TRUSTBOOK_FULL_TESTS") != "" {
		return ""
	}
	return strings.TrimSpace(os.Getenv(flags) + " " + optimizations)
}

func get(t testing.TB, wanted string) *engine.Engine {
	t.Helper()
	mutex.Lock()
	defer mutex.Unlock()
	if !opened {
		if wanted != "" {
			before, present := os.LookupEnv(flags)
			os.Setenv(flags, wanted)
			if present {
				defer os.Setenv(flags, before)
			} else {
				defer os.Unsetenv(flags)
			}
		}
		opened, chosen = true, wanted
		shared, failed = engine.Open("")
	}
	if failed != nil {
		t.Fatalf("%v", failed)
	}
	if chosen != wanted && wanted == "" {
		t.Fatal("an earlier test of this process has started XLA with fewer optimizations: run benchmarks alone, with -run '^$'")
	}
	return shared
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
