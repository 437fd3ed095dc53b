package fit

import (
	"cmp"
	"context"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/nets"
)

// VAEConfig says how a variational autoencoder is trained.
type VAEConfig struct {
	Epochs    int   // zero: 15
	BatchSize int   // zero: 128
	Rule      Rule  // zero: Adam with 1e-3
	Seed      int64 // of the order of the images and of the latents that are drawn
}

func (c VAEConfig) withDefaults() VAEConfig {
	c.Epochs, c.BatchSize = cmp.Or(c.Epochs, 15), cmp.Or(c.BatchSize, 128)
	return c
}

// VAELoss is the name under which TrainVAE's Losses hold the mean negative ELBO, in nats an image.
const VAELoss = "negative ELBO"

// alternation is the training of an autoencoder.
func (c VAEConfig) alternation(v *nets.VAE, images Data) (Alternation, error) {
	c = c.withDefaults()
	if err := v.CheckImages(images.Images); err != nil {
		return Alternation{}, err
	}
	sum, err := images.Sum()
	if err != nil {
		return Alternation{}, err
	}
	batches, err := Batches(images.Images, c.BatchSize, c.Seed)
	if err != nil {
		return Alternation{}, err
	}
	each := images.Images.Shape().Dimensions[0] / c.BatchSize
	return Alternation{Name: v.Name, Key: Hash(sum, c.BatchSize), Store: v.Store, Steps: c.Epochs * each, Every: each, Seed: c.Seed,
		Updates: []Update{{Name: VAELoss, Trains: []*nets.Network{&v.Network}, Rule: c.Rule, Batch: batches,
			Loss: func(scope *model.Scope, _ *Graph, batch []*Node) *Node {
				reconstruction, divergence := v.NegativeELBO(scope, batch[0])
				return ReduceAllMean(Add(reconstruction, divergence))
			}}}}, nil
}

// VAEKey identifies a training of an autoencoder, as [Key] does that of a classifier.
func VAEKey(e *engine.Engine, v *nets.VAE, images Data, c VAEConfig) (string, error) {
	a, err := c.alternation(v, images)
	if err != nil {
		return "", errors.WithMessagef(err, "fit: %s", v.Name)
	}
	return a.withDefaults().key(e)
}

// TrainVAE trains a variational autoencoder in place on images [n, InputShape...] with values from 0 to 1, or loads what the
// same training gave before; labels are not looked at. Losses have an entry an epoch. What [Alternation.Train] says holds.
func TrainVAE(ctx context.Context, e *engine.Engine, v *nets.VAE, images Data, c VAEConfig, o Options) (Losses, error) {
	a, err := c.alternation(v, images)
	if err != nil {
		return nil, errors.WithMessagef(err, "fit: %s", v.Name)
	}
	return a.Train(ctx, e, o)
}

// Batches returns an [Update.Batch] of so many of the images: in each epoch all of them, but for a last batch that would not
// be full, in an order that depends on seed and epoch.
func Batches(images *tensors.Tensor, size int, seed int64) (func(i int) ([]any, error), error) {
	n := images.Shape().Dimensions[0]
	if size < 1 || size > n {
		return nil, errors.Errorf("BatchSize = %d for %d images: want 1 to %d", size, n, n)
	}
	each, dims := n/size, append([]int{size}, images.Shape().Dimensions[1:]...)
	flat, epoch, order := []float32(nil), -1, []int32(nil)
	return func(i int) (_ []any, err error) {
		if flat == nil { // only a training needs a copy, its key does not
			if flat, err = tensors.CopyFlatData[float32](images); err != nil {
				return nil, err
			}
		}
		if i/each != epoch {
			epoch, order = i/each, Permutation(n, seed, i/each)
		}
		rows := make([]int, size)
		for k := range rows {
			rows[k] = int(order[i%each*size+k])
		}
		return []any{tensors.FromFlatDataAndDimensions(nets.PickRows(flat, len(flat)/n, rows), dims...)}, nil
	}, nil
}
