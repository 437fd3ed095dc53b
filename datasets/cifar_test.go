package datasets

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/md5"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// cifarRecords makes records with the given labels; the pixel at (row, column, channel) of record i is
// i + row + 2·column + 3·channel.
func cifarRecords(labels ...byte) []byte {
	var out []byte
	for i, l := range labels {
		out = append(out, l)
		for c := range 3 {
			for row := range 32 {
				for col := range 32 {
					out = append(out, byte(i+row+2*col+3*c))
				}
			}
		}
	}
	return out
}

func TestParseCIFAR(t *testing.T) {
	pixels, labels, err := ParseCIFAR(cifarRecords(3, 9))
	require.NoError(t, err)
	assert.Equal(t, []int32{3, 9}, labels)
	for i := range 2 {
		for row := range 32 {
			for col := range 32 {
				for c := range 3 {
					require.Equal(t, byte(i+row+2*col+3*c), pixels[((i*32+row)*32+col)*3+c])
				}
			}
		}
	}
	for name, data := range map[string][]byte{
		"empty":     nil,
		"truncated": cifarRecords(1)[:3072],
		"trailing":  append(cifarRecords(1), 0),
		"label 10":  cifarRecords(1, 10),
	} {
		_, _, err := ParseCIFAR(data)
		assert.ErrorContains(t, err, "CIFAR", name)
	}
}

func TestCIFARFolder(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, "some [odd] place", cifarFolder)
	require.NoError(t, os.MkdirAll(folder, 0o700))
	write := func(name string, data []byte) {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), data, 0o600))
	}
	write("test_batch.bin", cifarRecords(7))
	_, _, err := Load(context.Background(), "cifar10", Options{Dir: dir})
	assert.ErrorContains(t, err, "not in")
	write("data_batch_10.bin", cifarRecords(5))
	write("data_batch_2.bin", cifarRecords(1, 2))
	for _, d := range []string{dir, filepath.Dir(folder), folder} {
		train, test, err := Load(context.Background(), "cifar10", Options{Dir: d})
		require.NoError(t, err)
		assert.Equal(t, []int32{1, 2, 5}, train.Labels)
		assert.Equal(t, []int32{7}, test.Labels)
		assert.Equal(t, []int{32, 32, 3}, train.Shape)
		assert.Contains(t, train.Note, "subset of 3 training and 1 test images")
		assert.Equal(t, "airplane", train.ClassNames[0])
	}
	summary, err := Verify(context.Background(), "cifar10", Options{Dir: dir})
	require.NoError(t, err)
	assert.Contains(t, summary, "checksum does not hold")
	write("data_batch_2.bin", cifarRecords(1, 2)[:4000])
	_, _, err = Load(context.Background(), "cifar10", Options{Dir: dir})
	assert.ErrorContains(t, err, "data_batch_2.bin: CIFAR: 4000 bytes")
	// An archive is taken before a folder, and must be the official one.
	write(cifarArchive, []byte("no archive"))
	_, _, err = Load(context.Background(), "cifar10", Options{Dir: dir})
	assert.ErrorContains(t, err, "MD5")
}

// entry is a file in a tar archive.
type entry struct {
	name string
	kind byte
	data []byte
}

// archive makes a gzip-compressed tar archive.
func archive(entries ...entry) []byte {
	var b bytes.Buffer
	t := tar.NewWriter(&b)
	for _, e := range entries {
		_ = t.WriteHeader(&tar.Header{Name: e.name, Typeflag: e.kind, Size: int64(len(e.data)), Mode: 0o644})
		_, _ = t.Write(e.data)
	}
	_ = t.Close()
	return zipped(b.Bytes())
}

func TestCIFARArchive(t *testing.T) {
	good := []entry{
		{cifarFolder + "/", tar.TypeDir, nil},
		{cifarFolder + "/readme.html", tar.TypeReg, []byte("hello")},
		{cifarFolder + "/data_batch_2.bin", tar.TypeReg, cifarRecords(2)},
		{cifarFolder + "/data_batch_1.bin", tar.TypeReg, cifarRecords(1)},
		{cifarFolder + "/test_batch.bin", tar.TypeReg, cifarRecords(3)},
	}
	batches, err := readCIFARArchive(bytes.NewReader(archive(good...)))
	require.NoError(t, err)
	train, test, err := joinCIFAR(batches)
	require.NoError(t, err)
	assert.Equal(t, []int32{1, 2}, train.Labels)
	assert.Equal(t, []int32{3}, test.Labels)

	whole := archive(good...)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, cifarArchive), whole, 0o600))
	official := remote{name: cifarArchive, md5: fmt.Sprintf("%x", md5.Sum(whole))}
	train, _, err = loadCIFARArchive(dir, official)
	require.NoError(t, err)
	assert.Empty(t, train.Note)

	for name, data := range map[string][]byte{
		"empty":     nil,
		"no gzip":   []byte("hello"),
		"no tar":    zipped(bytes.Repeat([]byte("hello"), 1000)),
		"truncated": whole[:len(whole)/2],
		"checksum":  append(bytes.Clone(whole[:len(whole)-8]), make([]byte, 8)...),
		"trailing":  append(bytes.Clone(whole), "more"...),
		"traversal": archive(entry{"../cifar-10-batches-bin/data_batch_1.bin", tar.TypeReg, cifarRecords(1)}),
		"absolute":  archive(entry{"/etc/test_batch.bin", tar.TypeReg, cifarRecords(1)}),
		"twice":     archive(good[2], good[2]),
	} {
		_, err := readCIFARArchive(bytes.NewReader(data))
		assert.Error(t, err, name)
	}
	// A link is no batch.
	batches, err = readCIFARArchive(bytes.NewReader(archive(entry{cifarFolder + "/test_batch.bin", tar.TypeSymlink, nil}, good[2])))
	require.NoError(t, err)
	_, _, err = joinCIFAR(batches)
	assert.ErrorContains(t, err, "missing")
}

func FuzzParseCIFAR(f *testing.F) {
	f.Add(cifarRecords(1, 9))
	f.Add(cifarRecords(200))
	f.Fuzz(func(t *testing.T, data []byte) {
		pixels, labels, err := ParseCIFAR(data)
		if err != nil {
			return
		}
		_, err = New("cifar10", "train", []int{32, 32, 3}, pixels, labels, 10, cifarNames)
		require.NoError(t, err)
		require.Len(t, pixels, len(data)-len(labels))
	})
}

func FuzzCIFARArchive(f *testing.F) {
	f.Add(archive(entry{cifarFolder + "/test_batch.bin", tar.TypeReg, cifarRecords(1)}))
	f.Add(archive(entry{"../x/test_batch.bin", tar.TypeReg, []byte{1}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		if batches, err := readCIFARArchive(bytes.NewReader(data)); err == nil {
			_, _, _ = joinCIFAR(batches)
		}
	})
}
