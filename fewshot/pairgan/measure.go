package pairgan

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fewshot/paired"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/generative"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/study"
)

// Separated says what stage 1 made of the source of one seed, by held-out images.
type Separated struct {
	Seed int64 `json:"seed"`
	// Real, Again and Swapped are shares of images whose digit the source classifier sees: of the images themselves, of their
	// reconstructions, and of their contents in another image's appearance.
	Real    float64 `json:"real"`
	Again   float64 `json:"again"`
	Swapped float64 `json:"swapped"`
	// Color is the share of swapped images whose mean color is nearer to that of the image that gave the appearance than to that of
	// the one that gave the content.
	Color  float64    `json:"color"`
	Error  float64    `json:"error"` // mean squared error of reconstructions
	Losses fit.Losses `json:"losses"`
}

// Measured is what one method's samples are like, one sample for each held-out pair.
type Measured struct {
	Method string `json:"method"`
	Seed   int64  `json:"seed"`
	Pairs  int    `json:"pairs"`

	// Frechet and Kernel are FID-f and KID-f against the held-out target images.
	Frechet float64 `json:"fid_f"`
	Kernel  float64 `json:"kid_f"`
	generative.Fidelity
	// Diversity is the mean distance of two samples' features over that of two held-out target images.
	Diversity float64 `json:"diversity"`
	Classes   float64 `json:"classes"` // effective number of digits
	// Memory is the median distance of a sample to the nearest few-shot target image over that of held-out target images: near 1
	// for samples as new as these, 0 for copies.
	Memory float64 `json:"memory"`
	// Content is the share of samples that show the digit of the source image whose content they were given; absent of methods that
	// are given none. Real is the same share of the held-out target images.
	Content *float64 `json:"content,omitempty"`
	Real    float64  `json:"real"`

	// Of methods with stage 2: the mean squared error of the few target images' reconstructions, and how well the ink's color follows
	// the appearance that was asked for: the least correlation over the channels in which the few target images' inks differ.
	Error  *float64   `json:"error,omitempty"`
	Ink    *float64   `json:"ink,omitempty"`
	Losses fit.Losses `json:"losses,omitempty"`
}

// scorer looks at images through a classifier.
type scorer struct {
	activations *nets.Activations
	predictor   *nets.Predictor
	classes     int
}

func newScorer(e *engine.Engine, m *nets.Model) (*scorer, error) {
	a, err := nets.NewActivations(e.Backend(), m, len(m.Stages())-1, 0)
	if err != nil {
		return nil, err
	}
	p, err := nets.NewPredictor(e.Backend(), m, 0)
	return &scorer{a, p, m.Classes}, err
}

func (s *scorer) features(images *tensors.Tensor) ([][]float64, error) {
	rows, err := s.activations.Of(images)
	if err != nil {
		return nil, err
	}
	all := make([][]float64, len(rows))
	for i, row := range rows {
		for _, v := range row {
			all[i] = append(all[i], float64(v))
		}
	}
	return all, nil
}

// agreeing is the share of equal labels.
func agreeing(a, b []int32) float64 {
	n := 0
	for i := range a {
		if a[i] == b[i] {
			n++
		}
	}
	return float64(n) / float64(len(a))
}

// Separate trains a seed's stage 1 and swaps appearances of held-out source images: each gets the next one's.
func (s *Study) Separate(ctx context.Context, seed int64) (Separated, error) {
	z, err := s.sceneOf(ctx, seed)
	if err != nil {
		return Separated{}, err
	}
	m := Separated{Seed: seed, Losses: z.losses}
	own := z.split.HeldOut
	other := own.Subset(next(own.Len()))
	again, err := z.source.Swap(s.e, own.Source, own.Source)
	if err != nil {
		return m, err
	}
	swapped, err := z.source.Swap(s.e, own.Source, other.Source)
	if err != nil {
		return m, err
	}
	for _, x := range []struct {
		to     *float64
		images *tensors.Tensor
	}{{&m.Real, own.Source}, {&m.Again, again}, {&m.Swapped, swapped}} {
		if *x.to, err = z.looker.predictor.Accuracy(x.images, own.Labels); err != nil {
			return m, err
		}
	}
	m.Error = meanSquare(again, own.Source)
	from, to, got := colors(own.Source, bright), colors(other.Source, bright), colors(swapped, bright)
	for i := range got {
		if squaredDistance(got[i], to[i]) < squaredDistance(got[i], from[i]) {
			m.Color += 1 / float64(len(got))
		}
	}
	return m, nil
}

// next are the rows of a set, each moved on by one.
func next(n int) []int {
	rows := make([]int, n)
	for i := range rows {
		rows[i] = (i + 1) % n
	}
	return rows
}

// Measure trains a method with one seed and measures its samples.
func (s *Study) Measure(ctx context.Context, name string, seed int64) (Measured, error) {
	z, err := s.sceneOf(ctx, seed)
	if err != nil {
		return Measured{}, err
	}
	m, err := methodNamed(name)
	if err != nil {
		return Measured{}, err
	}
	x, err := m.learn(ctx, s, z, s.options("train "+study.Label(name, seed)))
	if err != nil {
		return Measured{}, err
	}
	return s.measure(z, name, z.split.Few, x)
}

// MeasurePairs is [Study.Measure] of [Full] with another number of pairs.
func (s *Study) MeasurePairs(ctx context.Context, pairs int, seed int64) (Measured, error) {
	z, err := s.sceneOf(ctx, seed)
	if err != nil {
		return Measured{}, err
	}
	split, err := s.draw(ctx, seed, pairs)
	if err != nil {
		return Measured{}, err
	}
	x, err := s.adapt(ctx, z, split.Few, s.Config.training(seed), s.options("train "+study.Label(Full, seed)))
	if err != nil {
		return Measured{}, err
	}
	return s.measure(z, Full, split.Few, x)
}

func (s *Study) measure(z *scene, name string, few *paired.Set, x made) (Measured, error) {
	m := Measured{Method: name, Seed: z.seed, Pairs: few.Len()}
	f, err := z.scorer.features(x.images)
	if err != nil {
		return m, err
	}
	all, err := generative.Measure(z.real, f, generative.Options{Seed: z.seed})
	if err != nil {
		return m, err
	}
	m.Frechet, m.Kernel, m.Fidelity, m.Diversity = all.Frechet, all.Kernel, all.Fidelity, all.DiversityGenerated/all.DiversityReal
	found, err := z.scorer.predictor.Classes(x.images)
	if err != nil {
		return m, err
	}
	if m.Classes, err = generative.EffectiveClasses(found, z.scorer.classes); err != nil {
		return m, err
	}
	known, err := z.scorer.features(few.Target)
	if err != nil {
		return m, err
	}
	near := func(of [][]float64) (float64, error) {
		d, _, err := generative.Nearest(of, known)
		slices.Sort(d)
		return stat.Quantile(0.5, stat.LinInterp, d, nil), err
	}
	ofMade, err := near(f)
	if err != nil {
		return m, err
	}
	ofReal, err := near(z.real)
	if err != nil {
		return m, err
	}
	m.Memory = ofMade / ofReal
	if m.Real, err = z.scorer.predictor.Accuracy(z.split.HeldOut.Target, z.split.HeldOut.Labels); err != nil {
		return m, err
	}
	if x.content {
		share := agreeing(found, z.split.HeldOut.Labels)
		m.Content = &share
	}
	if x.target != nil && x.content {
		m.Losses = x.target.Losses
		again, err := x.target.Synthesize(s.e, few.Source, few.Target)
		if err != nil {
			return m, err
		}
		wrong := meanSquare(again, few.Target)
		m.Error, m.Ink = &wrong, followed(x.images, few.Target, s.Config.Domain)
	}
	return m, nil
}

// followed correlates, channel by channel, the stroke's color of the few target images with that of samples in their appearance: the
// least of the channels in which the former vary (by 0.04 of 1, a standard deviation); nil where none does, or the domain's strokes
// are not the darkest pixels.
func followed(samples, few *tensors.Tensor, domain string) *float64 {
	if domain != string(paired.Ink) {
		return nil
	}
	asked, got := colors(few, dark), colors(samples, dark)
	k := len(asked)
	mean := make([][3]float64, k)
	count := make([]float64, k)
	for i, c := range got {
		for ch, v := range c {
			mean[i%k][ch] += v
		}
		count[i%k]++
	}
	var least *float64
	for ch := range 3 {
		var a, b []float64
		for i := range k {
			if count[i] > 0 {
				a, b = append(a, asked[i][ch]), append(b, mean[i][ch]/count[i])
			}
		}
		if len(a) < 3 || stat.StdDev(a, nil) < 0.04 {
			continue
		}
		if r := stat.Correlation(a, b, nil); least == nil || r < *least {
			least = &r
		}
	}
	return least
}

// bright and dark tell how an image's pixels are ordered when its color is taken.
const (
	bright = 1.
	dark   = -1.
)

// colors are the mean colors, from 0 to 1, of each image's brightest or darkest tenth of pixels.
func colors(images *tensors.Tensor, order float64) [][3]float64 {
	d := images.Shape().Dimensions
	flat, area := tensors.MustCopyFlatData[float32](images), d[1]*d[2]
	all := make([][3]float64, d[0])
	for i := range all {
		pixels := make([][3]float64, area)
		for p := range pixels {
			for c := range 3 {
				pixels[p][c] = (float64(flat[(i*area+p)*3+c]) + 1) / 2
			}
		}
		light := func(p [3]float64) float64 { return order * (p[0] + p[1] + p[2]) }
		slices.SortStableFunc(pixels, func(a, b [3]float64) int { return cmp.Compare(light(b), light(a)) })
		most := max(1, area/10)
		for _, p := range pixels[:most] {
			for c := range 3 {
				all[i][c] += p[c] / float64(most)
			}
		}
	}
	return all
}

func squaredDistance(a, b [3]float64) (sum float64) {
	for i := range a {
		sum += (a[i] - b[i]) * (a[i] - b[i])
	}
	return sum
}

// meanSquare is the mean squared difference of images.
func meanSquare(a, b *tensors.Tensor) float64 {
	x, y := tensors.MustCopyFlatData[float32](a), tensors.MustCopyFlatData[float32](b)
	sum := 0.0
	for i := range x {
		sum += math.Pow(float64(x[i])-float64(y[i]), 2)
	}
	return sum / float64(len(x))
}
