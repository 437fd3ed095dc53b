package maml

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/studytest"
	"github.com/trustbook/trustbook/internal/testengine"
)

// picturesFolder holds so many classes of so many small pictures to train on and to test on.
func picturesFolder(t *testing.T, trainClasses, trainImages, testClasses, testImages int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	write := func(part string, classes, images int) {
		for c := range classes {
			folder := filepath.Join(dir, part, fmt.Sprintf("%s-%d", part, c))
			require.NoError(t, os.MkdirAll(folder, 0o700))
			for i := range images {
				picture := image.NewGray(image.Rect(0, 0, 4, 4))
				picture.SetGray(c%4, i%4, color.Gray{Y: 200})
				f, err := os.Create(filepath.Join(folder, fmt.Sprintf("%d.png", i)))
				require.NoError(t, err)
				require.NoError(t, png.Encode(f, picture))
				require.NoError(t, f.Close())
			}
		}
	}
	write("train", trainClasses, trainImages)
	write("test", testClasses, testImages)
	return dir
}

// TestTooFewClasses: what the tasks need and the classes do not have is said before anything is trained, of every split.
func TestTooFewClasses(t *testing.T) {
	e := testengine.Training(t)
	c := tiny() // 3 ways, 1 shot, 2 queries, 3 test queries
	c.Dataset, c.Methods = "folder", []string{MAML, Unlabeled, CL}
	for want, sizes := range map[string][4]int{
		"test tasks: 3-way episodes need 3 classes":                                             {3, 8, 2, 8},
		"test tasks: class test-0 has 3 images, an episode needs shots + queries + unlabeled =": {3, 8, 3, 3},
		"training tasks: class train-0 has 3 images":                                            {3, 3, 3, 4}, // enough but for the unlabeled
	} {
		c.DataDir = picturesFolder(t, sizes[0], sizes[1], sizes[2], sizes[3])
		trained := false
		c.Progress = &studytest.Stopper{Left: -1, Stop: func() { trained = true }}
		_, err := Run(t.Context(), e, c)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "add to them, or lower ways, shots or")
		require.Equal(t, 1, strings.Count(err.Error(), "fewshot")+strings.Count(err.Error(), "maml:"), err)
		require.NotContains(t, err.Error(), "\n")
		require.False(t, trained)
	}
	c.DataDir, c.Progress = picturesFolder(t, 3, 4, 3, 4), nil
	s, err := Open(t.Context(), e, c)
	require.NoError(t, err)
	defer s.Close()
	require.Equal(t, []int{3, 3}, []int{len(s.Classes.Classes), len(s.Unseen.Classes)})

	// Data sets that come with the project are no exception.
	c = tiny()
	c.TestQueries = 60 // glyphs has as many of a class, and one is the shot
	_, err = Open(t.Context(), e, c)
	require.ErrorContains(t, err, "test tasks: class")
	c.TestQueries, c.Queries = 59, 60
	_, err = Open(t.Context(), e, c)
	require.ErrorContains(t, err, "training tasks: class")
}
