package npy_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/npy"
)

// packed is an array file of the values, which stand in C order of shape [2, 3, 2], of NumPy's type code.
func packed[T any](t *testing.T, code string, big, fortran bool, values []T) string {
	t.Helper()
	order, mark, name := binary.ByteOrder(binary.LittleEndian), "<", "False"
	if big {
		order, mark = binary.BigEndian, ">"
	}
	if code[1] == '1' {
		mark = "|"
	}
	if fortran { // element (a, b, c) lies at a + 2·b + 6·c
		name = "True"
		turned := make([]T, len(values))
		for a := range 2 {
			for b := range 3 {
				for c := range 2 {
					turned[a+2*b+6*c] = values[6*a+2*b+c]
				}
			}
		}
		values = turned
	}
	var data bytes.Buffer
	require.NoError(t, binary.Write(&data, order, values))
	return array(mark+code, name, "(2, 3, 2)", data.String())
}

// TestImagesOfAllTypes: whatever the type, the byte order and the order of axes, the same numbers.
func TestImagesOfAllTypes(t *testing.T) {
	want := []float32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}
	for _, big := range []bool{false, true} {
		for _, fortran := range []bool{false, true} {
			for code, content := range map[string]string{
				"f2": packed(t, "f2", big, fortran, []uint16{0, 0x3c00, 0x4000, 0x4200, 0x4400, 0x4500, 0x4600, 0x4700,
					0x4800, 0x4880, 0x4900, 0x4980}),
				"f4": packed(t, "f4", big, fortran, want), "f8": packed(t, "f8", big, fortran, numbers[float64]()),
				"i1": packed(t, "i1", big, fortran, numbers[int8]()), "i2": packed(t, "i2", big, fortran, numbers[int16]()),
				"i4": packed(t, "i4", big, fortran, numbers[int32]()), "i8": packed(t, "i8", big, fortran, numbers[int64]()),
				"u1": packed(t, "u1", big, fortran, numbers[uint8]()), "u2": packed(t, "u2", big, fortran, numbers[uint16]()),
				"u4": packed(t, "u4", big, fortran, numbers[uint32]()), "u8": packed(t, "u8", big, fortran, numbers[uint64]()),
			} {
				t.Run(fmt.Sprintf("%s big=%t fortran=%t", code, big, fortran), func(t *testing.T) {
					path := file(t, content)
					images, err := npy.ReadImagesScaled(path, 1)
					require.NoError(t, err)
					require.Equal(t, []int{2, 3, 2}, images.Shape().Dimensions)
					require.Equal(t, want, tensors.MustCopyFlatData[float32](images))
					images, err = npy.ReadImages(path)
					if code[0] == 'f' {
						require.NoError(t, err)
						require.Equal(t, want, tensors.MustCopyFlatData[float32](images))
						return
					}
					var integers *npy.IntegerPixels
					require.ErrorAs(t, err, &integers)
					require.Contains(t, integers.Type, "int")
				})
			}
		}
	}
}

func numbers[T int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64 | float64]() (all []T) {
	for i := range 12 {
		all = append(all, T(i))
	}
	return all
}

// TestHalves: all 65536 of them, by the definition of the format.
func TestHalves(t *testing.T) {
	bits := make([]uint16, 1<<16)
	for i := range bits {
		bits[i] = uint16(i)
	}
	var data bytes.Buffer
	require.NoError(t, binary.Write(&data, binary.LittleEndian, bits))
	images, err := npy.ReadImages(file(t, array("<f2", "False", "(65536, 1)", data.String())))
	require.NoError(t, err)
	for i, got := range tensors.MustCopyFlatData[float32](images) {
		sign, exponent, fraction := 1-2*float64(i>>15), i>>10&31, float64(i&1023)/1024
		switch {
		case exponent == 31 && fraction != 0:
			require.True(t, got != got, "%#04x", i)
			continue
		case exponent == 31:
			require.Equal(t, float32(math.Inf(int(sign))), got)
		case exponent == 0:
			require.Equal(t, float32(sign*math.Ldexp(fraction, -14)), got, "%#04x", i)
		default:
			require.Equal(t, float32(sign*math.Ldexp(1+fraction, exponent-15)), got, "%#04x", i)
		}
	}
}

// TestScale: a byte times 1/255 is the float32 nearest to the quotient, as NumPy's division gives it; white is 1 exactly.
func TestScale(t *testing.T) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	path := file(t, array("|u1", "False", "(2, 128)", string(every)))
	images, err := npy.ReadImagesScaled(path, 1./255)
	require.NoError(t, err)
	for i, got := range tensors.MustCopyFlatData[float32](images) {
		require.Equal(t, float32(float64(i)/255), got)
	}
	bools := file(t, array("|b1", "False", "(1, 3)", "\x00\x01\x05"))
	images, err = npy.ReadImages(bools)
	require.NoError(t, err)
	require.Equal(t, []float32{0, 1, 1}, tensors.MustCopyFlatData[float32](images))
	images, err = npy.ReadImagesScaled(bools, 2)
	require.NoError(t, err)
	require.Equal(t, []float32{0, 2, 2}, tensors.MustCopyFlatData[float32](images))
	for _, scale := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		_, err := npy.ReadImagesScaled(path, scale)
		require.ErrorContains(t, err, "must be finite and > 0")
	}
	_, err = npy.ReadImages(path)
	var integers *npy.IntegerPixels
	require.True(t, errors.As(err, &integers))
	require.Equal(t, npy.IntegerPixels{Type: "uint8", White: 255}, *integers)
}

// TestLabelsOfAllForms: integers of any width in either order, in a column, as one-hot rows.
func TestLabelsOfAllForms(t *testing.T) {
	for name, content := range map[string]string{
		"int8":          array("|i1", "False", "(3,)", "\x02\x00\x01"),
		"uint8":         array("|u1", "False", "(3,)", "\x02\x00\x01"),
		"uint8 marked":  array("<u1", "False", "(3,)", "\x02\x00\x01"),
		"int16":         array("<i2", "False", "(3,)", "\x02\x00\x00\x00\x01\x00"),
		"big uint16":    array(">u2", "False", "(3,)", "\x00\x02\x00\x00\x00\x01"),
		"big int32":     array(">i4", "False", "(3,)", "\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x01"),
		"uint32":        array("<u4", "False", "(3,)", "\x02\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00"),
		"big int64":     array(">i8", "False", "(3,)", "\x00\x00\x00\x00\x00\x00\x00\x02"+strings.Repeat("\x00", 15)+"\x01"),
		"column":        array("|u1", "False", "(3, 1)", "\x02\x00\x01"),
		"turned column": array("|u1", "True", "(3, 1)", "\x02\x00\x01"),
		"one-hot":       array("|u1", "False", "(3, 4)", "\x00\x00\x01\x00\x01\x00\x00\x00\x00\x01\x00\x00"),
		"turned":        array("|b1", "True", "(3, 4)", "\x00\x01\x00\x00\x00\x01\x01\x00\x00\x00\x00\x00"),
		"one-hot f4": array("<f4", "False", "(3, 3)", "\x00\x00\x00\x80\x00\x00\x00\x00\x00\x00\x80?"+
			"\x00\x00\x80?\x00\x00\x00\x00\x00\x00\x00\x00"+"\x00\x00\x00\x00\x00\x00\x80?\x00\x00\x00\x00"), // the first is -0
	} {
		labels, err := npy.ReadLabels(file(t, content))
		require.NoError(t, err, name)
		require.Equal(t, []int32{2, 0, 1}, labels, name)
	}
	labels, err := npy.ReadLabels(file(t, array("|b1", "False", "(2,)", "\x01\x00")))
	require.NoError(t, err)
	require.Equal(t, []int32{1, 0}, labels)
	labels, err = npy.ReadLabels(file(t, array("|u1", "False", "(1, 3)", "\x00\x00\x01")))
	require.NoError(t, err, "one image, one-hot")
	require.Equal(t, []int32{2}, labels)
}
