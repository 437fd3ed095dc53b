package onnx_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/nettest"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/nets/onnx"
)

// eachFile loads every file of testdata.
func eachFile(t *testing.T, check func(t *testing.T, m *nets.Model)) {
	files, err := filepath.Glob("testdata/*.onnx")
	require.NoError(t, err)
	require.Greater(t, len(files), 10)
	for _, path := range files {
		x := read(t, strings.TrimSuffix(path, ".onnx")+"_x.npy")
		m, err := onnx.Load(path, onnx.Options{InputShape: x.Shape().Dimensions[1:]})
		require.NoError(t, err)
		t.Run(m.Name, func(t *testing.T) { check(t, m) })
	}
}

// TestStagesAreTheNetwork: one stage after the other is the network.
func TestStagesAreTheNetwork(t *testing.T) {
	want := map[string]int{"mlp_new": 3, "cnn_new": 4}
	seen := 0
	eachFile(t, func(t *testing.T, m *nets.Model) {
		if n, ok := want[m.Name]; ok {
			require.Len(t, m.Stages(), n)
			seen++
		}
		nettest.StagesAreTheNetwork(t, m)
	})
	require.Equal(t, len(want), seen)
}

// TestDenseIsTheEnd: features, then the listed layers, are the network.
func TestDenseIsTheEnd(t *testing.T) {
	type found struct {
		layers int
		body   bool // whether something lies before them
	}
	want := map[string]found{
		"mlp_old": {3, false}, "mlp_new": {3, false}, "cnn_old": {2, true}, "cnn_new": {2, true}, "cnn_fixed1": {2, true},
		"residual_new": {1, true}, "vit_new": {1, true},
	}
	seen := 0
	eachFile(t, func(t *testing.T, m *nets.Model) {
		if w, ok := want[m.Name]; ok {
			require.Equal(t, w, found{len(m.Dense), m.Features != nil})
			seen++
		}
		if len(m.Dense) > 0 {
			nettest.DenseIsTheEnd(t, m)
		}
	})
	require.Equal(t, len(want), seen)
}
