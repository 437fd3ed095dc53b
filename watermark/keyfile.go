package watermark

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"unicode/utf8"

	"github.com/google/renameio/v2"
	"github.com/pkg/errors"
)

// keyMagic begins a key file. The SHA-256 of the rest follows, and the rest: the key's canonical form, little-endian:
//
//	text     "gradsigns-1"
//	text     owner
//	numbers  shape
//	numbers  target, bits
//	numbers  carriers
//	float64  matrix, row by row
//	byte     0 or 1 for each bit of the signature
//
// Texts and numbers begin with their length as uint64; numbers are uint64.
const keyMagic = "trustbook watermark key 1\n"

// mostKey is the largest key file that is read.
const mostKey = 1 << 30

// Write keeps the key in a file for its owner's eyes alone, with mode 0600, in one piece: whatever happens, the file is the
// old one or the new one.
func (k *Key) Write(path string) error {
	if err := k.check(); err != nil {
		return errors.WithMessage(err, "key")
	}
	body := k.canonical()
	sum := sha256.Sum256(body)
	return writePrivate(path, append(append([]byte(keyMagic), sum[:]...), body...))
}

// writePrivate writes a file that its owner alone may read, whatever mode a file there had.
func writePrivate(path string, data []byte) error {
	f, err := renameio.NewPendingFile(path, renameio.WithStaticPermissions(0o600), renameio.WithTempDir(filepath.Dir(path)))
	if err != nil {
		return errors.Wrap(err, "key")
	}
	defer func() { _ = f.Cleanup() }() // does nothing once the file is in its place
	if _, err := f.Write(data); err != nil {
		return errors.Wrap(err, "key")
	}
	return errors.Wrap(f.CloseAtomicallyReplace(), "key")
}

// ReadKey reads what [Key.Write] wrote. A file that others may read, or one with any byte altered, is refused.
func ReadKey(path string) (*Key, error) {
	data, err := readPrivate(path, mostKey)
	if err != nil {
		return nil, err
	}
	k, err := parseKey(data)
	return k, errors.WithMessagef(err, "key %s", path)
}

// readPrivate reads a file that nobody but its owner may read.
func readPrivate(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Errorf("key %s: no such file", path)
	} else if err != nil {
		return nil, errors.Wrap(err, "key")
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, errors.Wrap(err, "key")
	case !info.Mode().IsRegular():
		return nil, errors.Errorf("key %s: not a regular file", path)
	case info.Mode().Perm()&0o077 != 0:
		return nil, errors.Errorf("key: mode %04o; run chmod 600 %s", info.Mode().Perm(), path)
	case info.Size() > most:
		return nil, errors.Errorf("key %s: %d bytes, more than any", path, info.Size())
	}
	var all bytes.Buffer
	_, err = all.ReadFrom(f)
	return all.Bytes(), errors.Wrap(err, "key")
}

func parseKey(data []byte) (*Key, error) {
	body, ok := bytes.CutPrefix(data, []byte(keyMagic))
	if !ok {
		return nil, errors.New("is no key file")
	}
	if len(body) < sha256.Size {
		return nil, errors.New("is cut short")
	}
	sum := sha256.Sum256(body[sha256.Size:])
	if !bytes.Equal(sum[:], body[:sha256.Size]) {
		return nil, errors.New("is damaged or was altered: its checksum is another")
	}
	k, err := parseCanonical(body[sha256.Size:])
	if err != nil {
		return nil, err
	}
	return k, k.check()
}

// parseCanonical undoes canonical. What it reads is bounded by what is there, before anything is allocated for it.
func parseCanonical(body []byte) (*Key, error) {
	p := parser{rest: body}
	if version := p.text(); p.bad || version != keyVersion {
		return nil, errors.New("is a key of another version")
	}
	k := &Key{Owner: p.text(), Shape: p.ints()}
	sizes := p.ints()
	k.Carriers = p.ints()
	if p.bad || len(sizes) != 2 || !utf8.ValidString(k.Owner) {
		return nil, errors.New("is no key: its header makes no sense")
	}
	k.Target = sizes[0]
	bits, carriers := sizes[1], len(k.Carriers)
	if carriers > 0 && bits > len(p.rest)/(8*carriers) || bits > len(p.rest) || len(p.rest) != bits*(8*carriers+1) {
		return nil, errors.Errorf("is no key: %d bytes for its matrix and signature", len(p.rest))
	}
	for range bits {
		row := make([]float64, carriers)
		for i := range row {
			row[i] = math.Float64frombits(p.number())
		}
		k.Matrix = append(k.Matrix, row)
	}
	for _, b := range p.rest {
		if b > 1 {
			return nil, errors.New("is no key: a bit of its signature is neither 0 nor 1")
		}
		k.Signature = append(k.Signature, b == 1)
	}
	return k, nil
}

// parser takes a canonical form to pieces. After the first mistake all that it gives is nothing.
type parser struct {
	rest []byte
	bad  bool
}

func (p *parser) number() uint64 {
	if p.bad = p.bad || len(p.rest) < 8; p.bad {
		return 0
	}
	v := binary.LittleEndian.Uint64(p.rest)
	p.rest = p.rest[8:]
	return v
}

func (p *parser) text() string {
	n := p.number()
	if p.bad = p.bad || n > uint64(len(p.rest)); p.bad {
		return ""
	}
	text := string(p.rest[:n])
	p.rest = p.rest[n:]
	return text
}

func (p *parser) ints() []int {
	n := p.number()
	if p.bad = p.bad || n > uint64(len(p.rest)/8); p.bad {
		return nil
	}
	values := make([]int, n)
	for i := range values {
		v := p.number()
		p.bad = p.bad || v > math.MaxInt32
		values[i] = int(v)
	}
	return values
}
