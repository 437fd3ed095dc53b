package attack

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/nets"
)

// Directions are where an attack by decisions looks for its way: a space of few numbers, and the map from there to images.
// An attack draws the numbers, maps them and gives what comes out the length 1. Implement it for a space of your own.
type Directions interface {
	// Name tells the space and its settings, for tables: "bilinear:7".
	Name() string
	// Size is how many numbers a direction is made of, for images of the shape; an error says why the space does not fit them.
	Size(shape []int) (int, error)
	// Map returns the directions that belong to the given numbers, flat as images of the shape are; it may use what it is given
	// for them. Searches on several examples call it at once.
	Map(numbers [][]float64, shape []int) ([][]float64, error)
}

// FullSpace are directions of all pixels.
type FullSpace struct{}

// Name implements Directions.
func (FullSpace) Name() string { return "full" }

// Size implements Directions.
func (FullSpace) Size(shape []int) (int, error) { return product(shape), nil }

// Map implements Directions.
func (FullSpace) Map(numbers [][]float64, _ []int) ([][]float64, error) { return numbers, nil }

// Bilinear are images of Side·Side pixels a channel, enlarged by bilinear interpolation that keeps the corners (PyTorch's
// align_corners=True). The channels' axis is the smaller of the first and the last, of equal ones the last.
type Bilinear struct{ Side int }

// Name implements Directions.
func (d Bilinear) Name() string { return fmt.Sprintf("bilinear:%d", d.Side) }

// Size implements Directions.
func (d Bilinear) Size(shape []int) (int, error) { return d.planes().size(shape) }

// Map implements Directions.
func (d Bilinear) Map(numbers [][]float64, shape []int) ([][]float64, error) {
	return d.planes().enlarge(numbers, shape)
}

func (d Bilinear) planes() planes { return planes{"bilinear", d.Side, interpolation} }

// interpolation [to][from] is the matrix of linear interpolation that keeps the ends.
func interpolation(from, to int) [][]float64 {
	m := make([][]float64, to)
	for i := range m {
		m[i] = make([]float64, from)
		at := 0.0
		if to > 1 {
			at = float64(i) * float64(from-1) / float64(to-1)
		}
		below := min(int(at), max(0, from-2))
		share := at - float64(below)
		m[i][below] = 1 - share
		if share > 0 {
			m[i][below+1] = share
		}
	}
	return m
}

// DCT are images whose discrete cosine transform has the lowest Side·Side frequencies of each channel only (Guo et al., arXiv
// 1809.08758); see [DCT2].
type DCT struct{ Side int }

// Name implements Directions.
func (d DCT) Name() string { return fmt.Sprintf("dct:%d", d.Side) }

// Size implements Directions.
func (d DCT) Size(shape []int) (int, error) { return d.planes().size(shape) }

// Map implements Directions.
func (d DCT) Map(numbers [][]float64, shape []int) ([][]float64, error) {
	return d.planes().enlarge(numbers, shape)
}

func (d DCT) planes() planes {
	return planes{"dct", d.Side, func(from, to int) [][]float64 {
		waves, m := cosines(to), make([][]float64, to)
		for i := range m {
			m[i] = make([]float64, from)
			for k := range m[i] {
				m[i][k] = waves[k][i]
			}
		}
		return m
	}}
}

// planes enlarges planes of side·side numbers a channel to images, along rows and columns.
type planes struct {
	name   string
	side   int
	matrix func(from, to int) [][]float64 // [to][from]
}

func (p planes) size(shape []int) (int, error) {
	l, err := pictures(shape)
	if err != nil {
		return 0, errors.Errorf("%s: inputs of shape %v are no images: want height and width, with or without channels", p.name, shape)
	}
	if most := min(l.height, l.width); p.side < 1 || p.side > most {
		if p.side > most {
			return 0, errors.Errorf("%s: reduced size %d exceeds image %d", p.name, p.side, most)
		}
		return 0, errors.Errorf("%s: reduced size %d: want 1 to %d", p.name, p.side, most)
	}
	return l.channels * p.side * p.side, nil
}

func (p planes) enlarge(numbers [][]float64, shape []int) ([][]float64, error) {
	l, err := pictures(shape)
	if err != nil {
		return nil, err
	}
	rows, columns := p.matrix(p.side, l.height), p.matrix(p.side, l.width)
	images := make([][]float64, len(numbers))
	half := make([]float64, p.side*l.width)
	for n, plane := range numbers {
		image := make([]float64, l.channels*l.height*l.width)
		for c := range l.channels {
			clear(half)
			for k := range p.side {
				small := plane[(c*p.side+k)*p.side:]
				for x, weights := range columns {
					half[k*l.width+x] = dot(weights, small)
				}
			}
			for y, weights := range rows {
				for k, w := range weights {
					if w == 0 {
						continue
					}
					for x := range l.width {
						image[l.place(c, y, x)] += w * half[k*l.width+x]
					}
				}
			}
		}
		images[n] = image
	}
	return images, nil
}

// place is where a pixel stands among those of a flat image.
func (l layout) place(channel, row, column int) int {
	if l.last {
		return (row*l.width+column)*l.channels + channel
	}
	return (channel*l.height+row)*l.width + column
}

// Subspace are the combinations of some images, one a row. Directions are uniform in it if the rows are orthonormal.
type Subspace struct{ Basis [][]float64 }

// Name implements Directions.
func (d Subspace) Name() string { return fmt.Sprintf("subspace:%d", len(d.Basis)) }

// Size implements Directions.
func (d Subspace) Size(shape []int) (int, error) {
	if len(d.Basis) == 0 {
		return 0, errors.New("subspace: Basis is empty: give one row of values for each dimension")
	}
	for k, row := range d.Basis {
		if len(row) != product(shape) {
			return 0, errors.Errorf("subspace: row %d of the basis has %d values, the images have %d", k, len(row), product(shape))
		}
		for i, v := range row {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return 0, errors.Errorf("subspace: value %g at [%d,%d] of the basis is not finite", v, k, i)
			}
		}
	}
	return len(d.Basis), nil
}

// Map implements Directions.
func (d Subspace) Map(numbers [][]float64, shape []int) ([][]float64, error) {
	out := make([][]float64, len(numbers))
	for n, v := range numbers {
		out[n] = make([]float64, product(shape))
		for k, row := range d.Basis {
			for i, b := range row {
				out[n][i] += v[k] * b
			}
		}
	}
	return out, nil
}

// Decoder are the images that a decoder makes of latents, less the one that it makes of zeros: without that, all directions
// would share what the decoder adds by itself. A part of a [nets.VAE] is one, or any network; see [NewDecoder]:
//
//	part, err := nets.NewPart(backend, vae, nets.LayerLatent, nets.LayerLogits, 0)
//	directions := &attack.Decoder{Label: "vae", Latent: vae.Latent, Decode: part.Of}
type Decoder struct {
	Label  string // for tables
	Latent int    // numbers of a latent
	// Decode returns a flat image for each latent. It is called by one search at a time.
	Decode func(latents [][]float32) ([][]float32, error)

	mu   sync.Mutex
	zero []float32 // image of zeros
}

// NewDecoder makes directions of a network from latents to images, which Model.Logits builds: one that is trained here, or
// comes from an ONNX file by onnx.LoadMap. Compiles nothing yet; it reads the weights anew at each call.
func NewDecoder(backend compute.Backend, label string, m *nets.Model) (*Decoder, error) {
	run, err := nets.NewPredictor(backend, m, mostAsked)
	if err != nil {
		return nil, err
	}
	return &Decoder{Label: label, Latent: product(m.InputShape), Decode: func(latents [][]float32) ([][]float32, error) {
		shape := append([]int{len(latents)}, m.InputShape...)
		return run.Logits(tensors.FromFlatDataAndDimensions(slices.Concat(latents...), shape...))
	}}, nil
}

// Name implements Directions.
func (d *Decoder) Name() string { return fmt.Sprintf("decoder:%s", d.Label) }

// Size implements Directions.
func (d *Decoder) Size(shape []int) (int, error) {
	if d.Latent < 1 || d.Decode == nil {
		return 0, errors.Errorf("decoder: Latent = %d, Decode given: %t: want a size of at least 1, and a function", d.Latent, d.Decode != nil)
	}
	images, err := d.decode([][]float32{make([]float32, d.Latent)}, product(shape))
	if err != nil {
		return 0, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.zero = images[0]
	return d.Latent, nil
}

// Map implements Directions. Size comes first.
func (d *Decoder) Map(numbers [][]float64, shape []int) ([][]float64, error) {
	latents := make([][]float32, len(numbers))
	for n, v := range numbers {
		latents[n] = make([]float32, len(v))
		for i := range v {
			latents[n][i] = float32(v[i])
		}
	}
	images, err := d.decode(latents, product(shape))
	if err != nil {
		return nil, err
	}
	out := make([][]float64, len(images))
	for n, image := range images {
		out[n] = make([]float64, len(image))
		for i, v := range image {
			out[n][i] = float64(v) - float64(d.zero[i])
		}
	}
	return out, nil
}

func (d *Decoder) decode(latents [][]float32, size int) ([][]float32, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	images, err := d.Decode(latents)
	if err != nil {
		return nil, err
	}
	if len(images) != len(latents) {
		return nil, errors.Errorf("decoder: %d images for %d latents", len(images), len(latents))
	}
	for _, image := range images {
		if len(image) != size {
			return nil, errors.Errorf("decoder: an image of %d values, where the network takes %d", len(image), size)
		}
	}
	return images, nil
}

// ParseDirections reads "full", "bilinear:SIDE" or "dct:SIDE".
func ParseDirections(s string) (Directions, error) {
	kind, side, sized := strings.Cut(strings.ToLower(s), ":")
	n, err := strconv.Atoi(side)
	switch {
	case kind == "full" && !sized:
		return FullSpace{}, nil
	case kind == "bilinear" && err == nil && n > 0:
		return Bilinear{n}, nil
	case kind == "dct" && err == nil && n > 0:
		return DCT{n}, nil
	}
	return nil, errors.Errorf("directions %q: want full, bilinear:SIDE or dct:SIDE, as in bilinear:7", s)
}

func product(shape []int) int {
	p := 1
	for _, d := range shape {
		p *= d
	}
	return p
}

// dot sums up the products of weights with as many values.
func dot(weights, values []float64) (sum float64) {
	for i, w := range weights {
		sum += w * values[i]
	}
	return sum
}
