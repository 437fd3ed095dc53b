package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTally counts passes, failures and skips, and a package that does not build or panics as one failure.
func TestTally(t *testing.T) {
	events := `
{"Action":"run","Package":"a","Test":"TestOne"}
{"Action":"output","Package":"a","Test":"TestOne","Output":"fine\n"}
{"Action":"pass","Package":"a","Test":"TestOne"}
{"Action":"pass","Package":"a","Test":"TestTwo/sub","Elapsed":21}
{"Action":"output","Package":"a","Test":"TestTwo","Output":"reason\n"}
{"Action":"fail","Package":"a","Test":"TestTwo"}
{"Action":"skip","Package":"a","Test":"TestThree"}
{"Action":"fail","Package":"a"}
{"ImportPath":"b","Action":"build-output","Output":"b.go:1: broken\n"}
{"ImportPath":"b","Action":"build-fail"}
{"Action":"fail","Package":"b","FailedBuild":"b"}
{"Action":"output","Package":"c","Output":"panic: boom\n"}
{"Action":"fail","Package":"c"}
{"Action":"pass","Package":"d","Test":"TestD"}
{"Action":"pass","Package":"d","Elapsed":1.5}
{"Action":"skip","Package":"e"}`
	var total count
	var out strings.Builder
	require.NoError(t, tally(strings.NewReader(strings.TrimSpace(events)), &out, &total))
	assert.Equal(t, count{passed: 3, failed: 3, skipped: 1}, total)
	assert.Equal(t, "3 passed, 3 failed, 1 skipped", total.String())
	for _, want := range []string{"reason", "broken", "boom", "FAIL  a TestTwo", "slow  a TestTwo/sub (21.0s)",
		"ok    d: 1 tests (1.5s)", "skip  a TestThree"} {
		assert.Contains(t, out.String(), want)
	}
	assert.NotContains(t, out.String(), "fine")
}
