package main

import (
	"io"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/report"
)

// The exit status follows the verdicts: only what is replicated whole, and what was not tested, is fine.
func TestConclude(t *testing.T) {
	part := func(values ...float64) report.ClaimPart {
		return report.ClaimPart{Statement: "s", Test: report.Test{What: "w", Values: values, Relation: report.Above}}
	}
	good, bad, open, none := part(1, 1), part(-1, -1), part(-1, 1), part()
	for verdict, parts := range map[report.Verdict][]report.ClaimPart{
		report.Replicated: {good, good}, report.InPart: {good, none}, report.Contradicted: {bad, open},
		report.Inconclusive: {open, none}, report.NotTested: {none},
	} {
		claims := []report.Claim{{ID: "1/1", Sentence: "S.", Seeds: []int64{1, 2}, Parts: parts}}
		require.Equal(t, verdict, claims[0].Verdict())
		c := &cobra.Command{}
		c.SetOut(io.Discard)
		for _, asJSON := range []bool{false, true} {
			require.NoError(t, conclude(c, claims, "out", asJSON, true), verdict)
			err := conclude(c, claims, "out", asJSON, false)
			if verdict == report.Replicated || verdict == report.NotTested {
				require.NoError(t, err, verdict)
			} else {
				require.ErrorIs(t, err, errNotReplicated, verdict)
			}
		}
	}
}
