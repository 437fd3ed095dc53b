package vit

import (
	"maps"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/report"
)

// traits are what a synthetic network shows: clean accuracy, accuracy under PGD at every radius, accuracy that is lost to
// high frequencies, and what can be read off each block.
type traits struct{ clean, robust, high, low float64 }

// told are networks as the paper tells of them.
func told() map[string]traits {
	return map[string]traits{
		CNN: {0.95, 0.30, 0.30, 0.60}, ResNet: {0.95, 0.20, 0.35, 0.70}, ViT: {0.90, 0.60, 0.10, 0.20},
		DeepViT: {0.90, 0.55, 0.10, 0.20}, WideViT: {0.90, 0.50, 0.12, 0.25}, StemViT: {0.95, 0.40, 0.20, 0.40},
		T2T: {0.96, 0.10, 0.25, 0.45}, Half: {0.93, 0.45, 0.20, 0.40}, NoTransformer: {0.94, 0.35, 0.25, 0.50},
		PretrainedViT: {0.97, 0.62, 0.10, 0.20}, CNNPGD: {0.93, 0.80, 0.05, 0.30},
		ViTPGD: {0.85, 0.80, 0.02, 0.20}, ViTTRADES: {0.82, 0.65, 0.02, 0.20},
	}
}

// synthetic is a result of such networks, and of the successes of transfer from the convolutional networks to the
// transformer and back.
func synthetic(networks map[string]traits, to, from float64) *Result {
	c := Config{}.WithDefaults()
	r := &Result{Config: c, Shape: []int{28, 28, 1}}
	for _, name := range c.Models {
		n, ok := networks[name]
		if !ok {
			continue
		}
		for i, seed := range c.Seeds {
			e := 0.001 * float64(i)
			m := Measured{Model: name, Seed: seed, Clean: n.clean - e,
				Blocks: []BlockRead{{"block 1", n.low + 0.1 + e}, {"block 2", n.low - 0.1 + e}}}
			for range c.Epsilon {
				m.PGD = append(m.PGD, n.robust-e)
			}
			for _, k := range masks(nets.Layout{Height: 28, Width: 28}) {
				m.Filtered = append(m.Filtered, Filtered{Mask: k.mask.String(), Size: k.size, Accuracy: m.Clean - n.high})
			}
			r.Networks = append(r.Networks, m)
		}
	}
	for i, seed := range c.Seeds {
		own, e := 0.5, 0.001*float64(i)
		r.Transfers = append(r.Transfers, Transfer{Seed: seed, Models: []string{CNN, ResNet, ViT},
			Both:   [][]float64{{own, to, to + e}, {to, own, to + e}, {from + e, from + e, own}},
			Shared: [][]int{{100, 90, 80}, {90, 100, 80}, {80, 80, 100}}})
	}
	return r
}

func verdicts(t *testing.T, r *Result) (all []report.Verdict) {
	t.Helper()
	for _, c := range r.Claims() {
		require.NoError(t, c.Check())
		all = append(all, c.Verdict())
	}
	return all
}

// TestClaimsTurnOutEachWay: numbers as the paper tells them replicate every claim, numbers the other way contradict each,
// and where what a claim presupposes does not hold it is not tested.
func TestClaimsTurnOutEachWay(t *testing.T) {
	const yes, no, part, none = report.Replicated, report.Contradicted, report.InPart, report.NotTested
	require.Equal(t, []report.Verdict{yes, yes, yes, yes, yes, yes, yes}, verdicts(t, synthetic(told(), 0.1, 0.3)))

	other := told()
	maps.Copy(other, map[string]traits{
		ViT: {0.96, 0.15, 0.50, 0.75}, DeepViT: {0.96, 0.25, 0.45, 0.10}, WideViT: {0.96, 0.25, 0.45, 0.10}, T2T: {0.94, 0.25, 0.25, 0.45},
		ViTPGD: {0.85, 0.10, 0.02, 0.20}, ViTTRADES: {0.82, 0.10, 0.02, 0.20}, NoTransformer: {0.94, 0.50, 0.55, 0.05},
		PretrainedViT: {0.97, 0.25, 0.10, 0.20},
	})
	require.Equal(t, []report.Verdict{no, no, no, no, no, no, no}, verdicts(t, synthetic(other, 0.3, 0.1)))

	blind := told()
	for m, n := range blind {
		n.clean = 0.3
		blind[m] = n
	}
	require.Equal(t, []report.Verdict{none, none, none, none, none, none, none}, verdicts(t, synthetic(blind, 0.1, 0.3)))

	// Networks that all stand, or all fall, say nothing about which of them is more robust.
	for _, robust := range []float64{0.01, 0.89} {
		alike := told()
		for m, n := range alike {
			n.clean, n.robust, n.high = 0.90, robust, 0
			alike[m] = n
		}
		got := verdicts(t, synthetic(alike, 0, 0))
		require.Equal(t, none, got[3])
		require.Equal(t, none, got[4])
		require.Equal(t, none, got[6])
	}

	// Only parts of the sentences hold.
	half := told()
	half[ResNet] = traits{0.95, 0.70, 0.05, 0.10}
	half[StemViT] = traits{0.95, 0.70, 0.20, 0.40}
	half[DeepViT] = traits{0.90, 0.70, 0.10, 0.20}
	half[ViTTRADES] = traits{0.82, 0.50, 0.02, 0.20}
	require.Equal(t, []report.Verdict{part, part, part, part, yes, part, part}, verdicts(t, synthetic(half, 0.1, 0.3)))
}

// TestNotMeasured: what was not measured is not tested, and shown as such.
func TestNotMeasured(t *testing.T) {
	without := func(names ...string) *Result {
		some := told()
		for _, n := range names {
			delete(some, n)
		}
		return synthetic(some, 0.1, 0.3)
	}
	outcomes := func(r *Result, claim int) (all []report.Verdict) {
		for _, o := range r.Claims()[claim-1].Decide().Parts {
			all = append(all, o.Verdict)
		}
		return all
	}
	const yes, none = report.Replicated, report.NotTested
	r := without(ResNet, T2T, WideViT, ViTTRADES)
	require.Equal(t, []report.Verdict{yes, none, yes}, outcomes(r, 1))
	require.Equal(t, []report.Verdict{yes, none, yes, none}, outcomes(r, 3))
	require.Equal(t, []report.Verdict{yes, yes, yes, none}, outcomes(r, 4))
	require.Equal(t, []report.Verdict{yes, none}, outcomes(r, 6))
	require.Equal(t, []report.Verdict{none, none, none, none, none, none, none}, verdicts(t, without(ViT, ViTPGD, ViTTRADES, Half)))
	r = without()
	for i := range r.Networks {
		r.Networks[i].Blocks, r.Networks[i].Filtered = nil, nil
	}
	require.Equal(t, []report.Verdict{none, none}, outcomes(r, 2))
	require.Equal(t, []report.Verdict{none, none, none}, outcomes(r, 7))

	// One network that lacks a number is enough.
	r = without()
	r.Networks[1].Blocks = nil
	require.Equal(t, []report.Verdict{none, yes}, outcomes(r, 2))

	// No image that both classify right: there is nothing to carry over.
	r = without()
	r.Transfers[1].Shared[0][2] = 0
	require.Equal(t, none, outcomes(r, 1)[2])
	_, rates := r.meanTransfer()
	require.True(t, math.IsNaN(rates[0][2]))
	require.InDelta(t, 0.3, rates[2][0], 0.01)

	r = without(ResNet, T2T)
	r.Networks[3].Filtered, r.Networks[3].Blocks, r.Networks[3].Energy = nil, nil, nil
	for _, f := range r.Figures() {
		require.NoError(t, f.Check())
	}
	for _, table := range r.Tables() {
		require.NoError(t, table.Check())
	}

	r.Config.Scale = "smoke"
	for _, c := range r.Claims() {
		require.Equal(t, none, c.Verdict())
		require.Contains(t, c.Decide().Note, "smoke")
	}
}

// An entry outside a list was not measured.
func TestEntry(t *testing.T) {
	list := []float64{0.25, 0.5}
	for i, want := range list {
		value, ok := entry(list, i)
		require.True(t, ok)
		require.Equal(t, want, value)
	}
	for _, i := range []int{-1, 2, 3} {
		_, ok := entry(list, i)
		require.False(t, ok, "entry %d", i)
	}
}
