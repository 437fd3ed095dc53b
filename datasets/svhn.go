package datasets

import (
	"bytes"
	"cmp"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"

	"github.com/scigolib/matlab"
	"github.com/scigolib/matlab/types"
)

const (
	svhnSide = 32
	// maxMAT bounds a variable of a MAT file: the training images of SVHN have 225 MB.
	maxMAT = 320 << 20
)

// svhn is the set of Netzer and others, 2011, format 2: cropped digits.
func svhn() *source {
	s := &source{
		info: Info{
			Name:   "svhn",
			What:   "house numbers cropped to digits, 32x32 color, 73,257 for training and 26,032 for testing",
			Source: "Y. Netzer and others, Reading Digits in Natural Images with Unsupervised Feature Learning, 2011",
		},
		remotes: []remote{
			{name: "train_32x32.mat", md5: "e26dedcc434d2e4c54c9b2d4a06d8373", size: 182040794},
			{name: "test_32x32.mat", md5: "eb5a983be6a315427106f1b164d9cef3", size: 64275384},
		},
		folders: []string{"SVHN"},
	}
	for i := range s.remotes {
		r := &s.remotes[i]
		r.urls = []string{"http://ufldl.stanford.edu/housenumbers/" + r.name, "https://ufldl.stanford.edu/housenumbers/" + r.name}
	}
	s.has = hasRemotes(s.remotes)
	s.load = func(dir string) (train, test *Set, err error) { return loadSVHN(dir, s.remotes[0], s.remotes[1]) }
	return s
}

// loadSVHN reads the files of both splits, which must have their checksums.
func loadSVHN(dir string, trainFile, testFile remote) (train, test *Set, err error) {
	read := func(r remote, split string) (*Set, error) {
		file := filepath.Join(dir, r.name)
		if err := r.check(file); err != nil {
			return nil, err
		}
		data, err := readFile(file, maxRemote)
		if err != nil {
			return nil, err
		}
		pixels, labels, err := ParseSVHN(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.name, err)
		}
		return New("svhn", split, []int{svhnSide, svhnSide, 3}, pixels, labels, 10, digitNames)
	}
	if train, err = read(trainFile, "train"); err != nil {
		return nil, nil, err
	}
	test, err = read(testFile, "test")
	return train, test, err
}

// ParseSVHN reads a file of SVHN's cropped digits: a MATLAB file, version 5, with the images X, [32, 32, 3, n] of
// unsigned bytes, and the labels y, 1 to 10, where 10 stands for the digit 0. It returns pixels [n, 32, 32, 3] and
// labels 0 to 9.
//
// The format: https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf
func ParseSVHN(data []byte) (pixels []uint8, labels []int32, err error) {
	variables, err := parseMAT(data, "X", "y")
	if err != nil {
		return nil, nil, fmt.Errorf("MAT: %w", err)
	}
	x, y := variables["X"], variables["y"]
	if x == nil || y == nil {
		return nil, nil, errors.New("MAT: want variables X and y")
	}
	if len(x.Dimensions) != 4 || !slices.Equal(x.Dimensions[:3], []int{svhnSide, svhnSide, 3}) || x.Dimensions[3] < 1 {
		return nil, nil, fmt.Errorf("MAT: X has dimensions %v: want [32 32 3 n]", x.Dimensions)
	}
	const plane, size = svhnSide * svhnSide, 3 * svhnSide * svhnSide
	n := x.Dimensions[3]
	columns, ok := x.Data.([]uint8)
	if !ok {
		return nil, nil, fmt.Errorf("MAT: X holds %T: want unsigned bytes", x.Data)
	}
	if n > maxMAT/size || len(columns) != n*size {
		return nil, nil, fmt.Errorf("MAT: X has dimensions %v and %d values", x.Dimensions, len(columns))
	}
	if !slices.Equal(y.Dimensions, []int{n, 1}) && !slices.Equal(y.Dimensions, []int{1, n}) {
		return nil, nil, fmt.Errorf("MAT: y has dimensions %v: want [%d 1], one for each image", y.Dimensions, n)
	}
	values, err := y.GetFloat64Array()
	if err != nil {
		return nil, nil, fmt.Errorf("MAT: y: %w", err)
	}
	if len(values) != n {
		return nil, nil, fmt.Errorf("MAT: y has dimensions %v and %d values", y.Dimensions, len(values))
	}
	labels = make([]int32, n)
	for i, v := range values {
		if v != math.Trunc(v) || v < 1 || v > 10 {
			return nil, nil, fmt.Errorf("MAT: example %d has label %v: want 1 to 10", i, v)
		}
		labels[i] = int32(v) % 10
	}
	// Columns first, then channels, in the file; channels last here.
	pixels = make([]uint8, n*size)
	for i := range n {
		in, out := columns[i*size:(i+1)*size], pixels[i*size:(i+1)*size]
		for row := range svhnSide {
			for col := range svhnSide {
				for c := range 3 {
					out[(row*svhnSide+col)*3+c] = in[c*plane+col*svhnSide+row]
				}
			}
		}
	}
	return pixels, labels, nil
}

// Types of data elements in a MAT file of version 5.
const (
	matHeader     = 128
	matMatrix     = 14
	matCompressed = 15
)

// matWidths are the sizes in bytes of the numbers in a data element, by its type.
var matWidths = map[uint32]int{1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8}

// parseMAT returns the variables wanted, by name. The library that decodes them trusts the sizes in the file and stops
// at 100 MB of unpacked data: so elements are unpacked, and sizes checked, before it sees them, one variable at a time.
func parseMAT(data []byte, want ...string) (map[string]*types.Variable, error) {
	if len(data) < matHeader {
		return nil, fmt.Errorf("truncated: %d bytes, not even a header", len(data))
	}
	var order binary.ByteOrder = binary.LittleEndian
	switch string(data[126:128]) {
	case "IM":
	case "MI":
		order = binary.BigEndian
	default:
		return nil, errors.New("no MATLAB file of version 5")
	}
	header := data[:matHeader:matHeader]
	found := map[string]*types.Variable{}
	for at := matHeader; at < len(data); {
		kind, body, next, err := matElement(data[at:], order)
		if err != nil {
			return nil, fmt.Errorf("at byte %d: %w", at, err)
		}
		if kind == matCompressed {
			next = 8 + len(body) // no padding after these
			if kind, body, err = inflate(body, order); err != nil {
				return nil, fmt.Errorf("at byte %d: %w", at, err)
			}
		}
		if kind != matMatrix {
			return nil, fmt.Errorf("at byte %d: element of type %d: want arrays only", at, kind)
		}
		name, err := checkMatrix(body, order)
		if err != nil {
			return nil, fmt.Errorf("at byte %d: %w", at, err)
		}
		if slices.Contains(want, name) {
			if found[name] != nil {
				return nil, fmt.Errorf("variable %s twice", name)
			}
			if found[name], err = decodeMatrix(header, body, order); err != nil {
				return nil, fmt.Errorf("variable %s: %w", name, err)
			}
		}
		at += next
	}
	return found, nil
}

// matElement splits off the first data element: its type, its contents, and where the next one starts.
func matElement(data []byte, order binary.ByteOrder) (kind uint32, body []byte, next int, err error) {
	if len(data) < 8 {
		return 0, nil, 0, fmt.Errorf("truncated: %d bytes, less than a tag", len(data))
	}
	first := order.Uint32(data)
	if n := first >> 16; n > 0 { // small: type, size and contents in eight bytes
		if n > 4 {
			return 0, nil, 0, fmt.Errorf("small element of %d bytes: want at most 4", n)
		}
		return first & 0xffff, data[4 : 4+n], 8, nil
	}
	size := int64(order.Uint32(data[4:]))
	if size > int64(len(data)-8) {
		return 0, nil, 0, fmt.Errorf("truncated: element of %d bytes, %d are there", size, len(data)-8)
	}
	padded := (size + 7) / 8 * 8
	return first, data[8 : 8+size], int(min(8+padded, int64(len(data)))), nil
}

// inflate unpacks a compressed element, which holds exactly one other.
func inflate(packed []byte, order binary.ByteOrder) (kind uint32, body []byte, err error) {
	in := bytes.NewReader(packed)
	z, err := zlib.NewReader(in)
	if err != nil {
		return 0, nil, err
	}
	var tag [8]byte
	if _, err := io.ReadFull(z, tag[:]); err != nil {
		return 0, nil, fmt.Errorf("compressed element: %w", err)
	}
	size := int64(order.Uint32(tag[4:]))
	// Deflate packs 1,032 bytes into one at best: no more is believed, and allocated.
	if size > maxMAT || size > 1032*int64(len(packed)) {
		return 0, nil, fmt.Errorf("compressed element of %d bytes promises %d: want at most %d",
			len(packed), size, min(maxMAT, 1032*int64(len(packed))))
	}
	body = make([]byte, size)
	if n, err := io.ReadFull(z, body); err != nil {
		return 0, nil, fmt.Errorf("compressed element promises %d bytes, gives %d: %w", size, n, err)
	}
	if n, err := io.Copy(io.Discard, io.LimitReader(z, 1)); err != nil || n > 0 { // the end verifies the checksum
		return 0, nil, fmt.Errorf("compressed element promises %d bytes, then does not end well: %w",
			size, cmp.Or(err, errors.New("it gives more")))
	}
	if in.Len() >= 8 { // less may be padding
		return 0, nil, fmt.Errorf("compressed element: %d bytes follow the compressed data", in.Len())
	}
	return order.Uint32(tag[:]), body, nil
}

// checkMatrix checks that the parts of a real numeric array lie inside it, and returns the array's name.
func checkMatrix(body []byte, order binary.ByteOrder) (name string, err error) {
	for part, rest := 0, body; part < 4; part++ {
		kind, content, next, err := matElement(rest, order)
		if err != nil {
			return "", fmt.Errorf("array: %w", err)
		}
		width := matWidths[kind]
		if want := [4]int{4, 4, 1, width}[part]; width == 0 || width != want || len(content)%width != 0 {
			return "", fmt.Errorf("array: part %d has %d bytes of type %d", part, len(content), kind)
		}
		switch part {
		case 0:
			if len(content) != 8 {
				return "", fmt.Errorf("array: flags of %d bytes: want 8", len(content))
			}
			class := order.Uint32(content) & 0xff
			if class < 6 || class > 13 || order.Uint32(content)&0x0800 != 0 {
				return "", fmt.Errorf("array of class %d: want real numbers", class)
			}
		case 1:
			if len(content) < 8 || len(content) > 4*32 {
				return "", fmt.Errorf("array: %d dimensions: want 2 to 32", len(content)/4)
			}
		case 2:
			name = string(content)
		case 3:
			if next != len(rest) {
				return "", fmt.Errorf("array: %d bytes follow its values", len(rest)-next)
			}
		}
		rest = rest[next:]
	}
	return name, nil
}

// decodeMatrix hands one array to the library, as a file of its own.
func decodeMatrix(header, body []byte, order binary.ByteOrder) (v *types.Variable, err error) {
	defer func() {
		if r := recover(); r != nil {
			v, err = nil, fmt.Errorf("%v", r)
		}
	}()
	var tag [8]byte
	order.PutUint32(tag[:], matMatrix)
	order.PutUint32(tag[4:], uint32(len(body)))
	file, err := matlab.Open(io.MultiReader(bytes.NewReader(header), bytes.NewReader(tag[:]), bytes.NewReader(body)))
	if err != nil {
		return nil, err
	}
	if len(file.Variables) != 1 {
		return nil, fmt.Errorf("%d variables: want one", len(file.Variables))
	}
	return file.Variables[0], nil
}
