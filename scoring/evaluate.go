package scoring

import (
	"math/rand/v2"
	"slices"

	"github.com/pkg/errors"
	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/study"
)

// Evaluation is how well a measure predicts the gaps of one seed's zoo.
type Evaluation struct {
	Tau        float64 `json:"tau"` // Kendall's τ-b
	R2         float64 `json:"r2"`  // of a straight line
	AdjustedR2 float64 `json:"adjusted_r2"`
	CMI        float64 `json:"cmi"` // conditional mutual information, times 100 as in the competition
}

// Evaluate tells how well a measure, one value a network, predicts generalization gaps. A measure that is the same for all
// networks predicts nothing: all its numbers are 0.
func Evaluate(models [][]Hyperparameter, gaps, measure []float64) (v Evaluation, err error) {
	info, err := ConditionalMutualInformation(models, gaps, measure, CMIOptions{})
	if err != nil || constant(measure) {
		return v, err
	}
	fit, err := LinearFit(measure, gaps)
	if err != nil {
		return v, err
	}
	tau, err := KendallTauB(measure, gaps)
	return Evaluation{Tau: tau, R2: fit.R2, AdjustedR2: fit.AdjustedR2, CMI: 100 * info.Score}, err
}

// Chance is how random measures do on one seed's zoo.
type Chance struct {
	Mean, Top  float64 // of the conditional mutual information times 100: mean, and 95th percentile
	TopTau     float64 // the 95th percentile of |τ|
	TopR2      float64 // the 95th percentile of adjusted R²
	OfShuffled float64 // |τ| of the first measure of the study with gaps that were shuffled
}

// Names of measures: a score and the curve that it is taken of.
func giName(curve string) string  { return "Gi, " + curve }
func palName(curve string) string { return "−Pal, " + curve }

// CurveNames are the curves that every network of the zoo has.
func (r *Result) CurveNames() (names []string) {
	_ = r.Config.curves(func(p Perturbation, layer int) error {
		names = append(names, CurveName(p, layer))
		return nil
	})
	return names
}

// MeasureNames are all measures, the paper's first.
func (r *Result) MeasureNames() (names []string) {
	for _, curve := range r.CurveNames() {
		names = append(names, giName(curve), palName(curve))
	}
	return append(names, BaselineNames...)
}

// Measures are a network's measures by name, all oriented to grow with the gap.
func (m Measured) Measures() (map[string]float64, error) {
	all := map[string]float64{}
	for name, value := range m.Baselines {
		all[name] = value
	}
	for name, c := range m.Curves {
		gi, err := giOf(c)
		if err != nil {
			return nil, errors.WithMessage(err, name)
		}
		pal, err := palOf(c)
		if err != nil {
			return nil, errors.WithMessage(err, name)
		}
		all[giName(name)], all[palName(name)] = gi, -pal
	}
	return all, nil
}

// giOf is the Gi-score as all measures take it.
func giOf(c Curve) (float64, error) { return GiScore(c, IdealPerfect) }

// palOf is the Pal-score as all measures take it: curves of both signs are folded first.
func palOf(c Curve) (float64, error) {
	if len(c.Magnitudes) > 0 && c.Magnitudes[0] < 0 {
		folded, err := c.Fold()
		if err != nil {
			return 0, err
		}
		c = folded
	}
	return PalScore(c, PalFractions{})
}

// zooOf is the zoo of a seed: hyper-parameters, gaps and measures by name.
func (r *Result) zooOf(seed int64) (models [][]Hyperparameter, gaps []float64, measures map[string][]float64, err error) {
	measures = map[string][]float64{}
	for _, m := range r.zoo(seed) {
		values, err := m.Measures()
		if err != nil {
			return nil, nil, nil, errors.WithMessagef(err, "scoring: network with %s", m.Network)
		}
		models, gaps = append(models, m.Hyperparameters()), append(gaps, m.Gap())
		for name, v := range values {
			measures[name] = append(measures[name], v)
		}
	}
	return models, gaps, measures, nil
}

// evaluate fills in Evaluations and Chances, one entry a seed.
func (r *Result) evaluate() error {
	r.Evaluations, r.Chances = map[string][]Evaluation{}, nil
	for _, seed := range r.Config.Seeds {
		models, gaps, measures, err := r.zooOf(seed)
		if err != nil {
			return err
		}
		names := r.MeasureNames()
		for _, name := range names {
			v, err := Evaluate(models, gaps, measures[name])
			if err != nil {
				return errors.WithMessagef(err, "seed %d, %s", seed, name)
			}
			r.Evaluations[name] = append(r.Evaluations[name], v)
		}
		chance, err := byChance(models, gaps, measures[r.control()], r.Config.Random, seed)
		if err != nil {
			return err
		}
		r.Chances = append(r.Chances, chance)
	}
	return nil
}

// control is the measure that meets shuffled gaps.
func (r *Result) control() string { return giName(r.CurveNames()[len(r.CurveNames())-1]) }

// byChance evaluates random measures.
func byChance(models [][]Hyperparameter, gaps, measure []float64, n int, seed int64) (Chance, error) {
	rng := rand.New(rand.NewPCG(uint64(seed), 0x6368616e6365)) // the stream "chance"
	var information, tau, r2 []float64
	random := make([]float64, len(gaps))
	for range n {
		for i := range random {
			random[i] = rng.NormFloat64()
		}
		v, err := Evaluate(models, gaps, random)
		if err != nil {
			return Chance{}, err
		}
		information, tau, r2 = append(information, v.CMI), append(tau, max(v.Tau, -v.Tau)), append(r2, v.AdjustedR2)
	}
	shuffled := slices.Clone(gaps)
	rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	control, err := Evaluate(models, shuffled, measure)
	top := func(values []float64) float64 {
		slices.Sort(values)
		return stat.Quantile(0.95, stat.Empirical, values, nil)
	}
	return Chance{Mean: stat.Mean(information, nil), Top: top(information), TopTau: top(tau), TopR2: top(r2),
		OfShuffled: max(control.Tau, -control.Tau)}, err
}

// evaluations takes one number of a measure, one a seed; none of a measure that the run left out.
func (r *Result) evaluations(measure string, of func(v Evaluation) float64) []float64 {
	return study.Values(r.Evaluations[measure], study.Always(of))
}

func tauOf(v Evaluation) float64 { return v.Tau }
func r2Of(v Evaluation) float64  { return v.AdjustedR2 }
func cmiOf(v Evaluation) float64 { return v.CMI }

// zoo are the networks of a seed's zoo.
func (r *Result) zoo(seed int64) []Measured {
	return study.Where(r.Zoo, func(m Measured) bool { return m.Seed == seed })
}

// zooGaps are the gaps of a seed's zoo.
func (r *Result) zooGaps(seed int64) []float64 {
	return study.Values(r.zoo(seed), study.Always(Measured.Gap))
}

// magnitudes are those of a curve, the same for all networks; none where it was not measured.
func (r *Result) magnitudes(curve string) []float64 {
	if len(r.Zoo) == 0 {
		return nil
	}
	return r.Zoo[0].Curves[curve].Magnitudes
}
