package nets

import (
	. "github.com/gomlx/gomlx/core/graph"
)

// Conv2D is the convolution (cross-correlation) of x [batch, height, width, inputs] with kernel [rows, columns, inputs,
// outputs], stride 1, padded with zeros so that height and width stay.
func Conv2D(x, kernel *Node) *Node {
	return Convolve(x, kernel).PadSame().Done()
}
