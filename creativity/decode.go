package creativity

import (
	"math/rand/v2"
	"slices"

	"github.com/pkg/errors"
	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/nets"
)

// Decoder decodes latents of an autoencoder. On the way a [Mode] may change the latents, or activations of one layer.
type Decoder struct {
	Layer   string // whose activations modes change
	Profile *Profile

	layers            []string // what comes before Layer, and Layer
	before, until, on *nets.Part
}

// NewDecoder changes the named layer of the decoder, which must come after at least one other; background are the latents, of
// training images, whose activations are the rule.
func NewDecoder(e *engine.Engine, v *nets.VAE, layer string, background [][]float32) (*Decoder, error) {
	d := &Decoder{Layer: layer}
	at := slices.IndexFunc(v.Layers, func(l nets.Layer) bool { return l.Name == layer })
	first := slices.IndexFunc(v.Layers, func(l nets.Layer) bool { return l.Name == nets.LayerLatent }) + 1
	if at <= first || layer == nets.LayerPixels {
		return nil, errors.Errorf("creativity: layer %q: want a hidden layer of the decoder after %q", layer, v.Layers[first].Name)
	}
	d.layers = []string{v.Layers[at-1].Name, layer}
	var err error
	if d.before, err = nets.NewPart(e.Backend(), v, nets.LayerLatent, d.layers[0], 0); err != nil {
		return nil, err
	}
	if d.until, err = nets.NewPart(e.Backend(), v, d.layers[0], layer, 0); err != nil {
		return nil, err
	}
	if d.on, err = nets.NewPart(e.Backend(), v, layer, nets.LayerPixels, 0); err != nil {
		return nil, err
	}
	normal, err := d.Decode(background, None{}, 0)
	if err != nil {
		return nil, err
	}
	d.Profile, err = NewProfile(normal.Layer)
	return d, err
}

// Decoded are samples on their way from latents to images, [samples][values].
type Decoded struct {
	Before  [][]float32 // activations of the layer before the one that modes change
	Layer   [][]float32 // of that layer, after the change
	Pixels  [][]float32 // from 0 to 1, as the sigmoid puts them out
	Changed []int       // nodes of the layer that the mode changed in all samples alike; nil if there are none
}

// Decode decodes latents [samples][values] with a mode. Equal seeds give equal results.
func (d *Decoder) Decode(latents [][]float32, m Mode, seed uint64) (*Decoded, error) {
	rng := rand.New(rand.NewPCG(seed, 0x6372656174697665)) // the stream "creative"
	z := clone(latents)
	m.Latents(z, rng)
	r := &Decoded{}
	var err error
	if r.Before, err = d.before.Of(z); err != nil {
		return nil, err
	}
	if r.Layer, err = d.until.Of(r.Before); err != nil {
		return nil, err
	}
	r.Layer = clone(r.Layer)
	if r.Changed, err = m.Nodes(r.Layer, d.Profile, rng); err != nil {
		return nil, err
	}
	r.Pixels, err = d.on.Of(r.Layer)
	return r, err
}

func clone(rows [][]float32) [][]float32 {
	copies := make([][]float32, len(rows))
	for i, row := range rows {
		copies[i] = slices.Clone(row)
	}
	return copies
}

// EightBit rounds pixels to multiples of 1/255, as an image file holds them.
func EightBit(pixels [][]float32) [][]float32 {
	rounded := clone(pixels)
	for _, row := range rounded {
		for i, v := range row {
			row[i] = float32(int(v*255+0.5)) / 255
		}
	}
	return rounded
}

// Profile tells how active the nodes of a layer are in a background.
type Profile struct {
	Activity []float64 // of each node, the share of samples in which it is above 0
	Live     []int     // nodes that are active at least once, from the least active to the most, equal ones by number

	positive [][]float64 // of each node, its activations above 0, ascending
}

// NewProfile takes activations [samples][nodes].
func NewProfile(activations [][]float32) (*Profile, error) {
	if len(activations) == 0 {
		return nil, errors.New("creativity: no background activations")
	}
	nodes := len(activations[0])
	p := &Profile{Activity: make([]float64, nodes), positive: make([][]float64, nodes)}
	for j := range nodes {
		for i, row := range activations {
			if len(row) != nodes {
				return nil, errors.Errorf("creativity: sample %d of the background has %d nodes, want %d", i, len(row), nodes)
			}
			if row[j] > 0 {
				p.positive[j] = append(p.positive[j], float64(row[j]))
			}
		}
		slices.Sort(p.positive[j])
		if p.Activity[j] = float64(len(p.positive[j])) / float64(len(activations)); p.Activity[j] > 0 {
			p.Live = append(p.Live, j)
		}
	}
	slices.SortStableFunc(p.Live, func(a, b int) int { return len(p.positive[a]) - len(p.positive[b]) })
	return p, nil
}

// On is what a node puts out when it is on: the q-quantile of its activations above 0. The node must be live.
func (p *Profile) On(node int, q float64) float32 {
	return float32(stat.Quantile(q, stat.LinInterp, p.positive[node], nil))
}

// pick checks that so many nodes are live.
func (p *Profile) pick(what string, n, of int) error {
	if n < 1 || n > of {
		return errors.Errorf("creativity: %s wants %d nodes, %d are live", what, n, of)
	}
	return nil
}
