package representation

import (
	"fmt"
	"math"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/support/exceptions"
)

// Augmentation changes images at random, each in its own way, but not what they show. It has gradients with respect to the
// images.
type Augmentation struct {
	// Name tells its every parameter: it decides what counts as the same training.
	Name string
	// Graph builds changed images of images [batch, height, width, channels] with values from 0 to 1, of the same shape and
	// bounds. What it draws comes from the random state of scope's store alone: under the same state it changes other images in
	// the same way. It panics on error.
	Graph func(scope *model.Scope, images *Node) *Node
}

// InTurn is one augmentation after the other.
func InTurn(all ...Augmentation) Augmentation {
	names := make([]string, len(all))
	for i, a := range all {
		names[i] = a.Name
	}
	return Augmentation{strings.Join(names, ", "), func(scope *model.Scope, images *Node) *Node {
		for _, a := range all {
			images = a.Graph(scope, images)
		}
		return images
	}}
}

// draw is a number an image, uniform between two bounds, [batch, 1, 1].
func draw(scope *model.Scope, images *Node, low, high float64) *Node {
	if images.Rank() != 4 {
		exceptions.Panicf("representation: images %s: want [batch, height, width, channels]", images.Shape())
	}
	uniform := scope.RandomUniform(images.Graph(), shapes.Make(images.DType(), images.Shape().Dimensions[0], 1, 1))
	return AddScalar(MulScalar(uniform, high-low), low)
}

// checked is an augmentation that panics, as graphs do, unless its parameter is at least low and at most high.
func checked(what string, value, low, high float64, graph func(scope *model.Scope, images *Node) *Node) Augmentation {
	name := fmt.Sprintf("%s %g", what, value)
	return Augmentation{name, func(scope *model.Scope, images *Node) *Node {
		if !(value >= low && value <= high) {
			exceptions.Panicf("representation: augmentation %s: want %g to %g", name, low, high)
		}
		return graph(scope, images)
	}}
}

// ShiftBy moves an image by up to so many whole pixels along each side; black comes in.
func ShiftBy(pixels int) Augmentation {
	return checked("shift", float64(pixels), 0, math.MaxInt16, func(scope *model.Scope, images *Node) *Node {
		by := func() *Node { return Floor(draw(scope, images, -float64(pixels), float64(pixels)+1)) }
		rows, columns := places(images)
		return sampled(images, Add(rows, by()), Add(columns, by()))
	})
}

// RotateBy turns an image about its center by up to so many degrees to either side; black comes in.
func RotateBy(degrees float64) Augmentation {
	return checked("rotate", degrees, 0, 180, func(scope *model.Scope, images *Node) *Node {
		angle := MulScalar(draw(scope, images, -degrees, degrees), math.Pi/180)
		sin, cos := Sin(angle), Cos(angle)
		d := images.Shape().Dimensions
		y, x := float64(d[1]-1)/2, float64(d[2]-1)/2
		rows, columns := places(images)
		rows, columns = AddScalar(rows, -y), AddScalar(columns, -x)
		return sampled(images, AddScalar(Add(Mul(cos, rows), Mul(sin, columns)), y), AddScalar(Sub(Mul(cos, columns), Mul(sin, rows)), x))
	})
}

// CropFrom enlarges a part of an image, of at least the given share of its area and with sides in a ratio from 3/4 to 4/3, to
// the whole. Share is at most 1.
func CropFrom(share float64) Augmentation {
	return checked("crop", share, 1e-3, 1, func(scope *model.Scope, images *Node) *Node {
		side := Sqrt(draw(scope, images, share, 1))
		ratio := Exp(MulScalar(draw(scope, images, -1, 1), math.Log(4./3)/2))
		d := images.Shape().Dimensions
		part := func(places, side *Node, pixels int) *Node {
			side = MinScalar(side, 1)
			start := Mul(OneMinus(side), draw(scope, images, 0, 1)) // as a share of the image
			// Pixels lie at the middles of equal pieces.
			at := AddScalar(MulScalar(Add(start, Mul(side, DivScalar(AddScalar(places, 0.5), float64(pixels)))), float64(pixels)), -0.5)
			return ClipScalar(at, 0, float64(pixels-1))
		}
		rows, columns := places(images)
		return sampled(images, part(rows, Mul(side, ratio), d[1]), part(columns, Div(side, ratio), d[2]))
	})
}

// Flip mirrors about half of the images, left to right.
func Flip() Augmentation {
	return Augmentation{"flip", func(scope *model.Scope, images *Node) *Node {
		mirrored := LessThan(InsertAxes(draw(scope, images, 0, 1), -1), Scalar(images.Graph(), images.DType(), 0.5))
		return Where(BroadcastToDims(mirrored, images.Shape().Dimensions...), Reverse(images, 2), images)
	}}
}

// AddNoise adds normal noise of the given deviation to each value.
func AddNoise(deviation float64) Augmentation {
	return checked("noise", deviation, 0, math.MaxFloat32, func(scope *model.Scope, images *Node) *Node {
		return ClipScalar(Add(images, MulScalar(scope.RandomNormal(images.Graph(), images.Shape()), deviation)), 0, 1)
	})
}

// JitterColors multiplies brightness, then the distance from the image's mean (contrast), then of images with three channels the
// distance from gray (saturation), each by a factor within 1 ± strength. Hues stay, unlike in SimCLR.
func JitterColors(strength float64) Augmentation {
	return checked("colors", strength, 0, 10, func(scope *model.Scope, images *Node) *Node {
		factor := func() *Node { return InsertAxes(draw(scope, images, max(0, 1-strength), 1+strength), -1) }
		away := func(x, from *Node) *Node { return ClipScalar(Add(from, Mul(factor(), Sub(x, from))), 0, 1) }
		x := ClipScalar(Mul(images, factor()), 0, 1)
		x = away(x, ReduceAndKeep(x, ReduceMean, 1, 2, 3))
		if x.Shape().Dimensions[3] == 3 {
			gray := ReduceAndKeep(Mul(x, Const(x.Graph(), [][][][]float32{{{{0.299, 0.587, 0.114}}}})), ReduceSum, 3) // of ITU-R BT.601
			x = away(x, gray)
		}
		return x
	})
}

// places are the rows and columns of an image's pixels, [1, height, 1] and [1, 1, width].
func places(images *Node) (rows, columns *Node) {
	g, d := images.Graph(), images.Shape().Dimensions
	return Iota(g, shapes.Make(images.DType(), 1, d[1], 1), 1), Iota(g, shapes.Make(images.DType(), 1, 1, d[2]), 2)
}

// sampled are images with, at each pixel, the value that lies at a place of the original, [batch, height, width] or what is broadcast
// to it: by bilinear interpolation, and black outside.
func sampled(images, rows, columns *Node) *Node {
	d := images.Shape().Dimensions
	g, pixels := images.Graph(), shapes.Make(images.DType(), d[0], d[1], d[2])
	rows, columns = BroadcastToDims(StopGradient(rows), d[:3]...), BroadcastToDims(StopGradient(columns), d[:3]...)
	flat := Reshape(images, d[0]*d[1]*d[2], d[3])
	first := MulScalar(Iota(g, shapes.Make(dtypes.Int32, d[0], d[1], d[2]), 0), d[1]*d[2])
	top, left := Floor(rows), Floor(columns)
	var sum *Node
	for down := range 2 {
		for right := range 2 {
			row, column := AddScalar(top, float64(down)), AddScalar(left, float64(right))
			weight := Mul(OneMinus(Abs(Sub(rows, row))), OneMinus(Abs(Sub(columns, column))))
			inside := LogicalAnd(within(row, d[1]), within(column, d[2]))
			weight = Where(inside, weight, Zeros(g, pixels))
			at := Add(first, Add(MulScalar(index(row, d[1]), d[2]), index(column, d[2])))
			value := Reshape(Gather(flat, Reshape(at, -1, 1)), d...)
			term := Mul(value, InsertAxes(weight, -1))
			if sum == nil {
				sum = term
			} else {
				sum = Add(sum, term)
			}
		}
	}
	return sum
}

func within(place *Node, size int) *Node {
	g := place.Graph()
	return LogicalAnd(GreaterOrEqual(place, ScalarZero(g, place.DType())), LessThan(place, Scalar(g, place.DType(), float64(size))))
}

// index is a whole place as an index, of one outside that of the nearest inside.
func index(place *Node, size int) *Node {
	return ConvertDType(ClipScalar(place, 0, float64(size-1)), dtypes.Int32)
}
