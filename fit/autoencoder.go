package fit

import (
	"context"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/nets"
)

// AutoencoderConfig says how an autoencoder is trained.
type AutoencoderConfig struct {
	Epochs    int             // zero: 20; sparse and adversarial: 50; concrete: 800
	Steps     int             // in place of Epochs, if not zero: so many batches
	BatchSize int             // zero: 100
	Rule      Rule            // zero: that of the paper: Adadelta, RMSProp 2.5e-3, Adam 1e-3, Adam 1e-4, Adam 1e-3 by kind
	Targets   *tensors.Tensor // what images are to be mapped to, of their shape; nil: to themselves
	Seed      int64           // of the order of the images and of what is drawn
}

// ReconstructionLoss is the name under which TrainAutoencoder's Losses hold the mean loss of reconstruction, of a pixel.
const ReconstructionLoss = "reconstruction"

// TrainAutoencoder trains an autoencoder in place on images [n, InputShape...] with values from 0 to 1, or loads what the same
// training gave before; labels are not looked at. Losses have an entry an epoch. What [Alternation.Train] says holds.
func TrainAutoencoder(ctx context.Context, e *engine.Engine, a *nets.Autoencoder, images Data, c AutoencoderConfig, o Options) (Losses, error) {
	return nil, errors.New("fit: not built yet")
}

// AutoencoderKey identifies a training of an autoencoder, as [Key] does that of a classifier.
func AutoencoderKey(e *engine.Engine, a *nets.Autoencoder, images Data, c AutoencoderConfig) (string, error) {
	return "", errors.New("fit: not built yet")
}
