package engine

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
)

// ProgramsEnv is the environment variable with the folder that compiled programs are kept in: a path; "on",
// which stands for $TRUSTBOOK_CACHE/programs, else trustbook/programs in the user's cache folder; or "off".
const ProgramsEnv = "TRUSTBOOK_PROGRAMS"

// programsFolder is the absolute path of the folder that a setting stands for, "" for none. A user without a cache folder
// has none either.
func programsFolder(setting string) (string, error) {
	if setting == "" {
		setting = os.Getenv(ProgramsEnv)
	}
	switch setting {
	case "off":
		setting = ""
	case "on":
		if dir := os.Getenv("TRUSTBOOK_CACHE"); dir != "" {
			setting = filepath.Join(dir, "programs")
		} else if cache, err := os.UserCacheDir(); err == nil {
			setting = filepath.Join(cache, "trustbook", "programs")
		} else {
			setting = ""
		}
	}
	if setting == "" {
		return "", nil
	}
	dir, err := filepath.Abs(setting)
	if err != nil {
		return "", fmt.Errorf("engine: folder of compiled programs %q: %w", setting, err)
	}
	return dir, nil
}

// ProgramsIn tells what lies in the folder that a setting of [Options] stands for: its path, "" where that is none, how many
// programs, and their bytes. The error says why it is not used.
func ProgramsIn(setting string) (dir string, programs int, size int64, err error) {
	if dir, err = programsFolder(setting); dir == "" || err != nil {
		return dir, 0, 0, err
	}
	if _, err := os.Lstat(dir); err == nil && !isPrivate(dir) {
		return dir, 0, 0, fmt.Errorf("engine: %s is not a folder that this user alone may write to, as compiled programs ask for", dir)
	}
	files, size := programFiles(dir)
	return dir, len(files), size, nil
}

// Programs counts what became of the programs that an engine was asked to compile.
type Programs struct {
	Compiled int // anew
	Found    int // compiled before, by this process or, where a folder is set, by another
}

// counts are Programs while they grow.
type counts struct{ compiled, found atomic.Int64 }

func (c *counts) programs() Programs {
	return Programs{Compiled: int(c.compiled.Load()), Found: int(c.found.Load())}
}

// programKey tells compiled programs apart.
type programKey [sha256.Size]byte

// keyOf is the key of texts; where one ends and the next begins counts too.
func keyOf(texts ...[]byte) (key programKey) {
	h := sha256.New()
	for _, t := range texts {
		var length [8]byte
		binary.LittleEndian.PutUint64(length[:], uint64(len(t)))
		h.Write(length[:])
		h.Write(t)
	}
	h.Sum(key[:0])
	return key
}

// nameless is a program without its module's name, which has a number that grows with every graph.
func nameless(code []byte) []byte {
	rest, named := bytes.CutPrefix(code, []byte("module @"))
	if end := bytes.IndexAny(rest, " {"); named && end >= 0 {
		return rest[end:]
	}
	return code
}

// memory keeps compiled programs, up to a limit in bytes; the oldest go first.
type memory struct {
	limit int

	mu    sync.Mutex
	size  int
	data  map[programKey][]byte
	order []programKey
}

// inMemory is shared by all clients of the process: keys tell plugins apart.
var inMemory = memory{limit: 256 << 20}

func (m *memory) get(key programKey) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.data[key]
}

func (m *memory) put(key programKey, data []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.data[key] != nil || len(data) > m.limit {
		return
	}
	if m.data == nil {
		m.data = map[programKey][]byte{}
	}
	m.data[key] = data
	m.order = append(m.order, key)
	for m.size += len(data); m.size > m.limit; m.order = m.order[1:] {
		m.size -= len(m.data[m.order[0]])
		delete(m.data, m.order[0])
	}
}

func (m *memory) remove(key programKey) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if data := m.data[key]; data != nil {
		m.size -= len(data)
		delete(m.data, key)
		for i, k := range m.order {
			if k == key {
				m.order = append(m.order[:i:i], m.order[i+1:]...)
				break
			}
		}
	}
}

// kept is what a client looks compiled programs up in: the process's memory, then its folder, if it has one.
type kept struct {
	memory *memory
	folder *folder
}

func (k kept) get(key programKey) []byte {
	data := k.memory.get(key)
	if data == nil && k.folder != nil {
		if data = k.folder.get(key); data != nil {
			k.memory.put(key, data)
		}
	}
	return data
}

func (k kept) put(key programKey, data []byte) {
	k.memory.put(key, data)
	if k.folder != nil {
		k.folder.put(key, data)
	}
}

// drop forgets a program that the plugin cannot read.
func (k kept) drop(key programKey) {
	k.memory.remove(key)
	if k.folder != nil {
		k.folder.remove(key)
	}
}
