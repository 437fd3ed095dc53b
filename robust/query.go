package robust

import (
	"context"
	"fmt"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"
)

// Answers are what a model says of some images.
type Answers struct {
	Classes []int32   // predicted, one an image
	Logits  []float32 // [images, classes]; nil for attacks with access to decisions only
}

// Query asks the model about images whose pixels stand one after the other, from outside of any graph. Each is one forward
// pass, booked on its example; rows tells whose it is, and may name an example many times. Any number may be asked at once:
// few calls with many images are fast.
func (v *Victim) Query(ctx context.Context, rows []int, pixels []float32) (*Answers, error) {
	if size := v.exampleSize(); len(pixels) != len(rows)*size {
		return nil, errors.Errorf("robust: %d pixels for %d images of %d", len(pixels), len(rows), size)
	}
	scores := v.access >= Scores
	step, err := v.Compile(fmt.Sprintf("query/scores=%t", scores), func(o *Oracle, args []*Node) []*Node {
		if !scores {
			return []*Node{o.Predict(args[0])}
		}
		logits := o.Logits(args[0])
		return []*Node{ArgMax(logits, -1, dtypes.Int32), logits}
	})
	if err != nil {
		return nil, err
	}
	found, done := &Answers{}, 0
	for chosen := range v.Batches(Rows(len(rows))) {
		out, err := step.Call(ctx, rows[done:done+len(chosen)], v.Images(pixels, chosen))
		if err != nil {
			return nil, err
		}
		classes, err := tensors.CopyFlatData[int32](out[0])
		if err != nil {
			return nil, err
		}
		found.Classes = append(found.Classes, classes[:len(chosen)]...)
		if scores {
			logits, err := tensors.CopyFlatData[float32](out[1])
			if err != nil {
				return nil, err
			}
			found.Logits = append(found.Logits, logits[:len(chosen)*v.Model.Classes]...)
		}
		done += len(chosen)
	}
	return found, nil
}
