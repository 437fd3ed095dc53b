package paired

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"
)

// write stores a picture as PNG, or as JPEG where its name ends so.
func write(t *testing.T, img image.Image, path ...string) {
	t.Helper()
	name := filepath.Join(path...)
	require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
	require.NoError(t, os.WriteFile(name, encoded(t, img, filepath.Ext(name) == ".jpg"), 0o644))
}

func encoded(t testing.TB, img image.Image, asJPEG bool) []byte {
	t.Helper()
	var b bytes.Buffer
	if asJPEG {
		require.NoError(t, jpeg.Encode(&b, img, &jpeg.Options{Quality: 100}))
	} else {
		require.NoError(t, png.Encode(&b, img))
	}
	return b.Bytes()
}

// filled is a picture whose left half has one color and whose right half has another.
func filled(w, h int, left, right color.NRGBA) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.SetNRGBA(x, y, left)
			if x >= w/2 {
				img.SetNRGBA(x, y, right)
			}
		}
	}
	return img
}

// values returns the pixel at the upper left of image k.
func values(images *tensors.Tensor, k int) []float32 {
	flat := tensors.MustCopyFlatData[float32](images)
	size := len(flat) / images.Shape().Dimensions[0]
	return flat[k*size : k*size+3]
}

var (
	red   = color.NRGBA{255, 0, 0, 255}
	green = color.NRGBA{0, 255, 51, 255}
)

func TestLoadSideBySide(t *testing.T) {
	dir := t.TempDir()
	write(t, filled(16, 8, red, green), dir, "b.png")
	gray := image.NewGray(image.Rect(0, 0, 16, 8))
	gray.SetGray(0, 0, color.Gray{255})
	write(t, gray, dir, "a.PNG")
	write(t, filled(16, 8, color.NRGBA{0, 0, 0, 0}, color.NRGBA{255, 0, 0, 51}), dir, "c.png") // transparent
	write(t, filled(16, 8, color.NRGBA{255, 255, 255, 255}, color.NRGBA{0, 0, 0, 255}), dir, "d.jpg")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "notes.txt"), []byte("not a picture"), 0o644))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "e.png"), 0o755))
	s, err := LoadSideBySide(dir)
	require.NoError(t, err)
	require.Equal(t, []int{4, 8, 8, 3}, s.Source.Shape().Dimensions)
	require.Nil(t, s.Labels)
	require.Equal(t, []float32{1, 1, 1}, values(s.Source, 0))
	require.Equal(t, []float32{-1, -1, -1}, values(s.Target, 0))
	require.Equal(t, []float32{1, -1, -1}, values(s.Source, 1))
	require.InDeltaSlice(t, []float32{-1, 1, -0.6}, values(s.Target, 1), 1e-6)
	require.Equal(t, []float32{1, 1, 1}, values(s.Source, 2), "white paper behind")
	require.InDeltaSlice(t, []float32{1, 0.6, 0.6}, values(s.Target, 2), 1e-6)
	require.InDeltaSlice(t, []float32{1, 1, 1}, values(s.Source, 3), 0.02)
	require.InDeltaSlice(t, []float32{-1, -1, -1}, values(s.Target, 3), 0.02)
	// Every pixel is where it was.
	flat := tensors.MustCopyFlatData[float32](s.Source)
	for i := 8 * 8 * 3; i < 2*8*8*3; i += 3 {
		require.Equal(t, []float32{1, -1, -1}, flat[i:i+3])
	}
}

func TestLoadSideBySideRefuses(t *testing.T) {
	for want, make := range map[string]func(dir string){
		"pair images must be twice as wide as high, got 64×64 (b.png)": func(dir string) { write(t, filled(64, 64, red, red), dir, "b.png") },
		"images differ in size: a.png has 8×8, b.png 4×4":              func(dir string) { write(t, filled(8, 4, red, red), dir, "b.png") },
		"b.png: no PNG or JPEG picture, or a damaged one":              func(dir string) { broken(t, dir, "b.png", 0) },
		"b.png: a damaged picture":                                     func(dir string) { broken(t, dir, "b.png", 60) },
		"K=1: the relation loss needs at least 2 pairs":                func(string) {},
		"b.png: 5000×2 pixels: want 1 to 4096 a side":                  func(dir string) { write(t, filled(5000, 2, red, red), dir, "b.png") },
	} {
		dir := t.TempDir()
		write(t, filled(16, 8, red, green), dir, "a.png")
		make(dir)
		_, err := LoadSideBySide(dir)
		require.ErrorContains(t, err, want)
	}
	_, err := LoadSideBySide(t.TempDir())
	require.ErrorContains(t, err, "holds no PNG or JPEG files")
	_, err = LoadSideBySide(filepath.Join(t.TempDir(), "missing"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

// broken writes the first bytes of a picture.
func broken(t *testing.T, dir, name string, keep int) {
	t.Helper()
	data := encoded(t, filled(16, 8, red, green), false)
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), data[:keep], 0o644))
}

func TestLoadFolders(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	for _, name := range []string{"2.png", "10.png", "1.jpg"} {
		write(t, filled(12, 8, red, red), a, name)
		write(t, filled(12, 8, green, red), b, name)
	}
	s, err := LoadFolders(a, b)
	require.NoError(t, err)
	require.Equal(t, []int{3, 8, 12, 3}, s.Target.Shape().Dimensions)
	require.InDeltaSlice(t, []float32{-1, 1, -0.6}, values(s.Target, 1), 1e-6)
	require.Equal(t, []float32{1, -1, -1}, values(s.Source, 2))

	write(t, filled(12, 8, red, red), a, "3.png")
	_, err = LoadFolders(a, b)
	require.ErrorContains(t, err, "few-shot set is not paired: 4 source, 3 target images: "+b+" lacks 3.png")
	write(t, filled(12, 12, red, red), b, "3.png")
	_, err = LoadFolders(a, b)
	require.ErrorContains(t, err, "source and target sizes differ: 12×8, 12×12 (3.png)")
	write(t, filled(12, 12, red, red), a, "3.png")
	_, err = LoadFolders(a, b)
	require.ErrorContains(t, err, "images differ in size: 1.jpg has 12×8, 3.png 12×12")
	require.NoError(t, os.Remove(filepath.Join(a, "3.png")))
	_, err = LoadFolders(a, b)
	require.ErrorContains(t, err, a+" lacks 3.png")
	broken(t, a, "3.png", 30)
	_, err = LoadFolders(a, b)
	require.ErrorContains(t, err, filepath.Join(a, "3.png"))
	_, err = LoadFolders(a, t.TempDir())
	require.ErrorContains(t, err, "holds no PNG or JPEG files")
}

// Whatever the bytes, they decode to a picture of RGB in [-1, 1], or are an error.
func FuzzDecodePicture(f *testing.F) {
	f.Add(encoded(f, filled(6, 3, red, green), false))
	f.Add(encoded(f, filled(6, 3, red, green), true))
	f.Add(encoded(f, image.NewGray16(image.Rect(0, 0, 2, 5)), false))
	f.Add(encoded(f, filled(2, 1, color.NRGBA{9, 8, 7, 3}, red), false))
	f.Add([]byte("\x89PNG\r\n\x1a\n"))
	f.Add([]byte{0xff, 0xd8, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, _, err := image.DecodeConfig(bytes.NewReader(data)); err == nil && c.Width*c.Height > 1<<16 {
			t.Skip("large")
		}
		p, err := decodePicture(data)
		if err != nil {
			return
		}
		if len(p.pixels) != 3*p.height*p.width || p.height < 1 || p.width < 1 {
			t.Fatalf("%d×%d, %d values", p.width, p.height, len(p.pixels))
		}
		for _, v := range p.pixels {
			if !(v >= -1 && v <= 1) || math.IsNaN(float64(v)) {
				t.Fatalf("value %g", v)
			}
		}
	})
}
