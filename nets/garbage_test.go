package nets_test

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/nets"
)

func TestGarbageIsCollectedOnceItIsMuch(t *testing.T) {
	collections := func() uint32 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.NumForcedGC
	}
	var g nets.Garbage
	before := collections()
	g.Add(63 << 20)
	require.Equal(t, before, collections())
	g.Add(1 << 20)
	require.Greater(t, collections(), before)
	require.Zero(t, g)
}
