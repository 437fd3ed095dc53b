package datasets

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// drawingPNG makes a white square with one black pixel.
func drawingPNG(side, x, y int) []byte {
	img := image.NewPaletted(image.Rect(0, 0, side, side), color.Palette{color.White, color.Black})
	img.SetColorIndex(x, y, 1)
	var b bytes.Buffer
	_ = png.Encode(&b, img)
	return b.Bytes()
}

// zipOf makes a zip of names and contents in turn.
func zipOf(names []string, contents ...[]byte) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i, name := range names {
		w, _ := z.Create(name)
		if len(name) > 0 && name[len(name)-1] != '/' {
			_, _ = w.Write(contents[i%len(contents)])
		}
	}
	_ = z.Close()
	return b.Bytes()
}

func TestParseOmniglot(t *testing.T) {
	data := zipOf([]string{"a/Greek/character02/2.png", "a/", "a/Greek/character01/2.png",
		"a/Balinese/character01/9.png", "a/Greek/character01/1.png"},
		drawingPNG(105, 2, 0), nil, drawingPNG(105, 1, 0), drawingPNG(105, 3, 4), drawingPNG(105, 0, 0))
	s, err := ParseOmniglot(data, "train", 0)
	require.NoError(t, err)
	assert.Equal(t, []string{"Balinese/character01", "Greek/character01", "Greek/character02"}, s.ClassNames)
	assert.Equal(t, []int32{0, 1, 1, 2}, s.Labels)
	assert.Equal(t, []int{105, 105, 1}, s.Shape)
	for i, at := range []int{4*105 + 3, 0, 1, 2} {
		for p, v := range s.Bytes(i) {
			want := uint8(0)
			if p == at {
				want = 255
			}
			require.Equal(t, want, v, "drawing %d, pixel %d", i, p)
		}
	}
	s, err = ParseOmniglot(data, "train", 35) // 3x3 blocks: one pixel of nine
	require.NoError(t, err)
	assert.Equal(t, uint8(28), s.Bytes(0)[35+1])
	assert.Equal(t, []string{"Greek", "5"}, []string{Alphabet("Greek/character01"), Alphabet("5")})
}

// giantPNG is a small file whose header promises 100,000 x 100,000 pixels.
func giantPNG() []byte {
	data := drawingPNG(105, 0, 0)
	binary.BigEndian.PutUint32(data[16:], 100_000)
	binary.BigEndian.PutUint32(data[20:], 100_000)
	binary.BigEndian.PutUint32(data[29:], crc32.ChecksumIEEE(data[12:29]))
	return data
}

func TestParseOmniglotHostile(t *testing.T) {
	good := drawingPNG(105, 0, 0)
	const name = "a/Greek/character01/1.png"
	whole := zipOf([]string{name}, good)
	flipped := bytes.Clone(whole)
	flipped[len(name)+40] ^= 0xff // inside the drawing
	for what, data := range map[string][]byte{
		"empty":          nil,
		"no zip":         []byte("hello"),
		"truncated":      whole[:len(whole)-10],
		"trailing":       append(bytes.Clone(whole), "more"...),
		"leading":        append([]byte("more"), whole...),
		"damaged":        flipped,
		"no drawings":    zipOf([]string{"a/", "a/Greek/"}, nil),
		"traversal":      zipOf([]string{"../Greek/character01/1.png"}, good),
		"inner dots":     zipOf([]string{"a/../character01/1.png"}, good),
		"absolute":       zipOf([]string{"/Greek/character01/1.png"}, good),
		"backslash":      zipOf([]string{`a/..\Greek/character01/1.png`}, good),
		"too flat":       zipOf([]string{"Greek/character01/1.png"}, good),
		"too deep":       zipOf([]string{"a/b/Greek/character01/1.png"}, good),
		"another file":   zipOf([]string{"a/Greek/character01/1.exe"}, good),
		"twice":          zipOf([]string{name, name}, good),
		"giant picture":  zipOf([]string{name}, giantPNG()),
		"other size":     zipOf([]string{name}, drawingPNG(28, 0, 0)),
		"bomb":           zipOf([]string{name}, make([]byte, 1<<24)),
		"no picture":     zipOf([]string{name}, []byte("hello")),
		"picture cut":    zipOf([]string{name}, good[:len(good)-20]),
		"bytes after it": zipOf([]string{name}, append(bytes.Clone(good), "more"...)),
	} {
		_, err := ParseOmniglot(data, "train", 0)
		assert.ErrorContains(t, err, "omniglot", what)
	}
	for _, size := range []int{-1, 106} {
		_, err := ParseOmniglot(whole, "train", size)
		assert.ErrorContains(t, err, "want 1 to 105")
	}
}

// Area averages against brute force: every old pixel cut into to² parts.
func TestShrink(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const from = 15
	src := make([]uint8, from*from)
	for i := range src {
		src[i] = uint8(rng.IntN(256))
	}
	for to := 1; to <= from; to++ {
		got := shrink(src, from, to)
		for y := range to {
			for x := range to {
				sum := 0
				for j := range from {
					for i := range from {
						sum += int(src[(y*from+j)/to*from+(x*from+i)/to])
					}
				}
				require.InDelta(t, float64(sum)/(from*from), float64(got[y*to+x]), 0.5001)
			}
		}
	}
}

func TestOmniglotSplits(t *testing.T) {
	a, err := ParseOmniglot(zipOf([]string{"a/Greek/c1/1.png", "a/Korean/c1/1.png"}, drawingPNG(105, 0, 0)), "train", 28)
	require.NoError(t, err)
	b, err := ParseOmniglot(zipOf([]string{"b/Greek/c1/1.png", "b/Latin/c1/1.png", "b/Tagalog/c1/1.png"}, drawingPNG(105, 0, 0)), "test", 28)
	require.NoError(t, err)
	got, err := withoutAlphabetsOf(b, a)
	require.NoError(t, err)
	assert.Equal(t, []string{"Latin/c1", "Tagalog/c1"}, got.ClassNames)
	assert.Equal(t, []int32{0, 1}, got.Labels)
	assert.Equal(t, 2, got.Classes)
	_, err = withoutAlphabetsOf(a, a)
	assert.ErrorContains(t, err, "training split")

	dir := t.TempDir()
	for _, name := range []string{"images_background_small1.zip", "images_background_small2.zip"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), zipOf([]string{"a/Greek/c1/1.png"}, drawingPNG(105, 0, 0)), 0o600))
	}
	write := func(name string, data []byte) remote {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
		return remote{name: name, md5: fmt.Sprintf("%x", md5.Sum(data))}
	}
	background := write("1.zip", zipOf([]string{"a/Greek/c1/1.png", "a/Korean/c1/1.png"}, drawingPNG(105, 0, 0)))
	evaluation := write("2.zip", zipOf([]string{"a/Greek/c1/1.png", "a/Malay/c1/1.png"}, drawingPNG(105, 0, 0)))
	train, test, err := loadOmniglot(dir, background, evaluation, 28)
	require.NoError(t, err)
	assert.Equal(t, []string{"Greek/c1", "Korean/c1"}, train.ClassNames)
	assert.Equal(t, []string{"Malay/c1"}, test.ClassNames)
	assert.Equal(t, "1 for training, 2 for testing, no alphabet in both", test.Note)
	_, _, err = Load(context.Background(), "omniglot", Options{Dir: dir, Omniglot: OmniglotOptions{Train: "1", Test: "2"}})
	assert.ErrorContains(t, err, "no official file")

	_, _, err = Load(context.Background(), "omniglot", Options{Dir: dir})
	assert.ErrorContains(t, err, "images_background_small1.zip: ")
	assert.ErrorContains(t, err, "MD5")
}

func FuzzParseOmniglot(f *testing.F) {
	f.Add(zipOf([]string{"a/Greek/character01/1.png"}, drawingPNG(105, 0, 0)))
	f.Add(zipOf([]string{"a/Greek/character01/1.png"}, giantPNG()))
	f.Add(zipOf([]string{"../Greek/character01/1.png", "a/"}, drawingPNG(105, 0, 0)))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ParseOmniglot(data, "train", 28)
		if err == nil {
			require.Equal(t, s.Len()*28*28, len(s.pixels))
		}
	})
}

func FuzzReadDrawing(f *testing.F) {
	f.Add(drawingPNG(105, 3, 5))
	f.Add(giantPNG())
	f.Fuzz(func(t *testing.T, data []byte) {
		z, err := zip.NewReader(bytes.NewReader(zipOf([]string{"x.png"}, data)), int64(len(zipOf([]string{"x.png"}, data))))
		require.NoError(t, err)
		ink, err := readDrawing(z.File[0])
		if err == nil {
			require.Len(t, ink, 105*105)
		}
	})
}
