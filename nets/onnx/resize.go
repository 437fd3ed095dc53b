package onnx

import (
	"math"
	"slices"

	"github.com/gomlx/compute-onnx/support/protos"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/support/exceptions"
)

// This file resizes images. What a resized axis holds are weighted sums of what it held, so an axis is resized by a matrix of
// weights that is known while the graph is built, one axis after the other, and the gradient needs no rule of its own.
//
// Coordinates are computed in float32, step by step as ONNX Runtime does: a coordinate that is rounded to the nearest pixel
// depends on the last bit.

// maxResize bounds the entries of such a matrix.
const maxResize = 1 << 25

// interpolation says how values between pixels come about.
type interpolation struct {
	mode, nearest, coordinates string
	cubicA                     float64
	excludeOutside, antialias  bool
	crops                      bool // coordinates outside the image get the value beyond
	beyond                     float64
}

// resizedAxis is one axis: how long it becomes, by which scale, and the part of it that is cropped where that is asked for.
type resizedAxis struct {
	in, out         int
	scale, from, to float32
	cut             bool // the scale asks for a fraction of a pixel more
}

// tap is one weighted pixel.
type tap struct {
	at     int
	weight float64
}

func (v *values) resize(n *protos.NodeProto) {
	r := interpolationOf(n, v.version(n))
	dims := v.dims(n.Input[0])
	scales, lengths, roi := 1, -1, -1
	if v.version(n) >= 11 {
		roi, scales, lengths = 1, 2, 3
	}
	axes, given := v.list(n, "axes", 0)
	if !given {
		axes = axesFrom(0, len(dims))
	}
	for i := range axes {
		axes[i] = axisOf(axes[i], len(dims))
		if slices.Contains(axes[:i], axes[i]) {
			exceptions.Panicf("axes %v name one twice", axes)
		}
	}
	todo := make([]resizedAxis, len(dims))
	for i, d := range dims {
		todo[i] = resizedAxis{in: d, out: d, scale: 1, to: 1}
	}
	byScale, byLength := v.floats(n, scales), []int(nil)
	if lengths > 0 {
		byLength = v.ints(n, lengths)
	}
	switch {
	case len(byScale) > 0 && len(byLength) > 0 || len(byScale) == 0 && len(byLength) == 0:
		exceptions.Panicf("%d scales and %d sizes: want one of them", len(byScale), len(byLength))
	case max(len(byScale), len(byLength)) != len(axes):
		exceptions.Panicf("%d scales, %d sizes for %d axes", len(byScale), len(byLength), len(axes))
	case len(byScale) > 0:
		for i, axis := range axes {
			todo[axis] = scaledAxis(dims[axis], byScale[i])
		}
	default:
		target := slices.Clone(dims)
		for i, axis := range axes {
			target[axis] = byLength[i]
		}
		stretch(todo, v.freeExpand(n, target), axes, stringOr(n, "keep_aspect_ratio_policy", "stretch"))
	}
	if r.crops {
		part := v.floats(n, roi)
		if len(part) != 2*len(axes) || slices.ContainsFunc(part, func(p float64) bool { return !(math.Abs(p) <= maxElements) }) {
			exceptions.Panicf("roi %v for %d axes: want two numbers for each", part, len(axes))
		}
		for i, axis := range axes {
			todo[axis].from, todo[axis].to = float32(part[i]), float32(part[i+len(axes)])
		}
	}
	v.resized(n, todo, r)
}

// interpolationOf reads the attributes of a Resize.
func interpolationOf(n *protos.NodeProto, version int) interpolation {
	r := interpolation{mode: stringOr(n, "mode", "nearest"), coordinates: "asymmetric", nearest: "simple"}
	if version >= 11 {
		r.coordinates = stringOr(n, "coordinate_transformation_mode", "half_pixel")
		r.nearest = stringOr(n, "nearest_mode", "round_prefer_floor")
	}
	r.cubicA = floatOr(n, "cubic_coeff_a", -0.75)
	r.excludeOutside, r.antialias = intOr(n, "exclude_outside", 0) != 0, intOr(n, "antialias", 0) != 0
	r.crops, r.beyond = r.coordinates == "tf_crop_and_resize", floatOr(n, "extrapolation_value", 0)
	switch {
	case r.mode == "cubic" && version < 11, r.mode != "nearest" && r.mode != "linear" && r.mode != "cubic":
		exceptions.Panicf("mode %q is none of version %d", r.mode, version)
	case r.antialias && r.mode == "nearest":
		exceptions.Panicf("antialias with mode nearest: the format has it for linear and cubic")
	case r.excludeOutside && r.mode != "cubic" && !r.antialias:
		exceptions.Panicf("exclude_outside with mode %s: the format has it for cubic, and for antialias", r.mode)
	}
	return r
}

// scaledAxis is as long as the scale makes it, rounded down.
func scaledAxis(size int, scale float64) resizedAxis {
	long := float32(scale) * float32(size)
	if !(long >= 0 && long <= maxElements) {
		exceptions.Panicf("scale %g of %d values", scale, size)
	}
	return resizedAxis{in: size, out: int(long), scale: float32(scale), to: 1, cut: long != float32(int(long))}
}

// stretch resizes axes to lengths, or by the one scale with which none becomes longer, or none shorter.
func stretch(todo []resizedAxis, lengths, axes []int, policy string) {
	for i := range todo {
		if lengths[i] < 1 || lengths[i] > maxElements {
			exceptions.Panicf("sizes %v", lengths)
		}
		todo[i].out, todo[i].scale = lengths[i], float32(lengths[i])/float32(todo[i].in)
	}
	if policy == "stretch" {
		return
	}
	var scales []float32
	for _, axis := range axes {
		scales = append(scales, todo[axis].scale)
	}
	scale := slices.Min(scales)
	switch policy {
	case "not_larger":
	case "not_smaller":
		scale = slices.Max(scales)
	default:
		exceptions.Panicf("keep_aspect_ratio_policy %q is not supported", policy)
	}
	for _, axis := range axes {
		todo[axis].scale, todo[axis].out = scale, int(math.Round(float64(scale*float32(todo[axis].in))))
	}
}

// upsample is what Resize was called before opset 10: it only enlarges.
func (v *values) upsample(n *protos.NodeProto) {
	version, dims := v.version(n), v.dims(n.Input[0])
	linear := "linear"
	var scales []float64
	switch {
	case version >= 10:
		exceptions.Panicf("opset %d has no Upsample any more: it became Resize", v.g.opset)
	case version >= 9:
		scales = v.floats(n, 1)
	case version >= 7:
		if a := attribute(n, "scales"); a != nil {
			for _, s := range a.Floats {
				scales = append(scales, float64(s))
			}
		}
	default:
		linear, scales = "bilinear", []float64{1, 1, floatOr(n, "height_scale", 0), floatOr(n, "width_scale", 0)}
	}
	r := interpolation{mode: stringOr(n, "mode", "nearest"), coordinates: "asymmetric", nearest: "simple"}
	switch r.mode {
	case "nearest":
	case linear:
		r.mode = "linear"
	default:
		exceptions.Panicf("mode %q is none of version %d", r.mode, version)
	}
	if len(scales) != len(dims) || slices.ContainsFunc(scales, func(s float64) bool { return !(s >= 1) }) {
		exceptions.Panicf("scales %v for shape %v: want a number of at least 1 for each axis", scales, dims)
	}
	todo := make([]resizedAxis, len(dims))
	for i, d := range dims {
		todo[i] = scaledAxis(d, scales[i])
	}
	v.resized(n, todo, r)
}

// resized resizes all axes that a scale changes; where no length changes the image stays as it is, as ONNX Runtime has it.
func (v *values) resized(n *protos.NodeProto, todo []resizedAxis, r interpolation) {
	var dims []int
	for _, a := range todo {
		dims = append(dims, a.out)
		if a.out < 1 {
			exceptions.Panicf("scale %g leaves nothing of %d values", a.scale, a.in)
		}
	}
	v.checkDims(dims)
	if todo[0].out != todo[0].in && todo[0].in == v.batch && !v.g.static[n.Output[0]] {
		exceptions.Panicf("resizes the batch, from %d to %d", todo[0].in, todo[0].out)
	}
	x, isLast := v.last[n.Input[0]], true
	if x == nil {
		x, isLast = v.get(n.Input[0]), false
	}
	if r.mode != "nearest" && !x.DType().IsFloat() {
		exceptions.Panicf("mode %s of %s: want floating point numbers", r.mode, x.DType())
	}
	if !slices.Equal(dims, v.dims(n.Input[0])) {
		for i, a := range todo {
			switch {
			case !isLast || i == 0:
				x = resizeAxis(x, i, a, r)
			case i == 1:
				x = resizeAxis(x, x.Rank()-1, a, r)
			default:
				x = resizeAxis(x, i-1, a, r)
			}
		}
	}
	if isLast {
		v.last[n.Output[0]] = x
		return
	}
	v.set(n, x)
}

// resizeAxis resizes one axis. Where every value is one pixel it is copied, else multiplied by the matrix of weights.
func resizeAxis(x *Node, axis int, a resizedAxis, r interpolation) *Node {
	if a.scale == 1 || a.antialiasedCopy(r) {
		return x
	}
	rows := make([][]tap, a.out)
	outside := make([]bool, a.out)
	places := make([]int, a.out)
	anyOutside, single := false, true
	for o := range rows {
		at := a.coordinate(o, r.coordinates)
		outside[o] = r.crops && (at < 0 || at > float32(a.in-1))
		rows[o] = a.taps(at, r)
		places[o] = rows[o][0].at
		anyOutside, single = anyOutside || outside[o], single && len(rows[o]) == 1
	}
	if single {
		x = copied(x, axis, places)
	} else {
		x = weighted(x, axis, a.in, rows)
	}
	if anyOutside {
		dims := slices.Repeat([]int{1}, x.Rank())
		dims[axis] = a.out
		mask := ConstTensor(x.Graph(), tensors.FromFlatDataAndDimensions(outside, dims...))
		x = Where(BroadcastToDims(mask, x.Shape().Dimensions...), MulScalar(OnesLike(x), r.beyond), x)
	}
	return x
}

// antialiasedCopy tells of an axis that keeps its length whatever its scale, which is never filtered.
func (a resizedAxis) antialiasedCopy(r interpolation) bool { return r.antialias && a.in == a.out }

// coordinate is where the center of an output pixel lies among the input's.
func (a resizedAxis) coordinate(o int, mode string) float32 {
	x, in, out := float32(o), float32(a.in), float32(a.out)
	switch mode {
	case "half_pixel":
		return (x+0.5)/a.scale - 0.5
	case "pytorch_half_pixel":
		if a.out > 1 {
			return (x+0.5)/a.scale - 0.5
		}
		return 0
	case "tf_half_pixel_for_nn":
		return (x + 0.5) / a.scale
	case "asymmetric":
		return x / a.scale
	case "align_corners":
		if a.cut {
			exceptions.Panicf("align_corners with scale %g of %d pixels, which makes no whole number: ONNX Runtime and the format differ in it, "+
				"write sizes instead", a.scale, a.in)
		}
		if a.out > 1 {
			return x * (in - 1) / (out - 1)
		}
		return 0
	case "half_pixel_symmetric": // the scale may ask for a fraction of a pixel more than there are
		adjustment := out / (a.scale * in)
		offset := in / 2 * (1 - adjustment)
		return float32(float64(offset) + (float64(x)+0.5)/float64(a.scale) - 0.5)
	case "tf_crop_and_resize":
		if a.out > 1 {
			return float32(a.from*(in-1)) + float32(x*(a.to-a.from)*(in-1))/(out-1)
		}
		return float32(0.5 * float64(a.from+a.to) * float64(in-1))
	}
	exceptions.Panicf("coordinate_transformation_mode %q is not supported", mode)
	return 0
}

// taps are the pixels around a coordinate that make up a value, each of them once; pixels outside are those of the border.
func (a resizedAxis) taps(at float32, r interpolation) []tap {
	var found []tap
	add := func(i int, weight float64) {
		if weight == 0 || r.excludeOutside && (i < 0 || i >= a.in) {
			return
		}
		i = min(max(i, 0), a.in-1)
		if last := len(found) - 1; last >= 0 && found[last].at == i {
			found[last].weight += weight
			return
		}
		found = append(found, tap{i, weight})
	}
	switch {
	case r.mode == "nearest":
		return []tap{{min(max(nearest(at, r.nearest, a.scale < 1), 0), a.in-1), 1}}
	case r.antialias: // the filter is stretched to cover what the output's pixel covers
		wide := max(1/a.scale, 1)
		reach := wide * float32(r.reach())
		center := at + 0.5
		for i := int(math.Floor(float64(center - reach + 0.5))); i < int(math.Floor(float64(center+reach+0.5))); i++ {
			add(i, r.filter(float64(float32(i)-center+0.5)/float64(wide)))
		}
	default:
		below := int(math.Floor(float64(at)))
		for i := below - r.reach() + 1; i <= below+r.reach(); i++ {
			add(i, r.filter(float64(i)-float64(at)))
		}
	}
	sum := 0.0
	for _, t := range found {
		sum += t.weight
	}
	if len(found) == 0 || sum == 0 { // nothing of the image is in reach
		return []tap{{min(max(int(at), 0), a.in-1), 1}}
	}
	for k := range found {
		found[k].weight /= sum
	}
	return found
}

// nearest rounds a coordinate. Versions before 11 do not say how; "simple" is what ONNX Runtime does there.
func nearest(at float32, mode string, shrinks bool) int {
	x := float64(at)
	switch mode {
	case "simple":
		if shrinks {
			return int(math.Ceil(x))
		}
		return int(x)
	case "round_prefer_floor":
		return int(math.Ceil(x - 0.5))
	case "round_prefer_ceil":
		return int(math.Floor(x + 0.5))
	case "floor":
		return int(math.Floor(x))
	case "ceil":
		return int(math.Ceil(x))
	}
	exceptions.Panicf("nearest_mode %q is not supported", mode)
	return 0
}

// reach is how many pixels on either side the filter sees.
func (r interpolation) reach() int {
	if r.mode == "cubic" {
		return 2
	}
	return 1
}

// filter is the weight of a pixel at a distance: a hat, or Keys' cubic.
func (r interpolation) filter(distance float64) float64 {
	x, a := math.Abs(distance), r.cubicA
	switch {
	case r.mode == "linear":
		return max(1-x, 0)
	case x < 1:
		return ((a+2)*x-(a+3))*x*x + 1
	case x < 2:
		return ((x-5)*x+8)*x*a - 4*a
	}
	return 0
}

// copied takes pixels along an axis: repeated, strided, or looked up.
func copied(x *Node, axis int, places []int) *Node {
	dims := x.Shape().Dimensions
	size, out := dims[axis], len(places)
	if times := out / size; times > 0 && slices.Equal(places, repeatEach(size, times)) {
		single := slices.Insert(slices.Clone(dims), axis+1, 1)
		repeated := slices.Insert(slices.Clone(dims), axis+1, times)
		long := slices.Clone(dims)
		long[axis] = out
		return Reshape(BroadcastToDims(Reshape(x, single...), repeated...), long...)
	}
	if stride := strideOf(places); stride > 0 {
		return SliceAxis(x, axis, AxisRange(places[0], places[out-1]+1).Stride(stride))
	}
	at := make([]int64, out)
	for i, p := range places {
		at[i] = int64(p)
	}
	return take(x, ConstTensor(x.Graph(), tensors.FromFlatDataAndDimensions(at, out)), axis)
}

// repeatEach is 0, 0 ... 1, 1 ... up to size.
func repeatEach(size, times int) []int {
	all := make([]int, size*times)
	for i := range all {
		all[i] = i / times
	}
	return all
}

// strideOf is the one step between places; 0 if there is none.
func strideOf(places []int) int {
	if len(places) == 1 {
		return 1
	}
	stride := places[1] - places[0]
	for i := range places[1:] {
		if places[i+1]-places[i] != stride {
			return 0
		}
	}
	return max(stride, 0)
}

// weighted multiplies an axis by the matrix with the given rows.
func weighted(x *Node, axis, size int, rows [][]tap) *Node {
	if size*len(rows) > maxResize {
		exceptions.Panicf("interpolates %d values from %d: more than is supported", len(rows), size)
	}
	weights := make([]float32, len(rows)*size)
	for o, taps := range rows {
		for _, t := range taps {
			weights[o*size+t.at] = float32(t.weight)
		}
	}
	matrix := ConvertDType(ConstTensor(x.Graph(), tensors.FromFlatDataAndDimensions(weights, len(rows), size)), x.DType())
	dims := x.Shape().Dimensions
	y := Einsum("bia,oi->boa", Reshape(x, product(dims[:axis]), size, product(dims[axis+1:])), matrix)
	long := slices.Clone(dims)
	long[axis] = len(rows)
	return Reshape(y, long...)
}
