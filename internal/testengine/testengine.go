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

// noOptimizations has XLA compile in about a third of the time, into programs that take longer: fused loops are written as LLVM
// code at once, not through MLIR, and LLVM leaves them as they are. XLA reads it when its first client starts, and never again; a
// plugin that does not know a flag ends the process, and wants TRUSTBOOK_FULL_TESTS then.
const noOptimizations = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true --xla_cpu_use_fusion_emitters=false"

const flags = "XLA_FLAGS"

var (
	mutex  sync.Mutex
	opened bool
	quick  bool // opened without optimizations
	shared *engine.Engine
	failed error
)

// Get returns the engine that GOMLX_BACKEND names, else XLA, opened once per process and never closed. Where it does
// not open the test fails, with the command that gets the plugin: a skipped test would look like a passed one.
//
// Benchmarks and packages whose tests train for long take it from here, all others from [Quick]: one process has the one or
// the other.
func Get(t testing.TB) *engine.Engine {
	t.Helper()
	return get(t, false)
}

// Quick is Get for tests that mostly compile: XLA leaves out its optimizations, unless TRUSTBOOK_FULL_TESTS is set, as
// `make test-full` does.
func Quick(t testing.TB) *engine.Engine {
	t.Helper()
	return get(t, !full())
}

// Environment adds to a process's environment what makes its engine like [Quick]'s, for tests that run programs. Unless
// TRUSTBOOK_FULL_TESTS is set.
func Environment(env []string) []string {
	if full() {
		return env
	}
	return append(env, flags+"="+withoutOptimizations())
}

func full() bool { return os.Getenv("TRUSTBOOK_FULL_TESTS") != "" }

func withoutOptimizations() string {
	return strings.TrimSpace(os.Getenv(flags) + " " + noOptimizations)
}

func get(t testing.TB, wantQuick bool) *engine.Engine {
	t.Helper()
	mutex.Lock()
	defer mutex.Unlock()
	if !opened {
		if wantQuick {
			before, present := os.LookupEnv(flags)
			os.Setenv(flags, withoutOptimizations())
			if present {
				defer os.Setenv(flags, before)
			} else {
				defer os.Unsetenv(flags)
			}
		}
		opened, quick = true, wantQuick
		shared, failed = engine.Open("")
	}
	if failed != nil {
		t.Fatalf("%v", failed)
	}
	if quick && !wantQuick {
		t.Fatal("an earlier test of this process has started XLA without optimizations: run benchmarks alone, with -run '^$'")
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
