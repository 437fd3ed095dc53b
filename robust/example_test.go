package robust_test

import (
	"context"
	"fmt"

	"github.com/janpfeifer/must"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/nets/onnx"
	"github.com/trustbook/trustbook/npy"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/attack"
)

// Attack a model of your own: any ONNX classifier, images and labels as NumPy arrays.
func Example() {
	e := must.M1(engine.Open("")) // XLA: the GPU's plugin if there is one, else the CPU's
	model := must.M1(onnx.Load("model.onnx", onnx.Options{}))
	victim := must.M1(robust.NewVictim(e, model, 128))
	outcome := must.M1(robust.Evaluate(context.Background(), victim, attack.PGD{Steps: 20}, robust.Problem{
		Images: must.M1(npy.ReadImages("images.npy")),
		Goal:   robust.Goal{Labels: must.M1(npy.ReadLabels("labels.npy"))},
		Threat: robust.Threat{Norm: robust.Linf, Epsilon: 8. / 255},
	}))
	fmt.Printf("clean %.1f %%, under attack %.1f %%\n", 100*outcome.CleanAccuracy, 100*outcome.RobustAccuracy)
}
