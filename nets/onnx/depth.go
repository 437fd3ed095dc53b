package onnx

import (
	"github.com/gomlx/compute-onnx/support/protos"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/support/exceptions"
)

// depthToSpace moves blocks of channels into space, as PixelShuffle does.
func (v *values) depthToSpace(n *protos.NodeProto) {
	x, b := v.get(n.Input[0]), int(intOr(n, "blocksize", 0))
	d := x.Shape().Dimensions
	if x.Rank() != 4 || b < 1 || b > maxWindow || d[1]%(b*b) != 0 {
		exceptions.Panicf("blocks of %d do not fit %s", b, x.Shape())
	}
	c := d[1] / (b * b)
	if columnsRowsDepth(n) {
		x = TransposeAllAxes(Reshape(x, d[0], c, b, b, d[2], d[3]), 0, 1, 4, 2, 5, 3)
	} else {
		x = TransposeAllAxes(Reshape(x, d[0], b, b, c, d[2], d[3]), 0, 3, 4, 1, 5, 2)
	}
	v.set(n, Reshape(x, d[0], c, d[2]*b, d[3]*b))
}

// spaceToDepth is its inverse.
func (v *values) spaceToDepth(n *protos.NodeProto) {
	x, b := v.get(n.Input[0]), int(intOr(n, "blocksize", 0))
	d := x.Shape().Dimensions
	if x.Rank() != 4 || b < 1 || b > maxWindow || d[2]%b != 0 || d[3]%b != 0 {
		exceptions.Panicf("blocks of %d do not fit %s", b, x.Shape())
	}
	x = Reshape(x, d[0], d[1], d[2]/b, b, d[3]/b, b)
	if columnsRowsDepth(n) {
		x = TransposeAllAxes(x, 0, 1, 3, 5, 2, 4)
	} else {
		x = TransposeAllAxes(x, 0, 3, 5, 1, 2, 4)
	}
	v.set(n, Reshape(x, d[0], d[1]*b*b, d[2]/b, d[3]/b))
}

func columnsRowsDepth(n *protos.NodeProto) bool {
	switch mode := stringOr(n, "mode", "DCR"); mode {
	case "CRD":
		return true
	case "DCR":
		return false
	default:
		exceptions.Panicf("mode %q: want DCR or CRD", mode)
		return false
	}
}
