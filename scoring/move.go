package scoring

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
)

// Rotate builds images turned by angles in degrees about their middle, counterclockwise, with bilinear interpolation and
// zeros beyond the border. Shapes: images [batch, height, width, channels]; degrees a scalar, or [batch]. A turn by 0 gives the
// images themselves, to the bit.
func Rotate(images, degrees *Node) *Node { return rotate(images, degrees, 1, 2) }

func rotate(images, degrees *Node, height, width int) *Node {
	d := images.Shape().Dimensions
	radians := MulScalar(degrees, math.Pi/180)
	cos, sin := Cos(radians), Sin(radians)
	if !degrees.IsScalar() {
		cos, sin = Reshape(cos, -1, 1, 1), Reshape(sin, -1, 1, 1)
	}
	middleY, middleX := float64(d[height]-1)/2, float64(d[width]-1)/2
	return moved(images, height, width, func(y, x *Node) (fromY, fromX *Node) {
		// Rows grow downward: what one sees as counterclockwise takes x to (cos, -sin), and the source is the inverse turn.
		y, x = AddScalar(y, -middleY), AddScalar(x, -middleX)
		return AddScalar(Add(Mul(y, cos), Mul(x, sin)), middleY), AddScalar(Sub(Mul(x, cos), Mul(y, sin)), middleX)
	})
}

// moved builds images whose pixel at (y, x) is that of the given ones at from(y, x), between pixels by bilinear
// interpolation, zero beyond the border. y and x are [1, height, width]; from may return [batch, height, width].
func moved(images *Node, height, width int, from func(y, x *Node) (fromY, fromX *Node)) *Node {
	g, dtype, shape := images.Graph(), images.DType(), images.Shape()
	// Height and width come second and third, everything else last.
	order, back := []int{0, height, width}, make([]int, shape.Rank())
	for axis := 1; axis < shape.Rank(); axis++ {
		if axis != height && axis != width {
			order = append(order, axis)
		}
	}
	for i, axis := range order {
		back[axis] = i
	}
	images = TransposeAllAxes(images, order...)
	turned := images.Shape().Dimensions
	batch, rows, columns := turned[0], turned[1], turned[2]
	grid := shapes.Make(dtype, 1, rows, columns)
	y, x := from(Iota(g, grid, 1), Iota(g, grid, 2))
	full := func(n *Node) *Node { return BroadcastToDims(n, batch, rows, columns) }
	y, x = full(y), full(x)
	top, left := Floor(y), Floor(x)
	down, right := Sub(y, top), Sub(x, left)

	flat := Reshape(images, batch*rows*columns, -1)
	first := MulScalar(Iota(g, shapes.Make(dtypes.Int32, batch, rows, columns), 0), rows*columns) // each image's first pixel
	corner := func(dy, dx float64, weight *Node) *Node {
		cy, cx := AddScalar(top, dy), AddScalar(left, dx)
		inside := LogicalAnd(LogicalAnd(GreaterOrEqual(cy, ZerosLike(cy)), LessThan(cy, AddScalar(ZerosLike(cy), rows))),
			LogicalAnd(GreaterOrEqual(cx, ZerosLike(cx)), LessThan(cx, AddScalar(ZerosLike(cx), columns))))
		cy, cx = ClipScalar(cy, 0, float64(rows-1)), ClipScalar(cx, 0, float64(columns-1))
		at := Add(first, ConvertDType(Add(MulScalar(cy, columns), cx), dtypes.Int32))
		weight = Where(inside, weight, ZerosLike(weight))
		return Mul(Gather(flat, Reshape(at, -1, 1)), Reshape(weight, -1, 1))
	}
	sum := Add(Add(corner(0, 0, Mul(OneMinus(down), OneMinus(right))), corner(0, 1, Mul(OneMinus(down), right))),
		Add(corner(1, 0, Mul(down, OneMinus(right))), corner(1, 1, Mul(down, right))))
	return TransposeAllAxes(Reshape(sum, turned...), back...)
}
