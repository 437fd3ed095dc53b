package engine

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sync"
	"unsafe"
)

// idleLimit is how many executables that nobody uses any more are kept for whoever compiles the same program next.
const idleLimit = 128

// executables counts who uses each executable of a plugin. GoMLX compiles a graph anew for each executor, so that a study, which
// makes a trainer and a victim for each of its networks, compiles the same program again and again; with this it gets the
// executable that is there. PJRT's executables hold no state, and may run in several threads at a time.
type executables struct {
	mu    sync.Mutex
	known map[programKey]*executable
	by    map[unsafe.Pointer]*executable // by what the plugin calls it
	idle  []*executable                  // those used least lately first
	kept  map[unsafe.Pointer]*folder     // by client: where programs are kept for other processes, nil for nowhere

	compiled, found, read int // anew, in this process, from a folder
}

func newExecutables() *executables {
	return &executables{known: map[programKey]*executable{}, by: map[unsafe.Pointer]*executable{}, kept: map[unsafe.Pointer]*folder{}}
}

type executable struct {
	loaded unsafe.Pointer
	key    programKey
	users  int
}

// programKey tells the programs of a client, with the options to compile them with, apart.
type programKey struct {
	client unsafe.Pointer
	text   digest
}

func keyOf(client unsafe.Pointer, texts ...[]byte) programKey {
	return programKey{client, digestOf(texts...)}
}

// digest stands for texts; where one ends and the next begins counts too.
type digest [sha256.Size]byte

func digestOf(texts ...[]byte) (sum digest) {
	h := sha256.New()
	for _, t := range texts {
		var length [8]byte
		binary.LittleEndian.PutUint64(length[:], uint64(len(t)))
		h.Write(length[:])
		h.Write(t)
	}
	h.Sum(sum[:0])
	return sum
}

// nameless is a program without its module's name, which has a number that grows with every graph.
func nameless(code []byte) []byte {
	rest, named := bytes.CutPrefix(code, []byte("module @"))
	if end := bytes.IndexAny(rest, " {"); named && end >= 0 {
		return rest[end:]
	}
	return code
}

// take returns the executable of a program for one more user; nil where there is none.
func (s *executables) take(key programKey) unsafe.Pointer {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.known[key]
	if x == nil {
		return nil
	}
	if x.users == 0 {
		s.idle = slices.DeleteFunc(s.idle, func(y *executable) bool { return x == y })
	}
	x.users++
	s.found++
	return x.loaded
}

// keep has what a client compiles kept in a folder.
func (s *executables) keep(client unsafe.Pointer, f *folder) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept[client] = f // another's, where a client that was destroyed lay there before
}

// folder is where a client's programs are kept, or nil.
func (s *executables) folder(client unsafe.Pointer) *folder {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept[client]
}

// add shares what was compiled, or read from a folder, for its first user, unless another was quicker: then it stays that
// user's own.
func (s *executables) add(key programKey, loaded unsafe.Pointer, read bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if read {
		s.read++
	} else {
		s.compiled++
	}
	if s.known[key] != nil {
		return
	}
	x := &executable{loaded, key, 1}
	s.known[key], s.by[loaded] = x, x
}

// give takes an executable back from a user and returns one to destroy, or nil.
func (s *executables) give(loaded unsafe.Pointer) unsafe.Pointer {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.by[loaded]
	if x == nil {
		return loaded
	}
	if x.users--; x.users > 0 {
		return nil
	}
	if s.known[x.key] != x { // its client is gone
		delete(s.by, loaded)
		return loaded
	}
	if s.idle = append(s.idle, x); len(s.idle) <= idleLimit {
		return nil
	}
	x, s.idle = s.idle[0], s.idle[1:]
	delete(s.known, x.key)
	delete(s.by, x.loaded)
	return x.loaded
}

// leave forgets a client's programs and returns the executables to destroy before it; those in use are their users' to give.
func (s *executables) leave(client unsafe.Pointer) (unused []unsafe.Pointer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.kept, client)
	for key, x := range s.known {
		if key.client != client {
			continue
		}
		delete(s.known, key)
		if x.users == 0 {
			delete(s.by, x.loaded)
			unused = append(unused, x.loaded)
		}
	}
	s.idle = slices.DeleteFunc(s.idle, func(x *executable) bool { return x.key.client == client })
	return unused
}
