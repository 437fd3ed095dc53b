package pairgan

import (
	"cmp"
	"slices"

	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/fewshot/paired"
	"github.com/trustbook/trustbook/fewshot/pfsgan"
	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/study"
)

// Config sizes the replication. The zero value is the quick scale: minutes on two cores.
type Config struct {
	Scale   string `json:"scale"`   // a name for tables: "quick", "smoke", "paper" or what the caller likes
	Dataset string `json:"dataset"` // "mnist" or "glyphs"; zero: "mnist"
	DataDir string `json:"-"`       // where data files lie; zero: the data set's own place
	Domain  string `json:"domain"`  // how targets look: "ink", "outline", "thick" or, of glyphs, "typeface"; zero: "ink"
	Size    int    `json:"size"`    // side of an image, 16 or 32; zero: 16
	Train   int    `json:"train"`   // source images; zero: 2,000
	HeldOut int    `json:"held_out"`
	Pairs   int    `json:"pairs"` // few-shot pairs; zero: 20
	Sweep   []int  `json:"sweep"` // other numbers of pairs; zero: 50

	Seeds   []int64  `json:"seeds"`   // zero: 2, 3, 4; settings were chosen with seed 1
	Methods []string `json:"methods"` // zero: all of [Methods]

	Channels    int     `json:"channels"`     // of maps; zero: 16
	Code        int     `json:"code"`         // values of a content's code, and of an appearance's; zero: 16
	SourceSteps int     `json:"source_steps"` // of stage 1; zero: 800
	SourceRate  float64 `json:"source_rate"`  // its learning rate; zero: 2e-3
	TargetSteps int     `json:"target_steps"` // of stage 2, and of what it is compared with; zero: 400
	TargetRate  float64 `json:"target_rate"`  // zero: 1e-3
	Batch       int     `json:"batch"`        // source images of a step; zero: 32 in stage 1
	TargetBatch int     `json:"target_batch"` // the same in stage 2; zero: 20
	JudgeSteps  int     `json:"judge_steps"`  // updates of a discriminator in a step; zero: 1
	// Feature scales the classifier's features that stand in for a VGG network's, whose values are larger; zero: 5
	Feature float64 `json:"feature"`
	Epochs  int     `json:"epochs"` // of training classifiers; zero: 10

	Dir      string          `json:"-"` // finished work is kept here and found again; zero: nothing is kept
	Shard    study.Shard     `json:"-"` // what to do of the work; zero: all
	Progress report.Progress `json:"-"` // nil shows nothing
}

// Smoke proves in seconds that everything works; its numbers mean nothing.
func Smoke() Config {
	return Config{Scale: "smoke", Train: 60, HeldOut: 30, Pairs: 10, Sweep: []int{5}, Seeds: []int64{1}, Channels: 4, Code: 8, SourceSteps: 20,
		TargetSteps: 10, Batch: 8, TargetBatch: 8, Epochs: 2, Methods: []string{Full, NoRelation, Shuffled, Scratch, UNIT}}
}

// Paper is the authors' setting on images of 32x32. It wants a GPU.
func Paper() Config {
	a := pfsgan.Authors()
	return Config{Scale: "paper", Size: 32, Train: 10_000, HeldOut: 2_000, Seeds: []int64{1, 2, 3, 4, 5}, Channels: a.Channels,
		Code:        a.Content,
		SourceSteps: a.Source.Steps, SourceRate: a.Source.LearningRate, TargetSteps: a.Target.Steps, TargetRate: a.Target.LearningRate,
		Batch: a.Source.Batch, TargetBatch: a.Target.Batch, JudgeSteps: a.Source.JudgeSteps}
}

// WithDefaults fills in the zero fields.
func (c Config) WithDefaults() Config {
	c.Scale, c.Dataset, c.Domain = cmp.Or(c.Scale, "quick"), cmp.Or(c.Dataset, "mnist"), cmp.Or(c.Domain, string(paired.Ink))
	c.Size, c.Train, c.HeldOut, c.Pairs = cmp.Or(c.Size, 16), cmp.Or(c.Train, 2_000), cmp.Or(c.HeldOut, 400), cmp.Or(c.Pairs, 20)
	c.Channels, c.Code = cmp.Or(c.Channels, 16), cmp.Or(c.Code, 16)
	c.SourceSteps, c.SourceRate = cmp.Or(c.SourceSteps, 800), cmp.Or(c.SourceRate, 2e-3)
	c.TargetSteps, c.TargetRate = cmp.Or(c.TargetSteps, 400), cmp.Or(c.TargetRate, 1e-3)
	c.Batch, c.TargetBatch, c.JudgeSteps = cmp.Or(c.Batch, 32), cmp.Or(c.TargetBatch, 20), cmp.Or(c.JudgeSteps, 1)
	c.Feature, c.Epochs = cmp.Or(c.Feature, 5), cmp.Or(c.Epochs, 10)
	study.Default(&c.Sweep, 50)
	study.Default(&c.Seeds, 2, 3, 4)
	study.Default(&c.Methods, Methods()...)
	if c.Progress == nil {
		c.Progress = report.Silent{}
	}
	return c
}

// Validate reports what cannot work, before anything runs.
func (c Config) Validate() error {
	_, known := study.Pick("method", c.Methods, methods, method.name)
	errs := []error{
		study.AtLeast(1, study.Count("channels", c.Channels), study.Count("code", c.Code), study.Count("source_steps", c.SourceSteps),
			study.Count("target_steps", c.TargetSteps), study.Count("judge_steps", c.JudgeSteps), study.Count("epochs", c.Epochs)),
		study.AtLeast(2, study.Count("train", c.Train), study.Count("pairs", c.Pairs), study.Count("batch", c.Batch),
			study.Count("target_batch", c.TargetBatch)),
		study.AtLeast(20, study.Count("held_out", c.HeldOut)),
		study.Positive(study.Rate("source_rate", c.SourceRate), study.Rate("target_rate", c.TargetRate), study.Rate("feature", c.Feature)),
		study.Seeds(c.Seeds), study.Distinct("methods", c.Methods), known, study.Distinct("sweep", c.Sweep),
	}
	for _, k := range append([]int{c.Pairs}, c.Sweep...) {
		if k < 2 || k > c.Train {
			errs = append(errs, errors.Errorf("pairs = %d, sweep = %v: want each from 2 to train = %d", c.Pairs, c.Sweep, c.Train))
		}
	}
	if slices.Contains(c.Sweep, c.Pairs) {
		errs = append(errs, errors.Errorf("sweep = %v: pairs = %d is measured anyway, leave it out", c.Sweep, c.Pairs))
	}
	if most := max(c.Batch, c.TargetBatch); most > c.Train {
		errs = append(errs, errors.Errorf("batch = %d, target_batch = %d of train = %d images: want no more than these", c.Batch, c.TargetBatch,
			c.Train))
	}
	if c.Size != 16 && c.Size != 32 {
		errs = append(errs, errors.Errorf("size = %d: want 16 or 32", c.Size))
	}
	domains := map[string][]string{"mnist": {string(paired.Ink), string(paired.Outline), string(paired.Thick)}}
	domains["glyphs"] = append(slices.Clone(domains["mnist"]), string(paired.Typeface))
	if of := domains[c.Dataset]; of == nil {
		errs = append(errs, errors.Errorf("dataset = %q: pairs are drawn of mnist or glyphs", c.Dataset))
	} else if !slices.Contains(of, c.Domain) {
		errs = append(errs, errors.Errorf("domain = %q: of %s, want one of %q", c.Domain, c.Dataset, of))
	}
	return study.First("pairgan", append(errs, c.Shard.Validate(c.Dir))...)
}

// AtScale returns the configuration of a scale: smoke, quick or paper.
func AtScale(scale string) (Config, error) { return study.AtScale("pairgan", scale, Smoke, Paper) }

// training is that of package pfsgan.
func (c Config) training(seed int64) pfsgan.Config {
	return pfsgan.Config{Channels: c.Channels, Content: c.Code, Appearance: c.Code, Seed: seed,
		Source: pfsgan.Schedule{Steps: c.SourceSteps, Batch: c.Batch, LearningRate: c.SourceRate, JudgeSteps: c.JudgeSteps},
		Target: pfsgan.Schedule{Steps: c.TargetSteps, Batch: c.TargetBatch, LearningRate: c.TargetRate, JudgeSteps: c.JudgeSteps}}
}
