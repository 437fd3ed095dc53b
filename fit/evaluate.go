package fit

import (
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/nets"
)

// evaluator measures a model's accuracy on a set that stays on the device.
type evaluator struct {
	exec           *model.Exec
	images, labels *tensors.Tensor
	n, batch       int
}

func newEvaluator(e *engine.Engine, m *nets.Model, d Data) (*evaluator, error) {
	exec, err := model.NewExec(e.Backend(), m.Store, func(scope *model.Scope, images, labels, rows, n *Node) *Node {
		return correctGraph(scope, m, images, labels, rows, n)
	})
	if err != nil {
		return nil, err
	}
	exec.WithName("validation")
	images, err := d.Images.OnDeviceClone(e.Backend(), 0)
	if err != nil {
		return nil, err
	}
	n := len(d.Labels)
	return &evaluator{exec: exec, images: images, labels: tensors.FromFlatDataAndDimensions(d.Labels, n), n: n, batch: min(256, n)}, nil
}

// accuracy is the share of examples that are classified correctly. The last batch is filled up with the first example,
// which is then not counted.
func (v *evaluator) accuracy() (float64, error) {
	right := 0
	rows := make([]int32, v.batch)
	for from := 0; from < v.n; from += v.batch {
		count := min(v.batch, v.n-from)
		clear(rows)
		for i := range count {
			rows[i] = int32(from + i)
		}
		out, err := v.exec.Call(v.images, v.labels, rows, int32(count))
		if err != nil {
			return 0, err
		}
		right += int(tensors.ToScalar[int32](out[0]))
		if err := out[0].FinalizeAll(); err != nil {
			return 0, err
		}
	}
	return float64(right) / float64(v.n), nil
}

func (v *evaluator) close() {
	v.exec.Finalize()
	v.images.FinalizeAll()
	v.labels.FinalizeAll()
}
