package engine

import (
	"testing"
	"time"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"
)

// TestGoEnds: products that wait for nothing but cores end on the pure-Go backend, however many there are.
func TestGoEnds(t *testing.T) {
	e, err := Open("go")
	require.NoError(t, err)
	defer e.Close()
	exec, err := NewExec(e.Backend(), func(x *Node) *Node {
		var products []*Node
		for i := range 49 { // as of a convolution of 7x7
			products = append(products, MatMul(x, AddScalar(Ones(x.Graph(), shapes.Make(dtypes.Float64, 3, 64)), float64(i))))
		}
		return ReduceAllSum(Concatenate(products, 0))
	})
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		_, err := exec.Call(tensors.FromFlatDataAndDimensions(make([]float64, 25088*3), 25088, 3))
		done <- err
	}()
	select {
	case err := <-done:
		require.NoError(t, err)
	case <-time.After(time.Minute):
		t.Fatal("it hangs")
	}
}
