package gradsigns

import (
	"fmt"
	"slices"

	"github.com/trustbook/trustbook/study"
	"github.com/trustbook/trustbook/watermark"
	"github.com/trustbook/trustbook/watermark/removal"
)

// The networks that every seed has, by their marks. The others are called by their size, such as 128/784.
const (
	Unmarked = "unmarked"
	Marked   = "marked"
	Settled  = "marked, settled"
)

// main is the mark that claims are judged by.
func (c Config) main() Mark { return Mark{Name: Marked, Bits: c.Bits, Carriers: c.Carriers} }

// MarksOf are the marks of the i-th seed, in the order in which tables show them.
func (c Config) MarksOf(i int) []Mark {
	settled := c.main()
	settled.Name, settled.Settled = Settled, true
	all := []Mark{{Name: Unmarked}, c.main(), settled}
	names := c.Marks
	if i == 0 {
		names = append(names[:len(names):len(names)], c.Deep...)
	}
	for _, name := range names {
		m, _ := parseMark(name) // Validate has done so
		all = append(all, m)
	}
	return all
}

func (c Config) allMarks() []Mark { return c.MarksOf(0) }

// Attack is something that a thief does to a marked network.
type Attack struct {
	Name    string
	About   string // a line for readers
	Kind    string // what is done in general
	Removal removal.Removal
	// Judged says that the claim of robustness is judged by it: those whose price in accuracy was seen beforehand, in other networks,
	// to be two points at most.
	Judged bool
}

// The kinds of attacks.
const (
	edited    = "weights rounded or cut"
	trainedOn = "trained on"
	remarked  = "marked again"
	stolen    = "a fresh network"
)

// Attacks returns them, in the order in which tables show them. The thief's own keys are as large as the owner's.
func (s *Study) Attacks() ([]Attack, error) {
	var keys [2]*watermark.Key
	for i := range keys {
		var err error
		if keys[i], err = watermark.NewKey([]byte("the thief's"), "the thief", watermark.KeyOptions{Shape: s.Data.Pool.Shape,
			Target: (s.Config.Target + 3*i) % s.Data.Pool.Classes, Bits: s.Config.Bits, Carriers: s.Config.Carriers}); err != nil {
			return nil, err
		}
	}
	return s.Config.attacks(keys[0], keys[1]), nil
}

// attacks needs the thief's keys, for the owner's class and for another.
func (c Config) attacks(own, other *watermark.Key) []Attack {
	tune := func(rate float64) removal.Training { return removal.Training{Rate: rate, Epochs: c.Epochs} }
	robust := removal.Training{Rate: 1e-3, Epochs: c.RobustEpochs}
	over := func(k *watermark.Key) removal.Overwrite {
		return removal.Overwrite{Key: k, Embedder: c.embedder(Mark{Bits: c.Bits}, 0)}
	}
	all := []Attack{
		{"8 bits", "weights rounded to 8 bits", edited, removal.Quantize{Bits: 8}, true},
		{"4 bits", "weights rounded to 4 bits", edited, removal.Quantize{Bits: 4}, false},
		{"3 bits", "weights rounded to 3 bits", edited, removal.Quantize{Bits: 3}, false},
		{"pruning 60%", "the smallest weights set to 0", edited, removal.Prune{Share: 0.6}, true},
		{"pruning 80%", "the smallest weights set to 0", edited, removal.Prune{Share: 0.8}, true},
		{"pruning 90%", "the smallest weights set to 0", edited, removal.Prune{Share: 0.9}, false},
		{"pruning 90%, fine-tuning", "and the others trained on", trainedOn, removal.PruneFineTune{Training: tune(1e-3), Share: 0.9}, true},
		{"fine-pruning 50%", "the units that clean images use least cut off, and the others trained on", trainedOn,
			removal.FinePrune{Training: tune(1e-3), Share: 0.5}, true},
		{"fine-tuning, rate 1e-4", "trained on with the thief's images", trainedOn, removal.FineTune{Training: tune(1e-4)}, true},
		{"fine-tuning, rate 1e-3", "the same", trainedOn, removal.FineTune{Training: tune(1e-3)}, true},
		{"fine-tuning, rate 5e-3", "the same", trainedOn, removal.FineTune{Training: tune(5e-3)}, true},
		{"gradient penalty", "trained on with small input gradients", trainedOn, removal.GradientPenalty{Training: robust, Weight: 1}, true},
		{"adversarial fine-tuning", "trained on with FGSM's images, radius 0.1", trainedOn,
			removal.AdversarialFineTune{Training: robust, Epsilon: 0.1}, true},
		{"overwriting, same class", "a mark of the thief's in the same class", remarked, over(own), true},
		{"overwriting, other class", "a mark of the thief's in another class", remarked, over(other), false},
		{"distillation", "a fresh network trained on its probabilities", stolen, removal.Distill{Training: tune(1e-3)}, true},
		{"extraction", "a fresh network trained on its labels", stolen, removal.ExtractModel{Training: tune(1e-3)}, true},
	}
	if len(c.Attacks) == 0 {
		return all
	}
	return study.Where(all, func(a Attack) bool { return slices.Contains(c.Attacks, a.Name) })
}

func (a Attack) name() string { return a.Name }

// Question is a way of asking an endpoint for the mark.
type Question struct {
	Name      string
	Hiding    removal.Hiding // nil: the endpoint answers exactly
	Estimator watermark.Estimator
	Step      float64 // from an image, in l2
	Samples   int     // images a bit
	// Judged says that the claim of robustness is judged by it: what the endpoint hides, asked as well as we know. Others show what
	// that costs.
	Judged bool
}

// text is the question in a line.
func (q Question) text() string {
	return fmt.Sprintf("%s, step %g, %d images a bit", q.Name, q.Step, q.Samples)
}

// Exact is the endpoint that hides nothing.
const Exact = "exact"

// Questions returns them, in the order in which tables show them.
func (c Config) Questions() []Question {
	const pairs = watermark.Directional
	noise, scores := removal.Noisy{SD: 0.1, Seed: 1}, removal.Perturbed{Seed: 1}
	all := []Question{
		{Exact, nil, pairs, 0.1, 1, false}, {Exact, nil, pairs, 0.1, 10, false}, {Exact, nil, watermark.OneQuery, 1, 8, false},
		{Exact, nil, watermark.Coordinate, 1e-4, 50, false}, {Exact, nil, watermark.RandomDirections, 0.01, 10, false},
		{"2 digits", removal.Rounded{Digits: 2}, pairs, 0.1, 10, true}, {"1 digit", removal.Rounded{Digits: 1}, pairs, 0.1, 10, true},
		{"top 1", removal.Top{K: 1}, pairs, 0.1, 10, true}, {"perturbed scores", scores, pairs, 0.1, 10, true},
		{"noise on scores", noise, pairs, 0.1, 50, false}, {"noise on scores", noise, pairs, 1, 50, true},
		{"labels only", removal.LabelsOnly{}, pairs, 0.1, 50, false}, {"labels only", removal.LabelsOnly{}, pairs, 0.5, 50, true},
		{"noise on inputs", removal.InputNoise{SD: 0.1, Seed: 1}, pairs, 0.1, 10, false},
		{"noise on inputs", removal.InputNoise{SD: 0.1, Seed: 1}, pairs, 1, 50, true},
		{"inputs of 3 bits", removal.InputBits{Bits: 3}, pairs, 0.1, 10, false},
		{"inputs of 3 bits", removal.InputBits{Bits: 3}, pairs, 3, 200, true},
		{"inputs of 1 bit", removal.InputBits{Bits: 1}, pairs, 4, 200, true},
		{"median of 3x3", removal.Median{}, pairs, 3, 200, true}, {"mean of 3x3", removal.Box{}, pairs, 3, 200, true},
		{"repeats near duplicates", removal.RepeatsNearDuplicates{Radius: 2}, pairs, 0.5, 10, false},
		{"repeats near duplicates", removal.RepeatsNearDuplicates{Radius: 2}, watermark.OneQuery, 1, 8, true},
	}
	for i := range all {
		all[i].Samples = min(all[i].Samples, c.Most)
	}
	return all
}

// unmarkedQuestions are asked of the network without a mark. The forward one is there for its bias.
func (c Config) unmarkedQuestions() []Question {
	few := min(10, c.Most)
	return []Question{{Exact, nil, watermark.Directional, 0.1, few, false}, {Exact, nil, watermark.Directional, 1, few, false},
		{Exact, nil, watermark.Forward, 1, few, false}}
}

// curves are the endpoints that bits are read of with more and more queries, at the step that serves best.
func (c Config) curves() (all []Question) {
	for _, q := range []Question{{Exact, nil, watermark.Directional, 0.1, 0, false},
		{"noise on scores", removal.Noisy{SD: 0.1, Seed: 1}, watermark.Directional, 1, 0, false},
		{"labels only", removal.LabelsOnly{}, watermark.Directional, 0.5, 0, false},
		{"inputs of 3 bits", removal.InputBits{Bits: 3}, watermark.Directional, 3, 0, false},
		{"random directions", nil, watermark.RandomDirections, 0.01, 0, false}} {
		for _, samples := range []int{1, 2, 5, 10, 20, 50, 100, 200} {
			if q.Samples = samples; samples <= c.Most {
				all = append(all, q)
			}
		}
	}
	return all
}
