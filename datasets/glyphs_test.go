package datasets

import (
	"context"
	"image"
	"image/color"
	"image/png"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestGlyphsSheet(t *testing.T) {
	path := os.Getenv("GLYPH_SHEET")
	if path == "" {
		t.Skip("no picture wanted")
	}
	gen, err := NewGlyphGenerator(1, GlyphOptions{Scripts: ScriptNames})
	require.NoError(t, err)
	img := image.NewGray(image.Rect(0, 0, 28*24, 28*gen.Classes()))
	for c := range gen.Classes() {
		for i := range 24 {
			for p, v := range gen.Image(c, i) {
				img.SetGray(28*i+p%28, 28*c+p/28, color.Gray{Y: v})
			}
		}
	}
	f, err := os.Create(path)
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, png.Encode(f, img))
}

func TestGlyphsLoad(t *testing.T) {
	train, test, err := Load(context.Background(), "glyphs", Options{})
	require.NoError(t, err)
	assert.Equal(t, 6000, train.Len())
	assert.Equal(t, 1000, test.Len())
	assert.Equal(t, digitNames, train.ClassNames)
}
