package datasets

import (
	"archive/zip"
	"bytes"
	"fmt"
	"image"
	"image/png"
	"io"
	"path/filepath"
	"slices"
	"strings"
)

const (
	omniglotSide    = 105
	maxDrawings     = 100_000 // in a zip: the largest official one has 19,280
	maxDrawingBytes = 64 << 10
)

// OmniglotOptions adjusts the omniglot set.
type OmniglotOptions struct {
	// Train and Test name the zips of either split, without extension. Default: images_background and
	// images_evaluation, or, in a folder that holds these instead, images_background_small1 and images_background_small2.
	// An alphabet of both is left out of the test split.
	Train, Test string
	// Size is the height and width of the images, by area averages of the 105 original pixels. Default: 105.
	Size int
}

// omniglotZips are the official files.
var omniglotZips = []remote{
	{name: "images_background.zip", md5: "68d2efa1b9178cc56df9314c21c6e718"},
	{name: "images_evaluation.zip", md5: "6b91aef0f799c5bb55b94e3f2daec811"},
	{name: "images_background_small1.zip", md5: "e704a628b5459e08445c13499850abc4", size: 1319022},
	{name: "images_background_small2.zip", md5: "b75a71a51d3b13f821f212756fe481fd", size: 1580917},
}

// omniglot is the set of Lake, Salakhutdinov and Tenenbaum, 2015.
func omniglot(o Options) *source {
	s := &source{
		info: Info{
			Name:   "omniglot",
			What:   "handwritten characters of 50 alphabets, 20 drawings of each, 105x105, ink 1",
			Source: "B. Lake, R. Salakhutdinov, J. Tenenbaum, Human-level concept learning through probabilistic program induction, 2015",
		},
		folders: []string{"omniglot-py", "raw"},
	}
	pair := func(train, test string) (p []remote) {
		for _, name := range []string{train, test} {
			r := remote{name: name + ".zip"}
			for _, known := range omniglotZips {
				if known.name == r.name {
					r = known
				}
			}
			r.urls = []string{"https://github.com/brendenlake/omniglot/raw/master/python/" + r.name}
			p = append(p, r)
		}
		return p
	}
	pairs := [][]remote{pair("images_background", "images_evaluation"), pair("images_background_small1", "images_background_small2")}
	train, test := o.Omniglot.Train, o.Omniglot.Test
	if train != "" || test != "" {
		if train == "" {
			train = "images_background"
		}
		if test == "" {
			test = "images_evaluation"
		}
		pairs = [][]remote{pair(train, test)}
	} else {
		s.orFiles = "images_background_small1.zip, images_background_small2.zip"
	}
	s.remotes = pairs[0]
	s.has = func(dir string) bool {
		return slices.ContainsFunc(pairs, func(p []remote) bool { return hasRemotes(p)(dir) })
	}
	s.load = func(dir string) (train, test *Set, err error) {
		for _, p := range pairs {
			if hasRemotes(p)(dir) {
				return loadOmniglot(dir, p[0], p[1], o.Omniglot.Size)
			}
		}
		return nil, nil, fmt.Errorf("the files are gone: want %s", s.wants())
	}
	return s
}

// loadOmniglot reads the zips of both splits, which must have their checksums.
func loadOmniglot(dir string, trainZip, testZip remote, size int) (train, test *Set, err error) {
	read := func(r remote, split string) (*Set, error) {
		if r.md5 == "" {
			return nil, fmt.Errorf("%s is no official file: want images_background, images_evaluation, "+
				"images_background_small1 or images_background_small2", r.name)
		}
		file := filepath.Join(dir, r.name)
		if err := r.check(file); err != nil {
			return nil, err
		}
		data, err := readFile(file, maxRemote)
		if err != nil {
			return nil, err
		}
		s, err := ParseOmniglot(data, split, size)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.name, err)
		}
		return s, nil
	}
	if train, err = read(trainZip, "train"); err != nil {
		return nil, nil, err
	}
	if test, err = read(testZip, "test"); err != nil {
		return nil, nil, err
	}
	if test, err = withoutAlphabetsOf(test, train); err != nil {
		return nil, nil, err
	}
	if trainZip.name != omniglotZips[0].name || testZip.name != omniglotZips[1].name {
		train.Note = fmt.Sprintf("%s for training, %s for testing, no alphabet in both",
			strings.TrimSuffix(trainZip.name, ".zip"), strings.TrimSuffix(testZip.name, ".zip"))
		test.Note = train.Note
	}
	return train, test, nil
}

// Alphabet returns the alphabet of an Omniglot class name, "Greek/character01", and of any other all of it.
func Alphabet(className string) string {
	alphabet, _, _ := strings.Cut(className, "/")
	return alphabet
}

// withoutAlphabetsOf leaves out of s the alphabets of other, and numbers the remaining classes anew.
func withoutAlphabetsOf(s, other *Set) (*Set, error) {
	shared := map[string]bool{}
	for _, name := range other.ClassNames {
		shared[Alphabet(name)] = true
	}
	var names []string
	renumbered := make([]int32, s.Classes)
	for c, name := range s.ClassNames {
		renumbered[c] = -1
		if !shared[Alphabet(name)] {
			renumbered[c] = int32(len(names))
			names = append(names, name)
		}
	}
	if len(names) == s.Classes {
		return s, nil
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("omniglot: all alphabets of the test split are in the training split: name another file")
	}
	var rows []int
	for i, l := range s.Labels {
		if renumbered[l] >= 0 {
			rows = append(rows, i)
		}
	}
	out := s.Subset(rows)
	for i, l := range out.Labels {
		out.Labels[i] = renumbered[l]
	}
	out.Classes, out.ClassNames = len(names), names
	return out, nil
}

// ParseOmniglot reads a zip of drawings FOLDER/ALPHABET/CHARACTER/NAME.png, 105x105 pixels black on white. Classes are
// the characters, named ALPHABET/CHARACTER, in the order of their names; ink becomes 1 and paper 0; size is the height
// and width wanted, 0 for 105. Nothing is written to disk.
func ParseOmniglot(data []byte, split string, size int) (*Set, error) {
	if size == 0 {
		size = omniglotSide
	}
	if size < 1 || size > omniglotSide {
		return nil, fmt.Errorf("omniglot: images of side %d wanted: want 1 to %d", size, omniglotSide)
	}
	archive, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, fmt.Errorf("omniglot: zip: %w", err)
	}
	// The library tolerates bytes before and after the zip; official files have none.
	end := len(data) - 22 - len(archive.Comment)
	if !bytes.HasPrefix(data, []byte("PK")) || end < 0 || !bytes.HasPrefix(data[end:], []byte("PK\x05\x06")) {
		return nil, fmt.Errorf("omniglot: zip: other bytes before or after it")
	}
	if len(archive.File) > maxDrawings {
		return nil, fmt.Errorf("omniglot: %d files: want at most %d", len(archive.File), maxDrawings)
	}
	type drawing struct {
		class, name string
		file        *zip.File
	}
	var drawings []drawing
	for _, f := range archive.File {
		if strings.HasSuffix(f.Name, "/") {
			continue
		}
		parts := strings.Split(f.Name, "/")
		if len(parts) != 4 || !strings.HasSuffix(f.Name, ".png") || !filepath.IsLocal(f.Name) || strings.ContainsAny(f.Name, "\\:\x00") ||
			slices.Contains(parts, ".") || slices.Contains(parts, "..") || slices.Contains(parts, "") {
			return nil, fmt.Errorf("omniglot: holds %q: want names such as images_background/Greek/character01/0001_01.png", f.Name)
		}
		drawings = append(drawings, drawing{parts[1] + "/" + parts[2], f.Name, f})
	}
	if len(drawings) == 0 {
		return nil, fmt.Errorf("omniglot: the zip holds no drawings")
	}
	slices.SortFunc(drawings, func(a, b drawing) int {
		if a.class != b.class {
			return strings.Compare(a.class, b.class)
		}
		return strings.Compare(a.name, b.name)
	})
	var pixels []uint8
	var labels []int32
	var names []string
	for i, d := range drawings {
		if i > 0 && d.name == drawings[i-1].name {
			return nil, fmt.Errorf("omniglot: holds %q twice", d.name)
		}
		ink, err := readDrawing(d.file)
		if err != nil {
			return nil, fmt.Errorf("omniglot: %s: %w", d.name, err)
		}
		if len(names) == 0 || names[len(names)-1] != d.class {
			names = append(names, d.class)
		}
		labels = append(labels, int32(len(names)-1))
		pixels = append(pixels, shrink(ink, omniglotSide, size)...)
	}
	return New("omniglot", split, []int{size, size, 1}, pixels, labels, len(names), names)
}

// readDrawing decodes one drawing: 105x105 values, ink 255.
func readDrawing(f *zip.File) ([]uint8, error) {
	if f.UncompressedSize64 > maxDrawingBytes {
		return nil, fmt.Errorf("%d bytes: want at most %d", f.UncompressedSize64, maxDrawingBytes)
	}
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := readAll(r, maxDrawingBytes)
	if err != nil {
		return nil, err
	}
	// The header first: a small file can promise a giant picture.
	config, err := png.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	if config.Width != omniglotSide || config.Height != omniglotSide {
		return nil, fmt.Errorf("%dx%d pixels: want %dx%d", config.Width, config.Height, omniglotSide, omniglotSide)
	}
	in := bytes.NewReader(data)
	img, err := png.Decode(in)
	if err != nil {
		return nil, err
	}
	if rest, _ := io.Copy(io.Discard, in); rest > 0 {
		return nil, fmt.Errorf("%d bytes follow the picture", rest)
	}
	ink := make([]uint8, omniglotSide*omniglotSide)
	gray, isGray := img.(*image.Gray)
	for y := range omniglotSide {
		for x := range omniglotSide {
			if isGray {
				ink[y*omniglotSide+x] = 255 - gray.GrayAt(x, y).Y
				continue
			}
			r, g, b, a := img.At(x, y).RGBA() // on white paper
			ink[y*omniglotSide+x] = uint8((a - (r+g+b)/3) >> 8)
		}
	}
	return ink, nil
}

// shrink scales a square picture down by area averages: each new pixel is the mean of what it covers.
func shrink(src []uint8, from, to int) []uint8 {
	if from == to {
		return src
	}
	// In units of 1/to of an old pixel, new pixel i covers [i·from, (i+1)·from): whole numbers, exact sums.
	weights := func(i int) (first int, w []int) {
		lo, hi := i*from, (i+1)*from
		for p := lo / to; p*to < hi; p++ {
			w = append(w, min(hi, (p+1)*to)-max(lo, p*to))
		}
		return lo / to, w
	}
	out := make([]uint8, to*to)
	for y := range to {
		y0, wy := weights(y)
		for x := range to {
			x0, wx := weights(x)
			sum := 0
			for j, a := range wy {
				for i, b := range wx {
					sum += a * b * int(src[(y0+j)*from+x0+i])
				}
			}
			out[y*to+x] = uint8((sum + from*from/2) / (from * from))
		}
	}
	return out
}
