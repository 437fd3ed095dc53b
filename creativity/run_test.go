package creativity

import (
	"math"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/creativity/scan"
	"github.com/trustbook/trustbook/internal/studytest"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/report"
)

// tiny is smaller than the smoke scale, on generated glyphs, which need no files.
func tiny() Config {
	return Config{Scale: "tiny", Dataset: "glyphs", Train: 200, Seeds: []int64{1, 2}, Methods: []string{LowActive10, Unchanged},
		Hidden: []int{40, 20}, Latent: 4, Epochs: 2, BatchSize: 50, Background: 80, Samples: 60, Group: 20, Shares: []float64{0.5}, Runs: 3,
		Starts: 2, Compared: 20, Permutations: 19}
}

// TestRepeats: the same bytes, however a run came to its result; and what must hold of any result.
func TestRepeats(t *testing.T) {
	first := studytest.Repeats(t, testengine.Training(t), tiny(), Run, []int{3, 30}, 2)
	require.Len(t, first.Modes, 4)
	require.Len(t, first.Looks, 2)
	for _, m := range first.Modes {
		require.Len(t, m.Scans, len(Spaces)*2)
		for _, s := range m.Scans {
			require.Equal(t, s.Tail == scan.Two.String(), len(s.Groups) == 1, "groups are scanned in two tails alone")
			// The layer before is out of a mode's reach: all modes see the same samples there.
			if s.Space == LayerBefore {
				for _, other := range first.Modes {
					if other.Seed == m.Seed {
						require.Equal(t, s.Single, other.Scan(s.Space, s.Score, s.Tail).Single)
					}
				}
			}
		}
		g := judged.of(m, ChangedLayer).Group(0.5)
		require.Equal(t, m.Method == LowActive10, g.NodePrecision != nil)
		require.Nil(t, judged.of(m, Pixels).Group(0.5).NodePrecision)
		require.InDelta(t, m.Nodes.Between, (m.Nodes.Normal+m.Nodes.Mode)/2-m.Nodes.Apart(), 1e-12)
		require.LessOrEqual(t, m.Creative, min(m.Novel, m.Valuable)+1e-9)
		require.Nil(t, m.Scan(ChangedLayer, "berk-jones", "two").Group(0.5), "what was not scanned")
	}
	require.NotEqual(t, first.Modes[0].Bound, first.Modes[1].Bound, "seeds differ")
	for _, table := range first.Tables() {
		require.NoError(t, table.Check(), table.Title)
	}
	for _, figure := range first.Figures() {
		_, err := figure.PNG()
		require.NoError(t, err, figure.Title)
	}
	_, err := first.Samples().PNG()
	require.NoError(t, err)
	require.NoError(t, report.CheckClaims(first.Claims()))
	require.NoError(t, first.Document().WriteFile(filepath.Join(t.TempDir(), "report.html")))
}

func TestKeys(t *testing.T) {
	studytest.Keys(t, tiny(), func(c Config) any { return c.measuring() }, "Scale", "Seeds", "Methods")
}

func TestConfigErrors(t *testing.T) {
	for _, scale := range []string{"smoke", "quick", "paper"} {
		c, err := AtScale(scale)
		require.NoError(t, err)
		require.NoError(t, c.WithDefaults().Validate())
	}
	for want, change := range map[string]func(c *Config){
		"train = -1: must be at least 1":                func(c *Config) { c.Train = -1 },
		"runs = 1: must be at least 2":                  func(c *Config) { c.Runs = 1 },
		"seed 1 is given twice":                         func(c *Config) { c.Seeds = []int64{1, 1} },
		`method "dreams": want some of low-active 10 %`: func(c *Config) { c.Methods = []string{"dreams"} },
		"methods = [unchanged unchanged]":               func(c *Config) { c.Methods = []string{Unchanged, Unchanged} },
		"hidden = [40]: want two layers or more":        func(c *Config) { c.Hidden = []int{40} },
		"background = 201 for 200 training images":      func(c *Config) { c.Background = 201 },
		"compared = 61 of 60 samples":                   func(c *Config) { c.Compared = 61 },
		"shares = [1.5]: each must be above 0":          func(c *Config) { c.Shares = []float64{1.5} },
		"shares = [NaN]":                                func(c *Config) { c.Shares = []float64{math.NaN()} },
		"need 75 samples without: samples = 60":         func(c *Config) { c.Group = 50 },
		`score "mean": want berk-jones`:                 func(c *Config) { c.Scores = []string{"mean"} },
		`tail "left": want upper, lower or two`:         func(c *Config) { c.GroupTails = []string{"left"} },
	} {
		c := tiny()
		change(&c)
		err := c.WithDefaults().Validate()
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "creativity: ")
	}
	c := tiny()
	c.Dataset = "nothing"
	_, err := Run(t.Context(), testengine.Training(t), c)
	require.ErrorContains(t, err, `no data set "nothing"`)
}

// TestAcceptance: on real digits a fixed mode is found where it was made, groups give nodes and samples away, and ordinary
// samples nothing; nodes of creative samples differ. Bounds are those of the specification of this replication.
func TestAcceptance(t *testing.T) {
	s, err := Open(t.Context(), testengine.Training(t), Config{Train: 10_000, Runs: 8, Starts: 2}) // smaller, for time
	require.NoError(t, err)
	z, err := s.Scene(t.Context(), 1)
	require.NoError(t, err)
	t.Log(z.Bound, z.Apart, len(z.Decoder.Profile.Live))
	require.Less(t, z.Bound, 0.6*z.Apart)
	decode := func(mode Mode) *Decoded {
		d, err := z.Decode(mode)
		require.NoError(t, err)
		return d
	}
	scanned := func(d *Decoded, space Space, tail scan.Tail) Scan {
		normal, creative, err := z.Ranks(d, space, tail)
		require.NoError(t, err)
		found, err := s.scans(normal, creative, judged.score, space, tail, d.Changed, make([]labels, len(d.Pixels)), 1)
		require.NoError(t, err)
		return found
	}
	compared := func(d *Decoded) float64 {
		nodes, err := s.compare(z, d)
		require.NoError(t, err)
		return nodes.P
	}
	tenthOn := decode(LowActive{K: s.Config.nodes() / 10, Q: 0.9})
	found := scanned(tenthOn, ChangedLayer, scan.Two)
	require.GreaterOrEqual(t, found.Single.AUC, 0.85)
	g := found.Group(half)
	require.GreaterOrEqual(t, g.Area.AUC, 0.99)
	require.GreaterOrEqual(t, min(*g.NodePrecision, *g.NodeRecall), 0.95)
	require.GreaterOrEqual(t, found.Group(tenth).Area.AUC, 0.95)
	require.LessOrEqual(t, compared(tenthOn), 0.01)
	s.Config.GroupTails = []string{"none of these"} // single samples from here on
	require.GreaterOrEqual(t, found.Single.AUC-scanned(tenthOn, Pixels, scan.Two).Single.AUC, 0.2)
	require.InDelta(t, 0.5, scanned(tenthOn, LayerBefore, scan.Two).Single.AUC, 0.04, "no mode reaches the layer before")
	wide := scanned(decode(LowActive{K: s.Config.nodes() / 5, Q: 0.5}), ChangedLayer, scan.Upper)
	require.GreaterOrEqual(t, wide.Larger, 0.75)
	none := decode(None{})
	require.InDelta(t, 0.5, scanned(none, ChangedLayer, scan.Two).Single.AUC, 0.04)
	require.Greater(t, compared(none), 0.01)
}
