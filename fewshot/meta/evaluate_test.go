package meta

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// An attack that cannot reach its radius is no attack.
func TestEvalOptions(t *testing.T) {
	o := EvalOptions{Epsilon: 0.06, StepSize: 0.001, AttackSteps: 10}
	require.ErrorContains(t, o.withDefaults().validate(Pixels), "cannot reach epsilon")
}
