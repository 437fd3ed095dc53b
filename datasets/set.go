package datasets

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"
)

// maxPixels bounds the pixels of one example: no data set of this package comes near, a damaged header does.
const maxPixels = 1 << 24

// Set is one split of a labeled image data set. Pixels are kept as bytes, eight bits each as they are published, and
// become float32 in [0, 1] only when asked for. Treat a Set as read-only: subsets share memory with what they came from.
type Set struct {
	Name       string   // "mnist", "cifar10" ...
	Split      string   // "train" or "test"
	Shape      []int    // of one example: [height, width, channels]
	Classes    int      // labels lie in [0, Classes)
	ClassNames []string // one a class
	Note       string   // what a reader of a figure must know about the source; often empty
	Labels     []int32  // one an example

	pixels []uint8 // examples in turn, each [height, width, channels]
}

// New makes a Set of examples with the given shape [height, width, channels], values 0 to 255, and labels in
// [0, classes). Without class names the numbers serve. The slices are kept, not copied.
func New(name, split string, shape []int, pixels []uint8, labels []int32, classes int, classNames []string) (*Set, error) {
	size := 1
	if len(shape) != 3 {
		return nil, fmt.Errorf("%s: an example has shape %v: want [height, width, channels]", name, shape)
	}
	for _, d := range shape {
		if d < 1 || d > maxPixels || size > maxPixels/d {
			return nil, fmt.Errorf("%s: an example has shape %v: want positive sizes, at most %d values in all", name, shape, maxPixels)
		}
		size *= d
	}
	if len(labels) == 0 {
		return nil, fmt.Errorf("%s: no examples", name)
	}
	if len(pixels) != len(labels)*size {
		return nil, fmt.Errorf("%s: %d pixel values for %d labels and examples of shape %v: want %d",
			name, len(pixels), len(labels), shape, len(labels)*size)
	}
	if classes < 1 {
		return nil, fmt.Errorf("%s: %d classes: want one at least", name, classes)
	}
	for i, l := range labels {
		if l < 0 || int(l) >= classes {
			return nil, fmt.Errorf("%s: example %d has label %d: want 0 to %d", name, i, l, classes-1)
		}
	}
	if classNames == nil {
		for c := range classes {
			classNames = append(classNames, fmt.Sprint(c))
		}
	}
	if len(classNames) != classes {
		return nil, fmt.Errorf("%s: %d class names for %d classes", name, len(classNames), classes)
	}
	return &Set{Name: name, Split: split, Shape: slices.Clone(shape), Classes: classes, ClassNames: classNames,
		Labels: labels, pixels: pixels}, nil
}

// Len returns the number of examples.
func (s *Set) Len() int { return len(s.Labels) }

// size returns the number of values of an example.
func (s *Set) size() int { return s.Shape[0] * s.Shape[1] * s.Shape[2] }

// Bytes returns the values 0 to 255 of example i, [height, width, channels], not copied. It panics where i is out of
// range, as indexing does.
func (s *Set) Bytes(i int) []uint8 {
	_ = s.Labels[i]
	return s.pixels[i*s.size() : (i+1)*s.size() : (i+1)*s.size()]
}

// Image returns the values of example i in [0, 1], [height, width, channels]. It panics where i is out of range, as
// indexing does.
func (s *Set) Image(i int) []float32 {
	out := make([]float32, s.size())
	scale(out, s.Bytes(i))
	return out
}

// Subset returns the examples of the given rows, in that order; a row may come twice. It panics where a row is out of
// range, as indexing does.
func (s *Set) Subset(rows []int) *Set {
	out := *s
	out.Labels = make([]int32, len(rows))
	out.pixels = make([]uint8, 0, len(rows)*s.size())
	for i, r := range rows {
		out.Labels[i] = s.Labels[r]
		out.pixels = append(out.pixels, s.Bytes(r)...)
	}
	return &out
}

// Take draws n examples without replacement, in random order, each class with its share of the set to within one
// example. The same seed draws the same examples on every machine; n = Len draws all of them.
func (s *Set) Take(n int, seed int64) (*Set, error) {
	if n < 1 || n > s.Len() {
		return nil, fmt.Errorf("%s: %d examples wanted: want 1 to %d, the size of the %s split", s.Name, n, s.Len(), s.Split)
	}
	rng := rand.New(rand.NewPCG(uint64(seed), 0x7461_6b65)) // "take"
	byClass := make([][]int, s.Classes)
	for i, l := range s.Labels {
		byClass[l] = append(byClass[l], i)
	}
	// Shares by largest remainder; which classes win a tie is random.
	quota, left := make([]int, s.Classes), n
	for c, rows := range byClass {
		quota[c] = int(int64(n) * int64(len(rows)) / int64(s.Len()))
		left -= quota[c]
	}
	order := rng.Perm(s.Classes)
	remainder := func(c int) int64 { return int64(n) * int64(len(byClass[c])) % int64(s.Len()) }
	slices.SortStableFunc(order, func(a, b int) int { return int(remainder(b) - remainder(a)) })
	for _, c := range order[:left] {
		quota[c]++
	}
	rows := make([]int, 0, n)
	for c, all := range byClass {
		rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		rows = append(rows, all[:quota[c]]...)
	}
	rng.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	return s.Subset(rows), nil
}

// Tensors returns the images [n, height, width, channels], float32 in [0, 1], and the labels [n], int32.
func (s *Set) Tensors() (images, labels *tensors.Tensor) {
	flat := make([]float32, len(s.pixels))
	scale(flat, s.pixels)
	images = tensors.FromFlatDataAndDimensions(flat, append([]int{s.Len()}, s.Shape...)...)
	labels = tensors.FromFlatDataAndDimensions(slices.Clone(s.Labels), s.Len())
	return images, labels
}

// Checksum identifies pixels, labels, shape and classes, in hexadecimal: sets with equal checksums train alike.
func (s *Set) Checksum() string {
	h := sha256.New()
	fmt.Fprintf(h, "%v %d %q\n", s.Shape, s.Classes, strings.Join(s.ClassNames, "\x00"))
	_ = binary.Write(h, binary.LittleEndian, s.Labels) // a hash takes every write
	h.Write(s.pixels)
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// scale writes bytes as float32 in [0, 1].
func scale(dst []float32, src []uint8) {
	for i, v := range src {
		dst[i] = float32(v) / 255
	}
}
