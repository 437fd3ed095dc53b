package kernel

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestBuildCache: where Go cannot keep what it compiles, cells fail; the doctor says so before, with what mends it.
func TestBuildCache(t *testing.T) {
	modules := t.TempDir()
	file := filepath.Join(modules, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for name, c := range map[string]struct {
		env        map[string]string
		found, fix string // found "": all is well
	}{
		"as it is":          {nil, "", ""},
		"to be made":        {map[string]string{"GOCACHE": filepath.Join(modules, "deep", "er")}, "", ""},
		"off":               {map[string]string{"GOCACHE": "off"}, "GOCACHE=off", "unset GOCACHE"},
		"relative":          {map[string]string{"GOCACHE": "cache"}, "GOCACHE=cache", "unset GOCACHE"},
		"no home":           {map[string]string{"GOCACHE": "", "HOME": "", "XDG_CACHE_HOME": ""}, "HOME", "set HOME"},
		"no module cache":   {map[string]string{"GOCACHE": modules, "HOME": "", "GOPATH": "", "GOMODCACHE": ""}, "no module cache", "set HOME"},
		"a file":            {map[string]string{"GOCACHE": file}, "is not a folder", "set GOCACHE"},
		"below a file":      {map[string]string{"GOCACHE": filepath.Join(file, "x")}, "is not a folder", "set GOCACHE"},
		"not to be written": {map[string]string{"GOCACHE": "/proc/none"}, "/proc", "set GOCACHE"},
	} {
		t.Run(name, func(t *testing.T) {
			for key, value := range c.env {
				t.Setenv(key, value)
			}
			check := find(t, Doctor(context.Background(), DoctorOptions{Backend: "go", CacheDir: modules}), "build cache")
			require.Equal(t, c.found == "", check.OK, "%+v", check)
			require.Contains(t, check.Found, c.found)
			require.Contains(t, check.Fix, c.fix)
			require.NotContains(t, check.Found+check.Fix, "\n")
		})
	}
	require.NoDirExists(t, filepath.Join(modules, "deep"), "the doctor changes nothing")

	t.Run("parts of another user's", func(t *testing.T) {
		if os.Geteuid() == 0 {
			t.Skip("root may write everywhere")
		}
		cache := t.TempDir()
		require.NoError(t, os.Mkdir(filepath.Join(cache, "a7"), 0o500))
		t.Setenv("GOCACHE", cache)
		check := checkBuildCache(context.Background())
		require.False(t, check.OK)
		require.Contains(t, check.Found, "a7")
	})
	t.Run("full", func(t *testing.T) {
		if _, ok := freeSpace(modules); !ok {
			t.Skip("not known on this system")
		}
		defer func(before uint64) { leastSpace = before }(leastSpace)
		leastSpace = math.MaxUint64
		check := checkBuildCache(context.Background())
		require.False(t, check.OK)
		require.Contains(t, check.Found, "MB free")
		require.Contains(t, check.Fix, "go clean -cache")
	})
	t.Run("no Go", func(t *testing.T) {
		t.Setenv("PATH", modules)
		require.Contains(t, checkBuildCache(context.Background()).Fix, "install Go")
	})
}

// TestFreeSpace: no disk is fuller than its own files are large.
func TestFreeSpace(t *testing.T) {
	free, ok := freeSpace(t.TempDir())
	if !ok {
		t.Skip("not known on this system")
	}
	require.Positive(t, free)
	require.Less(t, free, uint64(math.MaxInt64))
	_, ok = freeSpace(filepath.Join(t.TempDir(), "absent"))
	require.False(t, ok)
}
