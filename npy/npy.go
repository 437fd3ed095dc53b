// Package npy reads and writes NumPy's .npy files: images, labels, and the adversarial examples that go back to Python.
//
//	images, err := npy.ReadImages("x.npy")               // float32 [n, ...], from float16, float32 or float64
//	images, err = npy.ReadImagesScaled("x.npy", 1./255)  // from integers too
//	labels, err := npy.ReadLabels("y.npy")               // [n], from any integers, or one-hot [n, classes]
//	err = npy.WriteImages("x_adv.npy", images)
package npy

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/google/renameio/v2"
	"github.com/pkg/errors"
)

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
