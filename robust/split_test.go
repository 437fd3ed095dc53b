package robust_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/robust"
)

func TestSplit(t *testing.T) {
	for _, c := range []struct{ batch, n, want int }{
		{128, 145, 80}, {128, 200, 112}, {128, 128, 128}, {128, 17, 32}, {128, 1, 16}, {128, 0, 128}, {10, 25, 10}, {100, 101, 64}, {16, 17, 16},
	} {
		v := &robust.Victim{Batch: c.batch}
		restore := v.Split(c.n)
		require.Equal(t, c.want, v.Batch, "%d of %d", c.n, c.batch)
		if c.n > 0 {
			require.Equal(t, (c.n+c.batch-1)/c.batch, (c.n+v.Batch-1)/v.Batch, "as many calls")
		}
		restore()
		require.Equal(t, c.batch, v.Batch)
	}
}
