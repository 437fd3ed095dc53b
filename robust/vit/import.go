package vit

import (
	"fmt"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/nets/onnx"
	"github.com/trustbook/trustbook/npy"
	"github.com/trustbook/trustbook/robust"
)

// load reads the imported networks and the images to attack them on.
func (s *Study) load() error {
	var err error
	if s.images, err = npy.ReadImages(s.Config.Images); err != nil {
		return err
	}
	if s.labels, err = npy.ReadLabels(s.Config.Labels); err != nil {
		return err
	}
	shape := s.images.Shape().Dimensions
	for _, in := range s.Config.Imported {
		if s.networks[in.Name] != nil {
			return errors.Errorf("two networks are named %q: give each its own name", in.Name)
		}
		net, err := onnx.Load(in.Path, onnx.Options{InputShape: shape[1:]})
		if err != nil {
			return err
		}
		if err := net.CheckImages(s.images); err != nil {
			return errors.WithMessage(err, in.Name)
		}
		if err := (robust.Goal{Labels: s.labels}).Validate(shape[0], net); err != nil {
			return errors.WithMessage(err, in.Name)
		}
		if s.keys[in.Name], err = s.importKey(net); err != nil {
			return err
		}
		s.networks[in.Name] = net
		s.Models = append(s.Models, Model{Name: in.Name, About: "imported"})
	}
	s.Config.Test = shape[0]
	s.describe = fmt.Sprintf("%d images of the user's own", shape[0])
	s.sample = func(n int) (*tensors.Tensor, []int32, error) {
		few := fit.Data{Images: s.images, Labels: s.labels}.Sample(n, 1)
		return few.Images, few.Labels, nil
	}
	return nil
}

// importKey identifies an imported network and the images, for cache keys.
func (s *Study) importKey(net *nets.Model) (string, error) {
	return fit.Key(net, s.e.Name(), fit.Data{Images: s.images, Labels: s.labels}, fit.Config{})
}
