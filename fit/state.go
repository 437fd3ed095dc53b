package fit

import (
	"bytes"
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"
)

// State is what a training changes. [InStore] is that of a store; tensors that are in none need an implementation of a
// few lines, made of [Keep] and [Variable.Tensor].
type State interface {
	// Collect returns copies of all there is, always in the same order.
	Collect() ([]Variable, error)
	// Restore puts back what Collect returned, maybe in another process.
	Restore([]Variable) error
}

// Variable is a tensor in a checkpoint.
type Variable struct {
	Path      string
	DType     int32
	Dims      []int
	Trainable bool // a weight: NaN or infinity in it ends the training
	Bytes     []byte
}

// Keep copies a tensor into a variable.
func Keep(path string, t *tensors.Tensor, trainable bool) (Variable, error) {
	v := Variable{Path: path, DType: int32(t.DType()), Dims: t.Shape().Dimensions, Trainable: trainable}
	return v, t.ConstBytes(func(b []byte) { v.Bytes = bytes.Clone(b) })
}

// Tensor is the tensor that was kept.
func (v Variable) Tensor() (*tensors.Tensor, error) {
	value := tensors.FromShape(v.shape())
	return value, value.MutableBytes(func(b []byte) { copy(b, v.Bytes) })
}

func (v Variable) shape() shapes.Shape { return shapes.Make(dtypes.DType(v.DType), v.Dims...) }

// check compares the shape with the bytes that are there, before anything is allocated by it.
func (v Variable) check() error {
	dtype := dtypes.DType(v.DType)
	if v.Path == "" || !dtype.IsSupported() || dtype.Size() < 1 {
		return errors.Errorf("checkpoint variable %q of type %d: not one of ours", v.Path, v.DType)
	}
	size := dtype.Size()
	for _, d := range v.Dims {
		if d < 0 || d > 1<<40 || (d > 0 && size > (1<<40)/d) {
			return errors.Errorf("checkpoint variable %q of shape %v: too large", v.Path, v.Dims)
		}
		size *= d
	}
	if size != len(v.Bytes) {
		return errors.Errorf("checkpoint variable %q of shape %v: %d bytes, want %d", v.Path, v.Dims, len(v.Bytes), size)
	}
	return nil
}

// finite reports whether a weight holds no NaN or infinity; types other than float32 are taken on trust until the loss
// shows it.
func (v Variable) finite() bool {
	if dtypes.DType(v.DType) != dtypes.Float32 {
		return true
	}
	for b := range slices.Chunk(v.Bytes, 4) {
		bits := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
		if f := math.Float32frombits(bits); f-f != 0 {
			return false
		}
	}
	return true
}

// InStore is the state of all variables of a store, the order of which it keeps: that of a graph's outputs depends on it.
func InStore(store *model.Store) State { return inStore{store} }

type inStore struct{ store *model.Store }

func (s inStore) Collect() ([]Variable, error) {
	var all []Variable
	for v := range s.store.IterVariables() {
		value, err := v.Value()
		if err != nil {
			return nil, err
		}
		kept, err := Keep(v.Path(), value, v.Trainable)
		if err != nil {
			return nil, err
		}
		all = append(all, kept)
	}
	return all, nil
}

// Restore makes the store hold these variables and no others. Where it holds them already, compiled graphs go on working.
func (s inStore) Restore(all []Variable) error {
	same, i := true, 0
	for v := range s.store.IterVariables() {
		same = same && i < len(all) && v.Path() == all[i].Path && v.Shape().Equal(all[i].shape())
		i++
	}
	if !same || i != len(all) {
		if err := s.store.DeleteVariablesInScope("/"); err != nil {
			return err
		}
	}
	for _, kept := range all {
		value, err := kept.Tensor()
		if err != nil {
			return err
		}
		v, err := put(s.store, kept.Path, value)
		if err != nil {
			return errors.WithMessagef(err, "checkpoint variable %s", kept.Path)
		}
		v.SetTrainable(kept.Trainable)
	}
	return nil
}

// put sets a variable to a value, creating it where needed.
func put(store *model.Store, path string, value *tensors.Tensor) (*model.Variable, error) {
	if v := store.GetVariable(path); v != nil {
		return v, v.SetValue(value)
	}
	return store.CreateVariable(path, value)
}

// deliver gives each variable of to the value of its namesake.
func deliver(from, to *model.Store) error {
	for v := range to.IterVariables() {
		trained := from.GetVariable(v.Path())
		if trained == nil {
			if isRandomState(v) { // training has a stream of its own
				continue
			}
			return errors.Errorf("the result has no variable %s", v.Path())
		}
		if !trained.Shape().Equal(v.Shape()) {
			return errors.Errorf("the result has variable %s of shape %s, want %s", v.Path(), trained.Shape(), v.Shape())
		}
		value, err := trained.Value()
		if err != nil {
			return err
		}
		if value, err = value.LocalClone(); err != nil {
			return err
		}
		if err := v.SetValue(value); err != nil {
			return errors.WithMessagef(err, "variable %s", v.Path())
		}
	}
	return nil
}
