package npy

import (
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"
)

// What errors say of types that cannot be read.
const (
	wantImages = "want float32 or float64 images: save x.astype('float32')"
	wantLabels = "want int64 or int32 labels, class numbers from 0: save y.astype('int64')"
)

// ReadImages reads an array [n, ...] of at least two axes, float16, float32 or float64 in either byte order, in C or Fortran
// order, as float32. The values are taken as they are, NaN included; booleans are 0 and 1. Integers are an *IntegerPixels
// error: nothing in the file tells whether 255 or 1 is white. Errors are of one line and tell what the file holds.
func ReadImages(path string) (*tensors.Tensor, error) {
	return readImages(path, func(h header) (float64, error) {
		if h.kind.white > 1 {
			return 0, &IntegerPixels{Type: h.kind.name, White: h.kind.white}
		}
		return 1, nil
	})
}

// ReadImagesScaled is as ReadImages, but multiplies every value by scale, finite and > 0, in float64 before it is rounded to
// float32, and takes integers too. A scale of 1 takes them as they are.
func ReadImagesScaled(path string, scale float64) (*tensors.Tensor, error) {
	if !(scale > 0) || math.IsInf(scale, 1) {
		return nil, errors.Errorf("npy: %s: scale %g: must be finite and > 0", path, scale)
	}
	return readImages(path, func(header) (float64, error) { return scale, nil })
}

// IntegerPixels is the error of images that hold integers where no scale is given.
type IntegerPixels struct {
	Type  string // NumPy's name of it, such as "uint8"
	White int    // the value that most likely means white, such as 255
}

func (e *IntegerPixels) Error() string {
	return fmt.Sprintf("holds %s, of which nothing tells what is white: want float32 or float64 images: save (x / %d).astype('float32')",
		e.Type, e.White)
}

func readImages(path string, scaleOf func(h header) (float64, error)) (*tensors.Tensor, error) {
	values, shape, err := readValues(path, wantImages, "images", scaleOf)
	if err != nil {
		return nil, err
	}
	return tensors.FromFlatDataAndDimensions(values, shape...), nil
}

// ReadRows reads an array [n, ...] of at least two axes and any type of numbers as n rows of float32, each in C order: the
// activations of n samples. The values are taken as they are, NaN included.
func ReadRows(path string) ([][]float32, error) {
	values, shape, err := readValues(path, "want numbers: save x.astype('float32')", "rows", func(header) (float64, error) { return 1, nil })
	if err != nil {
		return nil, err
	}
	if len(values) == 0 {
		return nil, errors.Errorf("npy: %s: has shape %v: want rows of numbers", path, shape)
	}
	return slices.Collect(slices.Chunk(values, len(values)/shape[0])), nil
}

func readValues(path, want, what string, scaleOf func(h header) (float64, error)) (values []float32, shape []int, err error) {
	err = read(path, want, func(h header, data io.Reader) error {
		if len(h.shape) < 2 {
			return errors.Errorf("has shape %v: want %s [n, ...] of float32 or float64", h.shape, what)
		}
		scale, err := scaleOf(h)
		if err != nil {
			return err
		}
		shape, values = h.shape, make([]float32, h.elements())
		return h.each(data, func(at int, v float64) error {
			values[at] = float32(v * scale)
			return nil
		})
	})
	return values, shape, err
}

// ReadLabels reads class labels: integers of any width, signed or not, or booleans, [n] or [n, 1]. It also takes one-hot rows
// [n, classes] of any type that can be read, each as the place of its 1, if and only if every row is one 1 and zeros else.
//
// Floats in one column are an error, whole or not: they are as often scores or what a regression is to find. So are rows of
// anything but one-hot labels, and a label that does not fit int32.
func ReadLabels(path string) ([]int32, error) {
	var labels []int32
	err := read(path, wantLabels, func(h header, data io.Reader) (err error) {
		switch {
		case len(h.shape) == 2 && h.shape[1] > 1:
			labels, err = h.oneHot(data)
		case len(h.shape) != 1 && len(h.shape) != 2:
			err = errors.Errorf("has shape %v: want labels [n] of int64 or int32", h.shape)
		case !h.kind.counts():
			err = errors.Errorf("holds %s in one column, which may be scores: %s", h.kind.name, wantLabels)
		default:
			labels, err = h.column(data)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return labels, nil
}

// column reads integers as labels.
func (h header) column(data io.Reader) ([]int32, error) {
	labels := make([]int32, h.elements())
	return labels, h.each(data, func(at int, v float64) error {
		if v < math.MinInt32 || v > math.MaxInt32 {
			return errors.Errorf("label %.0f at row %d does not fit int32: want class numbers from 0", v, at)
		}
		labels[at] = int32(v)
		return nil
	})
}

// oneHot reads the place of the 1 of every row.
func (h header) oneHot(data io.Reader) ([]int32, error) {
	what := "of scores save y.argmax(1)"
	if h.shape[0] == 1 && h.kind.counts() {
		what = "of labels in a row save y.reshape(-1)"
	}
	bad := func(row int) error {
		return errors.Errorf("has shape %v, and row %d is not one-hot (one 1, zeros else): want int64 or int32 labels [n]: %s",
			h.shape, row, what)
	}
	const none = -1
	labels := make([]int32, h.shape[0])
	for row := range labels {
		labels[row] = none
	}
	err := h.each(data, func(at int, v float64) error {
		row, class := at/h.shape[1], at%h.shape[1]
		switch {
		case v == 0:
		case v == 1 && labels[row] == none:
			labels[row] = int32(class)
		default:
			return bad(row)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for row, label := range labels {
		if label == none {
			return nil, bad(row)
		}
	}
	return labels, nil
}

// each decodes all elements in the file's order and hands each to use, with its place in C order.
func (h header) each(data io.Reader, use func(at int, v float64) error) error {
	const chunk = 1 << 13 // elements
	width, next := h.kind.width, h.places()
	buffer := make([]byte, chunk*width)
	for left := h.elements(); left > 0; left -= chunk {
		b := buffer[:min(left, chunk)*width]
		if _, err := io.ReadFull(data, b); err != nil {
			return err
		}
		for ; len(b) > 0; b = b[width:] {
			if err := use(next(), h.kind.decode(b, h.order)); err != nil {
				return err
			}
		}
	}
	return nil
}

// places returns a function that tells, call by call, the place in C order of the file's next element.
func (h header) places() func() int {
	if !h.fortran {
		at := -1
		return func() int { at++; return at }
	}
	strides, index, stride, at := make([]int, len(h.shape)), make([]int, len(h.shape)), 1, 0
	for axis := len(h.shape) - 1; axis >= 0; axis-- {
		strides[axis] = stride
		stride *= h.shape[axis]
	}
	return func() int {
		here := at
		for axis, n := range h.shape {
			index[axis]++
			at += strides[axis]
			if index[axis] < n {
				break
			}
			at -= n * strides[axis]
			index[axis] = 0
		}
		return here
	}
}
