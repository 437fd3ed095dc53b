package watermark

import (
	"context"

	"github.com/gomlx/gomlx/core/tensors"
)

// answers are what became of the questions.
type answers struct {
	projections []float64
	queries     int
	notes       []string
}

func (v Verifier) ask(context.Context, Endpoint, *Key, *tensors.Tensor) (*answers, error) {
	panic("not yet")
}
