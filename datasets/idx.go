package datasets

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// gunzip returns the contents of data where that is gzip, at most limit bytes, else data itself. Bytes after the
// compressed stream are an error.
func gunzip(data []byte, limit int) ([]byte, error) {
	if !bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		return data, nil
	}
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("damaged gzip: %w", err)
	}
	out, err := readAll(r, limit)
	if err != nil {
		return nil, fmt.Errorf("damaged gzip: %w", err)
	}
	return out, nil
}

// readAll reads r to its end. More than limit bytes are an error: a decompression bomb does not fill the memory.
func readAll(r io.Reader, limit int) ([]byte, error) {
	var buf bytes.Buffer
	n, err := buf.ReadFrom(io.LimitReader(r, int64(limit)+1))
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("truncated after %d bytes", n)
	}
	if err != nil {
		return nil, err
	}
	if n > int64(limit) {
		return nil, fmt.Errorf("more than the %d bytes expected", limit)
	}
	return buf.Bytes(), nil
}

// maxIDX bounds the uncompressed size of an IDX file that is read: MNIST has 47 MB.
const maxIDX = 1 << 30

// ParseIDX reads an IDX array of unsigned bytes, the format of MNIST and Fashion-MNIST, plain or gzip-compressed, and
// returns its dimensions and its values. A header that does not fit the length of the file is an error.
//
// The format: http://yann.lecun.com/exdb/mnist/
func ParseIDX(data []byte) (dims []int, values []uint8, err error) {
	if data, err = gunzip(data, maxIDX); err != nil {
		return nil, nil, fmt.Errorf("IDX: %w", err)
	}
	if len(data) < 4 {
		return nil, nil, fmt.Errorf("IDX: truncated: %d bytes, not even a header", len(data))
	}
	if data[0] != 0 || data[1] != 0 || data[2] != 8 || data[3] < 1 || data[3] > 4 {
		return nil, nil, fmt.Errorf("IDX: magic number %x: want 000008 and 1 to 4 dimensions (an array of unsigned bytes)", data[:4])
	}
	rank := int(data[3])
	if len(data) < 4+4*rank {
		return nil, nil, fmt.Errorf("IDX: truncated: %d bytes, %d dimensions need a header of %d", len(data), rank, 4+4*rank)
	}
	body := data[4+4*rank:]
	want := uint64(1)
	for i := range rank {
		d := binary.BigEndian.Uint32(data[4+4*i:])
		dims = append(dims, int(d))
		if d == 0 {
			return nil, nil, fmt.Errorf("IDX: dimensions %v: want positive ones", dims)
		}
		if want *= uint64(d); want > maxIDX {
			return nil, nil, fmt.Errorf("IDX: dimensions %v promise more than %d values", dims, maxIDX)
		}
	}
	if uint64(len(body)) < want {
		return nil, nil, fmt.Errorf("IDX: truncated: dimensions %v promise %d values, %d are there", dims, want, len(body))
	}
	if uint64(len(body)) > want {
		return nil, nil, fmt.Errorf("IDX: dimensions %v promise %d values, %d bytes follow them", dims, want, uint64(len(body))-want)
	}
	return dims, body, nil
}

// idxSet joins IDX images [n, height, width] and labels [n].
func idxSet(name, split string, images, labels []byte, classNames []string) (*Set, error) {
	dims, pixels, err := ParseIDX(images)
	if err != nil {
		return nil, fmt.Errorf("images: %w", err)
	}
	if len(dims) != 3 {
		return nil, fmt.Errorf("images: IDX: dimensions %v: want [count, height, width]", dims)
	}
	labelDims, values, err := ParseIDX(labels)
	if err != nil {
		return nil, fmt.Errorf("labels: %w", err)
	}
	if len(labelDims) != 1 || labelDims[0] != dims[0] {
		return nil, fmt.Errorf("labels: IDX: dimensions %v: want [%d], one for each image", labelDims, dims[0])
	}
	return New(name, split, []int{dims[1], dims[2], 1}, pixels, widen(values), len(classNames), classNames)
}

// widen makes labels of bytes.
func widen(values []uint8) []int32 {
	labels := make([]int32, len(values))
	for i, v := range values {
		labels[i] = int32(v)
	}
	return labels
}
