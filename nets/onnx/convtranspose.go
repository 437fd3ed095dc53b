package onnx

import (
	"slices"

	"github.com/gomlx/compute-onnx/support/protos"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/support/exceptions"

	"github.com/trustbook/trustbook/nets"
)

// convTranspose is the input gradient of a convolution: a convolution of the image with zeros between its pixels, with the
// kernel turned about. Pads cut its border off.
func (v *values) convTranspose(n *protos.NodeProto) {
	x := v.image(n.Input[0])
	groups := int(intOr(n, "group", 1))
	kernel := v.transposedKernel(n, groups)
	sides := x.Rank() - 2
	w := nets.Windows{Kernel: kernel.Shape().Dimensions[:sides], Stride: slices.Repeat([]int{1}, sides),
		Dilation: sizes(n, "dilations", sides, 1)}
	size, stride := x.Shape().Dimensions[1:1+sides], sizes(n, "strides", sides, 1)
	dims := []int{x.Shape().Dimensions[0]}
	between := make([]PadAxis, x.Rank())
	for i, cut := range transposedPads(n, size, stride, w) {
		reach := w.Extent(i) - 1
		w.Pads = append(w.Pads, [2]int{reach - cut[0], reach - cut[1]})
		w.Out = append(w.Out, (size[i]-1)*stride[i]+1+reach-cut[0]-cut[1])
		between[1+i].Interior = stride[i] - 1
		if w.Out[i] < 1 {
			exceptions.Panicf("pads %v leave nothing of a side of %d", cut, size[i])
		}
	}
	v.checkDims(append(append(dims, w.Out...), kernel.Shape().Dimensions[sides+1]))
	if !equalAll(stride, 1) {
		x = Pad(x, ScalarZero(x.Graph(), x.DType()), between...)
	}
	v.last[n.Output[0]] = v.biased(n, convolution(x, kernel, w, groups))
}

// transposedKernel turns [inputs, outputs/groups, sides...] to [sides..., inputs/groups, outputs], mirrored.
func (v *values) transposedKernel(n *protos.NodeProto, groups int) *Node {
	x, kernel := v.image(n.Input[0]), v.get(n.Input[1])
	rank, d := kernel.Rank(), kernel.Shape().Dimensions
	channels := x.Shape().Dimensions[x.Rank()-1]
	if rank != x.Rank() || groups < 1 || d[0] != channels || channels%groups != 0 {
		exceptions.Panicf("kernel %s in %d groups for images %s (channels last)", kernel.Shape(), groups, x.Shape())
	}
	checkKernelShape(n, d[2:])
	kernel = Reshape(kernel, slices.Concat([]int{groups, d[0] / groups}, d[1:])...)
	kernel = TransposeAllAxes(kernel, append(axesFrom(3, rank+1), 1, 0, 2)...)
	return Reverse(Reshape(kernel, slices.Concat(d[2:], []int{d[0] / groups, groups * d[1]})...), axesFrom(0, rank-2)...)
}

// transposedPads is what to cut off each side, negative where it is to grow. A wanted size comes before pads; SAME wants as
// many values as the stride asks for, where there are so many. Of an odd number one more is cut at the begin, but for SAME_UPPER.
func transposedPads(n *protos.NodeProto, size, stride []int, w nets.Windows) [][2]int {
	sides, auto := len(size), stringOr(n, "auto_pad", "NOTSET")
	more := make([]int, sides)
	if a := attribute(n, "output_padding"); a != nil && len(a.Ints) > 0 {
		more = bounded(n, "output_padding", sides, 0, maxWindow)
	}
	total := make([]int, sides) // without pads
	for i := range sides {
		total[i] = (size[i]-1)*stride[i] + w.Extent(i) + more[i]
	}
	var want []int
	switch a := attribute(n, "output_shape"); {
	case a != nil && len(a.Ints) == sides+2: // version 1 does not say which
		want = bounded(n, "output_shape", sides+2, 0, maxElements)[2:]
	case a != nil && len(a.Ints) > 0:
		want = bounded(n, "output_shape", sides, 0, maxElements)
	case auto == "SAME_UPPER" || auto == "SAME_LOWER":
		for i := range sides {
			want = append(want, min(size[i]*stride[i], total[i]))
		}
	}
	cuts := make([][2]int, sides)
	if want == nil {
		cuts = padsOf(n, size, w)
	}
	for i := range want {
		cut := max(total[i]-want[i], 0)
		begin := cut - cut/2
		if auto == "SAME_UPPER" {
			begin = cut / 2
		}
		cuts[i] = [2]int{begin, total[i] - want[i] - begin}
	}
	for i := range cuts {
		cuts[i][1] -= more[i]
	}
	return cuts
}
