package datasets

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"codeberg.org/go-fonts/latin-modern/lmmono10regular"
	"codeberg.org/go-fonts/latin-modern/lmroman10italic"
	"codeberg.org/go-fonts/latin-modern/lmroman10regular"
	"codeberg.org/go-fonts/latin-modern/lmsans10regular"
	"codeberg.org/go-fonts/liberation/liberationmonoregular"
	"codeberg.org/go-fonts/liberation/liberationsansbold"
	"codeberg.org/go-fonts/liberation/liberationsansitalic"
	"codeberg.org/go-fonts/liberation/liberationsansregular"
	"codeberg.org/go-fonts/liberation/liberationserifbold"
	"codeberg.org/go-fonts/liberation/liberationserifitalic"
	"codeberg.org/go-fonts/liberation/liberationserifregular"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goitalic"
	"golang.org/x/image/font/gofont/gomono"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// TypefaceNames are the typefaces that [GlyphGenerator.ImageIn] takes. Not every one has every script.
var TypefaceNames = []string{
	"liberation-sans", "liberation-sans-bold", "liberation-sans-italic",
	"liberation-serif", "liberation-serif-bold", "liberation-serif-italic", "liberation-mono",
	"latin-modern-roman", "latin-modern-roman-italic", "latin-modern-sans", "latin-modern-mono",
	"go", "go-bold", "go-italic", "go-mono",
}

// loadFonts parses the fonts, once, in the order of their names.
var loadFonts = sync.OnceValues(func() ([]*sfnt.Font, error) {
	var fonts []*sfnt.Font
	for _, data := range [][]byte{
		liberationsansregular.TTF, liberationsansbold.TTF, liberationsansitalic.TTF,
		liberationserifregular.TTF, liberationserifbold.TTF, liberationserifitalic.TTF, liberationmonoregular.TTF,
		lmroman10regular.TTF, lmroman10italic.TTF, lmsans10regular.TTF, lmmono10regular.TTF,
		goregular.TTF, gobold.TTF, goitalic.TTF, gomono.TTF,
	} {
		f, err := sfnt.Parse(data)
		if err != nil {
			return nil, fmt.Errorf("glyphs: font: %w", err)
		}
		fonts = append(fonts, f)
	}
	return fonts, nil
})

// outline returns the outline of a character at 1,024 units an em, none where the font lacks it or leaves it blank.
func outline(f *sfnt.Font, buf *sfnt.Buffer, r rune) (sfnt.Segments, error) {
	id, err := f.GlyphIndex(buf, r)
	if err == nil && id == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("glyphs: character %q: %w", r, err)
	}
	segments, err := f.LoadGlyph(buf, id, fixed.I(1024), nil)
	if errors.Is(err, sfnt.ErrColoredGlyph) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("glyphs: character %q: %w", r, err)
	}
	if box := segments.Bounds(); box.Empty() {
		return nil, nil
	}
	return slices.Clone(segments), nil // the buffer is used again
}
