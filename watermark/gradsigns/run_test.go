package gradsigns

import (
	"encoding/json"
	"math"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/studytest"
	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/report"
)

// tiny is smaller than the smoke scale, on generated glyphs, which need no files.
func tiny() Config {
	c := Smoke()
	c.Scale, c.Dataset, c.Train, c.Thief, c.Test, c.Seeds = "tiny", "glyphs", 100, 100, 60, []int64{1, 2}
	c.Channels, c.Dense, c.Bits, c.Carriers, c.Marks, c.Deep = []int{2, 3}, 8, 3, 12, []string{"2/8"}, nil
	c.Batch, c.PerTarget, c.Steps, c.Keys, c.Robust, c.Judged, c.Most = 16, 3, []int{3, 1, 1, 2}, 10, 2, 10, 2
	return c
}

// TestRepeats: the same bytes, however a run came to its result; and what must hold of any result.
func TestRepeats(t *testing.T) {
	c := tiny()
	r := studytest.Repeats(t, testengine.Quick(t), c, Run, []int{9, 60}, 2)
	require.Len(t, r.Networks, 2*4)
	require.Len(t, r.Removals, 2*len(c.Attacks))
	require.Len(t, r.Readings, 2)
	require.Len(t, r.Looks, 3+len(looked))
	for _, m := range r.Networks {
		require.Equal(t, m.Bits == 0, m.Forged != nil)
		if m.Forged != nil {
			require.Zero(t, m.Forged.Copied.Errors, "a key made from the gradient reads it")
			require.Zero(t, m.Forged.Redrawn.Errors)
			require.Equal(t, "unregistered: p is not evidence", m.Forged.Commitment)
		}
		if m.Wrong != nil {
			keys := 0
			for _, n := range m.Wrong.Histogram {
				keys += n
			}
			require.Equal(t, c.Keys, keys)
		}
	}
	for _, reads := range r.Readings {
		for _, one := range reads.Marked {
			require.NotNil(t, one.Accuracy)
			require.LessOrEqual(t, one.Queries, c.Carriers*c.Most+64*c.Most)
		}
	}
	for _, table := range r.Tables() {
		require.NoError(t, table.Check(), table.Title)
	}
	for _, figure := range r.Figures() {
		_, err := figure.PNG()
		require.NoError(t, err, figure.Title)
	}
	_, err := r.Gradients().PNG()
	require.NoError(t, err)
	require.NoError(t, report.CheckClaims(r.Claims()))
	require.NoError(t, r.Document().WriteFile(filepath.Join(t.TempDir(), "report.html")))
	data, err := json.Marshal(r)
	require.NoError(t, err)
	require.NotContains(t, string(data), "arriers\":[", "results tell nothing of keys")
}

func TestKeys(t *testing.T) {
	studytest.Keys(t, tiny(), func(c Config) any { return c.measuring() }, "Scale", "Seeds", "Marks", "Deep", "Attacks")
}

func TestConfigErrors(t *testing.T) {
	for _, scale := range []string{"smoke", "quick", "paper"} {
		c, err := AtScale(scale)
		require.NoError(t, err)
		require.NoError(t, c.WithDefaults().Validate())
		require.Positive(t, c.Tasks())
	}
	for want, change := range map[string]func(c *Config){
		"train = -1: must be at least 1":       func(c *Config) { c.Train = -1 },
		"bits = -3: must be at least 1":        func(c *Config) { c.Bits = -3 },
		"target = -1: must be at least 0":      func(c *Config) { c.Target = -1 },
		"epsilon = NaN: must be finite":        func(c *Config) { c.Epsilon = math.NaN() },
		"seed 1 is given twice":                func(c *Config) { c.Seeds = []int64{1, 1} },
		"per_target = 16 of batch = 16":        func(c *Config) { c.PerTarget = 16 },
		"channels = [4 0]: want numbers of 1":  func(c *Config) { c.Channels = []int{4, 0} },
		`attack "prayer": want some of 8 bits`: func(c *Config) { c.Attacks = []string{"prayer"} },
		"judged = 61 of test = 60":             func(c *Config) { c.Judged = 61 },
		"steps = [3 1]: want four numbers":     func(c *Config) { c.Steps = []int{3, 1} },
		`mark "many/8": want BITS/CARRIERS`:    func(c *Config) { c.Marks = []string{"many/8"} },
		`mark "2/8/1": want BITS/CARRIERS`:     func(c *Config) { c.Marks = []string{"2/8/1"} },
		`mark "2/8 ": want BITS/CARRIERS`:      func(c *Config) { c.Marks = []string{"2/8 "} },
		`mark "0/8": want BITS/CARRIERS`:       func(c *Config) { c.Deep = []string{"0/8"} },
		"marks = [3/12 3/12]: 3/12 is given":   func(c *Config) { c.Marks = []string{"3/12"} },
	} {
		c := tiny()
		change(&c)
		err := c.WithDefaults().Validate()
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "gradsigns: ")
	}
	for want, change := range map[string]func(c *Config){
		`no data set "nothing"`:                   func(c *Config) { c.Dataset = "nothing" },
		"target = 1000: ":                         func(c *Config) { c.Target = 1000 },
		"mark 2/785: keygen: 785 carriers exceed": func(c *Config) { c.Marks = []string{"2/785"} },
		"is of class 9, which marks are read":     func(c *Config) { c.Target, c.Test, c.Judged = 9, 3, 3 },
	} {
		c := tiny()
		change(&c)
		_, err := Run(t.Context(), testengine.Quick(t), c)
		require.ErrorContains(t, err, want)
	}
}
