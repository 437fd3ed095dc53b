package main

import (
	"fmt"
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
	file    string // of a decoder; "": it is none
	decoder *nets.Model
	images  []int // shape of what the decoder puts out
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
	return &space{Directions: &attack.Decoder{Label: filepath.Base(file)}, file: file, decoder: m, images: images}, nil
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
	ready, err := attack.NewDecoder(e.Backend(), s.file, s.decoder)
	if err != nil {
		return err
	}
	mine, ok := s.Directions.(*attack.Decoder)
	if !ok {
		return fmt.Errorf("directions %s are no decoder", s.Name())
	}
	mine.Latent, mine.Decode = ready.Latent, ready.Decode
	return nil
}
