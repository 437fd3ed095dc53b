package unsup

import (
	"context"

	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/representation"
	"github.com/trustbook/trustbook/robust/uae"
)

// Searched is what one search brought against a seed's convolutional autoencoder.
type Searched struct {
	Search string   `json:"search"`
	About  string   `json:"about"` // its every setting
	Seed   int64    `json:"seed"`
	Images int      `json:"images"`
	Steps  int      `json:"steps"` // on the perturbation, for each image
	Rate   float64  `json:"rate"`  // as the referee confirms
	Wrong  int      `json:"wrong"`
	L2     float64  `json:"l2"`
	MI     *float64 `json:"mi,omitempty"` // mean estimate over successes; absent without any, or without an estimator
	First  *float64 `json:"first_mi,omitempty"`
	// Until is the mean gradient step of the first success, of those up to Config.Search; images without one by then count as that.
	Until float64 `json:"until"`
	// Budgets are numbers of gradient steps, Curve the share of images with a success within so many.
	Budgets []int     `json:"budgets"`
	Curve   []float64 `json:"curve"`
	// Early and Late are the means of f⁺ over the first and the last tenth of the steps.
	Early  float64     `json:"early"`
	Late   float64     `json:"late"`
	Traces []uae.Trace `json:"traces,omitempty"` // of the first images, for the first seed
}

// traced is how many searches pictures show.
const traced = 4

// budgets are the numbers of steps at which searches are read: up to as many as the longest has.
func (c Config) budgets() (all []int) {
	most := c.Search * c.Rounds
	for _, share := range []float64{0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1, 1.5, 2.5, 4, 6, 9} {
		if n := int(share * float64(c.Search)); n >= 1 && n <= most {
			all = append(all, n)
		}
	}
	return all
}

// Compare runs a search on the first of a seed's images.
func (s *Study) Compare(ctx context.Context, x Search, seed int64, keep bool) (r Searched, err error) {
	r.Search, r.About, r.Seed = x.Name, x.Search.Name(), seed
	z, err := s.sceneOf(seed)
	if err != nil {
		return r, err
	}
	n, err := s.Train(ctx, tasks[0], Arm{Beside: Originals}, seed)
	if err != nil {
		return r, err
	}
	o, expansion, err := s.attackable(n)
	if err != nil {
		return r, err
	}
	r.Images = s.Config.Compared
	if x.Name == Authors {
		r.Images = s.Config.Faithful
	}
	images := first(z.train.Images, r.Images)
	x.Trace = r.Images
	ex, err := s.generate(ctx, x.Search, o, expansion, images)
	if err != nil {
		return r, err
	}
	v, err := uae.Check(ctx, s.e, o, images, ex, epsilon)
	if err != nil {
		return r, err
	}
	r.Steps, r.Rate, r.Wrong, r.L2 = ex.GradientSteps, v.Rate(), len(v.Wrong), stat.Mean(ex.L2, nil)
	r.MI, r.First, _ = over(ex)
	for _, at := range ex.FirstSuccess {
		if at < 0 {
			at = s.Config.Search
		}
		r.Until += float64(min(at, s.Config.Search)) / float64(r.Images)
	}
	for _, budget := range s.Config.budgets() {
		if budget > r.Steps {
			break
		}
		found := 0.0
		for _, at := range ex.FirstSuccess {
			if at >= 0 && at <= budget {
				found++
			}
		}
		r.Budgets, r.Curve = append(r.Budgets, budget), append(r.Curve, found/float64(r.Images))
	}
	r.Early, r.Late = ends(ex.Traces)
	if keep {
		r.Traces = ex.Traces[:min(traced, len(ex.Traces))]
	}
	return r, ctx.Err()
}

// ends are the means of f⁺ over the first and the last tenth of the steps.
func ends(traces []uae.Trace) (early, late float64) {
	for _, t := range traces {
		n := len(t.Violation)
		tenth := max(1, n/10)
		for i := range tenth {
			early += max(0, t.Violation[i]) / float64(tenth*len(traces))
			late += max(0, t.Violation[n-1-i]) / float64(tenth*len(traces))
		}
	}
	return early, late
}

// Look is what pictures show of an image of the first seed.
type Look struct {
	Network       string    `json:"network"`
	Success       bool      `json:"success"`
	Image         []float32 `json:"image"`
	Example       []float32 `json:"example"`
	Noise         []float32 `json:"noise"` // the image with noise of the same norm
	Reconstructed []float32 `json:"reconstructed,omitempty"`
	ByExample     []float32 `json:"by_example,omitempty"` // what is reconstructed of the example
	Violation     float64   `json:"violation"`
	L2            float64   `json:"l2"`
}

// looked is how many images of each network pictures show.
const looked = 8

// Look takes the pictures of a seed.
func (s *Study) Look(ctx context.Context, seed int64) (all []Look, err error) {
	z, err := s.sceneOf(seed)
	if err != nil {
		return nil, err
	}
	for _, t := range s.Config.AllTasks() {
		n, err := s.Train(ctx, t, Arm{Beside: Originals}, seed)
		if err != nil {
			return nil, err
		}
		m, err := s.Make(ctx, t, seed)
		if err != nil {
			return nil, err
		}
		number := min(looked, s.Config.Train)
		sets := []*tensors.Tensor{first(z.train.Images, number), first(m.Examples.Images, number), first(m.Noise, number)}
		var pixels [][]float32
		for _, set := range sets {
			pixels = append(pixels, tensors.MustCopyFlatData[float32](set))
		}
		if t.Name != Contrastive {
			for _, set := range sets[:2] {
				out, err := representation.Features(s.e, n.Model, set)
				if err != nil {
					return nil, err
				}
				pixels = append(pixels, tensors.MustCopyFlatData[float32](out))
			}
		}
		size := len(pixels[0]) / number
		for i := range number {
			l := Look{Network: t.Name, Success: m.Examples.Success[i], Violation: m.Examples.Violation[i], L2: m.Examples.L2[i]}
			for k, to := range []*[]float32{&l.Image, &l.Example, &l.Noise, &l.Reconstructed, &l.ByExample}[:len(pixels)] {
				*to = pixels[k][i*size : (i+1)*size]
			}
			all = append(all, l)
		}
	}
	return all, ctx.Err()
}
