package datasets

import (
	"math"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// numbered makes a set whose example i has the pixels i, i+1 ... and the label labels[i].
func numbered(t *testing.T, labels []int32, classes int) *Set {
	const size = 2 * 3 * 1
	pixels := make([]uint8, len(labels)*size)
	for i := range pixels {
		pixels[i] = uint8(i/size + i%size)
	}
	s, err := New("numbered", "train", []int{2, 3, 1}, pixels, labels, classes, nil)
	require.NoError(t, err)
	return s
}

func TestNewRefuses(t *testing.T) {
	for want, f := range map[string]func() (*Set, error){
		"want [height, width, channels]": func() (*Set, error) { return New("s", "", []int{2, 2}, make([]uint8, 4), []int32{0}, 1, nil) },
		"want positive sizes":            func() (*Set, error) { return New("s", "", []int{2, 0, 1}, nil, []int32{0}, 1, nil) },
		"at most":                        func() (*Set, error) { return New("s", "", []int{1 << 40, 1 << 40, 1}, nil, []int32{0}, 1, nil) },
		"no examples":                    func() (*Set, error) { return New("s", "", []int{1, 1, 1}, nil, nil, 1, nil) },
		"want 4":                         func() (*Set, error) { return New("s", "", []int{2, 2, 1}, make([]uint8, 5), []int32{0}, 1, nil) },
		"label 10: want 0 to 9":          func() (*Set, error) { return New("s", "", []int{1, 1, 1}, make([]uint8, 1), []int32{10}, 10, nil) },
		"label -1: want 0 to 9":          func() (*Set, error) { return New("s", "", []int{1, 1, 1}, make([]uint8, 1), []int32{-1}, 10, nil) },
		"0 classes":                      func() (*Set, error) { return New("s", "", []int{1, 1, 1}, make([]uint8, 1), []int32{0}, 0, nil) },
		"2 class names for 1": func() (*Set, error) {
			return New("s", "", []int{1, 1, 1}, make([]uint8, 1), []int32{0}, 1, []string{"a", "b"})
		},
	} {
		_, err := f()
		assert.ErrorContains(t, err, want)
	}
}

func TestSubsetAndTensors(t *testing.T) {
	s := numbered(t, []int32{0, 1, 2, 0}, 3)
	sub := s.Subset([]int{3, 1, 1})
	assert.Equal(t, []int32{0, 1, 1}, sub.Labels)
	assert.Equal(t, 3, sub.Len())
	assert.Equal(t, s.Image(3), sub.Image(0))
	assert.Equal(t, []int32{0, 1, 2, 0}, s.Labels)
	images, labels := sub.Tensors()
	assert.Equal(t, []int{3, 2, 3, 1}, images.Shape().Dimensions)
	assert.Equal(t, []int{3}, labels.Shape().Dimensions)
	flat := tensors.MustCopyFlatData[float32](images)
	for i, v := range flat {
		assert.Equal(t, float32([]int{3, 1, 1}[i/6]+i%6)/255, v)
	}
	assert.Equal(t, []int32{0, 1, 1}, tensors.MustCopyFlatData[int32](labels))
	assert.Equal(t, flat[6:12], sub.Image(1))
	assert.Panics(t, func() { s.Image(4) })
	assert.Panics(t, func() { s.Subset([]int{-1}) })
}

// Every class gets its share to within one, no example comes twice, the same seed gives the same draw.
func TestTakeIsStratified(t *testing.T) {
	var labels []int32
	sizes := []int{50, 30, 15, 4, 1}
	for i := range 100 {
		for c, n := range sizes {
			if i < n {
				labels = append(labels, int32(c))
			}
		}
	}
	s := numbered(t, labels, len(sizes)+1) // and a class without examples
	for n := 1; n <= s.Len(); n++ {
		got, err := s.Take(n, 7)
		require.NoError(t, err)
		require.Equal(t, n, got.Len())
		count := make([]int, len(sizes)+1)
		seen := map[uint8]bool{}
		for i, l := range got.Labels {
			count[l]++
			row := got.Bytes(i)[0]
			require.False(t, seen[row], "row %d twice", row)
			require.Equal(t, s.Labels[row], l)
			seen[row] = true
		}
		for c, size := range append(sizes, 0) {
			share := float64(n*size) / float64(s.Len())
			require.LessOrEqual(t, math.Abs(float64(count[c])-share), 1.0, "class %d of %d", c, n)
		}
	}
	a, _ := s.Take(40, 1)
	b, _ := s.Take(40, 1)
	c, _ := s.Take(40, 2)
	assert.Equal(t, a.Checksum(), b.Checksum())
	assert.NotEqual(t, a.Checksum(), c.Checksum())
	all, err := s.Take(s.Len(), 3)
	require.NoError(t, err)
	sorted := slices.Sorted(slices.Values(all.Labels))
	assert.Equal(t, slices.Sorted(slices.Values(s.Labels)), sorted)
	for _, n := range []int{0, -1, s.Len() + 1} {
		_, err := s.Take(n, 1)
		assert.ErrorContains(t, err, "want 1 to 100")
	}
}

// The draw must not drift with a new version of Go or of this package: cached results hang on it.
func TestTakeGolden(t *testing.T) {
	labels := make([]int32, 20)
	for i := range labels {
		labels[i] = int32(i % 2)
	}
	got, err := numbered(t, labels, 2).Take(6, 42)
	require.NoError(t, err)
	var rows []int
	for i := range got.Len() {
		rows = append(rows, int(got.Bytes(i)[0]))
	}
	assert.Equal(t, []int{18, 16, 11, 12, 3, 7}, rows)
}

func TestChecksumSeesEverything(t *testing.T) {
	base := func() *Set { return numbered(t, []int32{0, 1, 2, 0}, 3) }
	sums := map[string]string{"as it is": base().Checksum()}
	for what, change := range map[string]func(*Set){
		"pixel":      func(s *Set) { s.pixels[5]++ },
		"label":      func(s *Set) { s.Labels[0] = 1 },
		"shape":      func(s *Set) { s.Shape = []int{3, 2, 1} },
		"classes":    func(s *Set) { s.Classes = 4 },
		"class name": func(s *Set) { s.ClassNames = []string{"a", "b", "c"} },
		"length":     func(s *Set) { *s = *s.Subset([]int{0, 1, 2}) },
		"order":      func(s *Set) { *s = *s.Subset([]int{3, 1, 2, 0}) },
	} {
		s := base()
		change(s)
		sum := s.Checksum()
		for other, have := range sums {
			assert.NotEqual(t, have, sum, "%s and %s", what, other)
		}
		sums[what] = sum
	}
	assert.Equal(t, sums["as it is"], base().Checksum())
}
