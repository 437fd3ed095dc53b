package fit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/nets"
)

// formatVersion changes whenever the same configuration would give other weights, or another file.
const formatVersion = 2

// Key identifies a run: the model's architecture and initial weights, the configuration (losses by their names), the
// data, and the backend by its name. Runs with the same key end with the same weights and share one file.
func Key(m *nets.Model, backend string, train Data, c Config) (string, error) {
	c = c.withDefaults()
	parts := []any{formatVersion, m.Name, m.InputShape, m.Lower, m.Upper, m.Classes, backend,
		c.BatchSize, c.LearningRate, c.Optimizer, c.Seed}
	for _, p := range c.Phases {
		parts = append(parts, p.Loss.Name, p.Epochs)
	}
	if c.WeightDecay != 0 || c.Cosine { // left out otherwise: what was trained before these settings keeps its key
		parts = append(parts, c.WeightDecay, c.Cosine, c.WarmUpSteps)
	}
	if c.StopLoss != 0 {
		parts = append(parts, "stop", c.StopLoss)
	}
	sets := []Data{train}
	if c.Validation != nil {
		sets = append(sets, *c.Validation)
	}
	for _, d := range sets {
		sum, err := d.Sum()
		if err != nil {
			return "", err
		}
		parts = append(parts, sum)
	}
	sums, err := storeSums(m.Store, m.WeightPaths...)
	if err != nil {
		return "", errors.WithMessagef(err, "fit: %s", m.Name)
	}
	return Hash(append(parts, sums...)...), nil
}

// storeSums identifies what is in a store, and which of it is trained, but for random states: training seeds its own.
func storeSums(store *model.Store, trained ...string) (parts []any, err error) {
	for v := range store.IterVariables() {
		if isRandomState(v) {
			continue
		}
		value, err := v.Value()
		if err != nil {
			return nil, err
		}
		sum, err := tensorSum(value)
		if err != nil {
			return nil, err
		}
		parts = append(parts, v.Path(), slices.Contains(trained, v.Path()), sum)
	}
	return parts, nil
}

func isRandomState(v *model.Variable) bool { return v.Name() == model.RNGStateVariableName }

// Sum identifies the content, by Checksum if there is one.
func (d Data) Sum() (string, error) {
	if d.Images == nil {
		return "", errors.New("fit: no images given")
	}
	if d.Checksum != "" {
		return Hash(d.Images.Shape().Dimensions, len(d.Labels), d.Checksum), nil
	}
	images, err := tensorSum(d.Images)
	return Hash(images, d.Labels), err
}

// tensorSum hashes shape and bytes.
func tensorSum(t *tensors.Tensor) (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, t.Shape())
	err := t.ConstBytes(func(b []byte) { sum.Write(b) })
	return hex.EncodeToString(sum.Sum(nil)), err
}

// Hash returns 24 hexadecimal digits that identify the values by their JSON.
func Hash(values ...any) string {
	text, err := json.Marshal(values)
	if err != nil {
		panic(fmt.Sprintf("fit: Hash of something JSON cannot hold: %v", err))
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:12])
}
