package onnx

import (
	"sync"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/gobackend"
)

// hostBackend computes on the host what must be known while a graph is built. It runs one operation after the other: side
// by side, several convolutions may each wait for a worker that another holds, for ever.
var hostBackend = sync.OnceValue(func() compute.Backend {
	backend, err := gobackend.New("ops_sequential")
	if err != nil {
		panic(err)
	}
	return backend
})
