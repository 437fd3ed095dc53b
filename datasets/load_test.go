package datasets

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// roundTrip serves requests without a network.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// isolate hides Go's modules, the caches and the network, and returns the folder of MNIST.
func isolate(t *testing.T) (mnistDir string) {
	mnistDir = mnistInModuleCache(context.Background())
	require.NotEmpty(t, mnistDir)
	for _, v := range []string{"GOMODCACHE", "GOPATH", "HOME", "PATH", "TRUSTBOOK_CACHE"} {
		t.Setenv(v, t.TempDir())
	}
	was := client.Transport
	t.Cleanup(func() { client.Transport = was })
	client.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		t.Errorf("asked for %s", r.URL)
		return nil, http.ErrServerClosed
	})
	return mnistDir
}

func TestLoadNeverDownloadsUnasked(t *testing.T) {
	isolate(t)
	ctx := context.Background()
	for _, name := range []string{"mnist", "fashion-mnist", "cifar10", "svhn", "omniglot"} {
		_, _, err := Load(ctx, name, Options{})
		assert.ErrorContains(t, err, "trustbook data fetch "+name)
		assert.ErrorContains(t, err, "--data-dir")
		_, _, err = Load(ctx, name, Options{Dir: t.TempDir(), Fetch: true})
		assert.ErrorContains(t, err, "not in", name)
		_, err = Verify(ctx, name, Options{Fetch: true})
		assert.ErrorContains(t, err, "trustbook data fetch "+name)
	}
	for _, info := range List(ctx, Options{}) {
		if info.Name == "glyphs" {
			assert.Equal(t, "generated", info.Available)
			continue
		}
		assert.Empty(t, info.Available, info.Name)
		assert.NotEmpty(t, info.Files, info.Name)
	}
	require.NoError(t, Fetch(ctx, "glyphs", Options{}))
}

func TestFetchThenLoad(t *testing.T) {
	dir := isolate(t)
	asked := 0
	client.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		asked++
		w := httptest.NewRecorder()
		http.ServeFile(w, r, filepath.Join(dir, path.Base(r.URL.Path)))
		return w.Result(), nil
	})
	ctx, c := context.Background(), &counter{}
	cache := t.TempDir()
	o := Options{CacheDir: cache, Fetch: true, Progress: c}
	train, _, err := Load(ctx, "mnist", o)
	require.NoError(t, err)
	assert.Equal(t, 60000, train.Len())
	assert.Equal(t, 4, asked)
	assert.Equal(t, 4, c.begun)
	require.NoError(t, Fetch(ctx, "mnist", o))
	_, _, err = Load(ctx, "mnist", Options{CacheDir: cache})
	require.NoError(t, err)
	assert.Equal(t, 4, asked)
	// A damaged file is an error when loading, and replaced when fetching.
	require.NoError(t, os.WriteFile(filepath.Join(cache, "mnist", "t10k-labels-idx1-ubyte.gz"), []byte("damaged"), 0o600))
	_, _, err = Load(ctx, "mnist", Options{CacheDir: cache})
	assert.ErrorContains(t, err, "t10k-labels-idx1-ubyte.gz")
	require.NoError(t, Fetch(ctx, "mnist", o))
	assert.Equal(t, 5, asked)
	files, err := os.ReadDir(filepath.Join(cache, "mnist"))
	require.NoError(t, err)
	assert.Len(t, files, 4)
	for _, info := range List(ctx, Options{Dir: t.TempDir(), CacheDir: cache}) {
		if info.Name == "mnist" {
			assert.Equal(t, filepath.Join(cache, "mnist"), info.Available)
		}
	}
	t.Setenv("TRUSTBOOK_CACHE", cache)
	_, err = Verify(ctx, "mnist", Options{})
	require.NoError(t, err)
}

func TestLoadCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, _, err := Load(ctx, "glyphs", Options{})
	assert.ErrorIs(t, err, context.Canceled)
}
