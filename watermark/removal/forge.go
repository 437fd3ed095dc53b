package removal

import (
	"math/rand/v2"
	"slices"

	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/watermark"
)

// Forge makes a key that any network seems to be marked with: it draws carriers and matrix as an honest owner does, reads the
// bits that v says, the network's mean input gradient ([watermark.InputGradient]), and calls them the signature. So a key is
// evidence only if it was committed to before the network appeared; this one was not.
func Forge(v []float64, secret []byte, owner string, o watermark.KeyOptions) (*watermark.Key, error) {
	k, err := watermark.NewKey(secret, owner, o)
	if err != nil {
		return nil, errors.WithMessage(err, "removal: forging")
	}
	if err := checkGradient(v, k); err != nil {
		return nil, err
	}
	for j, y := range k.Read(v).Projections {
		k.Signature[j] = y >= 0
	}
	return watermark.KeyFromArrays(*k)
}

// ForgeRows makes a key for a network with the given key's carriers and signature, which may be that of an owner's name: it
// draws every row of the matrix anew until v says the row's bit, which takes two draws a bit on average. It returns how many
// rows it drew.
func ForgeRows(v []float64, k *watermark.Key, seed int64) (forged *watermark.Key, draws int, err error) {
	if k == nil {
		return nil, 0, errors.New("removal: forging: no key given")
	}
	if err := checkGradient(v, k); err != nil {
		return nil, 0, err
	}
	c := *k
	c.Matrix = nil
	rng := rand.New(rand.NewPCG(uint64(seed), 0x666f726765)) // the stream "forge"
	for _, bit := range k.Signature {
		row := make([]float64, len(k.Carriers))
		for fits := false; !fits; draws++ {
			y := 0.0
			for i, at := range k.Carriers {
				row[i] = 2*rng.Float64() - 1
				y += row[i] * v[at]
			}
			fits = y != 0 && (y > 0) == bit
		}
		c.Matrix = append(c.Matrix, row)
	}
	forged, err = watermark.KeyFromArrays(c)
	return forged, draws, err
}

// checkGradient reports a gradient from which nothing can be read on the key's carriers.
func checkGradient(v []float64, k *watermark.Key) error {
	if want := product(k.Shape); len(v) != want {
		return errors.Errorf("removal: forging: a gradient of %d values: the key is for inputs of %d", len(v), want)
	}
	if !slices.ContainsFunc(k.Carriers, func(i int) bool { return v[i] != 0 }) {
		return errors.New("removal: forging: the gradient is zero on all carriers: there is nothing to read")
	}
	return nil
}
