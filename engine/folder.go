package engine

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// programsLimit is how many bytes of compiled programs a folder keeps.
const programsLimit = 512 << 20

// A program's file is named by its key, and holds a line that tells its format, a checksum and the program.
const (
	programSuffix = ".program"
	programHead   = "trustbook program 1\n"
)

// folder keeps compiled programs between processes, several of which may use it at a time. It is a convenience: where it
// cannot be read or written, programs are compiled.
type folder struct {
	dir      string
	identity []byte // of everything but the program that its compiled form depends on
	limit    int64

	mu    sync.Mutex
	fresh int64 // bytes written since the files were last counted; -1 before the first time
}

// openFolder makes the folder, for this user alone, and returns nil where none can be used: what is read from it is run.
func openFolder(dir string) *folder {
	_ = os.MkdirAll(filepath.Dir(dir), 0o755)
	_ = os.Mkdir(dir, 0o700)
	if !isPrivate(dir) {
		return nil
	}
	return &folder{dir: dir, limit: programsLimit, fresh: -1}
}

func (f *folder) path(key digest) string {
	name := digestOf(f.identity, key[:])
	return filepath.Join(f.dir, hex.EncodeToString(name[:])+programSuffix)
}

// checksum covers the file's name too, so that a file under another's name counts as damaged.
func checksum(path string, data []byte) []byte {
	sum := digestOf([]byte(filepath.Base(path)), data)
	return sum[:]
}

// get returns a program, or nil where there is none or its file is damaged.
func (f *folder) get(key digest) []byte {
	path := f.path(key)
	file, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	rest, ok := bytes.CutPrefix(file, []byte(programHead))
	if !ok || len(rest) <= sha256.Size || !bytes.Equal(rest[:sha256.Size], checksum(path, rest[sha256.Size:])) {
		return nil
	}
	if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) > time.Hour { // what is used stays longest
		_ = os.Chtimes(path, time.Time{}, time.Now())
	}
	return rest[sha256.Size:]
}

// put writes a program whole or not at all, and removes those that were not used for longest where there are too many.
func (f *folder) put(key digest, data []byte) {
	path := f.path(key)
	file := slices.Concat([]byte(programHead), checksum(path, data), data)
	if int64(len(file)) > f.limit || writeWhole(path, file) != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fresh >= 0 && f.fresh+int64(len(file)) < f.limit/16 {
		f.fresh += int64(len(file))
		return
	}
	f.fresh = 0
	f.shrink()
}

func (f *folder) remove(key digest) { _ = os.Remove(f.path(key)) }

// writeWhole writes a file under a passing name, and renames it.
func writeWhole(path string, data []byte) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), "writing-*"+filepath.Ext(path))
	if err != nil {
		return err
	}
	_, err = temporary.Write(data)
	if closed := temporary.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		_ = os.Remove(temporary.Name())
	}
	return err
}

// shrink leaves three quarters of the limit, where more than the limit is there.
func (f *folder) shrink() {
	files, size := programFiles(f.dir)
	if size <= f.limit {
		return
	}
	slices.SortFunc(files, func(a, b fs.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, info := range files {
		if size <= f.limit*3/4 {
			return
		}
		if os.Remove(filepath.Join(f.dir, info.Name())) == nil {
			size -= info.Size()
		}
	}
}

// programFiles are the files of programs in a folder, those half-written too, and their size in bytes together. What else lies there
// is nobody's business here.
func programFiles(dir string) (files []fs.FileInfo, size int64) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		name, ours := strings.CutSuffix(e.Name(), programSuffix)
		if ours && !strings.HasPrefix(name, "writing-") {
			_, err := hex.DecodeString(name)
			ours = err == nil && len(name) == 2*sha256.Size
		}
		if info, err := e.Info(); ours && err == nil && info.Mode().IsRegular() {
			files = append(files, info)
			size += info.Size()
		}
	}
	return files, size
}
