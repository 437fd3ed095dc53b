package removal

import (
	"fmt"
	"math"
	"slices"

	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/watermark"
)

// InputNoise adds normal noise to every pixel before the network sees it, and cuts it to the bounds.
type InputNoise struct {
	SD           float64 // standard deviation, > 0, in the units of pixels
	Lower, Upper float64 // pixel bounds; both zero: 0 and 1
	Seed         int64
}

// Name implements [Hiding].
func (h InputNoise) Name() string {
	return fmt.Sprintf("noise %g on inputs%s%s", h.SD, bounded(h.Lower, h.Upper), seeded(h.Seed))
}

// Of implements [Hiding].
func (h InputNoise) Of(e watermark.Endpoint) (watermark.Endpoint, error) {
	if err := checkPositive("noise", h.SD); err != nil {
		return nil, err
	}
	lower, upper, err := bounds(h.Lower, h.Upper)
	if err != nil {
		return nil, err
	}
	return wrapped(through{by: h, inside: e, input: func(image []float32, _ []int) error {
		rng := drawn(h.Seed, image)
		for i, v := range image {
			image[i] = float32(min(max(float64(v)+h.SD*rng.NormFloat64(), lower), upper))
		}
		return nil
	}})
}

// InputBits rounds every pixel to the nearest of 2^Bits evenly spaced values from bound to bound, halves to even: feature
// squeezing by color depth (Xu, Evans and Qi, arXiv 1704.01155).
type InputBits struct {
	Bits         int     // 1 to 16
	Lower, Upper float64 // pixel bounds; both zero: 0 and 1
}

// Name implements [Hiding].
func (h InputBits) Name() string {
	return fmt.Sprintf("inputs of %d bits%s", h.Bits, bounded(h.Lower, h.Upper))
}

// Of implements [Hiding].
func (h InputBits) Of(e watermark.Endpoint) (watermark.Endpoint, error) {
	if h.Bits < 1 || h.Bits > 16 {
		return nil, errors.Errorf("removal: inputs of %d bits: want 1 to 16", h.Bits)
	}
	lower, upper, err := bounds(h.Lower, h.Upper)
	if err != nil {
		return nil, err
	}
	steps := math.Exp2(float64(h.Bits)) - 1
	return wrapped(through{by: h, inside: e, input: func(image []float32, _ []int) error {
		for i, v := range image {
			at := min(max((float64(v)-lower)/(upper-lower), 0), 1)
			image[i] = float32(lower + (upper-lower)*math.RoundToEven(at*steps)/steps)
		}
		return nil
	}})
}

// Median replaces every pixel by the median of the square around it, channel by channel; pixels beyond the edge are those at
// the edge (feature squeezing by smoothing, Xu, Evans and Qi, arXiv 1704.01155).
type Median struct {
	Side int // of the square, odd; zero: 3
}

// Name implements [Hiding].
func (h Median) Name() string { return fmt.Sprintf("median of %dx%[1]d", side(h.Side)) }

// Of implements [Hiding].
func (h Median) Of(e watermark.Endpoint) (watermark.Endpoint, error) {
	return smooth(e, h, side(h.Side), func(around []float32) float32 {
		slices.Sort(around)
		return around[len(around)/2]
	})
}

// Box replaces every pixel by the mean of the square around it, channel by channel; pixels beyond the edge are those at the
// edge.
type Box struct {
	Side int // of the square, odd; zero: 3
}

// Name implements [Hiding].
func (h Box) Name() string { return fmt.Sprintf("mean of %dx%[1]d", side(h.Side)) }

// Of implements [Hiding].
func (h Box) Of(e watermark.Endpoint) (watermark.Endpoint, error) {
	return smooth(e, h, side(h.Side), func(around []float32) float32 {
		sum := 0.0
		for _, v := range around {
			sum += float64(v)
		}
		return float32(sum / float64(len(around)))
	})
}

func side(given int) int {
	if given == 0 {
		return 3
	}
	return given
}

// smooth replaces every pixel by what of makes of the square around it.
func smooth(e watermark.Endpoint, by Hiding, side int, of func(around []float32) float32) (watermark.Endpoint, error) {
	if side < 1 || side%2 == 0 {
		return nil, errors.Errorf("removal: a square of side %d around a pixel: want an odd one, from 1 on", side)
	}
	return wrapped(through{by: by, inside: e, input: func(image []float32, dims []int) error {
		layout, ok := nets.LayoutOf(dims)
		if !ok {
			return errors.Errorf("removal: inputs %v are no images that could be smoothed: want height, width and channels", dims)
		}
		across, down, deep := layout.Channels, layout.Width*layout.Channels, 1 // from a pixel to its neighbors
		if layout.ChannelsFirst {
			across, down, deep = 1, layout.Width, layout.Height*layout.Width
		}
		before, around := slices.Clone(image), make([]float32, 0, side*side)
		for c := range layout.Channels {
			for y := range layout.Height {
				for x := range layout.Width {
					around = around[:0]
					for dy := -(side / 2); dy <= side/2; dy++ {
						row := min(max(y+dy, 0), layout.Height-1)
						for dx := -(side / 2); dx <= side/2; dx++ {
							column := min(max(x+dx, 0), layout.Width-1)
							around = append(around, before[c*deep+row*down+column*across])
						}
					}
					image[c*deep+y*down+x*across] = of(around)
				}
			}
		}
		return nil
	}})
}

func bounds(lower, upper float64) (low, high float64, err error) {
	if lower == 0 && upper == 0 {
		return 0, 1, nil
	}
	if !(lower < upper) || math.IsInf(upper-lower, 0) {
		return 0, 0, errors.Errorf("removal: pixel bounds [%g, %g]: the lower must be below the upper, both finite", lower, upper)
	}
	return lower, upper, nil
}

// bounded tells bounds that are not 0 and 1.
func bounded(lower, upper float64) string {
	if lower == 0 && (upper == 0 || upper == 1) {
		return ""
	}
	return fmt.Sprintf(" in [%g, %g]", lower, upper)
}
