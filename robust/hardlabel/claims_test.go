package hardlabel

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/report"
)

// traits are what a made-up run shows: the share of images that searches bring over the boundary where PGD brings all, the
// excess in the full space and in reduced ones for each network, whether a shorter way is less off the manifold, and the information
// in few and many dimensions, with few and many training points.
type traits struct {
	reach                  float64
	full, natural, robust  float64
	connected              float64 // 1 or -1
	fewer, more, none, all float64 // nats
	accuracy, standing     float64
	shuffled               float64
}

// told are numbers as the paper tells them.
func told() traits {
	return traits{reach: 0.9, full: 1, natural: 0.4, robust: 0.4, connected: 1, fewer: 0.6, more: 0.2, none: 0, all: 0.5, accuracy: 0.97,
		standing: 0.7, shuffled: 0.01}
}

func synthetic(x traits) *Result {
	c := Config{}.WithDefaults()
	r := &Result{Config: c, Data: "made up", Shape: []int{2, 2, 1}}
	for i, seed := range c.Seeds {
		e := 0.001 * float64(i)
		for _, method := range []string{Natural, Robust} {
			m := Measured{Method: method, Seed: seed, Accuracy: x.accuracy - e, Images: c.Images, Standing: 0.1 + e}
			reduced := x.natural
			if method == Robust {
				m.Standing, reduced = x.standing+e, x.robust
			}
			for _, attack := range Searches {
				for k, space := range c.Spaces {
					for _, queries := range c.budgetsOf(method, space) {
						row := Row{Attack: attack, Space: space, Queries: queries, Success: 1,
							Of: &Means{Length: 2 - 0.1*float64(k), Residual: 5 + x.full, Excess: x.full - e, OffShare: 0.9 - 0.01*x.connected*float64(k)}}
						if k > 0 {
							row.Of.Excess, row.Of.Residual = reduced, 5+reduced
							row.Pair = &Pair{Images: c.Images, Full: x.full - e, Reduced: reduced, MatchedFull: x.full, MatchedReduced: reduced}
						}
						m.Rows = append(m.Rows, row)
					}
					reach := make([]float64, len(c.Radii))
					for j := range reach {
						reach[j] = x.reach - e
					}
					m.Reaches = append(m.Reaches, Reach{attack, space, reach})
				}
				m.Courses = append(m.Courses, Course{attack, SpaceFull, []int{20, 400}, []float64{5, 2 + e}})
			}
			pgd := make([]float64, len(c.Radii))
			for j := range pgd {
				pgd[j] = min(1, 0.3*float64(j+1))
			}
			m.Reaches = append(m.Reaches, Reach{PGD, SpaceGradient, pgd})
			m.Rows = append(m.Rows, Row{Attack: PGD, Space: SpaceGradient, Success: 1, Of: &Means{Length: 1, Excess: 0.5}},
				Row{Attack: RayS, Space: SpaceSigns, Queries: c.queries(), Success: 1, Of: &Means{Length: 3, Linf: 0.2, Excess: 2}})
			r.Networks = append(r.Networks, m)
		}
		l := Leaks{Seed: seed}
		for _, s := range c.Spheres(seed) {
			one := Leaked{s.Series, s.Intrinsic, s.Ambient, s.Train, s.Space, Leak{MI: x.fewer - e, Shuffled: x.shuffled, Rho: 0.9, ClosedForm: 0.4}}
			switch {
			case s.Series == ByDimension && s.Intrinsic > c.Dimensions[0]:
				one.MI = x.more
			case s.Series == ByTrainPoints && s.Train == c.TrainPoints[0]:
				one.MI = x.none
			case s.Series == ByTrainPoints:
				one.MI = x.all - e
			}
			l.All = append(l.All, one)
		}
		r.Spheres = append(r.Spheres, l)
	}
	return r
}

func verdicts(t *testing.T, r *Result) (all []report.Verdict) {
	t.Helper()
	require.NoError(t, report.CheckClaims(r.Claims()))
	for _, c := range r.Claims() {
		all = append(all, c.Verdict())
	}
	return all
}

// TestClaimsTurnOutEachWay: numbers as the paper tells them replicate every claim, numbers the other way contradict each, and
// where what a claim presupposes does not hold it is not tested.
func TestClaimsTurnOutEachWay(t *testing.T) {
	const yes, no, none = report.Replicated, report.Contradicted, report.NotTested
	require.Equal(t, []report.Verdict{yes, yes, yes, yes, yes, yes}, verdicts(t, synthetic(told())))

	other := told()
	other.reach, other.connected, other.natural, other.robust = 0.6, -1, 1.3, 1.2
	other.fewer, other.more, other.none, other.all = 0.1, 0.3, -0.01, -0.05
	require.Equal(t, []report.Verdict{no, no, no, no, no, no}, verdicts(t, synthetic(other)))

	for name, plant := range map[string]struct {
		change func(x *traits)
		want   []report.Verdict
	}{
		"networks that have not learned": {func(x *traits) { x.accuracy = 0.5 }, []report.Verdict{none, none, yes, yes, none, none}},
		"adversarial training in vain":   {func(x *traits) { x.standing = 0.2 }, []report.Verdict{yes, yes, yes, yes, yes, report.InPart}},
		"decisions that tell though shuffled": {func(x *traits) { x.shuffled = 0.05 },
			[]report.Verdict{yes, yes, none, none, yes, yes}},
		"attacks that stay on the manifold": {func(x *traits) { x.full, x.natural, x.robust = -1, -2, -2 },
			[]report.Verdict{yes, yes, yes, yes, none, none}},
		"a decrease on natural networks alone": {func(x *traits) { x.robust = 1.1 }, []report.Verdict{yes, yes, yes, yes, yes, report.InPart}},
		"a decrease of a third": {func(x *traits) { x.natural, x.robust = 0.67, 0.67 },
			[]report.Verdict{yes, yes, yes, yes, yes, report.InPart}},
		"on the manifold entirely": {func(x *traits) { x.natural, x.robust = -0.1, -0.1 }, []report.Verdict{yes, yes, yes, yes, yes, yes}},
	} {
		x := told()
		plant.change(&x)
		require.Equal(t, plant.want, verdicts(t, synthetic(x)), name)
	}
}

// TestClaimsNeedNumbers: what was not measured for every seed is no number.
func TestClaimsNeedNumbers(t *testing.T) {
	r := synthetic(told())
	for i := range r.Networks {
		if r.Networks[i].Seed == 2 {
			r.Networks[i].Rows, r.Networks[i].Reaches = nil, nil
		}
	}
	r.Spheres[0].All = nil
	for _, v := range verdicts(t, r) {
		require.Equal(t, report.NotTested, v)
	}
	idle := synthetic(told())
	for i := range idle.Networks {
		for k := range idle.Networks[i].Reaches {
			if idle.Networks[i].Reaches[k].Attack == PGD {
				idle.Networks[i].Reaches[k].Shares = make([]float64, len(idle.Config.Radii))
			}
		}
	}
	require.Equal(t, report.NotTested, idle.Claims()[0].Verdict(), "an idle PGD")
}

// TestLargestOfOthers: the largest decrease is chosen without the network that it is read on.
func TestLargestOfOthers(t *testing.T) {
	c := Config{}.WithDefaults()
	r := synthetic(told())
	networks := r.For(Natural)
	networks[0].Row(SignOPT, "bilinear:14", 400).Pair.Reduced = 0 // a decrease of all, by chance
	values := c.elsewhereLargest(networks)
	require.InDelta(t, 0.6, values[0], 0.01)
	require.InDelta(t, 0.6, values[1], 0.01)
	own, ok := c.ownLargest(networks[0])
	require.True(t, ok)
	require.Equal(t, 1.0, own)
	require.Len(t, c.elsewhereLargest(networks[:1]), 1)
}

// TestPath: images stand in the column of their queries, whatever is missing before.
func TestPath(t *testing.T) {
	image := []byte{0, 255, 0, 255}
	r := synthetic(told())
	r.Looks = []Look{{Method: Natural, Clean: image, Paths: []Path{
		{HopSkipJump, SpaceFull, []int{102, 204, 400, 408}, []float64{4, 3, 2, 1}, [][]byte{image, image, image, image}},
		{HopSkipJump, "bilinear:7", []int{204, 400}, []float64{3, 2}, [][]byte{image, image}}}}}
	g := r.Path(Natural, HopSkipJump)
	require.Equal(t, []string{"clean", "102", "204", "400"}, g.Columns)
	require.Len(t, g.Rows, 2)
	for i, want := range [][]string{{"", "102: 4.00", "204: 3.00", "400: 2.00"}, {"", "–", "204: 3.00", "400: 2.00"}} {
		require.Len(t, g.Rows[i], len(want))
		for k, one := range g.Rows[i] {
			require.Equal(t, want[k], one.Caption)
		}
	}
	_, err := g.PNG()
	require.NoError(t, err)
	_, err = r.Perturbations(Natural).PNG()
	require.NoError(t, err)
	for _, figure := range r.Figures() {
		if figure.Title != "Image by image" { // there are no clouds
			require.NoError(t, figure.Check(), figure.Title)
		}
	}
	for _, table := range r.Tables() {
		require.NoError(t, table.Check(), table.Title)
	}
}
