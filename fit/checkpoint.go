package fit

import (
	"bytes"
	"encoding/gob"
	"hash/crc32"
	"os"
	"path/filepath"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/google/renameio/v2"
	"github.com/pkg/errors"
)

// checkpoint is everything that a run needs to go on as if nothing had happened.
type checkpoint struct {
	Key       string
	Done      bool
	Epoch     int // finished epochs, over all phases
	Step      int // finished steps of the current epoch
	LossSum   float64
	History   History
	Variables []variable // all of the store: weights, optimizer, random numbers
}

type variable struct {
	Path      string
	DType     string
	Dims      []int
	Trainable bool
	Bytes     []byte
}

// save writes the checkpoint in one piece: a reader sees the old file or the new one, never a part.
func (c *checkpoint) save(path string, store *model.Store) error {
	c.Variables = nil
	for v := range store.IterVariables() {
		value, err := v.Value()
		if err != nil {
			return err
		}
		saved := variable{Path: v.Path(), DType: v.DType().String(), Dims: v.Shape().Dimensions, Trainable: v.Trainable}
		if err := value.ConstBytes(func(b []byte) { saved.Bytes = bytes.Clone(b) }); err != nil {
			return err
		}
		c.Variables = append(c.Variables, saved)
	}
	var body bytes.Buffer
	if err := gob.NewEncoder(&body).Encode(c); err != nil {
		return err
	}
	sum := crc32.ChecksumIEEE(body.Bytes())
	data := append([]byte{byte(sum), byte(sum >> 8), byte(sum >> 16), byte(sum >> 24)}, body.Bytes()...)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return errors.WithMessage(err, "fit: checkpoint folder")
	}
	return errors.WithMessage(renameio.WriteFile(path, data, 0o644), "fit: checkpoint")
}

// readCheckpoint returns nil if there is none for this key, or if the file is damaged: training then starts anew,
// which costs time but never gives a wrong result.
func readCheckpoint(path, key string) *checkpoint {
	data, err := os.ReadFile(path)
	if err != nil || len(data) < 4 {
		return nil
	}
	sum := uint32(data[0]) | uint32(data[1])<<8 | uint32(data[2])<<16 | uint32(data[3])<<24
	if crc32.ChecksumIEEE(data[4:]) != sum {
		return nil
	}
	var c checkpoint
	if gob.NewDecoder(bytes.NewReader(data[4:])).Decode(&c) != nil || c.Key != key {
		return nil
	}
	return &c
}

// restore puts the saved variables into the store.
func (c *checkpoint) restore(store *model.Store) error {
	for _, saved := range c.Variables {
		dtype, err := dtypes.DTypeString(saved.DType)
		if err != nil {
			return errors.WithMessagef(err, "fit: checkpoint variable %s", saved.Path)
		}
		value := tensors.FromShape(shapes.Make(dtype, saved.Dims...))
		if err := value.MutableBytes(func(b []byte) { copy(b, saved.Bytes) }); err != nil {
			return err
		}
		if v := store.GetVariable(saved.Path); v != nil {
			err = v.SetValue(value)
		} else if v, err = store.CreateVariable(saved.Path, value); err == nil {
			v.SetTrainable(saved.Trainable)
		}
		if err != nil {
			return errors.WithMessagef(err, "fit: checkpoint variable %s", saved.Path)
		}
	}
	return nil
}
