package creativity

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/creativity/scan"
	"github.com/trustbook/trustbook/report"
)

// traits are what a synthetic mode shows: detection in the changed layer and in pixels, how likely it has more nodes than a
// normal sample, the same of what counts as creative, how far its nodes are apart from normal ones, and the share of the nodes
// found that were changed.
type traits struct{ layer, pixels, larger, creative, apart, precision float64 }

func synthetic(of map[string]traits, bound float64) *Result {
	c := Config{}.WithDefaults()
	r := &Result{Config: c, Shape: []int{2, 2, 1}}
	for _, method := range c.Methods {
		x := of[method]
		for i, seed := range c.Seeds {
			e := 0.001 * float64(i)
			m := Measured{Method: method, Seed: seed, Bound: bound + e, Apart: 200, Nodes: Nodes{0.2 + x.apart, 0.2 + x.apart, 0.2 + e, 0.005}}
			for _, space := range Spaces {
				auc := x.layer
				if space == Pixels || space == RawPixels {
					auc = x.pixels
				}
				creative, precision := x.creative-e, x.precision-e
				for _, tail := range []scan.Tail{scan.Two, scan.Upper} {
					s := Scan{Space: space, Score: c.Scores[0], Tail: tail.String(), Single: scan.Area{AUC: auc - e}, Larger: x.larger - e,
						LargerIfCreative: &creative}
					for _, share := range c.Shares {
						s.Groups = append(s.Groups, Group{Share: share, Area: scan.Area{AUC: auc - e}, NodePrecision: &precision, NodeRecall: &precision})
					}
					m.Scans = append(m.Scans, s)
				}
			}
			r.Modes = append(r.Modes, m)
		}
	}
	return r
}

// TestClaimsTurnOutEachWay: numbers as the paper tells them replicate every claim, numbers the other way contradict each, and
// where what a claim presupposes does not hold it is not tested.
func TestClaimsTurnOutEachWay(t *testing.T) {
	verdicts := func(r *Result) (all []report.Verdict) {
		require.NoError(t, report.CheckClaims(r.Claims()))
		for _, c := range r.Claims() {
			all = append(all, c.Verdict())
		}
		return all
	}
	quiet := traits{layer: 0.5, pixels: 0.5, larger: 0.5, creative: 0.5}
	told := map[string]traits{Unchanged: quiet, LowActive10: {0.95, 0.8, 0.7, 0.6, 0.1, 0.9}, LowActive20: quiet, HighOff10: quiet}
	require.Equal(t, []report.Verdict{"replicated", "replicated", "replicated", "replicated"}, verdicts(synthetic(told, 110)))

	other := map[string]traits{Unchanged: quiet, LowActive10: {0.4, 0.8, 0.3, 0.4, -0.1, 0.05}, LowActive20: quiet, HighOff10: quiet}
	require.Equal(t, []report.Verdict{"contradicted", "contradicted", "contradicted", "contradicted"}, verdicts(synthetic(other, 110)))

	none := []report.Verdict{"not tested", "not tested", "not tested", "not tested"}
	require.Equal(t, none, verdicts(synthetic(told, 190)), "an autoencoder that has not learned")
	loud := map[string]traits{Unchanged: {0.9, 0.5, 0.5, 0.5, 0.1, 0}, LowActive10: told[LowActive10]}
	require.Equal(t, none, verdicts(synthetic(loud, 110)), "scans that see what is not there")
	few := synthetic(told, 110)
	few.Modes = few.For(LowActive10)
	require.Equal(t, none, verdicts(few), "no control")
	ceiling := synthetic(map[string]traits{Unchanged: quiet, LowActive10: {1.004, 1.004, 0.7, 0.6, 0.1, 0.9}}, 110)
	require.Equal(t, report.NotTested, ceiling.Claims()[1].Verdict(), "nothing is better than everything")
	unlabeled := synthetic(told, 110)
	for i := range unlabeled.Modes {
		for k := range unlabeled.Modes[i].Scans {
			unlabeled.Modes[i].Scans[k].LargerIfCreative = nil
		}
	}
	require.Equal(t, report.InPart, unlabeled.Claims()[2].Verdict())
	require.Equal(t, report.NotTested, unlabeled.Claims()[2].Parts[1].Decide().Verdict)
	otherScore := synthetic(told, 110)
	otherScore.Config.Scores = []string{"berk-jones"}
	for i := range otherScore.Modes {
		for k := range otherScore.Modes[i].Scans {
			otherScore.Modes[i].Scans[k].Score = "berk-jones"
		}
	}
	require.Equal(t, none, verdicts(otherScore))
	for _, table := range otherScore.Tables() {
		require.NoError(t, table.Check(), "what is shown is what was scanned")
		require.NotEmpty(t, table.Rows)
	}
	for _, figure := range []*report.Figure{otherScore.DetectionFigure(), otherScore.ShareFigure(), otherScore.SubsetFigure()} {
		require.NoError(t, figure.Check())
	}
}
