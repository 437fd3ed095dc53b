package representation

import (
	"cmp"
	"context"
	"math"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
)

// Training says how a network is trained by contrast.
type Training struct {
	Epochs       int          // zero: 30
	Steps        int          // so many batches in place of Epochs, so that trainings on sets of different sizes can be of equal length
	BatchSize    int          // zero: 128
	Temperature  float64      // zero: 0.5
	Rule         fit.Rule     // zero: Adam with 1e-3
	Augmentation Augmentation // zero: a shift by 1, a rotation by 15 degrees and noise of 0.1, for digits
	Seed         int64        // of the order of the images and of the views
}

func (t Training) withDefaults() Training {
	if t.Steps == 0 {
		t.Epochs = cmp.Or(t.Epochs, 30)
	}
	t.BatchSize, t.Temperature = cmp.Or(t.BatchSize, 128), cmp.Or(t.Temperature, 0.5)
	if t.Augmentation.Graph == nil && t.Augmentation.Name == "" {
		t.Augmentation = InTurn(ShiftBy(1), RotateBy(15), AddNoise(0.1))
	}
	return t
}

// validate expects the defaults to be filled in.
func (t Training) validate(m *nets.Model, images fit.Data) error {
	if err := m.CheckImages(images.Images); err != nil {
		return err
	}
	n := images.Images.Shape().Dimensions[0]
	switch {
	case len(m.InputShape) != 3:
		return errors.Errorf("images %v: want height, width, channels", m.InputShape)
	case t.Steps != 0 && t.Epochs != 0:
		return errors.Errorf("Steps = %d and Epochs = %d: give one of them", t.Steps, t.Epochs)
	case t.Steps < 0 || t.Epochs < 0:
		return errors.Errorf("Steps = %d, Epochs = %d: must be at least 1", t.Steps, t.Epochs)
	case t.BatchSize < 2 || t.BatchSize > n:
		return errors.Errorf("BatchSize = %d for %d images: want 2, to have another to tell apart, to %d", t.BatchSize, n, n)
	case !(t.Temperature > 0) || math.IsInf(t.Temperature, 1):
		return errors.Errorf("Temperature = %g: must be finite and above 0", t.Temperature)
	case t.Augmentation.Name == "" || t.Augmentation.Graph == nil:
		return errors.New("the augmentation needs a graph, and a name that tells its parameters")
	}
	return nil
}

// Loss is the name under which Train's Losses hold the mean NT-Xent loss.
const Loss = "NT-Xent"

// alternation is the training.
func (t Training) alternation(m *nets.Model, images fit.Data) (fit.Alternation, error) {
	t = t.withDefaults()
	if err := t.validate(m, images); err != nil {
		return fit.Alternation{}, err
	}
	sum, err := images.Sum()
	if err != nil {
		return fit.Alternation{}, err
	}
	batches, err := fit.Batches(images.Images, t.BatchSize, t.Seed)
	if err != nil {
		return fit.Alternation{}, err
	}
	steps, every := t.Steps, 0
	if steps == 0 {
		every = images.Images.Shape().Dimensions[0] / t.BatchSize
		steps = t.Epochs * every
	}
	key := fit.Hash("contrastive 1", sum, t.BatchSize, t.Temperature, t.Augmentation.Name)
	return fit.Alternation{Name: m.Name, Key: key, Store: m.Store, Steps: steps, Every: every, Seed: t.Seed,
		Updates: []fit.Update{{Name: Loss, Trains: []*nets.Network{&m.Network}, Rule: t.Rule, Batch: batches,
			Loss: func(scope *model.Scope, _ *Graph, batch []*Node) *Node {
				views := Concatenate([]*Node{t.Augmentation.Graph(scope, batch[0]), t.Augmentation.Graph(scope, batch[0])}, 0)
				return ReduceAllMean(nets.NTXent(InsertAxes(m.Logits(scope, views), 0), t.Temperature))
			}}}}, nil
}

// Train trains a network from images [n, height, width, channels] to embeddings in place, such as [nets.Contrastive]'s, by the NT-Xent
// loss of two views of each image, or loads what the same training gave before; labels are not looked at. Losses have an entry
// an epoch, or every hundredth of Steps. What [fit.Alternation.Train] says holds.
func Train(ctx context.Context, e *engine.Engine, m *nets.Model, images fit.Data, t Training, o fit.Options) (fit.Losses, error) {
	a, err := t.alternation(m, images)
	if err != nil {
		return nil, errors.WithMessagef(err, "representation: %s", m.Name)
	}
	return a.Train(ctx, e, o)
}

// Features are what a network puts out for images [n, InputShape...], such as the encoder of a [nets.Contrastive] or of a
// [nets.Autoencoder]: float32 [n, values].
func Features(e *engine.Engine, m *nets.Model, images *tensors.Tensor) (*tensors.Tensor, error) {
	p, err := nets.NewPredictor(e.Backend(), m, 0)
	if err != nil {
		return nil, err
	}
	rows, err := p.Logits(images)
	if err != nil {
		return nil, err
	}
	flat := make([]float32, 0, len(rows)*len(rows[0]))
	for _, row := range rows {
		flat = append(flat, row...)
	}
	return tensors.FromFlatDataAndDimensions(flat, len(rows), len(rows[0])), nil
}
