package main

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/nets/onnx"
	"github.com/trustbook/trustbook/robust/attack"
)

// space is what --directions names.
type space struct {
	attack.Directions
	decoder *attack.Decoder // the same; nil: it is none
	file    string          // of the decoder
	net     *nets.Model     // in the file
	images  []int           // shape of what it puts out
}

// readDirections reads --directions, and a decoder's file. It decodes only once there is an engine; see space.on.
func readDirections(text string) (*space, error) {
	kind, file, _ := strings.Cut(text, ":")
	if !strings.EqualFold(kind, "decoder") {
		d, err := attack.ParseDirections(text)
		if err != nil {
			return nil, usagef("--%v; or decoder:FILE.onnx", err)
		}
		return &space{Directions: d}, nil
	}
	if file == "" {
		return nil, usagef("--directions %s: want decoder:FILE.onnx", text)
	}
	m, images, err := onnx.LoadMap(file, onnx.Options{})
	if err != nil {
		return nil, wrongFile("directions", text, err)
	}
	d := &attack.Decoder{Label: filepath.Base(file)}
	return &space{d, d, file, m, images}, nil
}

// fits reports directions that the images of a model do not have.
func (s *space) fits(m *nets.Model) error {
	if s.decoder == nil {
		if _, err := s.Size(m.InputShape); err != nil {
			return usagef("--directions %v", err)
		}
		return nil
	}
	solid := func(shape []int) []int {
		return slices.DeleteFunc(slices.Clone(shape), func(d int) bool { return d == 1 })
	}
	values := 1
	for _, d := range m.InputShape {
		values *= d
	}
	if flat := slices.Equal(solid(s.images), []int{values}); !flat && !slices.Equal(solid(s.images), solid(m.InputShape)) {
		return usagef("--directions decoder:%s: puts out images of shape %v, but %s takes %v: want these, or %d values in their order", s.file,
			s.images, m.Name, m.InputShape, values)
	}
	return nil
}

// on makes a decoder ready to decode.
func (s *space) on(e *engine.Engine) error {
	if s.decoder == nil {
		return nil
	}
	ready, err := attack.NewDecoder(e.Backend(), s.decoder.Label, s.net)
	if err != nil {
		return err
	}
	s.decoder.Latent, s.decoder.Decode = ready.Latent, ready.Decode
	return nil
}
