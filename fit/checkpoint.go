package fit

import (
	"bytes"
	"crypto/sha256"
	"encoding/gob"
	"os"
	"path/filepath"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/google/renameio/v2"
	"github.com/pkg/errors"
)

// checkpoint is everything that a run needs to go on as if nothing had happened, or its result. The file holds magic,
// the SHA-256 of the rest, and the rest as gob.
type checkpoint struct {
	Key       string
	Done      bool // the variables are those of the trained model, without what training adds
	Phase     int  // index of the current phase
	Epoch     int  // finished epochs of the phase
	Step      int  // finished steps of the epoch
	History   History
	Variables []variable // in the order of the store: that of graph outputs depends on it
}

type variable struct {
	Path      string
	DType     int32
	Dims      []int
	Trainable bool
	Bytes     []byte
}

const magic = "trustbook fit 2\n"

// collect copies the store's variables into the checkpoint.
func (c *checkpoint) collect(store *model.Store) error {
	c.Variables = nil
	for v := range store.IterVariables() {
		value, err := v.Value()
		if err != nil {
			return err
		}
		saved := variable{Path: v.Path(), DType: int32(v.DType()), Dims: v.Shape().Dimensions, Trainable: v.Trainable}
		if err := value.ConstBytes(func(b []byte) { saved.Bytes = bytes.Clone(b) }); err != nil {
			return err
		}
		c.Variables = append(c.Variables, saved)
	}
	return nil
}

// write replaces the file in one piece: whatever happens, a reader sees the old one or the new one.
func (c *checkpoint) write(path string) error {
	var body bytes.Buffer
	if err := gob.NewEncoder(&body).Encode(c); err != nil {
		return errors.Wrap(err, "fit: encoding the checkpoint")
	}
	sum := sha256.Sum256(body.Bytes())
	data := append(append([]byte(magic), sum[:]...), body.Bytes()...)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return errors.Wrap(err, "fit: checkpoint folder")
	}
	return errors.Wrap(renameio.WriteFile(path, data, 0o644, renameio.WithTempDir(filepath.Dir(path))), "fit: checkpoint")
}

// removeLeftovers deletes the temporary files of writers that were killed.
func removeLeftovers(path string) {
	dir, prefix := filepath.Dir(path), "."+filepath.Base(path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // no folder yet
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

// readCheckpoint returns nil where there is no file, and where the file is damaged or of another run: training then
// starts anew and replaces it, which costs time but never gives a wrong result.
func readCheckpoint(path, key string) (*checkpoint, error) {
	data, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, errors.Wrap(err, "fit: reading the checkpoint")
	}
	body, found := bytes.CutPrefix(data, []byte(magic))
	if !found || len(body) < sha256.Size {
		return nil, nil
	}
	if sum := sha256.Sum256(body[sha256.Size:]); !bytes.Equal(sum[:], body[:sha256.Size]) {
		return nil, nil
	}
	c, err := decode(body[sha256.Size:])
	if err != nil || c.Key != key {
		return nil, nil //nolint:nilerr // what cannot be used is as good as absent: training starts anew
	}
	return c, nil
}

// decode parses the gob and checks that it is consistent in itself.
func decode(body []byte) (*checkpoint, error) {
	var c checkpoint
	if err := gob.NewDecoder(bytes.NewReader(body)).Decode(&c); err != nil {
		return nil, errors.Wrap(err, "fit: decoding the checkpoint")
	}
	if c.Phase < 0 || c.Epoch < 0 || c.Step < 0 {
		return nil, errors.New("fit: checkpoint with a negative position")
	}
	for _, v := range c.Variables {
		if err := v.check(); err != nil {
			return nil, err
		}
	}
	return &c, nil
}

// fits tells whether the position is one that a run of this configuration can have.
func (c *checkpoint) fits(cfg Config, steps int) bool {
	if c.Done {
		return true
	}
	if c.Phase >= len(cfg.Phases) || c.Epoch >= cfg.Phases[c.Phase].Epochs || c.Step > steps {
		return false
	}
	most := c.Epoch
	for _, p := range cfg.Phases[:c.Phase] {
		most += p.Epochs
	}
	seen := len(c.History.Loss)
	return seen == most || cfg.StopLoss > 0 && seen >= c.Epoch && seen <= most
}

// check compares the shape with the bytes that are there, before anything is allocated by it.
func (v variable) check() error {
	dtype := dtypes.DType(v.DType)
	if v.Path == "" || !dtype.IsSupported() || dtype.Size() < 1 {
		return errors.Errorf("fit: checkpoint variable %q of type %d: not one of ours", v.Path, v.DType)
	}
	size := dtype.Size()
	for _, d := range v.Dims {
		if d < 0 || d > 1<<40 || (d > 0 && size > (1<<40)/d) {
			return errors.Errorf("fit: checkpoint variable %q of shape %v: too large", v.Path, v.Dims)
		}
		size *= d
	}
	if size != len(v.Bytes) {
		return errors.Errorf("fit: checkpoint variable %q of shape %v: %d bytes, want %d", v.Path, v.Dims, len(v.Bytes), size)
	}
	return nil
}

func (v variable) tensor() (*tensors.Tensor, error) {
	value := tensors.FromShape(shapes.Make(dtypes.DType(v.DType), v.Dims...))
	return value, value.MutableBytes(func(b []byte) { copy(b, v.Bytes) })
}

// restore makes the store hold the saved variables and no others, in their order.
func (c *checkpoint) restore(store *model.Store) error {
	if err := store.DeleteVariablesInScope("/"); err != nil {
		return err
	}
	for _, saved := range c.Variables {
		value, err := saved.tensor()
		if err != nil {
			return err
		}
		v, err := store.CreateVariable(saved.Path, value)
		if err != nil {
			return errors.WithMessagef(err, "fit: checkpoint variable %s", saved.Path)
		}
		v.SetTrainable(saved.Trainable)
	}
	return nil
}

// deliver sets the model's variables to the result's.
func (c *checkpoint) deliver(store *model.Store) error {
	for _, saved := range c.Variables {
		v := store.GetVariable(saved.Path)
		if v == nil {
			return errors.Errorf("fit: result has variable %s, which the model has not", saved.Path)
		}
		value, err := saved.tensor()
		if err != nil {
			return err
		}
		if !v.Shape().Equal(value.Shape()) {
			return errors.Errorf("fit: result has variable %s of shape %s, the model has %s", saved.Path, value.Shape(), v.Shape())
		}
		if err := v.SetValue(value); err != nil {
			return errors.WithMessagef(err, "fit: variable %s", saved.Path)
		}
	}
	return nil
}
