package onnx

import (
	"os"
	"path/filepath"
	"syscall"

	"github.com/pkg/errors"
)

// openBeside opens the file that a model names as the place of its weights, relative to the model's folder. Its real path must
// lie in that folder, or in the folder of the model's real path. That is ONNX Runtime's rule, and what the Hugging Face Hub's
// cache needs: there model and weights are links into one folder of blobs. A link that leads anywhere else is refused, also one
// that is laid while this runs, since the file is opened from within the folder that it was found in.
func openBeside(model, location string) (*os.File, error) {
	if !filepath.IsLocal(location) {
		return nil, errors.Errorf("external data in %q, outside the model's folder: refused", location)
	}
	model, err := filepath.Abs(model)
	if err != nil {
		return nil, errors.WithMessage(err, "external data")
	}
	real, err := filepath.EvalSymlinks(filepath.Join(filepath.Dir(model), location))
	if err != nil {
		return nil, errors.Errorf("external data: %v: keep the file beside the model", err)
	}
	folder, err := filepath.EvalSymlinks(filepath.Dir(model))
	if err != nil {
		return nil, errors.WithMessage(err, "external data")
	}
	realModel, err := filepath.EvalSymlinks(model)
	if err != nil {
		return nil, errors.WithMessage(err, "external data")
	}
	for _, allowed := range []string{folder, filepath.Dir(realModel)} {
		if inside, err := filepath.Rel(allowed, real); err == nil && filepath.IsLocal(inside) {
			return openWithin(allowed, inside)
		}
	}
	return nil, errors.Errorf("external data: %s leads to %s, outside the model's folder: refused: keep the file itself there",
		location, real)
}

// openWithin opens a file below a folder, and follows no link that leads out of it. It does not wait for the other end of a
// pipe.
func openWithin(folder, path string) (*os.File, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, errors.WithMessage(err, "external data")
	}
	defer root.Close()
	f, err := root.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, errors.Errorf("external data: %v: keep the file beside the model", err)
	}
	return f, nil
}
