package pairgan

import (
	"fmt"

	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/study"
)

// paperID is the arXiv id of the replicated paper.
const paperID = "2102.12765"

// number is a number of one method and seed; not ok where it was not measured.
type number func(m Measured) (float64, bool)

func always(of func(m Measured) float64) number { return study.Always(of) }

var (
	frechet   = always(func(m Measured) float64 { return m.Frechet })
	kernel    = always(func(m Measured) float64 { return m.Kernel })
	diversity = always(func(m Measured) float64 { return m.Diversity })
	memory    = always(func(m Measured) float64 { return m.Memory })
	coverage  = always(func(m Measured) float64 { return m.Coverage })
	precision = always(func(m Measured) float64 { return m.Precision })
	classes   = always(func(m Measured) float64 { return m.Classes })
	content   = number(func(m Measured) (float64, bool) { return optional(m.Content) })
	ink       = number(func(m Measured) (float64, bool) { return optional(m.Ink) })
)

func optional(v *float64) (float64, bool) {
	if v == nil {
		return 0, false
	}
	return *v, true
}

// of is a number of one method over the seeds.
func (r *Result) of(method, what string, n number, relation report.Relation, threshold float64) report.Test {
	return report.Test{What: fmt.Sprintf("%s, %s", what, method), Values: study.Values(r.For(method), n), Relation: relation,
		Threshold: threshold}
}

// minus is a number of one method minus that of another, seed by seed.
func (r *Result) minus(a, b, what string, n number, relation report.Relation) report.Test {
	return report.Test{What: fmt.Sprintf("%s, %s minus %s", what, a, b), Relation: relation,
		Values: study.Minus(study.Values(r.For(a), n), study.Values(r.For(b), n))}
}

// source is a number of stage 1 over the seeds.
func (r *Result) source(what string, n func(Separated) float64, relation report.Relation, threshold float64) report.Test {
	return report.Test{What: what, Values: study.Values(r.Sources, study.Always(n)), Relation: relation, Threshold: threshold, Percent: true}
}

// Claims judges the sentences of the paper's abstract by the numbers of the run.
func (r *Result) Claims() []report.Claim {
	c := r.Config
	sees := r.of(Repeated, "share of held-out target images whose digit the classifier sees",
		always(func(m Measured) float64 { return m.Real }), report.AtLeast, 0.8)
	sees.Percent = true
	fresh := r.of(Full, "distance of samples to the few-shot images over that of held-out images", memory, report.AtLeast, 0.6)
	shuffled := r.of(Shuffled, "samples that show the digit they were made of", content, report.AtMost, 0.3)
	shuffled.Percent = true
	controls := []report.Test{sees, fresh}
	kept := r.of(Full, "samples that show the digit they were made of", content, report.AtLeast, 0.75)
	kept.Percent = true
	looks := r.source("held-out source images whose digit the source classifier sees", func(m Separated) float64 { return m.Real },
		report.AtLeast, 0.8)
	claims := []report.Claim{
		{
			Sentence: "A target generator that is learned with a source domain, to which the few target images are paired, beats one that is " +
				"learned from the few target images alone.",
			Parts: []report.ClaimPart{{
				Statement: "beats one learned from the few images alone",
				Test:      r.minus(Full, Scratch, "FID-f", frechet, report.Below), Controls: controls,
				Beside: []report.Test{r.minus(Full, Scratch, "KID-f", kernel, report.Below), r.minus(Full, Scratch, "coverage", coverage, report.Above),
					r.minus(Full, Repeated, "FID-f", frechet, report.Below), r.minus(Drawn, Scratch, "FID-f", frechet, report.Below)},
			}},
		},
		{
			Sentence: "The representation separates the content that the domains share from the appearance that they do not.",
			Parts: []report.ClaimPart{
				{
					Statement: "content stays when the appearance is another image's, in the source",
					Test: r.source("swapped images that show their content's digit", func(m Separated) float64 {
						return m.Swapped
					}, report.AtLeast, 0.75),
					Ours: "three of four digits; one of ten is chance", Controls: []report.Test{looks},
					Beside: []report.Test{r.source("reconstructions that show their digit", func(m Separated) float64 { return m.Again }, "", 0)},
				},
				{
					Statement: "appearance goes with its code, in the source",
					Test: r.source("swapped images whose color is nearer to that of the appearance's image", func(m Separated) float64 {
						return m.Color
					}, report.AtLeast, 0.75),
					Ours: "three of four; a half is chance", Controls: []report.Test{looks},
				},
				{
					Statement: "content crosses to the target", Test: kept, Ours: "three of four digits; one of ten is chance",
					Controls: []report.Test{sees, shuffled},
				},
				{
					Statement: "appearance follows its code in the target",
					Test:      r.of(Full, "correlation of the ink's color with that asked for", ink, report.Above, 0),
					Controls:  []report.Test{sees},
				},
			},
		},
		{
			Sentence: "A relation loss on contents, taken while the appearance is shifted, raises structural diversity.",
			Parts: []report.ClaimPart{{
				Statement: "raises diversity",
				Test:      r.minus(Full, NoRelation, "diversity of features", diversity, report.Above), Controls: controls,
				Beside: []report.Test{r.percent(r.minus(Full, NoRelation, "samples that show their digit", content, report.Above)),
					r.percent(r.minus(Full, NoShift, "samples that show their digit", content, report.Above)),
					r.minus(Full, NoShift, "diversity of features", diversity, report.Above),
					r.minus(Full, NoRelation, "FID-f", frechet, report.Below)},
			}},
		},
		{Sentence: "The results are better by measure, with higher diversity, than several baselines.", Parts: r.baselines(controls)},
	}
	return study.Source{Paper: paperID, Scale: c.Scale, Dataset: r.Data, N: c.HeldOut, Seeds: c.Seeds}.Number(claims)
}

func (r *Result) percent(t report.Test) report.Test {
	t.Percent = true
	return t
}

// baselines are the parts of the claim about them, two each.
func (r *Result) baselines(controls []report.Test) (parts []report.ClaimPart) {
	for _, name := range []string{Scratch, FineTuned, CoGAN, UNIT} {
		parts = append(parts, report.ClaimPart{Statement: "better than " + name,
			Test: r.minus(Full, name, "FID-f", frechet, report.Below), Controls: controls,
			Beside: []report.Test{r.minus(Full, name, "KID-f", kernel, report.Below), r.minus(Full, name, "precision", precision, report.Above)}},
			report.ClaimPart{Statement: "more diverse than " + name,
				Test: r.minus(Full, name, "diversity of features", diversity, report.Above), Controls: controls,
				Beside: []report.Test{r.minus(Full, name, "coverage", coverage, report.Above),
					r.minus(Full, name, "effective number of digits", classes, report.Above)}})
	}
	return parts
}
