package fit

import (
	"os"
	"path/filepath"

	"github.com/pkg/errors"
)

// CacheDir is the folder where notebooks keep trained models: $TRUSTBOOK_CACHE/models, else trustbook/models in the
// user's cache folder.
func CacheDir() (string, error) {
	if dir := os.Getenv("TRUSTBOOK_CACHE"); dir != "" {
		return filepath.Join(dir, "models"), nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", errors.WithMessage(err, "fit: no cache folder: set TRUSTBOOK_CACHE")
	}
	return filepath.Join(dir, "trustbook", "models"), nil
}
