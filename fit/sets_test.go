package fit

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSets(t *testing.T) {
	s, err := LoadSets(context.Background(), "mnist", "", 1000, 200)
	require.NoError(t, err)
	assert.Equal(t, []int{200, 28, 28, 1}, s.Images.Shape().Dimensions)
	a, err := s.Draw(1000, 1)
	require.NoError(t, err)
	b, err := s.Draw(1000, 2)
	require.NoError(t, err)
	assert.NotEqual(t, a.Checksum, b.Checksum, "another seed draws other examples")
	again, err := s.Draw(1000, 1)
	require.NoError(t, err)
	assert.Equal(t, a.Checksum, again.Checksum)
	parts, err := s.DrawApart(1, 600, 400)
	require.NoError(t, err)
	require.Len(t, parts, 2)
	assert.Equal(t, a.Labels, append(append([]int32{}, parts[0].Labels...), parts[1].Labels...), "the same examples, dealt out")
	assert.Equal(t, []int{400, 28, 28, 1}, parts[1].Images.Shape().Dimensions)
	assert.NotEqual(t, parts[0].Checksum, parts[1].Checksum)
	_, err = s.DrawApart(1, 60_000, 1)
	require.Error(t, err)
	images, labels, err := s.Sample(20)
	require.NoError(t, err)
	assert.Equal(t, []int{20, 28, 28, 1}, images.Shape().Dimensions)
	counts := map[int32]int{}
	for _, y := range labels {
		counts[y]++
	}
	assert.Len(t, counts, 10, "every class has its share")
	_, err = LoadSets(context.Background(), "mnist", "", 70_000, 200)
	assert.ErrorContains(t, err, "70000 training and 200 test examples wanted, mnist has 60000 and 10000")
}
