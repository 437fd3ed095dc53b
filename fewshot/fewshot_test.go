package fewshot

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"
)

// classes makes n classes of k images [4, 4, 1]; every image names its class and number by its pixels.
func classes(t *testing.T, n, k int) *ClassSet {
	t.Helper()
	var all []Class
	for c := range n {
		class := Class{Name: string(rune('a' + c))}
		for i := range k {
			pixels := make([]float32, 16)
			pixels[0], pixels[1] = float32(c)/100, float32(i)/100
			class.Images = append(class.Images, pixels)
		}
		all = append(all, class)
	}
	s, err := NewClassSet("letters", []int{4, 4, 1}, all)
	require.NoError(t, err)
	return s
}

// Every episode has the asked ways, shots and queries of different classes, and no image in two places.
func TestEpisodes(t *testing.T) {
	s, err := NewSampler(classes(t, 9, 8), Episodes{Ways: 4, Shots: 2, Queries: 3, Tasks: 5, Unlabeled: 2, Views: true, Seed: 3})
	require.NoError(t, err)
	met := map[float32]int{}
	for i := range 20 {
		b, err := s.Batch(i)
		require.NoError(t, err)
		require.Equal(t, []int{5, 8, 4, 4, 1}, b.Support.Shape().Dimensions)
		require.Equal(t, []int{5, 12, 4, 4, 1}, b.Query.Shape().Dimensions)
		require.Equal(t, []int{5, 8, 4, 4, 1}, b.Unlabeled.Shape().Dimensions)
		require.Equal(t, []int{5, 40, 4, 4, 1}, b.Views.Shape().Dimensions)
		support, query := tensors.MustCopyFlatData[float32](b.Support), tensors.MustCopyFlatData[float32](b.Query)
		more := tensors.MustCopyFlatData[float32](b.Unlabeled)
		labels, asked := tensors.MustCopyFlatData[int32](b.SupportLabels), tensors.MustCopyFlatData[int32](b.QueryLabels)
		for task := range 5 {
			classOf, seen := map[int32]float32{}, map[[2]float32]bool{}
			look := func(pixels []float32, label int32) {
				if _, ok := classOf[label]; !ok {
					classOf[label] = pixels[0]
					met[pixels[0]]++
				}
				require.Equal(t, classOf[label], pixels[0], "one label, one class")
				at := [2]float32{pixels[0], pixels[1]}
				require.False(t, seen[at], "an image in two places")
				seen[at] = true
			}
			for k := range 8 {
				look(support[16*(task*8+k):], labels[task*8+k])
				look(more[16*(task*8+k):], int32(k/2))
			}
			for k := range 12 {
				look(query[16*(task*12+k):], asked[task*12+k])
			}
			distinct := map[float32]bool{}
			for _, c := range classOf {
				distinct[c] = true
			}
			require.Len(t, distinct, 4)
		}
		again, err := s.Batch(i)
		require.NoError(t, err)
		require.Equal(t, support, tensors.MustCopyFlatData[float32](again.Support))
	}
	require.Len(t, met, 9)
	for _, n := range met { // 400 draws over nine classes
		require.InDelta(t, 400./9, n, 30)
	}
	other, err := NewSampler(classes(t, 9, 8), Episodes{Ways: 4, Seed: 4})
	require.NoError(t, err)
	require.NotEqual(t, s.Key(), other.Key())
}

func TestEpisodeErrors(t *testing.T) {
	for want, e := range map[string]Episodes{
		"5-way episodes need 5 classes, letters has 3":                           {},
		"class a has 4 images, an episode needs shots + queries + unlabeled = 5": {Ways: 2, Queries: 4},
		"shots = -1": {Shots: -1}, "ways = 1": {Ways: 1}, "queries = -2": {Queries: -2}, "tasks = -1": {Tasks: -1},
	} {
		_, err := NewSampler(classes(t, 3, 4), e)
		require.ErrorContains(t, err, want)
	}
	s, err := NewSampler(classes(t, 3, 4), Episodes{Ways: 3, Queries: 2, Rotations: true})
	require.NoError(t, err)
	_, err = s.Batch(-1)
	require.ErrorContains(t, err, "batch -1")
	_, err = NewSampler(nil, Episodes{})
	require.ErrorContains(t, err, "no class set")
	for want, set := range map[string][]Class{
		"no classes": nil, "class a has no images": {{Name: "a"}},
		"class a comes twice": {{"a", [][]float32{make([]float32, 16)}}, {"a", [][]float32{make([]float32, 16)}}},
		"has 3 values":        {{"a", [][]float32{{1, 2, 3}}}}, "has the value 2": {{"a", [][]float32{append(make([]float32, 15), 2)}}},
	} {
		_, err := NewClassSet("x", []int{4, 4, 1}, set)
		require.ErrorContains(t, err, want)
	}
}

func TestSplitsShareNothing(t *testing.T) {
	s := classes(t, 9, 2)
	train, test, err := s.Split(6, 1)
	require.NoError(t, err)
	require.NoError(t, Disjoint(train, test))
	require.Len(t, slices.Concat(train.Names(), test.Names()), 9)
	require.ErrorContains(t, Disjoint(s, test), "share 3 classes")
	_, _, err = s.Split(9, 1)
	require.ErrorContains(t, err, "want 1 to 8")
	train, test, err = Load(t.Context(), "glyphs", LoadOptions{Images: 12})
	require.NoError(t, err)
	require.Equal(t, []int{28, 28, 1}, train.Shape)
	require.Greater(t, len(train.Classes), 30)
	require.Greater(t, len(test.Classes), 30)
	_, _, err = Load(t.Context(), "planets", LoadOptions{})
	require.ErrorContains(t, err, `no classes "planets"`)
}

// Four quarter turns are none; one takes the right column to the top.
func TestRotate(t *testing.T) {
	pixels := []float32{1, 2, 3, 4, 5, 6, 7, 8, 9}
	require.Equal(t, []float32{3, 6, 9, 2, 5, 8, 1, 4, 7}, rotate(pixels, []int{3, 3, 1}, 1))
	require.Equal(t, pixels, rotate(pixels, []int{3, 3, 1}, 4))
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	for _, class := range []string{"train/cat", "train/dog", "test/owl"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, class), 0o700))
		f, err := os.Create(filepath.Join(dir, class, "1.png"))
		require.NoError(t, err)
		picture := image.NewRGBA(image.Rect(0, 0, 10, 10))
		for i := range 100 {
			picture.Set(i%10, i/10, color.RGBA{R: 255, A: 255})
		}
		require.NoError(t, png.Encode(f, picture))
		require.NoError(t, f.Close())
	}
	train, test, err := Load(t.Context(), "folder", LoadOptions{Dir: dir, Size: 6})
	require.NoError(t, err)
	require.Equal(t, []string{"cat", "dog"}, train.Names())
	require.Equal(t, []string{"owl"}, test.Names())
	require.Equal(t, []int{6, 6, 3}, train.Shape)
	require.Equal(t, []float32{1, 0, 0}, train.Classes[0].Images[0][:3])
	require.NoError(t, os.WriteFile(filepath.Join(dir, "test", "owl", "2.png"), []byte("no picture"), 0o600))
	_, _, err = Load(t.Context(), "folder", LoadOptions{Dir: dir})
	require.ErrorContains(t, err, "2.png is no picture")
	_, _, err = Load(t.Context(), "folder", LoadOptions{Dir: filepath.Join(dir, "absent")})
	require.ErrorContains(t, err, "no folder")
	_, _, err = Load(t.Context(), "folder", LoadOptions{})
	require.ErrorContains(t, err, "no folder named")
}

// Any bytes are a picture with values in [0, 1] or an error that names the file.
func FuzzImage(f *testing.F) {
	var good bytes.Buffer
	require.NoError(f, png.Encode(&good, image.NewGray(image.Rect(0, 0, 3, 2))))
	f.Add(good.Bytes())
	f.Add([]byte("\xff\xd8\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "x.png")
		require.NoError(t, os.WriteFile(path, data, 0o600))
		pixels, err := readImage(path, 4)
		if err != nil {
			require.ErrorContains(t, err, path)
			return
		}
		require.Len(t, pixels, 48)
		for _, v := range pixels {
			require.True(t, v >= 0 && v <= 1)
		}
	})
}
