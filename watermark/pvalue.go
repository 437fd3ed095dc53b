package watermark

import (
	"math"
	"math/big"
)

// Level is the p-value below which a mark counts as shown, unless the user asks for another.
const Level = 1e-9

// Strict is the level to ask for where no time-stamp proves when a key was committed: a thief who grinds 2^50 secrets stays
// above it. 64 bits never reach it, 128 bits with up to 10 errors do.
const Strict = 0x1p-80

// PValue is the chance that so many fair bits have so few errors, exactly: 2^-decided times the sum of the binomial
// coefficients up to errors. It is 1 where nothing was decided.
func PValue(errors, decided int) float64 {
	if decided < 1 || errors >= decided {
		return 1
	}
	return share(tail(decided, errors), decided)
}

// tail is the sum of the binomial coefficients of n up to k.
func tail(n, k int) *big.Int {
	sum, term := new(big.Int), big.NewInt(1)
	for i := 0; i <= k && i <= n; i++ {
		sum.Add(sum, term)
		term.Mul(term, big.NewInt(int64(n-i)))
		term.Quo(term, big.NewInt(int64(i+1)))
	}
	return sum
}

// share is count·2^-n, rounded once.
func share(count *big.Int, n int) float64 {
	f := new(big.Float).SetInt(count)
	p, _ := f.SetMantExp(f, -n).Float64()
	return p
}

// MaxErrors is the largest number of errors in so many bits that gives a p-value below p; -1 if none does.
func MaxErrors(bits int, p float64) int {
	e := -1
	for e+1 <= bits && PValue(e+1, bits) < p {
		e++
	}
	return e
}

// Cover is the chance that a random signature of so many bits is attainable at all, by any gradient on so many carriers
// (Cover 1965): 2^(1-bits) times the sum of the binomial coefficients of bits-1 up to carriers-1. It is one half at twice
// as many bits as carriers.
func Cover(bits, carriers int) float64 {
	if bits <= carriers {
		return 1
	}
	return share(tail(bits-1, carriers-1), bits-1)
}

// Interval is the exact central interval of fair bits: each side of it has at most (1-level)/2 of the errors of n bits.
func Interval(n int, level float64) (low, high int) {
	for low < n/2 && share(tail(n, low), n) <= (1-level)/2 {
		low++
	}
	return low, n - low
}

// Reading is what a network says to a key.
type Reading struct {
	Projections []float64 `json:"projections"`   // y_j: their signs are the bits
	Bits        []int8    `json:"bits"`          // 1 or 0; -1: erased, since the projection is 0 or was not told
	Errors      int       `json:"errors"`        // decided bits that are not the signature's
	Decided     int       `json:"decided"`       // bits that are not erased
	BER         *float64  `json:"ber,omitempty"` // errors of decided; nil where nothing is decided
	PValue      float64   `json:"p_value"`       // chance of so few errors under a key that was fixed in advance
	Notes       []string  `json:"notes"`         // what a user should know
}

// newReading compares projections with a signature; NaN is what was not told.
func newReading(projections []float64, signature []bool) *Reading {
	r := &Reading{Projections: projections, Bits: make([]int8, len(signature)), Notes: []string{}}
	for j, y := range projections {
		switch {
		case y > 0:
			r.Bits[j] = 1
		case y < 0:
			r.Bits[j] = 0
		default:
			r.Bits[j], r.Projections[j] = -1, 0
			continue
		}
		r.Decided++
		if (r.Bits[j] == 1) != signature[j] {
			r.Errors++
		}
	}
	if r.Decided > 0 {
		ber := float64(r.Errors) / float64(r.Decided)
		r.BER = &ber
	}
	r.PValue = PValue(r.Errors, r.Decided)
	return r
}

// Read takes the bits of a gradient with respect to all inputs, flattened as the model takes them: v of [InputGradient], or any
// other. It is a product of matrix and vector, cheap enough for thousands of keys.
func (k *Key) Read(v []float64) *Reading {
	y, any := make([]float64, len(k.Matrix)), false
	for j, row := range k.Matrix {
		for i, c := range k.Carriers {
			y[j] += row[i] * v[c]
		}
	}
	for _, c := range k.Carriers {
		any = any || v[c] != 0
	}
	r := newReading(y, k.Signature)
	if !any {
		r.Notes = append(r.Notes, "zero gradient on all carriers; undecided")
	}
	return r
}

// norm is the Euclidean length of a row of the matrix.
func norm(row []float64) float64 {
	sum := 0.0
	for _, v := range row {
		sum += v * v
	}
	return math.Sqrt(sum)
}
