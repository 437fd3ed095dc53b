package datasets

import (
	"context"
	"image"
	"image/color"
	"image/png"
	"os"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestGlyphsLoad(t *testing.T) {
	train, test, err := Load(context.Background(), "glyphs", Options{})
	require.NoError(t, err)
	assert.Equal(t, 6000, train.Len())
	assert.Equal(t, 1000, test.Len())
	assert.Equal(t, []int{28, 28, 1}, train.Shape)
	assert.Equal(t, digitNames, train.ClassNames)
	o := Options{Seed: 3, Glyphs: GlyphOptions{Scripts: []string{"greek", "cyrillic"}, Classes: 12, Train: 5, Test: 2}}
	train, test, err = Load(context.Background(), "glyphs", o)
	require.NoError(t, err)
	assert.Equal(t, []int{60, 24, 12}, []int{train.Len(), test.Len(), test.Classes})
	assert.Equal(t, "Γ", train.ClassNames[0])
	again, _, err := Load(context.Background(), "glyphs", o)
	require.NoError(t, err)
	assert.Equal(t, train.Checksum(), again.Checksum())
	// No test example is a training example.
	seen := map[string]bool{}
	for i := range train.Len() {
		seen[string(train.Bytes(i))] = true
	}
	assert.Len(t, seen, train.Len())
	for i := range test.Len() {
		assert.False(t, seen[string(test.Bytes(i))])
	}
	_, err = Verify(context.Background(), "glyphs", o)
	require.NoError(t, err)
}

// An example depends on seed, class and index alone: not on the number of classes or examples, nor on the order.
func TestGlyphsAreAFunction(t *testing.T) {
	few, err := NewGlyphGenerator(5, GlyphOptions{Scripts: []string{"digits"}, Classes: 3})
	require.NoError(t, err)
	many, err := NewGlyphGenerator(5, GlyphOptions{Scripts: ScriptNames})
	require.NoError(t, err)
	small, err := few.Set("train", 4, 2)
	require.NoError(t, err)
	large, err := many.Set("train", 0, 10)
	require.NoError(t, err)
	for i := range 2 {
		for c := range 3 {
			assert.Equal(t, large.Bytes((i+4)*many.Classes()+c), small.Bytes(i*3+c))
			assert.Equal(t, many.Image(c, i+4), small.Bytes(i*3+c))
		}
	}
	other, err := NewGlyphGenerator(6, GlyphOptions{})
	require.NoError(t, err)
	assert.NotEqual(t, few.Image(1, 0), other.Image(1, 0))
	assert.NotEqual(t, few.Image(1, 0), few.Image(1, 1))
	var wait sync.WaitGroup
	for i := range 4 {
		wait.Go(func() { assert.Equal(t, large.Bytes(i*many.Classes()), many.Image(0, i)) })
	}
	wait.Wait()
}

// The images must not drift: results are cached by them. Other processors may round differently.
func TestGlyphsGolden(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the checksum was taken on amd64")
	}
	gen, err := NewGlyphGenerator(1, GlyphOptions{Scripts: ScriptNames, Classes: 200})
	require.NoError(t, err)
	s, err := gen.Set("train", 0, 3)
	require.NoError(t, err)
	assert.Equal(t, "614677a3f11681aad95e3d42d04e487c", s.Checksum())
}

func TestGlyphsAnyNumberOfClasses(t *testing.T) {
	gen, err := NewGlyphGenerator(1, GlyphOptions{Scripts: ScriptNames, Classes: 1000})
	require.NoError(t, err)
	s, err := gen.Set("train", 0, 1)
	require.NoError(t, err)
	assert.Equal(t, 1000, s.Classes)
	names := map[string]bool{}
	for i, name := range s.ClassNames {
		names[name] = true
		ink := 0
		for _, v := range s.Bytes(i) {
			ink += int(v)
		}
		assert.Greater(t, ink, 20*200, "%s is blank", name)
		assert.Less(t, ink, 28*28*200, "%s is a blot", name)
	}
	assert.Len(t, names, 1000)
}

// Some ink may touch the border, as slanted strokes do; most images must be whole.
func TestGlyphsAreInside(t *testing.T) {
	gen, err := NewGlyphGenerator(2, GlyphOptions{Scripts: ScriptNames})
	require.NoError(t, err)
	s, err := gen.Set("train", 0, 20)
	require.NoError(t, err)
	cut := 0
	for i := range s.Len() {
		b, most := s.Bytes(i), uint8(0)
		for k := range 28 {
			most = max(most, b[k], b[27*28+k], b[28*k], b[28*k+27])
		}
		if most > 128 {
			cut++
		}
	}
	assert.Less(t, float64(cut)/float64(s.Len()), 0.02)
}

// The labels mean something: nearest neighbors in pixel space find the digit, and cannot when labels are shifted.
func TestGlyphsAreLearnable(t *testing.T) {
	train, test, err := Load(context.Background(), "glyphs", Options{Glyphs: GlyphOptions{Train: 150, Test: 20}})
	require.NoError(t, err)
	right := 0
	for i := range test.Len() {
		a, best, label := test.Bytes(i), 1<<62, int32(-1)
		for j := range train.Len() {
			d := 0
			for k, v := range train.Bytes(j) {
				x := int(a[k]) - int(v)
				d += x * x
			}
			if d < best {
				best, label = d, train.Labels[j]
			}
		}
		if label == test.Labels[i] {
			right++
		}
	}
	assert.Greater(t, float64(right)/float64(test.Len()), 0.9)
}

func TestGlyphsRefuse(t *testing.T) {
	for want, o := range map[string]GlyphOptions{
		`no script "runes"`:         {Scripts: []string{"runes"}},
		`character '0' twice`:       {Scripts: []string{"digits", "digits"}},
		"no font has the character": {Characters: "ab語"},
		"character ' '":             {Characters: "a b"},
		"-1 classes":                {Classes: -1},
		"111 classes wanted":        {Classes: 111},
		"-5 examples":               {Train: -5},
	} {
		_, _, err := Load(context.Background(), "glyphs", Options{Glyphs: o})
		assert.ErrorContains(t, err, want)
	}
	gen, err := NewGlyphGenerator(1, GlyphOptions{})
	require.NoError(t, err)
	_, err = gen.Set("train", -1, 1)
	assert.ErrorContains(t, err, "from -1")
	_, err = gen.Set("train", 0, 1<<40)
	assert.ErrorContains(t, err, "too many")
}

func BenchmarkGlyph(b *testing.B) {
	gen, err := NewGlyphGenerator(1, GlyphOptions{Scripts: ScriptNames})
	require.NoError(b, err)
	r, out := newRenderer(), make([]uint8, glyphSide*glyphSide)
	for i := range b.N {
		gen.render(r, out, i%gen.Classes(), i, anyFont)
	}
}

// With GLYPH_SHEET=FILE.png it draws a sheet of all characters, and some pairs, to look at.
func TestGlyphsSheet(t *testing.T) {
	path := os.Getenv("GLYPH_SHEET")
	if path == "" {
		t.Skip("GLYPH_SHEET names no file")
	}
	gen, err := NewGlyphGenerator(1, GlyphOptions{Scripts: ScriptNames, Classes: 300})
	require.NoError(t, err)
	const columns = 6
	img := image.NewGray(image.Rect(0, 0, 28*columns*10, 28*gen.Classes()/10))
	for c := range gen.Classes() {
		for i := range columns {
			for p, v := range gen.Image(c, i) {
				img.SetGray(28*(columns*(c%10)+i)+p%28, 28*(c/10)+p/28, color.Gray{Y: v})
			}
		}
	}
	f, err := os.Create(path)
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, png.Encode(f, img))
}

// In its own typeface an example is the one that Image draws; in another the pose stays and the shape does not.
func TestGlyphsInATypeface(t *testing.T) {
	gen, err := NewGlyphGenerator(4, GlyphOptions{Scripts: []string{"digits", "latin"}})
	require.NoError(t, err)
	fonts, err := loadFonts()
	require.NoError(t, err)
	require.Len(t, TypefaceNames, len(fonts))
	own := map[string]bool{}
	for index := range 40 {
		image, found := gen.Image(5, index), 0
		for _, name := range TypefaceNames {
			in, err := gen.ImageIn(name, 5, index)
			require.NoError(t, err)
			if string(in) == string(image) {
				found++
				own[name] = true
			}
		}
		assert.Equal(t, 1, found, "example %d", index)
	}
	assert.Greater(t, len(own), 8, "the fonts are drawn")
	again, err := gen.ImageIn("go-mono", 7, testFrom)
	require.NoError(t, err)
	in, err := gen.ImageIn("go-mono", 7, testFrom)
	require.NoError(t, err)
	assert.Equal(t, in, again)
	_, err = gen.ImageIn("comic", 0, 0)
	require.ErrorContains(t, err, `no typeface "comic": want one of liberation-sans, `)
	greek, err := NewGlyphGenerator(4, GlyphOptions{Characters: "Ж"})
	require.NoError(t, err)
	_, err = greek.ImageIn("latin-modern-roman", 0, 0)
	require.ErrorContains(t, err, `typeface latin-modern-roman has no "Ж"`)
}
