package paired

import (
	"bytes"
	"image"
	_ "image/jpeg" // formats of the files
	_ "image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"
)

const (
	// maxSide bounds the pictures that are read: a damaged header asks for more than any set of pairs has.
	maxSide = 1 << 12
	// maxValues bounds the numbers of a domain that are read, 2 GiB of them.
	maxValues = 1 << 29
)

// LoadSideBySide reads pairs from the PNG and JPEG files of a folder, in the order of their names. Each is twice as wide as
// high, with the source in its left half and the target in its right, as the authors of PFS-GAN store them, and all have one
// size. Gray pictures become RGB, and what is transparent becomes white. Other files and folders are skipped.
func LoadSideBySide(dir string) (*Set, error) {
	names, err := pictureNames(dir)
	if err != nil {
		return nil, err
	}
	var source, target domain
	for _, name := range names {
		p, err := readPicture(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		if p.width != 2*p.height {
			return nil, errors.Errorf("paired: pair images must be twice as wide as high, got %d×%d (%s)", p.width, p.height, name)
		}
		left, right := p.halves()
		if err := source.add(name, left); err != nil {
			return nil, err
		}
		if err := target.add(name, right); err != nil {
			return nil, err
		}
	}
	return New(source.tensor(), target.tensor(), nil)
}

// LoadFolders reads pairs from two folders of PNG and JPEG files: files of equal names are a pair. All have one size; gray
// pictures become RGB, and what is transparent becomes white. Other files and folders are skipped.
func LoadFolders(source, target string) (*Set, error) {
	names, err := pictureNames(source)
	if err != nil {
		return nil, err
	}
	targetNames, err := pictureNames(target)
	if err != nil {
		return nil, err
	}
	for _, side := range []struct {
		names, others []string
		missing       string
	}{{names, targetNames, target}, {targetNames, names, source}} {
		for _, name := range side.names {
			if _, found := slices.BinarySearch(side.others, name); !found {
				return nil, errors.Errorf("paired: few-shot set is not paired: %d source, %d target images: %s lacks %s",
					len(names), len(targetNames), side.missing, name)
			}
		}
	}
	var from, to domain
	for _, name := range names {
		a, err := readPicture(filepath.Join(source, name))
		if err != nil {
			return nil, err
		}
		b, err := readPicture(filepath.Join(target, name))
		if err != nil {
			return nil, err
		}
		if a.width != b.width || a.height != b.height {
			return nil, errors.Errorf("paired: source and target sizes differ: %d×%d, %d×%d (%s): scale one of them",
				a.width, a.height, b.width, b.height, name)
		}
		if err := from.add(name, a); err != nil {
			return nil, err
		}
		if err := to.add(name, b); err != nil {
			return nil, err
		}
	}
	return New(from.tensor(), to.tensor(), nil)
}

// pictureNames lists the PNG and JPEG files of a folder, sorted.
func pictureNames(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, errors.Wrapf(err, "paired: want a folder of PNG or JPEG files")
	}
	for _, e := range entries {
		if !e.IsDir() && slices.Contains([]string{".png", ".jpg", ".jpeg"}, strings.ToLower(filepath.Ext(e.Name()))) {
			names = append(names, e.Name())
		}
	}
	if names == nil {
		return nil, errors.Errorf("paired: %s holds no PNG or JPEG files", dir)
	}
	slices.Sort(names)
	return names, nil
}

// picture is a decoded file, [height, width, 3] in [-1, 1].
type picture struct {
	height, width int
	pixels        []float32
}

// halves cuts a picture in the middle of its width.
func (p picture) halves() (left, right picture) {
	half := p.width / 2
	left, right = picture{height: p.height, width: half}, picture{height: p.height, width: half}
	for y := range p.height {
		row := p.pixels[3*y*p.width : 3*(y+1)*p.width]
		left.pixels = append(left.pixels, row[:3*half]...)
		right.pixels = append(right.pixels, row[3*half:6*half]...)
	}
	return left, right
}

// readPicture reads a file; errors name it.
func readPicture(path string) (picture, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return picture{}, errors.Wrap(err, "paired")
	}
	p, err := decodePicture(data)
	return p, errors.WithMessagef(err, "paired: %s", path)
}

// decodePicture decodes PNG or JPEG.
func decodePicture(data []byte) (picture, error) {
	header, _, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return picture{}, errors.Errorf("no PNG or JPEG picture, or a damaged one: %v", err)
	}
	if header.Width < 1 || header.Height < 1 || header.Width > maxSide || header.Height > maxSide {
		return picture{}, errors.Errorf("%d×%d pixels: want 1 to %d a side", header.Width, header.Height, maxSide)
	}
	img, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		return picture{}, errors.Errorf("a damaged picture: %v", err)
	}
	box := img.Bounds()
	p := picture{height: box.Dy(), width: box.Dx(), pixels: make([]float32, 0, 3*box.Dx()*box.Dy())}
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			r, g, b, a := img.At(x, y).RGBA() // colors times a, of 65535
			for _, v := range []uint32{r, g, b} {
				p.pixels = append(p.pixels, float32(min(v+0xffff-a, 0xffff))/0xffff*2-1)
			}
		}
	}
	return p, nil
}

// domain gathers pictures of one size.
type domain struct {
	first string // name of the first
	size  picture
	n     int
	flat  []float32
}

// add takes one more picture; errors name it.
func (d *domain) add(name string, p picture) error {
	if d.n == 0 {
		d.first, d.size = name, picture{height: p.height, width: p.width}
	}
	if p.height != d.size.height || p.width != d.size.width {
		return errors.Errorf("paired: images differ in size: %s has %d×%d, %s %d×%d: scale them to one size",
			d.first, d.size.width, d.size.height, name, p.width, p.height)
	}
	if len(d.flat)+len(p.pixels) > maxValues {
		return errors.Errorf("paired: more than %d images of %d×%d do not fit: take fewer or smaller ones", d.n, p.width, p.height)
	}
	d.n++
	d.flat = append(d.flat, p.pixels...)
	return nil
}

// tensor returns the pictures, [n, height, width, 3].
func (d *domain) tensor() *tensors.Tensor {
	return tensors.FromFlatDataAndDimensions(d.flat, d.n, d.size.height, d.size.width, 3)
}
