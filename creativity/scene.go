package creativity

import (
	"context"
	"math"

	"github.com/trustbook/trustbook/creativity/scan"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
)

// Space is where samples are compared.
type Space string

// The spaces. Images in files have 8 bits a value: what a sigmoid puts out near 0 holds an order that no image does.
const (
	ChangedLayer Space = "changed layer"
	LayerBefore  Space = "layer before" // which no mode that changes nodes can move
	Pixels       Space = "pixels"       // of 8 bits
	RawPixels    Space = "raw pixels"   // as the sigmoid puts them out
)

// Spaces are all of them, as tables show them.
var Spaces = []Space{ChangedLayer, LayerBefore, Pixels, RawPixels}

// In returns samples as they are seen in a space.
func (d *Decoded) In(s Space) [][]float32 {
	switch s {
	case ChangedLayer:
		return d.Layer
	case LayerBefore:
		return d.Before
	case Pixels:
		return EightBit(d.Pixels)
	default:
		return d.Pixels
	}
}

// Scene is a seed's trained autoencoder with what is decoded by it.
type Scene struct {
	Seed       int64
	Decoder    *Decoder
	Background *Decoded    // of training images
	Normal     *Decoded    // of test images, as ever
	Others     [][]float32 // latents of other test images, for the modes
	Losses     fit.Losses
	Bound      float64 // negative ELBO of the last epoch, nats an image
	Apart      float64 // the same of pixels that are each drawn by their own mean: what a network that learned nothing has

	judge       *judge
	backgrounds map[Space]*scan.Background
	ranks       map[Space]map[scan.Tail]*scan.Ranks // of Normal
}

// Scene trains a seed's networks, or finds them in Config.Dir, and decodes what all modes are compared with.
func (s *Study) Scene(ctx context.Context, seed int64) (*Scene, error) {
	if s.scene != nil && s.scene.Seed == seed {
		return s.scene, nil
	}
	v, losses, train, err := s.Train(ctx, seed)
	if err != nil {
		return nil, err
	}
	c := s.Config
	z := &Scene{Seed: seed, Losses: losses, backgrounds: map[Space]*scan.Background{}, ranks: map[Space]map[scan.Tail]*scan.Ranks{}}
	bounds := losses[fit.VAELoss]
	z.Bound = bounds[len(bounds)-1]
	images, err := rows(train.Images)
	if err != nil {
		return nil, err
	}
	z.Apart = entropyApart(images)
	encode, err := nets.NewPart(s.e.Backend(), v, "", nets.LayerLatent, 0)
	if err != nil {
		return nil, err
	}
	known, err := encode.Of(images[:c.Background])
	if err != nil {
		return nil, err
	}
	test, err := rows(s.Data.Images)
	if err != nil {
		return nil, err
	}
	latents, err := encode.Of(test)
	if err != nil {
		return nil, err
	}
	if z.Decoder, err = NewDecoder(s.e, v, "decoder 2", known); err != nil {
		return nil, err
	}
	if z.Background, err = z.Decoder.Decode(known, None{}, 0); err != nil {
		return nil, err
	}
	if z.Normal, err = z.Decoder.Decode(latents[:c.Samples], None{}, 0); err != nil {
		return nil, err
	}
	z.Others = latents[c.Samples:]
	for _, space := range Spaces {
		if z.backgrounds[space], err = scan.NewBackground(z.Background.In(space)); err != nil {
			return nil, err
		}
		z.ranks[space] = map[scan.Tail]*scan.Ranks{}
	}
	classes, err := s.classifier(ctx, train, seed)
	if err != nil {
		return nil, err
	}
	if z.judge, err = newJudge(s.e, classes, images, s.Data.Pool.Shape, c.Neighbors, z.Normal.Pixels); err != nil {
		return nil, err
	}
	s.scene = z
	return z, nil
}

// normal are the ranks of the samples that are decoded as ever.
func (z *Scene) normal(space Space, tail scan.Tail) (*scan.Ranks, error) {
	if r := z.ranks[space][tail]; r != nil {
		return r, nil
	}
	r, err := z.backgrounds[space].Ranks(z.Normal.In(space), tail)
	if err == nil {
		z.ranks[space][tail] = r
	}
	return r, err
}

// Decode decodes the other test images' latents in a mode.
func (z *Scene) Decode(m Mode) (*Decoded, error) {
	return z.Decoder.Decode(z.Others, m, uint64(z.Seed))
}

// Ranks compares samples, decoded in a mode and as ever, with the background in a space.
func (z *Scene) Ranks(d *Decoded, space Space, tail scan.Tail) (normal, creative *scan.Ranks, err error) {
	if normal, err = z.normal(space, tail); err != nil {
		return nil, nil, err
	}
	creative, err = z.backgrounds[space].Ranks(d.In(space), tail)
	return normal, creative, err
}

// entropyApart is the mean of -ln p of images under independent pixels, each on with its mean.
func entropyApart(images [][]float32) (nats float64) {
	for j := range images[0] {
		mean := 0.
		for _, image := range images {
			mean += float64(image[j]) / float64(len(images))
		}
		for _, p := range []float64{mean, 1 - mean} {
			if p > 0 {
				nats -= p * math.Log(p)
			}
		}
	}
	return nats
}
