package fewshot

import (
	"cmp"
	"context"
	"fmt"
	"image"
	_ "image/jpeg" // formats of Folder
	_ "image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pkg/errors"
	"golang.org/x/image/draw"

	"github.com/trustbook/trustbook/datasets"
)

// Names are the class sets that [Load] knows.
var Names = []string{"glyphs", "omniglot", "folder"}

// LoadOptions says where classes come from.
type LoadOptions struct {
	Dir    string // glyphs: not used; omniglot: folder of the zips, zero: the cache; folder: holds train/ and test/
	Seed   int64  // of the glyphs' variations
	Images int    // of each class of glyphs; zero: 60
	Size   int    // height and width of images; zero: 28 for omniglot, 84 for folder. Glyphs are always 28
}

// Load reads the classes for training and for testing, which share none.
//
//	glyphs    digits and Latin letters to train on, Greek and Cyrillic ones to test on, rendered from fonts
//	omniglot  alphabets of handwritten characters, no alphabet in both
//	folder    DIR/train/CLASS/*.png and DIR/test/CLASS/*.png (or .jpg), such as miniImageNet
func Load(ctx context.Context, name string, o LoadOptions) (train, test *ClassSet, err error) {
	switch name {
	case "glyphs":
		train, test, err = glyphs(o.Seed, cmp.Or(o.Images, 60))
	case "omniglot":
		train, test, err = omniglot(ctx, o.Dir, cmp.Or(o.Size, 28))
	case "folder":
		if o.Dir == "" {
			return nil, nil, errors.New("fewshot: folder: no folder named: want one that holds train/CLASS/*.png and test/CLASS/*.png")
		}
		if train, err = Folder(ctx, filepath.Join(o.Dir, "train"), cmp.Or(o.Size, 84)); err == nil {
			test, err = Folder(ctx, filepath.Join(o.Dir, "test"), cmp.Or(o.Size, 84))
		}
	default:
		return nil, nil, errors.Errorf("fewshot: no classes %q: want one of %s", name, strings.Join(Names, ", "))
	}
	if err != nil {
		return nil, nil, err
	}
	return train, test, Disjoint(train, test)
}

func glyphs(seed int64, n int) (train, test *ClassSet, err error) {
	of := func(from int, scripts ...string) (*ClassSet, error) {
		gen, err := datasets.NewGlyphGenerator(seed, datasets.GlyphOptions{Scripts: scripts})
		if err != nil {
			return nil, err
		}
		s, err := gen.Set("train", from, n)
		if err != nil {
			return nil, err
		}
		return FromSet(s)
	}
	if train, err = of(0, "digits", "latin"); err != nil {
		return nil, nil, errors.WithMessage(err, "fewshot")
	}
	test, err = of(n, "greek", "cyrillic")
	return train, test, errors.WithMessage(err, "fewshot")
}

func omniglot(ctx context.Context, dir string, size int) (train, test *ClassSet, err error) {
	a, b, err := datasets.Load(ctx, "omniglot", datasets.Options{Dir: dir, Omniglot: datasets.OmniglotOptions{Size: size}})
	if err != nil {
		return nil, nil, errors.WithMessage(err, "fewshot")
	}
	if train, err = FromSet(a); err != nil {
		return nil, nil, err
	}
	test, err = FromSet(b)
	return train, test, err
}

// Folder reads a folder that has a folder of PNG or JPEG images for each class, scaled to size by size pixels, with three
// channels. Other files are skipped.
func Folder(ctx context.Context, dir string, size int) (*ClassSet, error) {
	if size < 1 || size > 1024 {
		return nil, errors.Errorf("fewshot: images of %d by %d pixels: want 1 to 1024", size, size)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, errors.Errorf("fewshot: no folder %s: want one that holds a folder of images for each class", dir)
	}
	var classes []Class
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		images, err := imagesIn(filepath.Join(dir, e.Name()), size)
		if err != nil {
			return nil, err
		}
		classes = append(classes, Class{Name: e.Name(), Images: images})
	}
	if len(classes) == 0 {
		return nil, errors.Errorf("fewshot: %s holds no folders: want one of images for each class", dir)
	}
	return NewClassSet(filepath.Base(filepath.Dir(dir)), []int{size, size, 3}, classes)
}

func imagesIn(dir string, size int) (images [][]float32, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, errors.Wrap(err, "fewshot")
	}
	for _, e := range entries {
		if !slices.Contains([]string{".png", ".jpg", ".jpeg"}, strings.ToLower(filepath.Ext(e.Name()))) {
			continue
		}
		pixels, err := readImage(filepath.Join(dir, e.Name()), size)
		if err != nil {
			return nil, err
		}
		images = append(images, pixels)
	}
	return images, nil
}

// maxSide bounds the pictures that are read: a damaged header asks for more than any photograph has.
const maxSide = 1 << 13

func readImage(path string, size int) ([]float32, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, errors.Wrap(err, "fewshot")
	}
	defer file.Close()
	header, _, err := image.DecodeConfig(file)
	if err != nil {
		return nil, errors.Errorf("fewshot: %s is no picture: %v", path, err)
	}
	if header.Width < 1 || header.Height < 1 || header.Width > maxSide || header.Height > maxSide {
		return nil, errors.Errorf("fewshot: %s has %d by %d pixels: want 1 to %d", path, header.Width, header.Height, maxSide)
	}
	if _, err := file.Seek(0, 0); err != nil {
		return nil, errors.Wrap(err, "fewshot")
	}
	from, _, err := image.Decode(file)
	if err != nil {
		return nil, errors.Errorf("fewshot: %s is damaged: %v", path, err)
	}
	to := image.NewRGBA(image.Rect(0, 0, size, size))
	draw.BiLinear.Scale(to, to.Rect, from, from.Bounds(), draw.Src, nil)
	pixels := make([]float32, 0, size*size*3)
	for i := 0; i < len(to.Pix); i += 4 {
		for _, v := range to.Pix[i : i+3] {
			pixels = append(pixels, float32(v)/255)
		}
	}
	return pixels, nil
}

// Describe names the set with its size, and its note if it has one.
func (s *ClassSet) Describe() string {
	text := fmt.Sprintf("%s, %d classes", s.Name, len(s.Classes))
	if s.Note != "" {
		text += " (" + s.Note + ")"
	}
	return text
}
