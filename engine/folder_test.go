package engine

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// newFolder is one in a fresh place, as for some plugin.
func newFolder(t *testing.T) *folder {
	t.Helper()
	f := openFolder(filepath.Join(t.TempDir(), "deep", "programs"))
	if f == nil {
		t.Skip("programs are kept in memory alone here")
	}
	f.identity = []byte("a plugin on a processor")
	return f
}

func key(i byte) digest { return digestOf([]byte{i}) }

func TestFolderKeeps(t *testing.T) {
	f := newFolder(t)
	assert.Nil(t, f.get(key(1)))
	f.put(key(1), []byte("one"))
	f.put(key(2), []byte("two"))
	assert.Equal(t, "one", string(f.get(key(1))))
	other := openFolder(f.dir)
	other.identity = f.identity
	assert.Equal(t, "two", string(other.get(key(2))), "by another process")
	other.identity = []byte("another plugin, or processor")
	assert.Nil(t, other.get(key(2)))
	f.remove(key(1))
	assert.Nil(t, f.get(key(1)))
}

// TestFolderSeesDamage: whatever happens to a file, it is read whole or not at all.
func TestFolderSeesDamage(t *testing.T) {
	f := newFolder(t)
	data := []byte("machine code")
	path := f.path(key(1))
	f.put(key(1), data)
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	for n := range len(whole) {
		require.NoError(t, os.WriteFile(path, whole[:n], 0o600))
		require.Nil(t, f.get(key(1)), "cut to %d bytes", n)
		flipped := bytes.Clone(whole)
		flipped[n] ^= 4
		require.NoError(t, os.WriteFile(path, flipped, 0o600))
		require.Nil(t, f.get(key(1)), "byte %d", n)
	}
	require.NoError(t, os.WriteFile(path, append(bytes.Clone(whole), 0), 0o600))
	require.Nil(t, f.get(key(1)), "longer")
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Mkdir(path, 0o700))
	require.Nil(t, f.get(key(1)))
	require.NoError(t, os.Remove(path))
	f.put(key(2), []byte("another's"))
	require.NoError(t, os.Rename(f.path(key(2)), path))
	require.Nil(t, f.get(key(1)), "under another's name")
	f.put(key(1), data)
	require.Equal(t, data, f.get(key(1)), "mended")
}

// TestFolderIsBounded: the files used least lately go, and nothing but programs.
func TestFolderIsBounded(t *testing.T) {
	f := newFolder(t)
	f.limit = 20_000
	foreign := []string{"letter.txt", "holiday.program", filepath.Base(f.path(key(1))) + ".bak"}
	for _, name := range foreign {
		require.NoError(t, os.WriteFile(filepath.Join(f.dir, name), make([]byte, 30_000), 0o600))
	}
	for i := range byte(100) {
		f.put(key(i), make([]byte, 1000))
		past := time.Now().Add(time.Duration(int(i)-2000) * time.Hour)
		require.NoError(t, os.Chtimes(f.path(key(i)), past, past))
		if i > 0 {
			require.NotNil(t, f.get(key(0)), "used all the time, with %d", i)
		}
		_, size := programFiles(f.dir)
		require.LessOrEqual(t, size, f.limit+f.limit/16)
	}
	assert.NotNil(t, f.get(key(99)))
	assert.Nil(t, f.get(key(1)))
	_, size := programFiles(f.dir)
	assert.Greater(t, size, f.limit/2, "no more than needed")
	for _, name := range foreign {
		assert.FileExists(t, filepath.Join(f.dir, name))
	}
	f.put(key(200), make([]byte, 30_000))
	assert.Nil(t, f.get(key(200)), "larger than all that may be there")
}

// TestFolderTogether writes, reads and shrinks from many goroutines, through two folders as of two processes.
func TestFolderTogether(t *testing.T) {
	f := newFolder(t)
	f.limit = 30_000
	g := openFolder(f.dir)
	g.identity, g.limit = f.identity, f.limit
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := range 200 {
				here, k := f, byte((i*7+worker)%50)
				if worker%2 == 0 {
					here = g
				}
				if data := here.get(key(k)); data != nil {
					assert.Equal(t, bytes.Repeat([]byte{k}, 1000), data)
				}
				here.put(key(k), bytes.Repeat([]byte{k}, 1000))
			}
		})
	}
	all.Wait()
	left, _ := filepath.Glob(filepath.Join(f.dir, "writing-*"))
	assert.Empty(t, left)
}

// TestFolderThatCannotBe: no folder, or one that others may write to, is none; one that goes away keeps nothing.
func TestFolderThatCannotBe(t *testing.T) {
	f := newFolder(t)
	open := filepath.Join(t.TempDir(), "open")
	require.NoError(t, os.Mkdir(open, 0o700))
	require.NoError(t, os.Chmod(open, 0o770))
	assert.Nil(t, openFolder(open))
	_, _, _, err := ProgramsIn(open)
	assert.ErrorContains(t, err, "this user alone")
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	assert.Nil(t, openFolder(file))
	assert.Nil(t, openFolder(filepath.Join(file, "below")))
	require.NoError(t, os.RemoveAll(f.dir))
	f.put(key(1), []byte("one"))
	assert.Nil(t, f.get(key(1)))
}

func TestProgramsFolder(t *testing.T) {
	cache := t.TempDir()
	for _, c := range []struct{ setting, env, own, want string }{
		{"", "", "", ""}, {"off", "on", "", ""}, {"", "off", "", ""},
		{"on", "", "", filepath.Join(cache, "trustbook", "programs")},
		{"", "on", "/own", "/own/programs"},
		{"", "/a/b", "", "/a/b"}, {"/c", "/a/b", "", "/c"},
	} {
		t.Setenv("XDG_CACHE_HOME", cache)
		t.Setenv(ProgramsEnv, c.env)
		t.Setenv("TRUSTBOOK_CACHE", c.own)
		got, err := programsFolder(c.setting)
		require.NoError(t, err)
		assert.Equal(t, c.want, got, c)
	}
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("HOME", "")
	t.Setenv("TRUSTBOOK_CACHE", "")
	got, err := programsFolder("on")
	require.NoError(t, err, "a user without a cache folder does without")
	assert.Empty(t, got)
}
