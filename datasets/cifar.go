package datasets

import (
	"archive/tar"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
)

const (
	cifarArchive = "cifar-10-binary.tar.gz"
	cifarFolder  = "cifar-10-batches-bin"
	cifarSide    = 32
	cifarRecord  = 1 + 3*cifarSide*cifarSide
	// maxBatch bounds a batch file: the official ones have 10,000 records.
	maxBatch = 100_000 * cifarRecord
)

var cifarNames = []string{"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"}

// cifar10 is the set of Krizhevsky, 2009, in its binary version.
func cifar10() *source {
	archive := remote{name: cifarArchive, md5: "c32a1d4ab5d03f1284b67883e8d87530", size: 170052171,
		urls: []string{"https://www.cs.toronto.edu/~kriz/" + cifarArchive}}
	s := &source{
		info: Info{
			Name:   "cifar10",
			What:   "photographs of ten kinds of things, 32x32 color, 50,000 for training and 10,000 for testing",
			Source: "A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
		},
		remotes: []remote{archive},
		orFiles: "data_batch_*.bin and test_batch.bin",
		folders: []string{cifarFolder, "cifar10/" + cifarFolder, "*/" + cifarFolder},
	}
	s.has = func(dir string) bool {
		return exists(filepath.Join(dir, cifarArchive)) || exists(filepath.Join(dir, "test_batch.bin")) && len(cifarBatches(dir)) > 0
	}
	s.load = func(dir string) (train, test *Set, err error) {
		if !exists(filepath.Join(dir, cifarArchive)) {
			return loadCIFARFolder(dir)
		}
		return loadCIFARArchive(dir, archive)
	}
	return s
}

// loadCIFARArchive reads the archive, which must have its checksum.
func loadCIFARArchive(dir string, archive remote) (train, test *Set, err error) {
	file := filepath.Join(dir, archive.name)
	if err := archive.check(file); err != nil {
		return nil, nil, err
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	batches, err := readCIFARArchive(f)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", archive.name, err)
	}
	return joinCIFAR(batches)
}

// ParseCIFAR reads records of the binary version of CIFAR-10, one byte of label and 3,072 of pixels each, channel
// after channel. It returns pixels [n, 32, 32, 3], channels last, and labels 0 to 9.
//
// The format: https://www.cs.toronto.edu/~kriz/cifar.html
func ParseCIFAR(data []byte) (pixels []uint8, labels []int32, err error) {
	if len(data) == 0 || len(data)%cifarRecord != 0 {
		return nil, nil, fmt.Errorf("CIFAR: %d bytes: want a multiple of %d, the size of a record: truncated, or another format",
			len(data), cifarRecord)
	}
	const plane = cifarSide * cifarSide
	n := len(data) / cifarRecord
	pixels, labels = make([]uint8, n*3*plane), make([]int32, n)
	for i := range n {
		record := data[i*cifarRecord : (i+1)*cifarRecord]
		if record[0] > 9 {
			return nil, nil, fmt.Errorf("CIFAR: record %d has label %d: want 0 to 9", i, record[0])
		}
		labels[i] = int32(record[0])
		out := pixels[i*3*plane : (i+1)*3*plane]
		for p := range plane {
			out[3*p], out[3*p+1], out[3*p+2] = record[1+p], record[1+plane+p], record[1+2*plane+p]
		}
	}
	return pixels, labels, nil
}

// cifarBatches lists the training batches in a folder.
func cifarBatches(dir string) []string {
	files, _ := filepath.Glob(filepath.Join(escapeGlob(dir), "data_batch_*.bin"))
	return files
}

// loadCIFARFolder reads unpacked batches, as many as there are.
func loadCIFARFolder(dir string) (train, test *Set, err error) {
	batches := map[string][]byte{}
	for _, file := range append(cifarBatches(dir), filepath.Join(dir, "test_batch.bin")) {
		if batches[filepath.Base(file)], err = readFile(file, maxBatch); err != nil {
			return nil, nil, err
		}
	}
	if train, test, err = joinCIFAR(batches); err != nil {
		return nil, nil, err
	}
	note := "unpacked files, which the official checksum does not cover"
	if train.Len() != 50_000 || test.Len() != 10_000 {
		note = fmt.Sprintf("subset of %d training and %d test images; the official checksum does not hold, pixels may differ from the original",
			train.Len(), test.Len())
	}
	train.Note, test.Note = note, note
	return train, test, nil
}

// readCIFARArchive returns the batches in a gzip-compressed tar archive by name. Nothing is written to disk.
func readCIFARArchive(r io.Reader) (map[string][]byte, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("damaged gzip: %w", err)
	}
	const whole = 400 << 20 // the official archive unpacks to 185 MB
	limited := &io.LimitedReader{R: z, N: whole}
	t := tar.NewReader(limited)
	batches := map[string][]byte{}
	for {
		h, err := t.Next()
		if limited.N <= 0 {
			return nil, fmt.Errorf("unpacks to more than %d bytes", whole)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("damaged archive: %w", err)
		}
		dir, name := path.Split(h.Name)
		batch, _ := path.Match("data_batch_*.bin", name)
		if h.Typeflag != tar.TypeReg || !batch && name != "test_batch.bin" {
			continue
		}
		if path.Clean(dir) != cifarFolder {
			return nil, fmt.Errorf("holds %q: want %s/%s", h.Name, cifarFolder, name)
		}
		if batches[name] != nil {
			return nil, fmt.Errorf("holds %s twice", name)
		}
		if batches[name], err = readAll(t, maxBatch); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	// The rest of the stream carries the checksum of the whole.
	if _, err := io.Copy(io.Discard, limited); err != nil {
		return nil, fmt.Errorf("damaged gzip: %w", err)
	}
	if limited.N <= 0 {
		return nil, fmt.Errorf("unpacks to more than %d bytes", whole)
	}
	return batches, nil
}

// joinCIFAR makes the splits of batches by file name.
func joinCIFAR(batches map[string][]byte) (train, test *Set, err error) {
	var names []string
	for name := range batches {
		if name != "test_batch.bin" {
			names = append(names, name)
		}
	}
	if len(names) == 0 || batches["test_batch.bin"] == nil {
		return nil, nil, errors.New("batches are missing: want data_batch_*.bin and test_batch.bin")
	}
	slices.SortFunc(names, func(a, b string) int { // 10 after 9
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	})
	var pixels []uint8
	var labels []int32
	for _, name := range names {
		p, l, err := ParseCIFAR(batches[name])
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", name, err)
		}
		pixels, labels = append(pixels, p...), append(labels, l...)
	}
	shape := []int{cifarSide, cifarSide, 3}
	if train, err = New("cifar10", "train", shape, pixels, labels, 10, cifarNames); err != nil {
		return nil, nil, err
	}
	if pixels, labels, err = ParseCIFAR(batches["test_batch.bin"]); err != nil {
		return nil, nil, fmt.Errorf("test_batch.bin: %w", err)
	}
	test, err = New("cifar10", "test", shape, pixels, labels, 10, cifarNames)
	return train, test, err
}
