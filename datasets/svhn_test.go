package datasets

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The fixtures were written by SciPy 1.x (scipy.io.savemat), which has no code in common with the parser:
// X[h, w, c, n] = (7h + 3w + 50c + 11n) mod 256, y = 1, 10, 3, 9.
func TestParseSVHNGolden(t *testing.T) {
	for file, n := range map[string]int{"svhn_compressed.mat": 4, "svhn_double.mat": 2} {
		data, err := os.ReadFile("testdata/" + file)
		require.NoError(t, err)
		pixels, labels, err := ParseSVHN(data)
		require.NoError(t, err, file)
		assert.Equal(t, []int32{1, 0, 3, 9}[:n], labels)
		want := make([]uint8, 0, len(pixels))
		for i := range n {
			for h := range 32 {
				for w := range 32 {
					for c := range 3 {
						want = append(want, uint8(7*h+3*w+50*c+11*i))
					}
				}
			}
		}
		assert.Equal(t, want, pixels)
	}
}

func TestLoadSVHN(t *testing.T) {
	train := remote{name: "svhn_compressed.mat", md5: "57b0d30d16ef8d248f62df26fbc0e27c"}
	test := remote{name: "svhn_double.mat", md5: "de7d3c5fc3e8e79f4818543637eda13b"}
	a, b, err := loadSVHN("testdata", train, test)
	require.NoError(t, err)
	assert.Equal(t, []int32{1, 0, 3, 9}, a.Labels)
	assert.Equal(t, []int32{1, 0}, b.Labels)
	assert.Equal(t, []int{32, 32, 3}, a.Shape)
	_, _, err = loadSVHN("testdata", test, remote{name: test.name, md5: train.md5})
	assert.ErrorContains(t, err, "svhn_double.mat")
	assert.ErrorContains(t, err, "MD5")
}

// element makes a data element.
func element(kind uint32, body []byte) []byte {
	out := binary.LittleEndian.AppendUint32(nil, kind)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(body)))
	out = append(out, body...)
	for kind != matCompressed && len(out)%8 != 0 {
		out = append(out, 0)
	}
	return out
}

// array makes a numeric array of class uint8.
func array(name string, kind uint32, dims []int, values []byte) []byte {
	var d []byte
	for _, n := range dims {
		d = binary.LittleEndian.AppendUint32(d, uint32(n))
	}
	body := element(6, []byte{9, 0, 0, 0, 0, 0, 0, 0})
	body = append(body, element(5, d)...)
	body = append(body, element(1, []byte(name))...)
	return element(matMatrix, append(body, element(kind, values)...))
}

// pack compresses an element.
func pack(e []byte) []byte {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	_, _ = z.Write(e)
	_ = z.Close()
	return element(matCompressed, b.Bytes())
}

// matFile makes a file of elements.
func matFile(elements ...[]byte) []byte {
	out := make([]byte, matHeader)
	copy(out, "MATLAB 5.0 MAT-file")
	copy(out[124:], "\x00\x01IM")
	return append(out, bytes.Join(elements, nil)...)
}

func TestParseSVHNHostile(t *testing.T) {
	x := array("X", 2, []int{32, 32, 3, 2}, make([]byte, 6144))
	y := array("y", 2, []int{2, 1}, []byte{1, 10})
	_, labels, err := ParseSVHN(matFile(x, y))
	require.NoError(t, err)
	assert.Equal(t, []int32{1, 0}, labels)
	_, _, err = ParseSVHN(matFile(pack(y), x))
	require.NoError(t, err)

	lie := func(e []byte, at int, v uint32) []byte { // overwrite four bytes
		out := bytes.Clone(e)
		binary.LittleEndian.PutUint32(out[at:], v)
		return out
	}
	bomb := make([]byte, 16<<20)
	copy(bomb, x[:8])
	for name, data := range map[string][]byte{
		"empty":              nil,
		"header only":        matFile(),
		"another format":     bytes.Repeat([]byte("HDF"), 100),
		"no y":               matFile(x),
		"two X":              matFile(x, x, y),
		"truncated":          matFile(x, y)[:matHeader+3000],
		"trailing":           append(matFile(x, y), "more"...),
		"trailing element":   append(matFile(x, y), element(77, []byte("more"))...),
		"size past the end":  matFile(lie(x, 4, 0xffff_fff0), y),
		"inner size lies":    matFile(lie(x, 28, 0x7fff_fff0), y),
		"promises 2 GB":      matFile(pack(lie(x, 4, 0x7fff_ffff)), y),
		"promises too few":   matFile(pack(lie(x, 4, 64)), y),
		"bomb":               matFile(pack(bomb), y),
		"n = 0":              matFile(array("X", 2, []int{32, 32, 3, 0}, nil), array("y", 2, []int{0, 1}, nil)),
		"impossible n":       matFile(array("X", 2, []int{32, 32, 3, 0x7fff_ffff}, make([]byte, 6144)), y),
		"fewer values":       matFile(array("X", 2, []int{32, 32, 3, 2}, make([]byte, 3072)), y),
		"other shape":        matFile(array("X", 2, []int{2, 3, 32, 32}, make([]byte, 6144)), y),
		"signed":             matFile(array("X", 1, []int{32, 32, 3, 2}, make([]byte, 6144)), y),
		"text":               matFile(array("X", 16, []int{32, 32, 3, 2}, make([]byte, 6144)), y),
		"labels for others":  matFile(x, array("y", 2, []int{3, 1}, []byte{1, 2, 3})),
		"label 0":            matFile(x, array("y", 2, []int{2, 1}, []byte{0, 1})),
		"label 11":           matFile(x, array("y", 2, []int{2, 1}, []byte{11, 1})),
		"label 1.5":          matFile(x, array("y", 9, []int{2, 1}, []byte{0, 0, 0, 0, 0, 0, 0xf8, 0x3f, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f})),
		"bad zlib":           matFile(element(matCompressed, []byte("not compressed at all")), y),
		"zlib in zlib":       matFile(pack(pack(x)), y),
		"half a number":      matFile(x, array("y", 9, []int{1, 1}, make([]byte, 12))),
		"truncated zlib":     matFile(pack(x)[:40]),
		"data after zlib":    matFile(element(matCompressed, append(bytes.Clone(pack(x)[8:]), "0123456789"...)), y),
		"NaN label":          matFile(x, array("y", 9, []int{2, 1}, bytes.Repeat([]byte{0xff}, 16))),
		"dimension missing":  matFile(array("X", 2, []int{32}, make([]byte, 6144)), y),
		"33 dimensions":      matFile(array("X", 2, make([]int, 33), nil), y),
		"elements all empty": matFile(make([]byte, 64)),
	} {
		_, _, err := ParseSVHN(data)
		if assert.Error(t, err, name) {
			assert.NotContains(t, err.Error(), "\n", name)
		}
	}
}

func FuzzParseSVHN(f *testing.F) {
	for _, file := range []string{"svhn_compressed.mat", "svhn_double.mat"} {
		data, err := os.ReadFile("testdata/" + file)
		require.NoError(f, err)
		f.Add(data)
	}
	f.Add(matFile(array("X", 2, []int{32, 32, 3, 1}, make([]byte, 3072)), array("y", 2, []int{1, 1}, []byte{1})))
	f.Fuzz(func(t *testing.T, data []byte) {
		pixels, labels, err := ParseSVHN(data)
		if err == nil {
			_, err := New("svhn", "train", []int{32, 32, 3}, pixels, labels, 10, digitNames)
			require.NoError(t, err)
		}
	})
}
