package report

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEncodePNG(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, c := range []struct {
		levels int
		reduce bool
		worst  int // largest difference of a channel
	}{{2, true, 0}, {6, true, 0}, {6, false, 0}, {64, false, 0}, {32, true, 64}} {
		img := image.NewRGBA(image.Rect(0, 0, 90, 70))
		level := func() uint8 { return uint8(rng.IntN(c.levels) * 255 / (c.levels - 1)) }
		for y := range 70 {
			for x := range 90 {
				img.SetRGBA(x, y, color.RGBA{level(), level(), level(), 255})
			}
		}
		data, err := encodePNG(img, c.reduce)
		require.NoError(t, err)
		again, err := encodePNG(img, c.reduce)
		require.NoError(t, err)
		require.Equal(t, data, again)
		decoded, err := png.Decode(bytes.NewReader(data))
		require.NoError(t, err)
		require.Equal(t, img.Rect, decoded.Bounds())
		worst := 0
		for y := range 70 {
			for x := range 90 {
				got, want := color.RGBAModel.Convert(decoded.At(x, y)).(color.RGBA), img.RGBAAt(x, y)
				for _, d := range []int{int(got.R) - int(want.R), int(got.G) - int(want.G), int(got.B) - int(want.B)} {
					worst = max(worst, d, -d)
				}
			}
		}
		require.LessOrEqual(t, worst, c.worst, c)
	}
}
