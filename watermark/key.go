package watermark

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/nets"
)

// Key is what a mark is made and read by. All of it but Target and Shape is secret.
type Key struct {
	Owner     string      // may be ""; what the signature was made of, for a key of [NewKey]
	Shape     []int       // of one example, as the model takes it
	Target    int         // class whose gradients carry the mark
	Carriers  []int       // coordinates of the flattened example, each once
	Matrix    [][]float64 // [bits][carriers]
	Signature []bool      // [bits]
}

// KeyOptions say what key to make.
type KeyOptions struct {
	Shape    []int // of one example, as the model takes it
	Target   int   // class
	Bits     int   // zero: 64. Below 30 no number of errors gives p < 1e-9; without time-stamp take 128
	Carriers int   // zero: half of the inputs
}

// keyVersion begins what keys are made of and what is hashed of them.
const keyVersion = "gradsigns-1"

// NewKey makes the key of a secret: the same arguments give the same key, on every machine. Carriers are drawn uniformly
// without replacement, the matrix uniformly from (-1, 1), by a ChaCha8 stream seeded with the SHA-256 of the secret and the
// options; the signature is the first bits of SHA-256(owner|0), SHA-256(owner|1), and so on.
func NewKey(secret []byte, owner string, o KeyOptions) (*Key, error) {
	inputs, err := size(o.Shape)
	if err != nil {
		return nil, errors.WithMessage(err, "keygen")
	}
	if o.Bits == 0 {
		o.Bits = 64
	}
	if o.Carriers == 0 {
		o.Carriers = max(1, inputs/2)
	}
	if len(secret) == 0 {
		return nil, errors.New("keygen: the secret is empty: anyone could make this key")
	}
	if err := checkSizes(inputs, o.Bits, o.Carriers, o.Target); err != nil {
		return nil, errors.WithMessage(err, "keygen")
	}
	seed := []byte(keyVersion)
	seed = appendText(seed, string(secret))
	seed = appendInts(seed, o.Shape)
	seed = appendInts(seed, []int{o.Target, o.Bits, o.Carriers})
	stream := rand.NewChaCha8(sha256.Sum256(seed))
	k := &Key{Owner: owner, Shape: slices.Clone(o.Shape), Target: o.Target, Carriers: draw(stream, inputs, o.Carriers)}
	for range o.Bits {
		row := make([]float64, o.Carriers)
		for i := range row {
			row[i] = (2*float64(stream.Uint64()>>12) + 1 - 1<<52) / (1 << 52) // odd multiples of 2^-52: symmetric, and never 0
		}
		k.Matrix = append(k.Matrix, row)
	}
	for i := 0; len(k.Signature) < o.Bits; i++ {
		for _, b := range sha256.Sum256(fmt.Appendf(nil, "%s|%d", owner, i)) {
			for bit := 7; bit >= 0 && len(k.Signature) < o.Bits; bit-- {
				k.Signature = append(k.Signature, b>>bit&1 == 1)
			}
		}
	}
	return k, nil
}

// draw takes k of the numbers below n, in increasing order, every set of them with the same chance.
func draw(stream *rand.ChaCha8, n, k int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	for i := range k {
		left := uint64(n - i)
		v := stream.Uint64()
		for v >= math.MaxUint64-math.MaxUint64%left { // so that every remainder is as likely
			v = stream.Uint64()
		}
		j := i + int(v%left)
		all[i], all[j] = all[j], all[i]
	}
	slices.Sort(all[:k])
	return slices.Clone(all[:k])
}

// KeyFromArrays copies a key that was made elsewhere, and reports what cannot be one: carriers outside the input or named
// twice, rows of another length than Carriers, values that are not finite, rows of zeros.
func KeyFromArrays(k Key) (*Key, error) {
	c := &Key{Owner: k.Owner, Shape: slices.Clone(k.Shape), Target: k.Target, Carriers: slices.Clone(k.Carriers),
		Signature: slices.Clone(k.Signature)}
	for _, row := range k.Matrix {
		c.Matrix = append(c.Matrix, slices.Clone(row))
	}
	if err := c.check(); err != nil {
		return nil, errors.WithMessage(err, "key")
	}
	return c, nil
}

// check reports what cannot be a key, without telling any of it.
func (k *Key) check() error {
	inputs, err := size(k.Shape)
	if err != nil {
		return err
	}
	if err := checkSizes(inputs, len(k.Matrix), len(k.Carriers), k.Target); err != nil {
		return err
	}
	if len(k.Signature) != len(k.Matrix) {
		return errors.Errorf("%d bits in the signature, %d rows in the matrix: want one a bit", len(k.Signature), len(k.Matrix))
	}
	seen := make([]bool, inputs)
	for i, c := range k.Carriers {
		switch {
		case c < 0 || c >= inputs:
			return errors.Errorf("carrier at position %d is no coordinate of an input of %d values, which are 0 to %d", i, inputs, inputs-1)
		case seen[c]:
			return errors.Errorf("carrier at position %d was there before: name each once", i)
		}
		seen[c] = true
	}
	for j, row := range k.Matrix {
		if len(row) != len(k.Carriers) {
			return errors.Errorf("row %d of the matrix has %d values for %d carriers", j, len(row), len(k.Carriers))
		}
		zero := true
		for i, v := range row {
			if v-v != 0 || math.Abs(v) > math.MaxFloat32 {
				return errors.Errorf("value %d in row %d of the matrix is not finite", i, j)
			}
			zero = zero && float32(v) == 0
		}
		if zero {
			return errors.Errorf("row %d of the matrix is all zeros: its bit can never be read", j)
		}
	}
	return nil
}

// mostInputs bounds what a key file may ask for.
const mostInputs = 1 << 28

func size(shape []int) (int, error) {
	n := 1
	for _, d := range shape {
		if d < 1 || d > mostInputs/n {
			return 0, errors.Errorf("shape %v: want that of one example, such as [28 28 1]", shape)
		}
		n *= d
	}
	if len(shape) == 0 {
		return 0, errors.New("no shape: want that of one example, such as [28 28 1]")
	}
	return n, nil
}

// hopeless is the chance of an attainable signature below which a key is refused.
const hopeless = 1e-9

func checkSizes(inputs, bits, carriers, target int) error {
	switch {
	case target < 0:
		return errors.Errorf("target %d: want a class, from 0 on", target)
	case bits < 1:
		return errors.Errorf("%d bits: want at least 1", bits)
	case carriers < 1:
		return errors.Errorf("%d carriers: want at least 1", carriers)
	case carriers > inputs:
		return errors.Errorf("%d carriers exceed %d inputs", carriers, inputs)
	case bits > 2*carriers:
		if p := Cover(bits, carriers); p < hopeless {
			return errors.Errorf("%d bits on %d carriers: attainable with probability %.0e", bits, carriers, p)
		}
	}
	return nil
}

// Notes say what a user should know of the key.
func (k *Key) Notes() []string {
	if bits := len(k.Signature); MaxErrors(bits, Level) < 0 {
		return []string{fmt.Sprintf("%d bits cannot give p < %.0e", bits, Level)}
	}
	return nil
}

// Fits reports a model that the key was not made for.
func (k *Key) Fits(m *nets.Model) error {
	if !slices.Equal(k.Shape, m.InputShape) {
		return errors.Errorf("key: made for %v, model takes %v", k.Shape, m.InputShape)
	}
	if k.Target >= m.Classes {
		return errors.Errorf("key: made for class %d, the model has classes 0 to %d", k.Target, m.Classes-1)
	}
	return nil
}

// canonical is the one form of a key as bytes, which is kept and hashed.
func (k *Key) canonical() []byte {
	out := appendText(nil, keyVersion)
	out = appendText(out, k.Owner)
	out = appendInts(out, k.Shape)
	out = appendInts(out, []int{k.Target, len(k.Matrix)})
	out = appendInts(out, k.Carriers)
	for _, row := range k.Matrix {
		for _, v := range row {
			out = binary.LittleEndian.AppendUint64(out, math.Float64bits(v))
		}
	}
	for _, bit := range k.Signature {
		b := byte(0)
		if bit {
			b = 1
		}
		out = append(out, b)
	}
	return out
}

func appendText(out []byte, text string) []byte {
	return append(binary.LittleEndian.AppendUint64(out, uint64(len(text))), text...)
}

func appendInts(out []byte, values []int) []byte {
	out = binary.LittleEndian.AppendUint64(out, uint64(len(values)))
	for _, v := range values {
		out = binary.LittleEndian.AppendUint64(out, uint64(v))
	}
	return out
}

// fingerprint tells keys apart in names of runs and journals, and tells nothing of them.
func (k *Key) fingerprint() string {
	sum := sha256.Sum256(append([]byte("fingerprint|"), k.canonical()...))
	return hex.EncodeToString(sum[:12])
}
