package maml

import (
	"bytes"
	"crypto/sha256"
	"encoding/gob"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/google/renameio/v2"
	"github.com/pkg/errors"
)

// checkpoint is everything that a training needs to go on as if nothing had happened, or its result. The file holds
// magic, the SHA-256 of the rest, and the rest as gob.
type checkpoint struct {
	Key     string
	Done    bool
	Updates int // finished
	History History
	State   [][]float32 // parameters and moments, in the order of run.state
}

const magic = "trustbook maml 1\n"

// resume takes up what is kept of the same training. A file that is damaged, or of another training, counts as absent:
// training starts anew and replaces it.
func (r *run) resume() error {
	removeLeftovers(r.path)
	data, err := os.ReadFile(r.path)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return errors.Wrap(err, "maml: reading the checkpoint")
	}
	c := readCheckpoint(data)
	if c == nil || c.Key != r.at.Key || c.Updates > r.o.Updates || c.Done != (c.Updates == r.o.Updates) || len(c.State) != len(r.state) {
		return nil
	}
	state := make([]*tensors.Tensor, len(c.State))
	for i, values := range c.State {
		shape := r.state[i].Shape()
		if len(values) != shape.Size() {
			return nil
		}
		state[i] = tensors.FromFlatDataAndDimensions(values, shape.Dimensions...)
	}
	r.at, r.state = *c, state
	r.at.State = nil
	return nil
}

func readCheckpoint(data []byte) *checkpoint {
	body, found := bytes.CutPrefix(data, []byte(magic))
	if !found || len(body) < sha256.Size {
		return nil
	}
	if sum := sha256.Sum256(body[sha256.Size:]); !bytes.Equal(sum[:], body[:sha256.Size]) {
		return nil
	}
	var c checkpoint
	if gob.NewDecoder(bytes.NewReader(body[sha256.Size:])).Decode(&c) != nil {
		return nil
	}
	if n := c.Updates; n < 0 || len(c.History.Loss) != n || len(c.History.Accuracy) != n {
		return nil
	}
	return &c
}

// save replaces the checkpoint in one piece: whatever happens, a reader sees the old one or the new one.
func (r *run) save() error {
	if r.path == "" {
		return nil
	}
	begun := time.Now()
	c := r.at
	for _, t := range r.state {
		values, err := tensors.CopyFlatData[float32](t)
		if err != nil {
			return err
		}
		c.State = append(c.State, values)
	}
	var body bytes.Buffer
	if err := gob.NewEncoder(&body).Encode(c); err != nil {
		return errors.Wrap(err, "encoding the checkpoint")
	}
	sum := sha256.Sum256(body.Bytes())
	dir := filepath.Dir(r.path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return errors.Wrap(err, "checkpoint folder")
	}
	data := append(append([]byte(magic), sum[:]...), body.Bytes()...)
	if err := renameio.WriteFile(r.path, data, 0o644, renameio.WithTempDir(dir)); err != nil {
		return errors.Wrap(err, "checkpoint")
	}
	r.saved = time.Now()
	r.cost = r.saved.Sub(begun)
	return nil
}

// removeLeftovers deletes the temporary files of writers that were killed.
func removeLeftovers(path string) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return // no folder yet
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "."+filepath.Base(path)) {
			os.Remove(filepath.Join(filepath.Dir(path), e.Name()))
		}
	}
}
