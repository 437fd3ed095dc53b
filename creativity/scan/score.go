package scan

import (
	"fmt"
	"math"
)

// Score is a scan statistic: how far the p-values of a subset depart from uniform.
type Score int

// The scores. With N p-values, of which n are at most α, and x = n/N, each is 0 unless n > N·α.
const (
	BerkJones         Score = iota // N times the Kullback-Leibler divergence of x from α
	HigherCriticism                // (n-Nα)/√(Nα(1-α)): standard deviations
	KolmogorovSmirnov              // (n-Nα)/√N
	scores                         // their number
)

var scoreNames = [scores]string{"berk-jones", "higher-criticism", "kolmogorov-smirnov"}

// String is the score's name on the command line: "berk-jones", "higher-criticism" or "kolmogorov-smirnov".
func (s Score) String() string {
	if s < 0 || s >= scores {
		return fmt.Sprintf("score %d", int(s))
	}
	return scoreNames[s]
}

// ParseScore is the score of a name.
func ParseScore(name string) (Score, error) {
	for s, n := range scoreNames {
		if n == name {
			return Score(s), nil
		}
	}
	return 0, fmt.Errorf("scan: score %q: want berk-jones, higher-criticism or kolmogorov-smirnov", name)
}

// equal is how near to N·α a count still counts as N·α. A true difference of p-values k/(B+1) is at least 1/(B+1).
const equal = 1e-6

// Value is the score of n p-values of which nAlpha are at most alpha, 0 < alpha <= 1. It is 0 where these are no more than
// were to be expected.
func (s Score) Value(nAlpha, n int, alpha float64) float64 {
	k, all := float64(nAlpha), float64(n)
	excess := k - all*alpha
	if excess <= equal {
		return 0
	}
	switch s {
	case BerkJones:
		if nAlpha == n {
			return -all * math.Log(alpha)
		}
		return k*math.Log(k/(all*alpha)) + (all-k)*math.Log((all-k)/(all*(1-alpha)))
	case HigherCriticism:
		return excess / math.Sqrt(all*alpha*(1-alpha))
	default:
		return excess / math.Sqrt(all)
	}
}

// rounding makes bounds safe from it.
const rounding = 1 - 1e-9

// bound is such that a score of n p-values at alpha is below another if (n-Nα)² < bound·N and n <= most·N. Berk-Jones is N times the
// integral from α to x = n/N of (x-t)·g(t) with g(t) = 1/(t(1-t)), which is at most g(α) as long as x <= 1-α.
func (s Score) bound(other, alpha float64) (bound, most float64) {
	switch s {
	case BerkJones:
		return 2 * other * alpha * (1 - alpha) * rounding, 1 - alpha
	case HigherCriticism:
		return other * other * alpha * (1 - alpha) * rounding, 1
	default:
		return other * other * rounding, 1
	}
}

// surelyBelow is a closer bound of Berk-Jones: g is convex, so its chord from α to x lies above it, and the score is at most
// N·(x-α)²/2·(2g(α)+g(x))/3.
func surelyBelow(other, n, all, alpha float64) bool {
	excess, spread, product := n-all*alpha, alpha*(1-alpha), n*(all-n)
	return excess*excess*(2*product+all*all*spread) < 6*rounding*other*all*spread*product
}
