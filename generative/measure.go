package generative

import (
	"cmp"
	"fmt"
)

// Options of [Measure]. Zero fields mean what they say.
type Options struct {
	K          int // neighbors of precision, recall, density and coverage; zero: 5
	Subsets    int // over which the kernel distance is averaged; zero: 10
	SubsetSize int // zero: a tenth of the smaller set, at least 100 or all of it
	Seed       int64
}

// Measures are all measures of two sets of features.
type Measures struct {
	Real      int `json:"real"`      // samples
	Generated int `json:"generated"` // samples
	Features  int `json:"features"`  // values of one

	Frechet         float64       `json:"frechet"`
	FrechetInfinity *Extrapolated `json:"frechet_infinity,omitempty"` // nil: fewer than 20 samples
	Kernel          float64       `json:"kernel"`                     // of all samples
	KernelSubsets   float64       `json:"kernel_subsets"`             // mean over subsets
	KernelDeviation float64       `json:"kernel_deviation"`           // of one subset
	Fidelity
	DiversityReal      float64 `json:"diversity_real"`
	DiversityGenerated float64 `json:"diversity_generated"`
	// Nearest is the median distance of generated samples to the nearest real one.
	Nearest float64 `json:"nearest"`

	Notes []string `json:"notes,omitempty"` // what weakens these numbers
}

// Measure takes all measures of features [n][d]. Errors are those of each.
func Measure(real, generated [][]float64, o Options) (*Measures, error) {
	n := min(len(real), len(generated))
	o.K, o.Subsets = cmp.Or(o.K, 5), cmp.Or(o.Subsets, 10)
	o.SubsetSize = cmp.Or(o.SubsetSize, min(n, max(100, n/10)))
	m := &Measures{Real: len(real), Generated: len(generated)}
	var err error
	if m.Frechet, err = Frechet(real, generated); err != nil {
		return nil, err
	}
	m.Features = len(real[0])
	if n >= 20 {
		e, err := FrechetInfinity(real, generated, o.Seed)
		if err != nil {
			return nil, err
		}
		m.FrechetInfinity = &e
	}
	if m.Kernel, err = Kernel(real, generated); err != nil {
		return nil, err
	}
	if m.KernelSubsets, m.KernelDeviation, err = KernelSubsets(real, generated, o.Subsets, o.SubsetSize, o.Seed); err != nil {
		return nil, err
	}
	if m.Fidelity, err = Compare(real, generated, o.K); err != nil {
		return nil, err
	}
	if m.DiversityReal, err = Diversity(real); err != nil {
		return nil, err
	}
	if m.DiversityGenerated, err = Diversity(generated); err != nil {
		return nil, err
	}
	distances, _, err := Nearest(generated, real)
	if err != nil {
		return nil, err
	}
	m.Nearest = median(distances)
	if least := 5 * m.Features; n < least {
		m.Notes = append(m.Notes, fmt.Sprintf("%d samples for %d features: with fewer than %d, Fréchet distances say more of the number of "+
			"samples than of these; extrapolating does not mend that; read the kernel distance", n, m.Features, least))
	}
	if m.Real != m.Generated {
		m.Notes = append(m.Notes, fmt.Sprintf("%d real and %d generated samples: recall, coverage and the Fréchet distance favor equal numbers",
			m.Real, m.Generated))
	}
	return m, nil
}
