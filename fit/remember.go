package fit

import (
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
	"github.com/pkg/errors"
)

// Remember returns the value kept under a key in dir, or computes it and keeps it there as JSON, written in one piece.
// A file that cannot be read counts as absent. With dir "" it just computes.
func Remember[T any](dir, key string, compute func() (T, error)) (T, error) {
	if kept, found := Recall[T](dir, key); found {
		return kept, nil
	}
	value, err := compute()
	if err != nil || dir == "" {
		return value, err
	}
	data, err := json.Marshal(value)
	if err != nil {
		return value, errors.WithMessagef(err, "fit: keeping %s", key)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return value, errors.WithMessagef(err, "fit: keeping %s", key)
	}
	return value, errors.WithMessagef(renameio.WriteFile(filepath.Join(dir, key+".json"), data, 0o644), "fit: keeping %s", key)
}

// Recall returns the value that Remember keeps under a key, and whether there is one.
func Recall[T any](dir, key string) (value T, found bool) {
	var none T
	if dir == "" {
		return none, false
	}
	data, err := os.ReadFile(filepath.Join(dir, key+".json"))
	if err != nil || json.Unmarshal(data, &value) != nil {
		return none, false
	}
	return value, true
}
