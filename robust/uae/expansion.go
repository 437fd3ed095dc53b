package uae

import "github.com/trustbook/trustbook/nets"

// Expansion makes several samples of one image, so that information can be estimated for it.
type Expansion struct {
	name string
	m    *nets.Model // nil: random projections
	k    int
	dim  int
}

// Name tells which: "first convolution(16 maps)".
func (x *Expansion) Name() string { return x.name }

// FirstConv takes the channels of the network's first convolution, what its first stage with maps puts out, activation and all. It
// refuses networks without.
func FirstConv(m *nets.Model) (*Expansion, error) { return nil, errUnbuilt }

// RandomProjection takes k random projections of the pixels to dim values, each standardized to mean 0 and variance 1. They are drawn
// anew at each evaluation, the same for both images, and normal with standard deviation 1/√dim. It does for any network.
func RandomProjection(k, dim int) (*Expansion, error) { return nil, errUnbuilt }
