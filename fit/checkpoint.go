package fit

import (
	"bytes"
	"crypto/sha256"
	"encoding/gob"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/pkg/errors"
)

// checkpoint is everything that a training needs to go on as if nothing had happened, or its result. The file holds
// magic, the SHA-256 of the rest, and the rest as gob.
type checkpoint struct {
	Key       string
	Done      bool   // the variables are the result
	Step      int    // steps that were made
	Notes     []byte // JSON
	Variables []Variable
}

const (
	magic    = "trustbook fit 3\n"
	oldMagic = "trustbook fit 2\n" // of classifiers alone
)

// write replaces the file in one piece: whatever happens, a reader sees the old one or the new one.
func (c *checkpoint) write(path string) error {
	var body bytes.Buffer
	if err := gob.NewEncoder(&body).Encode(c); err != nil {
		return errors.Wrap(err, "encoding the checkpoint")
	}
	sum := sha256.Sum256(body.Bytes())
	data := append(append([]byte(magic), sum[:]...), body.Bytes()...)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return errors.Wrap(err, "checkpoint folder")
	}
	return errors.Wrap(renameio.WriteFile(path, data, 0o644, renameio.WithTempDir(filepath.Dir(path))), "checkpoint")
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

// readCheckpoint returns nil where there is no file, and where the file is damaged or of another training: it then starts
// anew and replaces the file, which costs time but never gives a wrong result.
func readCheckpoint(path, key string) (*checkpoint, error) {
	data, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, errors.Wrap(err, "reading the checkpoint")
	}
	parse := decode
	body, found := bytes.CutPrefix(data, []byte(magic))
	if !found {
		parse = decodeOld
		body, found = bytes.CutPrefix(data, []byte(oldMagic))
	}
	if !found || len(body) < sha256.Size {
		return nil, nil
	}
	if sum := sha256.Sum256(body[sha256.Size:]); !bytes.Equal(sum[:], body[:sha256.Size]) {
		return nil, nil
	}
	c, err := parse(body[sha256.Size:])
	if err != nil || c.Key != key {
		return nil, nil //nolint:nilerr // what cannot be used is as good as absent: training starts anew
	}
	return c, nil
}

// decode parses the gob and checks that it is consistent in itself.
func decode(body []byte) (*checkpoint, error) {
	var c checkpoint
	if err := gob.NewDecoder(bytes.NewReader(body)).Decode(&c); err != nil {
		return nil, errors.Wrap(err, "decoding the checkpoint")
	}
	return &c, c.check()
}

// decodeOld parses a result of the format before, whose networks may have taken hours. Unfinished training counts as absent.
func decodeOld(body []byte) (*checkpoint, error) {
	var old struct {
		Key       string
		Done      bool
		History   History
		Variables []Variable
	}
	if err := gob.NewDecoder(bytes.NewReader(body)).Decode(&old); err != nil || !old.Done {
		return nil, errors.New("no result of the old format")
	}
	notes, err := json.Marshal(old.History)
	if err != nil {
		return nil, err
	}
	c := &checkpoint{Key: old.Key, Done: true, Notes: notes, Variables: old.Variables}
	return c, c.check()
}

func (c *checkpoint) check() error {
	if c.Step < 0 {
		return errors.New("checkpoint with a negative position")
	}
	for _, v := range c.Variables {
		if err := v.check(); err != nil {
			return err
		}
	}
	return nil
}
