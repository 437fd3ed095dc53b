package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/npy"
)

// rawArray writes an NPY file of any type: code with its byte order, values in the order of the file.
func rawArray(t *testing.T, path, code string, fortran bool, values any, shape ...int) {
	t.Helper()
	order := binary.ByteOrder(binary.LittleEndian)
	if code[0] == '>' {
		order = binary.BigEndian
	}
	var data bytes.Buffer
	require.NoError(t, binary.Write(&data, order, values))
	dims := strings.ReplaceAll(strings.Trim(fmt.Sprint(shape), "[]"), " ", ", ")
	if len(shape) == 1 {
		dims += ","
	}
	turned := map[bool]string{true: "True", false: "False"}[fortran]
	head := fmt.Sprintf("{'descr': '%s', 'fortran_order': %s, 'shape': (%s), }\n", code, turned, dims)
	file := append([]byte("\x93NUMPY\x01\x00"), byte(len(head)), byte(len(head)>>8))
	require.NoError(t, os.WriteFile(path, append(append(file, head...), data.Bytes()...), 0o600))
}

// TestArraysAsPeopleHaveThem: the same images and labels in every form give the same figures.
func TestArraysAsPeopleHaveThem(t *testing.T) {
	const n, side, classes = 6, 6, 3
	dir := t.TempDir()
	model, err := os.ReadFile(filepath.Join(home, "nets", "onnx", "testdata", "mlp_new.onnx"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "m.onnx"), model, 0o600))
	at := func(name string) string { return filepath.Join(dir, name) }
	const size = n * side * side
	pixels, bytesOf, wide, turned := make([]float32, size), make([]byte, size), make([]float64, size), make([]float32, size)
	for i := range size {
		bytesOf[i] = byte(97 * i)
		pixels[i] = float32(float64(bytesOf[i]) / 255)
		wide[i] = float64(pixels[i])
		row, y, x := i/(side*side), i%(side*side)/side, i%side
		turned[row+n*(y+side*x)] = pixels[i]
	}
	saveArray(t, at("x.npy"), pixels, n, 1, side, side)
	saveArray(t, at("y.npy"), []int64{0, 1, 2, 0, 1, 2}, n)
	rawArray(t, at("fortran.npy"), "<f4", true, turned, n, 1, side, side)
	rawArray(t, at("big.npy"), ">f8", false, wide, n, 1, side, side)
	rawArray(t, at("bytes.npy"), "|u1", false, bytesOf, n, 1, side, side)
	oneHot := make([]byte, n*classes)
	for i := range n {
		oneHot[classes*i+i%classes] = 1
	}
	rawArray(t, at("y_u1.npy"), "|u1", false, []byte{0, 1, 2, 0, 1, 2}, n)
	rawArray(t, at("y_i2.npy"), ">i2", false, []int16{0, 1, 2, 0, 1, 2}, n)
	rawArray(t, at("y_column.npy"), "|u1", false, []byte{0, 1, 2, 0, 1, 2}, n, 1)
	rawArray(t, at("y_hot.npy"), "|b1", false, oneHot, n, classes)
	rawArray(t, at("targets.npy"), "|u1", false, []byte{2, 2, 1, 2, 2, 1}, n, 1)

	figures := func(args ...string) string {
		got := trustbook(t, dir, append([]string{"attack", "--model", "m.onnx", "--attack", "fgsm", "--epsilon", "0.1",
			"--backend", "go", "--json"}, args...)...)
		require.Equal(t, fine, got.status, got.stderr)
		var out map[string]any
		require.NoError(t, json.Unmarshal([]byte(got.stdout), &out))
		delete(out, "seconds")
		return fmt.Sprint(out)
	}
	want := figures("--inputs", "x.npy", "--labels", "y.npy", "--out", "plain.npy")
	for _, args := range [][]string{
		{"--inputs", "fortran.npy", "--labels", "y_u1.npy"}, {"--inputs", "big.npy", "--labels", "y_i2.npy"},
		{"--inputs", "bytes.npy", "--scale", "1/255", "--labels", "y_column.npy", "--out", "scaled.npy"},
		{"--inputs", "bytes.npy", "--scale", "0.00392156862745098", "--labels", "y_hot.npy"},
		{"--inputs", "bytes.npy", "--scale", " 1 / 255 ", "--bounds", "0,1", "--labels", "y.npy"},
	} {
		require.Equal(t, want, figures(args...), args)
	}
	read := func(name string) []float32 {
		images, err := npy.ReadImages(at(name))
		require.NoError(t, err)
		require.Equal(t, []int{n, 1, side, side}, images.Shape().Dimensions)
		return tensors.MustCopyFlatData[float32](images)
	}
	require.Equal(t, read("plain.npy"), read("scaled.npy"), "the output is in the scale that the model takes")
	targeted := figures("--inputs", "bytes.npy", "--scale", "1/255", "--labels", "y.npy", "--targets", "targets.npy")
	require.NotEqual(t, want, targeted)

	// As they are, for a model that takes 0 to 255: the output is in 255ths too.
	figures("--inputs", "bytes.npy", "--bounds", "0,255", "--labels", "y.npy", "--out", "bytes_out.npy")
	for i, v := range read("bytes_out.npy") {
		require.InDelta(t, float64(bytesOf[i]), v, 0.1+1e-4)
	}
	for _, c := range [][]string{
		{"weights", "--epsilon", "0.001", "--steps", "2", "--draws", "1", "--bits", "8", "--backend", "go"},
		{"score", "--points", "3", "--perturbations", "noise", "--backend", "go"},
	} {
		plain := trustbook(t, dir, append(c, "--model", "m.onnx", "--inputs", "x.npy", "--labels", "y.npy", "--json")...)
		scaled := trustbook(t, dir, append(c, "--model", "m.onnx", "--inputs", "bytes.npy", "--scale", "1/255", "--labels", "y_hot.npy",
			"--json")...)
		require.Equal(t, fine, plain.status, plain.stderr)
		require.Equal(t, plain.stdout, scaled.stdout, scaled.stderr)
	}
}

// TestArraysRefused: what is in doubt is refused by a line that names what the flag in question takes.
func TestArraysRefused(t *testing.T) {
	dir, good := attackFolder(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	pixels := make([]byte, 6*784)
	pixels[3] = 255
	rawArray(t, at("bytes.npy"), "|u1", false, pixels, 6, 1, 28, 28)
	rawArray(t, at("words.npy"), "<u2", false, make([]uint16, 6*784), 6, 1, 28, 28)
	rawArray(t, at("objects.npy"), "|O", false, pixels[:10], 6)
	rawArray(t, at("complex.npy"), "<c8", false, make([]float32, 2*6*784), 6, 1, 28, 28)
	rawArray(t, at("scores.npy"), "<f4", false, make([]float32, 60), 6, 10)
	rawArray(t, at("row.npy"), "|u1", false, []byte{0, 1, 2, 3, 4, 5}, 1, 6)
	loud := blobs(6)
	loud[7] = 200
	saveArray(t, at("loud.npy"), loud, 6, 1, 28, 28)
	saveArray(t, at("floats.npy"), []float32{0, 1, 2, 3, 4, 5}, 6)
	for _, c := range []struct {
		flag, value string
		words       []string
	}{
		{"--inputs", "bytes.npy", []string{"--inputs bytes.npy: holds uint8", "--scale 1/255", "--bounds 0,255"}},
		{"--inputs", "words.npy", []string{"--inputs words.npy: holds uint16", "--scale 1/65535", "--bounds 0,65535"}},
		{"--inputs", "objects.npy", []string{"Python objects", "want float32 or float64 images"}},
		{"--inputs", "complex.npy", []string{"complex numbers", "want float32 or float64 images"}},
		{"--inputs", "loud.npy", []string{"200", "outside the bounds [0, 1]", "--scale 1/255", "--bounds"}},
		{"--labels", "objects.npy", []string{"Python objects", "want int64 or int32 labels"}},
		{"--labels", "floats.npy", []string{"--labels floats.npy: holds float32", "astype('int64')"}},
		{"--labels", "scores.npy", []string{"--labels scores.npy", "row 0 is not one-hot", "argmax(1)"}},
		{"--labels", "row.npy", []string{"--labels row.npy", "reshape(-1)"}},
		{"--targets", "floats.npy", []string{"--targets floats.npy", "want int64 or int32 labels"}},
		{"--scale", "0", []string{"--scale 0", "1/255"}},
		{"--scale", "-1/255", []string{"--scale -1/255"}},
		{"--scale", "1/0", []string{"--scale 1/0"}},
		{"--scale", "nan", []string{"--scale nan"}},
		{"--scale", "1/255/255", []string{"--scale 1/255/255"}},
		{"--scale", "inf", []string{"--scale inf"}},
		{"--scale", "", []string{"--scale: is empty"}},
		{"--scale", "1e30", []string{"outside the bounds"}},
	} {
		t.Run(c.flag+c.value, func(t *testing.T) { fails(t, dir, command(dir, with(good, c.flag, c.value)...), wrongUse, c.words...) })
	}
	t.Run("white above the bounds", func(t *testing.T) {
		fails(t, dir, command(dir, with(with(good, "--inputs", "bytes.npy"), "--bounds", "0,1")...), wrongUse, "255", "[0, 1]", "--scale 1/255")
	})
}

// What the flags say of the model reaches the importer.
func TestOutputIsPassedOn(t *testing.T) {
	f := modelFlags{bounds: "-1,1", output: "logits"}
	o, err := f.options(func(string) bool { return false })
	require.NoError(t, err)
	require.Equal(t, "logits", o.Output)
	require.Equal(t, []float64{-1, 1}, []float64{o.Lower, o.Upper})
}
