package nets_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/nettest"
	"github.com/trustbook/trustbook/nets"
)

// TestDenseIsTheEnd: features, then the listed layers, are the network.
func TestDenseIsTheEnd(t *testing.T) {
	for _, m := range allNetworks(t, nets.ActSigmoid) {
		t.Run(m.Name, func(t *testing.T) {
			switch m.Name {
			case "MLP 784-12-8-10 sigmoid":
				require.Len(t, m.Dense, 3)
				require.Nil(t, m.Features)
			case "MLP 784-10":
				require.Len(t, m.Dense, 1)
				require.Nil(t, m.Features)
			default:
				require.NotNil(t, m.Features)
			}
			nettest.DenseIsTheEnd(t, m)
		})
	}
}

func TestMLPActivation(t *testing.T) {
	_, err := nets.NewMLP(nets.MLPConfig{Activation: "gelu"})
	require.ErrorContains(t, err, `MLP activation "gelu": want relu, sigmoid, softplus or tanh`)
}
