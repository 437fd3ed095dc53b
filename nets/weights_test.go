package nets_test

import (
	"archive/zip"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/core/tensors/numpy"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/nets"
)

func tinyMLP(t testing.TB, seed int64) *nets.Model {
	t.Helper()
	m, err := nets.NewMLP(nets.MLPConfig{Input: []int{3}, Hidden: []int{4}, Classes: 2, Seed: seed})
	require.NoError(t, err)
	return m
}

func TestWeightsRoundTrip(t *testing.T) {
	a, b := tinyMLP(t, 1), tinyMLP(t, 2)
	path := filepath.Join(t.TempDir(), "w.npz")
	require.NoError(t, a.SaveWeights(path))
	require.NotEqual(t, flatWeights(t, a), flatWeights(t, b))
	require.NoError(t, b.LoadWeights(path))
	require.Equal(t, flatWeights(t, a), flatWeights(t, b))

	// An independent reader agrees, and equal weights give equal bytes.
	arrays, err := numpy.FromNpzFile(path)
	require.NoError(t, err)
	require.Len(t, arrays, 4)
	want, err := a.Weights()[0].Value()
	require.NoError(t, err)
	require.True(t, arrays["dense_0/weights"].Equal(want))
	again := filepath.Join(t.TempDir(), "again.npz")
	require.NoError(t, b.SaveWeights(again))
	x, err := os.ReadFile(path)
	require.NoError(t, err)
	y, err := os.ReadFile(again)
	require.NoError(t, err)
	require.Equal(t, x, y)
}

func TestSaveWeightsLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	require.Error(t, tinyMLP(t, 1).SaveWeights(filepath.Join(dir, "missing", "w.npz")))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries)
}

// TestLoadWeightsErrors damages a good archive in every way that a user may meet: one line that says what was wrong, and
// no weight changed.
func TestLoadWeightsErrors(t *testing.T) {
	m := tinyMLP(t, 1)
	good := savedWeights(t, m)
	cases := map[string]struct {
		data []byte
		want string
	}{
		"empty":         {nil, "not an .npz archive"},
		"text":          {[]byte("hello"), "not an .npz archive"},
		"truncated":     {good[:len(good)-30], "not an .npz archive, or truncated"},
		"other network": {npz(t, map[string]*tensors.Tensor{"fc": tensors.FromValue([]float32{1})}), `no array "dense_0/weights"`},
		"more arrays":   {edited(t, good, "extra", tensors.FromValue([]float32{1})), `array "extra" is not one of the 4 weights`},
		"transposed":    {edited(t, good, "dense_0/weights", tensors.FromShape(mustShape(4, 3))), "has shape [4 3]: want [3 4]"},
		"float64":       {edited(t, good, "dense_0/biases", tensors.FromValue([]float64{1, 2, 3, 4})), `dtype "<f8"`},
		"NaN":           {edited(t, good, "dense_1/biases", tensors.FromValue([]float32{0, nan})), "value 1 is NaN"},
		"bit flip":      {flipped(good, "dense_1/weights"), "damaged"},
		"no header":     {raw(t, good, "dense_0/biases", []byte("\x93NUMPY\x01\x00\xff\xff{")), "truncated within its header"},
		"bad header":    {raw(t, good, "dense_0/biases", []byte("\x93NUMPY\x01\x00\x02\x00{\n")), "does not parse"},
		"huge claim": {raw(t, good, "dense_0/biases",
			array("{'descr': '<f4', 'fortran_order': False, 'shape': (4000000000, 4000000000), }\n")), "want [4]"},
		"negative": {raw(t, good, "dense_0/biases", array("{'descr': '<f4', 'fortran_order': False, 'shape': (-4,), }\n")), "want [4]"},
		"no data":  {raw(t, good, "dense_0/biases", array("{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }\n")), "needs 16 bytes"},
		"bomb": {raw(t, good, "dense_0/biases",
			append(array("{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }\n"), make([]byte, 10<<20)...)), "needs 16 bytes"},
		"fortran": {raw(t, good, "dense_0/weights",
			array("{'descr': '<f4', 'fortran_order': True, 'shape': (3, 4), }\n")), "Fortran order true"},
	}
	before := flatWeights(t, m)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "w.npz")
			require.NoError(t, os.WriteFile(path, c.data, 0o600))
			err := m.LoadWeights(path)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "\n")
			require.Equal(t, before, flatWeights(t, m))
		})
	}
	require.ErrorContains(t, m.LoadWeights(filepath.Join(t.TempDir(), "none.npz")), "no such file")
	require.ErrorContains(t, m.LoadWeights(t.TempDir()), "not a regular file")
}

func FuzzLoadWeights(f *testing.F) {
	m := tinyMLP(f, 1)
	good := savedWeights(f, m)
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add(raw(f, good, "dense_0/biases", array("{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }\n")))
	path := filepath.Join(f.TempDir(), "w.npz")
	f.Fuzz(func(t *testing.T, data []byte) {
		require.NoError(t, os.WriteFile(path, data, 0o600))
		if err := m.LoadWeights(path); err != nil {
			require.NotContains(t, err.Error(), "\n")
			return
		}
		for _, v := range flatWeights(t, m) {
			require.Zero(t, v-v)
		}
	})
}

func savedWeights(t testing.TB, m *nets.Model) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "good.npz")
	require.NoError(t, m.SaveWeights(path))
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return data
}

func npz(t testing.TB, arrays map[string]*tensors.Tensor) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, numpy.ToNpzWriter(arrays, &b))
	return b.Bytes()
}

// edited returns the archive with one array replaced or added.
func edited(t testing.TB, archive []byte, name string, value *tensors.Tensor) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, numpy.ToNpyWriter(value, &b))
	return raw(t, archive, name, b.Bytes())
}

// raw returns the archive with one entry's bytes replaced or added, compressed.
func raw(t testing.TB, archive []byte, name string, content []byte) []byte {
	t.Helper()
	old, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	require.NoError(t, err)
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range old.File {
		if e.Name == name+".npy" {
			continue
		}
		from, err := e.Open()
		require.NoError(t, err)
		to, err := w.Create(e.Name)
		require.NoError(t, err)
		_, err = io.Copy(to, from)
		require.NoError(t, err)
	}
	to, err := w.Create(name + ".npy")
	require.NoError(t, err)
	_, err = to.Write(content)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

// flipped changes a bit of the data of one stored array, which follows the entry's name and an 80-byte header: the
// archive's checksum must notice.
func flipped(archive []byte, name string) []byte {
	changed := bytes.Clone(archive)
	at := strings.Index(string(changed), name+".npy")
	changed[at+len(name)+4+100] ^= 1
	return changed
}

// array is a version 1 array with the given header and no data.
func array(header string) []byte {
	return append([]byte("\x93NUMPY\x01\x00"+string([]byte{byte(len(header)), 0})), header...)
}
