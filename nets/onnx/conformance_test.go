package onnx

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// conformancePart are the node tests that go test runs by default, beside those that the package has as files.
var conformancePart = []string{"gather", "gru", "lstm", "rnn", "softmax"}

// smallCase bounds the bytes of these tests: larger ones take seconds.
const smallCase = 1 << 17

// TestConformance runs the package onnx's own tests through the importer: all of them if TRUSTBOOK_CONFORMANCE is set, as
// make conformance does, else a fixed part. None may come out wrong.
//
// The first float32 input is the image, all others are constants, as weights and settings are in files. The table says how
// many are right, of how many of these the gradient by the image was compared with differences, and how many LoadMap loads as
// they stand: for the others a step is left out that asks for a batch of any size.
func TestConformance(t *testing.T) {
	modules := conformancePart
	if os.Getenv("TRUSTBOOK_CONFORMANCE") != "" {
		modules = nil
	}
	cases := make(chan *conformanceCase)
	var tally tally
	var workers sync.WaitGroup
	for range 2 {
		dir := t.TempDir()
		workers.Go(func() {
			for c := range cases {
				tally.add(c, c.check(t, dir))
			}
		})
	}
	conformanceCases(t, modules, func(c *conformanceCase) {
		if modules == nil || c.size() < smallCase {
			cases <- c
		}
	})
	close(cases)
	workers.Wait()
	tally.report(t)
}

// tally sums up verdicts by operator.
type tally struct {
	mutex sync.Mutex
	rows  map[string]*tallyRow
	wrong []string
}

type tallyRow struct {
	right, wrong, whole int
	refused             map[string]int
	slopes              map[string]int
}

func (y *tally) add(c *conformanceCase, v verdict) {
	y.mutex.Lock()
	defer y.mutex.Unlock()
	if y.rows == nil {
		y.rows = map[string]*tallyRow{}
	}
	name := c.Op
	if name == "" {
		name = "(several)"
	}
	row := y.rows[name]
	if row == nil {
		row = &tallyRow{refused: map[string]int{}, slopes: map[string]int{}}
		y.rows[name] = row
	}
	switch {
	case v.refused != "":
		row.refused[unnamed(v.refused)]++
	case v.wrong != "":
		row.wrong++
		y.wrong = append(y.wrong, c.Name+": "+v.wrong)
	default:
		row.right++
		if v.whole {
			row.whole++
		}
		row.slopes[v.slopes]++
	}
}

var names = regexp.MustCompile(` \(\w+ node "[^"]*"\)| node "[^"]*"| "[^"]*"`)

// unnamed leaves names out of a reason, so that equal ones are counted together.
func unnamed(reason string) string { return names.ReplaceAllString(reason, "") }

func (y *tally) report(t *testing.T) {
	var text strings.Builder
	right, refused, wrong, checked, whole := 0, 0, 0, 0, 0
	for _, name := range slices.Sorted(maps.Keys(y.rows)) {
		row := y.rows[name]
		n := 0
		for _, count := range row.refused {
			n += count
		}
		right, refused, wrong = right+row.right, refused+n, wrong+row.wrong
		fmt.Fprintf(&text, "%-28s %5d %7d %5d %9d %6d", name, row.right, n, row.wrong, row.slopes[slopesChecked], row.whole)
		for _, s := range []string{slopesKinks, slopesNone} {
			if row.slopes[s] > 0 {
				fmt.Fprintf(&text, "  (%d: %s)", row.slopes[s], s[2:])
			}
		}
		text.WriteString("\n")
		checked, whole = checked+row.slopes[slopesChecked], whole+row.whole
		for _, why := range slices.Sorted(maps.Keys(row.refused)) {
			fmt.Fprintf(&text, "    refused %d: %s\n", row.refused[why], why)
		}
	}
	t.Logf("%-28s %5s %7s %5s %9s %6s\n%s%-28s %5d %7d %5d %9d %6d", "operator", "right", "refused", "wrong", "gradients", "loaded",
		text.String(), "all", right, refused, wrong, checked, whole)
	slices.Sort(y.wrong)
	for _, w := range y.wrong {
		t.Error(w)
	}
}

// TestSequences compares operators that look along sequences or sample images with ONNX Runtime's answers, which
// testdata/make_sequences.py wrote down, and their gradients with differences.
func TestSequences(t *testing.T) {
	f, err := os.Open("testdata/sequences.json.gz")
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	var cases []*conformanceCase
	require.NoError(t, json.NewDecoder(z).Decode(&cases))
	require.Greater(t, len(cases), 90)
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			v := c.check(t, t.TempDir())
			require.Empty(t, v.refused+v.wrong)
			require.Equal(t, slopesChecked, v.slopes)
			if strings.HasPrefix(c.Name, "whole ") {
				require.True(t, v.whole, "LoadMap refuses it")
			}
		})
	}
}
