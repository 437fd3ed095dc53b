package watermark

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/testengine"
)

func TestEmbed(t *testing.T) {
	n, e, ctx := networks(t), testengine.Quick(t), context.Background()
	count := n.targets.Shape().Dimensions[0]
	r, err := Extract(ctx, e, n.marked, n.key, n.targets, allTarget(count))
	require.NoError(t, err)
	u, err := Extract(ctx, e, n.plain, n.key, n.targets, nil)
	require.NoError(t, err)
	fmt.Println(r.Errors, u.Errors, accuracy(t, n.marked, n.images, n.labels), accuracy(t, n.plain, n.images, n.labels),
		accuracy(t, n.marked, n.targets, allTarget(count)), accuracy(t, n.plain, n.targets, allTarget(count)))
}
