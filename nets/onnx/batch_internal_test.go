package onnx

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestGradientBatch(t *testing.T) {
	for megabytes, want := range map[int]int{0: 0, 1: 0, 2: 0, 3: 85, 21: 12, 150: 8, 300: 8, 373: 4, 681: 2, 3000: 1} {
		require.Equal(t, want, gradientBatch(megabytes<<20), "%d MB", megabytes)
	}
}
