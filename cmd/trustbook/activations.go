package main

import (
	"github.com/spf13/cobra"

	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/npy"
)

// layerFlags say which layer of a model activations are taken of, and how.
type layerFlags struct {
	layer, batch int
	backend      string
}

// rowsOf reads activations of two sets of samples from files.
func rowsOf(_ *cobra.Command, first, second input) (a, b [][]float32, notes []string, err error) {
	if a, err = npy.ReadRows(first.path); err != nil {
		return nil, nil, nil, wrongFile(first.flag, first.path, err)
	}
	if b, err = npy.ReadRows(second.path); err != nil {
		return nil, nil, nil, wrongFile(second.flag, second.path, err)
	}
	return a, b, nil, nil
}

// activationsOf takes activations of two sets of images from a layer of the model; notes are the model's.
func (f *modelFlags) activationsOf(c *cobra.Command, l layerFlags, first, second input) (a, b [][]float32, notes []string, err error) {
	o, err := f.options(c.Flags().Changed)
	if err != nil {
		return nil, nil, nil, err
	}
	ones, err := f.readImages(first.flag, first.path)
	if err != nil {
		return nil, nil, nil, err
	}
	m, err := f.load(o, ones, first.flag, first.path)
	if err != nil {
		return nil, nil, nil, err
	}
	others, err := f.readImages(second.flag, second.path)
	if err != nil {
		return nil, nil, nil, err
	}
	if err := checkImages(m, others, second.flag, second.path); err != nil {
		return nil, nil, nil, err
	}
	e, err := openEngine(l.backend)
	if err != nil {
		return nil, nil, nil, err
	}
	defer e.Close()
	activations, err := nets.NewActivations(e.Backend(), m, l.layer, l.batch)
	if err != nil {
		return nil, nil, nil, usagef("--layer %d: the model has layers 1 to %d", l.layer, len(m.Stages()))
	}
	if a, err = activations.Of(ones); err != nil {
		return nil, nil, nil, err
	}
	b, err = activations.Of(others)
	return a, b, m.Notes, err
}
