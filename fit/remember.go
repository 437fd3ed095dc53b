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
	path := filepath.Join(dir, key+".json")
	if dir != "" {
		var kept T
		if data, err := os.ReadFile(path); err == nil && json.Unmarshal(data, &kept) == nil {
			return kept, nil
		}
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
	return value, errors.WithMessagef(renameio.WriteFile(path, data, 0o644), "fit: keeping %s", key)
}
