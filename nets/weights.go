package nets

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/core/tensors/numpy"
	"github.com/google/renameio/v2"
	"github.com/pkg/errors"
	"github.com/sbinet/npyio/npy"
)

// SaveWeights writes the weights and state as one .npz archive that numpy.load reads: an array for each of WeightPaths
// and StatePaths, named as the path without its leading slash ("dense_0/weights"), in the same order. Equal weights give equal bytes.
// The file appears whole or not at all.
func (n *Network) SaveWeights(path string) error {
	f, err := renameio.NewPendingFile(path, renameio.WithPermissions(0o644))
	if err != nil {
		return errors.WithMessage(err, "nets: saving weights")
	}
	defer f.Cleanup()
	archive := zip.NewWriter(f)
	for _, w := range n.variables() {
		value, err := w.Value()
		if err != nil {
			return errors.WithMessagef(err, "nets: saving weight %s", w.Path())
		}
		var array bytes.Buffer // in memory first: ToNpyWriter does not report a failed write
		if err := numpy.ToNpyWriter(value, &array); err != nil {
			return errors.WithMessagef(err, "nets: saving weight %s", w.Path())
		}
		entry, err := archive.CreateHeader(&zip.FileHeader{Name: arrayName(w.Path()) + ".npy", Method: zip.Store})
		if err == nil {
			_, err = entry.Write(array.Bytes())
		}
		if err != nil {
			return errors.WithMessagef(err, "nets: saving weights to %s", path)
		}
	}
	if err := archive.Close(); err != nil {
		return errors.WithMessagef(err, "nets: saving weights to %s", path)
	}
	return errors.WithMessage(f.CloseAtomicallyReplace(), "nets: saving weights")
}

// LoadWeights gives n the weights that SaveWeights wrote, or numpy.savez with the same names. Every array must be there,
// be float32 in C order, have the weight's shape and hold finite values only, and no other array may be there; else
// there is an error of one line and no weight has changed.
func (n *Network) LoadWeights(path string) error {
	values, err := n.readWeights(path)
	if err != nil {
		return errors.Errorf("nets: loading weights from %s: %s", path, err)
	}
	for i, w := range n.variables() {
		if err := w.SetValue(values[i]); err != nil {
			return errors.WithMessagef(err, "nets: loading weight %s", w.Path())
		}
	}
	return nil
}

func (n *Network) readWeights(path string) ([]*tensors.Tensor, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, errors.New("no such file, or not readable")
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	archive, err := zip.NewReader(f, info.Size())
	if err != nil {
		return nil, errors.New("not an .npz archive, or truncated")
	}
	entries := make(map[string]*zip.File, len(archive.File))
	for _, e := range archive.File {
		name := strings.TrimSuffix(e.Name, ".npy")
		if entries[name] != nil {
			return nil, errors.Errorf("array %q is there twice", name)
		}
		entries[name] = e
	}
	weights := n.variables()
	values := make([]*tensors.Tensor, len(weights))
	for i, w := range weights {
		name := arrayName(w.Path())
		if entries[name] == nil {
			return nil, errors.Errorf("it has no array %q, which %s needs", name, n.Name)
		}
		if dtype := w.Shape().DType; dtype != dtypes.Float32 {
			return nil, errors.Errorf("weight %q of %s is %s: only float32 weights can be loaded", name, n.Name, dtype)
		}
		if values[i], err = readWeight(entries[name], w.Shape().Dimensions); err != nil {
			return nil, errors.WithMessagef(err, "array %q", name)
		}
		delete(entries, name)
	}
	for _, e := range archive.File {
		if name := strings.TrimSuffix(e.Name, ".npy"); entries[name] != nil {
			return nil, errors.Errorf("array %q is not one of the %d weights of %s", name, len(weights), n.Name)
		}
	}
	return values, nil
}

// readWeight reads one array that must have the given shape. It never holds more than that shape needs, whatever the
// archive claims.
func readWeight(entry *zip.File, shape []int) (*tensors.Tensor, error) {
	size := 4 * product(shape)
	const longestHeader = 10 + math.MaxUint16
	r, err := entry.Open()
	if err != nil {
		return nil, errors.New("damaged")
	}
	defer r.Close()
	raw, err := io.ReadAll(io.LimitReader(r, int64(size+longestHeader+1)))
	if err != nil {
		return nil, errors.New("damaged or truncated")
	}
	h, err := parseArrayHeader(raw)
	switch {
	case err != nil:
		return nil, err
	case h.Descr.Fortran || h.Descr.Type != "<f4":
		return nil, errors.Errorf("holds dtype %q, Fortran order %v: want little-endian float32 in C order", h.Descr.Type, h.Descr.Fortran)
	case !slices.Equal(h.Descr.Shape, shape):
		return nil, errors.Errorf("has shape %v: want %v", h.Descr.Shape, shape)
	}
	data := raw[10+int(binary.LittleEndian.Uint16(raw[8:])):]
	if len(data) != size {
		return nil, errors.Errorf("shape %v needs %d bytes, the archive has %d or more: damaged or truncated", shape, size, len(data))
	}
	values := make([]float32, size/4)
	for i := range values {
		values[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		if v := values[i]; v-v != 0 {
			return nil, errors.Errorf("value %d is %g: weights must be finite", i, v)
		}
	}
	return tensors.FromFlatDataAndDimensions(values, shape...), nil
}

// parseArrayHeader reads the header of a version 1 array; the library slices it without checks, so what panics there is
// a damaged header.
func parseArrayHeader(raw []byte) (h npy.Header, err error) {
	if len(raw) < 10 || !bytes.HasPrefix(raw, npy.Magic[:]) || raw[6] != 1 {
		return h, errors.New("not a version 1 .npy array")
	}
	if 10+int(binary.LittleEndian.Uint16(raw[8:])) > len(raw) {
		return h, errors.New("truncated within its header")
	}
	defer func() {
		if recover() != nil {
			err = errors.New("its header does not parse: damaged")
		}
	}()
	r, err := npy.NewReader(bytes.NewReader(raw))
	if err != nil {
		return h, errors.New("its header does not parse: damaged")
	}
	return r.Header, nil
}

func arrayName(path string) string { return strings.TrimPrefix(path, "/") }
