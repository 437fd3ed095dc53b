package datasets

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// idx makes an IDX file.
func idx(values []byte, dims ...uint32) []byte {
	out := []byte{0, 0, 8, byte(len(dims))}
	for _, d := range dims {
		out = binary.BigEndian.AppendUint32(out, d)
	}
	return append(out, values...)
}

// zipped compresses.
func zipped(data []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(data)
	_ = z.Close()
	return b.Bytes()
}

func TestParseIDX(t *testing.T) {
	values := []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	for _, data := range [][]byte{idx(values, 3, 2, 2), zipped(idx(values, 3, 2, 2))} {
		dims, got, err := ParseIDX(data)
		require.NoError(t, err)
		assert.Equal(t, []int{3, 2, 2}, dims)
		assert.Equal(t, values, got)
	}
	s, err := idxSet("x", "train", idx(values, 3, 2, 2), idx([]byte{0, 9, 1}, 3), digitNames)
	require.NoError(t, err)
	assert.Equal(t, []uint8{5, 6, 7, 8}, s.Bytes(1))
	assert.Equal(t, []int32{0, 9, 1}, s.Labels)
}

func TestParseIDXHostile(t *testing.T) {
	good := idx([]byte{1, 2, 3, 4}, 1, 2, 2)
	for name, data := range map[string][]byte{
		"empty":            nil,
		"three bytes":      {0, 0, 8},
		"header cut":       good[:10],
		"truncated":        good[:len(good)-1],
		"trailing":         append(bytes.Clone(good), 0),
		"floats":           append([]byte{0, 0, 13, 3}, good[4:]...),
		"no dimensions":    {0, 0, 8, 0},
		"many dimensions":  append([]byte{0, 0, 8, 255}, make([]byte, 4*255)...),
		"dimension 0":      idx(nil, 0, 28, 28),
		"impossible count": idx([]byte{1, 2, 3, 4}, 0xffffffff, 2, 2),
		"overflow":         idx([]byte{1}, 0x80000000, 0x80000000, 4, 1),
		"gzip cut":         zipped(good)[:15],
		"gzip checksum":    append(zipped(good)[:len(zipped(good))-8], make([]byte, 8)...),
		"gzip trailing":    append(zipped(good), "more"...),
		"gzip of gzip":     zipped(zipped(good)),
	} {
		_, _, err := ParseIDX(data)
		assert.ErrorContains(t, err, "IDX", name)
	}
	for want, f := range map[string][2][]byte{
		"label 10: want 0 to 9":  {good, idx([]byte{10}, 1)},
		"one for each image":     {good, idx([]byte{1, 2}, 2)},
		"[count, height, width]": {idx([]byte{1, 2}, 2), idx([]byte{1, 2}, 2)},
		"labels: IDX: truncated": {good, idx([]byte{1}, 2)},
		"images: IDX: truncated": {good[:17], idx([]byte{1}, 1)},
	} {
		_, err := idxSet("x", "train", f[0], f[1], digitNames)
		assert.ErrorContains(t, err, want)
	}
}

// A small file that unpacks to a giant one stops at the limit.
func TestGunzipBomb(t *testing.T) {
	bomb := zipped(make([]byte, 1<<20))
	_, err := gunzip(bomb, 1000)
	assert.ErrorContains(t, err, "more than the 1000 bytes")
	out, err := gunzip(bomb, 1<<20)
	require.NoError(t, err)
	assert.Len(t, out, 1<<20)
}

func FuzzParseIDX(f *testing.F) {
	good := idx([]byte{1, 2, 3, 4}, 1, 2, 2)
	f.Add(good)
	f.Add(zipped(good))
	f.Add(idx([]byte{1}, 0xffffffff))
	f.Fuzz(func(t *testing.T, data []byte) {
		dims, values, err := ParseIDX(data)
		if err != nil {
			return
		}
		n := 1
		for _, d := range dims {
			require.Positive(t, d)
			n *= d
		}
		require.Len(t, values, n)
	})
}
