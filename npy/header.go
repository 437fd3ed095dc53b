package npy

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"os"
	"regexp"

	"github.com/pkg/errors"
	"github.com/sbinet/npyio/npy"
)

// header is a checked header: its type can be read, its shape fits the file exactly.
type header struct {
	kind    dtype
	order   binary.ByteOrder
	fortran bool // the first axis runs fastest, not the last
	shape   []int
}

func (h header) elements() int {
	n := 1
	for _, d := range h.shape {
		n *= d
	}
	return n
}

// maxHeader bounds the dictionary of a header; NumPy's own limit for files that it does not trust is 10000.
const maxHeader = 1 << 16

// read opens the file, checks its header against the file's size before anything of the size that it tells is
// allocated, and hands the data to use. want ends the error of a type that cannot be read.
func read(path, want string, use func(h header, data io.Reader) error) error {
	fail := func(err error) error { return errors.WithMessagef(err, "npy: %s", path) }
	info, err := os.Stat(path)
	switch {
	case os.IsNotExist(err):
		return fail(errors.New("no such file"))
	case err != nil:
		return fail(err)
	case !info.Mode().IsRegular():
		return fail(errors.New("not a regular file"))
	}
	f, err := os.Open(path)
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	h, size, err := parseHeader(f, info.Size(), want)
	if err != nil {
		return fail(err)
	}
	if err := use(h, io.NewSectionReader(f, size, info.Size()-size)); err != nil {
		return fail(err)
	}
	return nil
}

// parseHeader returns the header and its length in bytes, for a file of the given size.
func parseHeader(f io.Reader, fileSize int64, want string) (header, int64, error) {
	none := header{}
	raw := make([]byte, 12)
	if n, err := io.ReadFull(f, raw); err != nil || !bytes.Equal(raw[:6], npy.Magic[:]) {
		if n >= 2 && raw[0] == 'P' && raw[1] == 'K' {
			return none, 0, errors.New("an .npz archive: want a single array, saved by numpy.save")
		}
		return none, 0, errors.New("not a .npy file (its first bytes are not those of numpy.save), or truncated")
	}
	length := int64(binary.LittleEndian.Uint16(raw[8:10]))
	start := int64(10)
	if raw[6] != 1 {
		length, start = int64(binary.LittleEndian.Uint32(raw[8:12])), 12
	}
	if length > maxHeader || start+length > fileSize || length < 2 {
		return none, 0, errors.Errorf("its header tells a length of %d bytes in a file of %d: damaged or truncated", length, fileSize)
	}
	whole := append(raw, make([]byte, start+length-12)...)
	if _, err := io.ReadFull(f, whole[12:]); err != nil {
		return none, 0, errors.New("truncated within its header")
	}
	if !form.Match(whole[start:]) {
		return none, 0, errors.New("its header does not parse: want a single array in the form that numpy.save writes")
	}
	r, err := parse(whole)
	if err != nil {
		return none, 0, err
	}
	d := r.Header.Descr
	h := header{fortran: d.Fortran, shape: d.Shape}
	var ok bool
	if h.kind, h.order, ok = parseType(d.Type); !ok {
		return none, 0, errors.Errorf("holds dtype %q%s: %s", d.Type, foreign(d.Type), want)
	}
	count, width := int64(1), int64(h.kind.width)
	for _, n := range h.shape {
		if n < 0 {
			return none, 0, errors.Errorf("impossible shape %v", h.shape)
		}
		if n > 0 && count > math.MaxInt64/8/int64(n) {
			return none, 0, errors.Errorf("impossible shape %v for a file of %d bytes", h.shape, fileSize)
		}
		count *= int64(n)
	}
	if count == 0 {
		return none, 0, errors.Errorf("shape %v: the array is empty", h.shape)
	}
	if have := fileSize - start - length; have != count*width {
		what := "truncated"
		if have > count*width {
			what = "trailing bytes"
		}
		return none, 0, errors.Errorf("shape %v of %s needs %d bytes of data, the file has %d: %s", h.shape, h.kind.name, count*width, have, what)
	}
	return h, start + length, nil
}

// form is what numpy.save writes. The library finds the parts of other dictionaries by their distances, and so takes
// some for what they are not.
var form = regexp.MustCompile(`^\{'descr': '[^']*', 'fortran_order': (True|False), 'shape': \([-0-9, ]*\), \}\s*\n$`)

// parse reads the dictionary; the library slices it without checks, so whatever panics there is a damaged header.
func parse(raw []byte) (r *npy.Reader, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("its header does not parse: damaged")
		}
	}()
	r, err = npy.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, errors.Errorf("its header does not parse: %v", err)
	}
	return r, nil
}
