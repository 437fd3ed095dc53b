package watermark

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"

	"github.com/pkg/errors"
	"golang.org/x/sys/unix"
)

// journalMagic begins a journal. The endpoint's 32 bytes follow, and records, little-endian:
//
//	16  hash of the question
//	8   what was taken of its answer, as float64; NaN: the target was not told
//	4   CRC-32C of these
//
// Questions differ from images by the key, so they are not kept.
const (
	journalMagic = "TBMARK1\n"
	journalHead  = len(journalMagic) + sha256.Size
	recordSize   = 16 + 8 + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// endpointID tells endpoints apart, as far as they have names.
func endpointID(e Endpoint, target int) [32]byte {
	name := ""
	if named, ok := e.(interface{ Name() string }); ok {
		name = named.Name()
	}
	return sha256.Sum256(fmt.Appendf(nil, "%d %s", target, name))
}

// journal keeps answers in a file that only grows.
type journal struct {
	file *os.File
	end  int64
}

// openJournal opens or creates a journal for this process alone, reads what it knows, and drops a damaged tail.
func openJournal(path string, id [32]byte, known map[askedKey]float64) (_ *journal, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, errors.Errorf("the journal cannot be opened: %v", err)
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Errorf("the journal %s is in use by another process, or cannot be locked: %v", path, err)
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return nil, errors.Errorf("the journal cannot be read: %v", err)
	}
	head := append([]byte(journalMagic), id[:]...)
	switch whole := len(data) >= journalHead; {
	case !whole && bytes.HasPrefix([]byte(journalMagic), data[:min(len(data), len(journalMagic))]):
		data = head // empty, or cut inside its beginning
		if _, err := f.WriteAt(head, 0); err != nil {
			return nil, errors.Errorf("the journal cannot be written: %v", err)
		}
	case !bytes.HasPrefix(data, []byte(journalMagic)):
		return nil, errors.Errorf("%s is no journal: name a file that is one, or none yet", path)
	case !bytes.HasPrefix(data, head):
		return nil, errors.Errorf("the journal %s is of another endpoint or target: name another", path)
	}
	j := &journal{file: f, end: int64(journalHead)}
	for rest := data[journalHead:]; len(rest) >= recordSize; rest = rest[recordSize:] {
		if crc32.Checksum(rest[:recordSize-4], castagnoli) != binary.LittleEndian.Uint32(rest[recordSize-4:]) {
			break
		}
		known[askedKey(rest[:16])] = math.Float64frombits(binary.LittleEndian.Uint64(rest[16:]))
		j.end += recordSize
	}
	return j, errors.Wrap(f.Truncate(j.end), "the journal")
}

// keep appends answers in one write.
func (j *journal) keep(keys []askedKey, found []float64) error {
	var out []byte
	for i, k := range keys {
		begin := len(out)
		out = append(out, k[:]...)
		out = binary.LittleEndian.AppendUint64(out, math.Float64bits(found[i]))
		out = binary.LittleEndian.AppendUint32(out, crc32.Checksum(out[begin:], castagnoli))
	}
	if _, err := j.file.WriteAt(out, j.end); err != nil {
		return errors.Errorf("the journal cannot be written: %v", err)
	}
	j.end += int64(len(out))
	return nil
}

func (j *journal) close() error { return j.file.Close() }
