// Package npy reads and writes NumPy's .npy files: images, labels, and the adversarial examples that go back to Python.
//
//	images, err := npy.ReadImages("x.npy") // float32 [n, ...], from float32 or float64
//	labels, err := npy.ReadLabels("y.npy") // [n], from int64 or int32
//	err = npy.WriteImages("x_adv.npy", images)
package npy

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/google/renameio/v2"
	"github.com/pkg/errors"
)

// ReadImages reads an array [n, ...] of at least two axes, float32 or float64, as float32. The values are taken as they
// are, NaN included. Errors are of one line and tell what the file holds.
func ReadImages(path string) (*tensors.Tensor, error) {
	var t *tensors.Tensor
	err := read(path, func(h header, f io.Reader) error {
		if h.kind != "f4" && h.kind != "f8" {
			return errors.Errorf("holds dtype %s: want float32 or float64 images", h.kind)
		}
		if len(h.shape) < 2 {
			return errors.Errorf("has shape %v: want images [n, ...]", h.shape)
		}
		values := make([]float32, h.elements())
		if h.kind == "f4" {
			if err := binary.Read(f, binary.LittleEndian, values); err != nil {
				return err
			}
		} else {
			wide := make([]float64, len(values))
			if err := binary.Read(f, binary.LittleEndian, wide); err != nil {
				return err
			}
			for i, v := range wide {
				values[i] = float32(v)
			}
		}
		t = tensors.FromFlatDataAndDimensions(values, h.shape...)
		return nil
	})
	return t, err
}

// ReadLabels reads class labels [n], int64 or int32. A label that does not fit int32 is an error.
func ReadLabels(path string) ([]int32, error) {
	var labels []int32
	err := read(path, func(h header, f io.Reader) error {
		if h.kind != "i4" && h.kind != "i8" {
			return errors.Errorf("holds dtype %s: want int64 or int32 labels", h.kind)
		}
		if len(h.shape) != 1 {
			return errors.Errorf("has shape %v: want labels [n]", h.shape)
		}
		labels = make([]int32, h.elements())
		if h.kind == "i4" {
			return binary.Read(f, binary.LittleEndian, labels)
		}
		wide := make([]int64, len(labels))
		if err := binary.Read(f, binary.LittleEndian, wide); err != nil {
			return err
		}
		for i, v := range wide {
			if v < math.MinInt32 || v > math.MaxInt32 {
				return errors.Errorf("label %d at row %d does not fit int32: want class numbers from 0", v, i)
			}
			labels[i] = int32(v)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return labels, nil
}

// WriteImages writes a float32 tensor so that numpy.load gives it back. The file appears whole or not at all.
func WriteImages(path string, t *tensors.Tensor) error {
	if t == nil || t.Shape().DType != dtypes.Float32 || t.Rank() == 0 {
		return errors.Errorf("npy: writing %s: want a float32 tensor with at least one axis", path)
	}
	// The header: magic, version 1.0, length, then a Python dictionary, padded so that the data starts at a multiple of 64.
	dims := strings.ReplaceAll(strings.Trim(fmt.Sprint(t.Shape().Dimensions), "[]"), " ", ", ")
	if t.Rank() == 1 {
		dims += "," // Python's tuple of one
	}
	dict := fmt.Sprintf("{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }", dims)
	dict += strings.Repeat(" ", 63-(10+len(dict))%64) + "\n"
	var head bytes.Buffer
	head.WriteString("\x93NUMPY\x01\x00")
	head.Write(binary.LittleEndian.AppendUint16(nil, uint16(len(dict))))
	head.WriteString(dict)
	f, err := renameio.NewPendingFile(path, renameio.WithPermissions(0o644))
	if err != nil {
		return errors.WithMessage(err, "npy")
	}
	defer f.Cleanup()
	if _, err := f.Write(head.Bytes()); err != nil {
		return errors.WithMessage(err, "npy")
	}
	var failed error
	if err := tensors.ConstFlatData(t, func(values []float32) { failed = binary.Write(f, binary.LittleEndian, values) }); err != nil {
		return errors.WithMessagef(err, "npy: writing %s", path)
	}
	if failed != nil {
		return errors.WithMessage(failed, "npy")
	}
	return errors.WithMessage(f.CloseAtomicallyReplace(), "npy")
}
