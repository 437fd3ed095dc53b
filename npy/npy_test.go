package npy_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/npy"
)

// What NumPy 2 writes: numpy.save of arange(6, dtype="f4").reshape(2, 3) and of array([3, 1], dtype="i8").
const (
	numpyImages = "\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }" +
		"                                                          \n" +
		"\x00\x00\x00\x00\x00\x00\x80?\x00\x00\x00@\x00\x00@@\x00\x00\x80@\x00\x00\xa0@"
	numpyLabels = "\x93NUMPY\x01\x00v\x00{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }" +
		"                                                            \n" +
		"\x03\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00"
)

func file(t testing.TB, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.npy")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

// array is a version 1 file with the given header entries and data.
func array(descr, order, shape, data string) string {
	return withHeader(fmt.Sprintf("{'descr': '%s', 'fortran_order': %s, 'shape': %s, }\n", descr, order, shape), data)
}

func withHeader(h, data string) string {
	return "\x93NUMPY\x01\x00" + string([]byte{byte(len(h)), byte(len(h) >> 8)}) + h + data
}

func TestNumPy(t *testing.T) {
	images, err := npy.ReadImages(file(t, numpyImages))
	require.NoError(t, err)
	require.Equal(t, [][]float32{{0, 1, 2}, {3, 4, 5}}, images.Value())
	labels, err := npy.ReadLabels(file(t, numpyLabels))
	require.NoError(t, err)
	require.Equal(t, []int32{3, 1}, labels)

	// What we write is NumPy's, byte by byte.
	path := filepath.Join(t.TempDir(), "out.npy")
	require.NoError(t, npy.WriteImages(path, images))
	written, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, numpyImages, string(written))
}

func TestOtherTypes(t *testing.T) {
	images, err := npy.ReadImages(file(t, array("<f8", "False", "(1, 2)", "\x00\x00\x00\x00\x00\x00\xf8?\x00\x00\x00\x00\x00\x00\x00\xc0")))
	require.NoError(t, err)
	require.Equal(t, [][]float32{{1.5, -2}}, images.Value())
	labels, err := npy.ReadLabels(file(t, array("<i4", "False", "(2,)", "\x07\x00\x00\x00\xff\xff\xff\xff")))
	require.NoError(t, err)
	require.Equal(t, []int32{7, -1}, labels)

	// Version 2, whose header length takes four bytes.
	v1 := array("<i4", "False", "(1,)", "\x07\x00\x00\x00")
	labels, err = npy.ReadLabels(file(t, "\x93NUMPY\x02\x00"+v1[8:10]+"\x00\x00"+v1[10:]))
	require.NoError(t, err)
	require.Equal(t, []int32{7}, labels)
}

func TestRoundTrip(t *testing.T) {
	values := []float32{0, float32(math.Copysign(0, -1)), math.SmallestNonzeroFloat32, math.MaxFloat32,
		float32(math.Inf(-1)), 0.1, 1, 2, 3, 4, 5, 6}
	for _, dims := range [][]int{{12, 1}, {1, 12}, {2, 3, 2}, {2, 3, 2, 1}, {1, 2, 3, 1, 2}} {
		path := filepath.Join(t.TempDir(), "a.npy")
		require.NoError(t, npy.WriteImages(path, tensors.FromFlatDataAndDimensions(values, dims...)))
		got, err := npy.ReadImages(path)
		require.NoError(t, err)
		require.Equal(t, dims, got.Shape().Dimensions)
		require.Equal(t, values, tensors.MustCopyFlatData[float32](got))
		rows, err := npy.ReadRows(path)
		require.NoError(t, err)
		require.Len(t, rows, dims[0])
		require.Equal(t, values, slices.Concat(rows...))
	}
}

func TestWriteErrors(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.npy")
	require.Error(t, npy.WriteImages(path, nil))
	require.Error(t, npy.WriteImages(path, tensors.FromValue([]float64{1})))
	require.Error(t, npy.WriteImages(path, tensors.FromValue(float32(1))))
	require.Error(t, npy.WriteImages(filepath.Join(dir, "missing", "a.npy"), tensors.FromValue([][]float32{{1}})))
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)

	// A file that is there stays as it is until the new one is whole, and is replaced then.
	require.NoError(t, os.WriteFile(path, []byte("old"), 0o600))
	require.NoError(t, npy.WriteImages(path, tensors.FromValue([][]float32{{1}})))
	_, err = npy.ReadImages(path)
	require.NoError(t, err)
}

func TestErrors(t *testing.T) {
	four := "\x00\x00\x80?"
	for name, c := range map[string]struct{ content, want string }{
		"empty file":       {"", "not a .npy file"},
		"text":             {"1.0, 2.0, 3.0, 4.0", "not a .npy file"},
		"npz":              {"PK\x03\x04aaaaaaaaaaaaaaaa", "an .npz archive"},
		"only magic":       {numpyImages[:8], "not a .npy file"},
		"half a header":    {numpyImages[:40], "truncated"},
		"no data":          {numpyImages[:128], "truncated"},
		"one byte missing": {numpyImages[:len(numpyImages)-1], "needs 24 bytes of data, the file has 23: truncated"},
		"one byte more":    {numpyImages + "x", "trailing bytes"},
		"huge":             {array("<f4", "False", "(1000000000, 1000000000)", four), "truncated"},
		"overflow":         {array("<f4", "False", "(4294967296, 4294967296, 4294967296)", four), "impossible shape"},
		"wrapping to 4":    {array("<f4", "False", "(4611686018427387905, 4)", four), "impossible shape"},
		"beyond int":       {array("<f4", "False", "(99999999999999999999, 1)", four), "does not parse"},
		"negative":         {array("<f4", "False", "(-1, -1)", four), "impossible shape"},
		"no examples":      {array("<f4", "False", "(0, 28, 28)", ""), "empty"},
		"scalar":           {array("<f4", "False", "()", four), "want images [n, ...]"},
		"vector":           {array("<f4", "False", "(1,)", four), "want images [n, ...]"},
		"short in Fortran": {array("<f4", "True", "(2, 2)", four), "truncated"},
		"objects":          {array("|O", "False", "(1, 1)", four), `dtype "|O" (Python objects): want float32`},
		"texts":            {array("<U1", "False", "(1, 1)", four), `dtype "<U1" (texts): want float32`},
		"complex":          {array("<c8", "False", "(1, 1)", four+four), `dtype "<c8" (complex numbers): want float32`},
		"long double":      {array("<f16", "False", "(1, 1)", four+four+four+four), `dtype "<f16": want float32`},
		"two of no order":  {array("|u2", "False", "(1, 2)", four), `dtype "|u2": want float32`},
		"bytes":            {array("|u1", "False", "(1, 4)", four), "uint8, of which nothing tells what is white: want float32"},
		"half the halves":  {array("<f2", "False", "(1, 3)", four), "needs 6 bytes of data, the file has 4: truncated"},
		"labels":           {array("<i4", "False", "(1, 1)", four), "want float32 or float64 images"},
		"records":          {withHeader("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1, 1), }\n", four), "does not parse"},
		"no comma":         {withHeader("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1)}\n", four), "does not parse"},
		"other order":      {withHeader("{'shape': (1, 1), 'fortran_order': False, 'descr': '<f4', }\n", four), "does not parse"},
		"no dictionary":    {"\x93NUMPY\x01\x00\x10\x00                \n" + four, "does not parse"},
		"version 9":        {strings.Replace(numpyImages, "\x01\x00v", "\x09\x00v", 1), "damaged"},
		"long header":      {"\x93NUMPY\x02\x00\xff\xff\xff\xff{'descr'", "damaged or truncated"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := npy.ReadImages(file(t, c.content))
			require.ErrorContains(t, err, "a.npy: ")
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "\n")
		})
	}
	for name, c := range map[string]struct{ content, want string }{
		"images":       {numpyImages, "want int64 or int32 labels"},
		"three axes":   {array("<i4", "False", "(1, 1, 1)", four), "want labels [n]"},
		"none at all":  {array("<i4", "False", "()", four), "want labels [n]"},
		"objects":      {array("|O", "False", "(1,)", four), `dtype "|O" (Python objects): want int64 or int32 labels`},
		"texts":        {array("<U1", "False", "(1,)", four), `dtype "<U1" (texts): want int64 or int32 labels`},
		"floats":       {array("<f4", "False", "(1,)", four), "astype('int64')"},
		"float column": {array("<f4", "False", "(1, 1)", four), "astype('int64')"},
		"scores":       {array("<f4", "False", "(1, 2)", "\x00\x00\x00?\x00\x00\x00?"), "y.argmax(1)"},
		"two ones":     {array("|u1", "False", "(2, 3)", "\x01\x00\x00\x01\x00\x01"), "row 1 is not one-hot"},
		"no one":       {array("|u1", "False", "(2, 3)", "\x01\x00\x00\x00\x00\x00"), "row 1 is not one-hot"},
		"a two":        {array("|u1", "False", "(2, 3)", "\x01\x00\x00\x02\x00\x00"), "row 1 is not one-hot"},
		"one minus":    {array("|i1", "False", "(2, 3)", "\x01\x00\x00\xff\x00\x01"), "row 1 is not one-hot"},
		"not a number": {array("<f4", "False", "(1, 2)", "\x00\x00\x80?\x00\x00\xc0\x7f"), "row 0 is not one-hot"},
		"a row":        {array("|u1", "False", "(1, 4)", "\x03\x01\x00\x02"), "y.reshape(-1)"},
		"huge":         {array("<u8", "False", "(1,)", strings.Repeat("\xff", 8)), "does not fit int32"},
		"lowest":       {array("<i8", "False", "(1,)", "\xff\xff\xff\x7f\xff\xff\xff\xff"), "label -2147483649 at row 0"},
		"beyond int32": {array("<i8", "False", "(1,)", "\x00\x00\x00\x00\x01\x00\x00\x00"), "label 4294967296 at row 0"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := npy.ReadLabels(file(t, c.content))
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "\n")
		})
	}
	_, err := npy.ReadImages(filepath.Join(t.TempDir(), "none.npy"))
	require.ErrorContains(t, err, "no such file")
	_, err = npy.ReadImages(t.TempDir())
	require.ErrorContains(t, err, "not a regular file")
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{numpyImages, numpyLabels, numpyImages[:70], array("<f8", "False", "(1, 1)", "aaaaaaaa"),
		array("<f4", "True", "(2, 2)", "aaaaaaaaaaaaaaaa"), array("<i4", "False", "()", "aaaa"), "\x93NUMPY\x02\x00\x02\x00\x00\x00{\n",
		array(">f2", "True", "(1, 2, 2)", "aaaaaaaa"), array("|u1", "True", "(2, 2)", "\x01\x00\x00\x01"),
		array("|b1", "False", "(2, 1)", "\x01\x00"),
		array(">u8", "False", "(1,)", "aaaaaaaa"), array("<i2", "False", "(1, 2)", "\x01\x00\x00\x00"), array("|O", "False", "(1,)", "a")} {
		f.Add([]byte(s))
	}
	path := filepath.Join(f.TempDir(), "a.npy")
	f.Fuzz(func(t *testing.T, data []byte) {
		require.NoError(t, os.WriteFile(path, data, 0o600))
		if images, err := npy.ReadImages(path); err != nil {
			require.NotContains(t, err.Error(), "\n")
		} else {
			require.GreaterOrEqual(t, images.Rank(), 2)
			require.LessOrEqual(t, 2*images.Size(), len(data)) // float16 at the least
		}
		if images, err := npy.ReadImagesScaled(path, 1./255); err != nil {
			require.NotContains(t, err.Error(), "\n")
		} else {
			require.LessOrEqual(t, images.Size(), len(data)) // a byte each at the least
		}
		if labels, err := npy.ReadLabels(path); err != nil {
			require.NotContains(t, err.Error(), "\n")
		} else {
			require.LessOrEqual(t, len(labels), len(data))
		}
	})
}
