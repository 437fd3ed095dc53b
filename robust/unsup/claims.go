package unsup

import (
	"fmt"

	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/study"
)

// paperID is the arXiv id of the replicated paper.
const paperID = "2103.01895"

// accurate is how near an estimate must come to information that is known, in nats. It is ours.
const accurate = 0.06

// Claims judges the sentences of the paper's abstract by the numbers of the run.
func (r *Result) Claims() []report.Claim {
	claims := []report.Claim{
		{
			Sentence: "A mutual information neural estimator serves as a similarity measure for generating adversarial examples without " +
				"supervision.",
			Parts: []report.ClaimPart{r.estimated(), r.dissimilar(), r.unsupervised()},
		},
		{
			Sentence: "A MinMax algorithm with convergence guarantees generates unsupervised adversarial examples efficiently.",
			Parts:    []report.ClaimPart{r.converges(), r.efficient()},
		},
		{
			Sentence: "The framework extends to supervised adversarial examples.",
			Parts:    []report.ClaimPart{r.supervised()},
		},
		{
			Sentence: "Retraining with unsupervised adversarial examples as plug-in data augmentation significantly and consistently improves " +
				"data reconstruction, representation learning and contrastive learning.",
		},
	}
	for _, t := range r.Config.AllTasks() {
		claims[3].Parts = append(claims[3].Parts, r.improves(t)...)
	}
	return study.Source{Paper: paperID, Scale: r.Config.Scale, Dataset: r.Data, N: r.Config.Train, Seeds: r.Config.Seeds}.Number(claims)
}

func percent(t report.Test) report.Test {
	t.Percent = true
	return t
}

// attacked is a number of the attacks on a network.
func (r *Result) attacked(t Task, what string, of func(a Attacked) float64, relation report.Relation, threshold float64) report.Test {
	return report.Test{What: what, Relation: relation, Threshold: threshold,
		Values: study.Values(r.Task(t.Name), study.Always(func(m Learned) float64 { return of(m.Attack) }))}
}

// searched is a number of a search.
func (r *Result) searched(name, what string, of func(m Searched) float64) report.Test {
	return report.Test{What: what, Values: study.Values(r.Search(name), study.Always(of))}
}

// learned is the control that a network can do its task: an autoencoder that it beats the mean image, the others that they tell classes
// three times as often as guessing.
func (r *Result) learned(t Task) report.Test {
	if t.reconstructs() {
		return percent(report.Test{What: "error of reconstruction by that of the mean image, " + t.Name, Relation: report.Below, Threshold: 1,
			Values: study.Values(r.Task(t.Name), func(m Learned) (float64, bool) {
				x, ok := m.Score(Originals, false)
				if !ok || x.Error == nil || m.Blank == 0 {
					return 0, false
				}
				return *x.Error / m.Blank, true
			})})
	}
	return percent(report.Test{What: "accuracy of its features, " + t.Name, Relation: report.AtLeast, Threshold: 0.3,
		Values: study.Values(r.Task(t.Name), func(m Learned) (float64, bool) {
			if x, ok := m.Score(Originals, false); ok && x.Accuracy != nil {
				return *x.Accuracy, true
			}
			return 0, false
		})})
}

// controls of a network's part: it has learned, and the referee agrees with every success. The contrastive network's loss is of views
// that are drawn, by which no success is one for good: there the referee's own rate stands in the tables.
func (r *Result) controls(t Task) []report.Test {
	if t.Name == Contrastive {
		return []report.Test{r.learned(t)}
	}
	return []report.Test{r.learned(t), r.confirmed(t)}
}

// confirmed is the control that the referee agrees with every success.
func (r *Result) confirmed(t Task) report.Test {
	return r.attacked(t, "successes that do not hold when they are looked at again, "+t.Name,
		func(a Attacked) float64 { return float64(a.Wrong) }, report.Zero, 0)
}

func (r *Result) estimated() report.ClaimPart {
	p := report.ClaimPart{Statement: "estimates mutual information",
		Ours: fmt.Sprintf("%g nats: seven hundredths of the most that is estimated, at a correlation of 0.9", accurate),
		Test: report.Test{What: "largest error of an estimate, nats", Relation: report.AtMost, Threshold: accurate,
			Values: study.Values(r.Estimates, study.Always(Estimated.Error))}}
	for i, rho := range correlations {
		p.Beside = append(p.Beside, report.Test{What: fmt.Sprintf("estimate at a correlation of %g, nats", rho),
			Values: study.Values(r.Estimates, func(m Estimated) (float64, bool) {
				if i >= len(m.Estimates) {
					return 0, false
				}
				return m.Estimates[i], true
			})})
	}
	return p
}

func (r *Result) dissimilar() report.ClaimPart {
	t := tasks[0]
	p := report.ClaimPart{Statement: "a similarity measure: its examples share less with their images than noise of the same norm",
		Controls: []report.Test{r.learned(t), r.confirmed(t)},
		Test: r.attacked(t, "information shared with noise minus that shared with examples, nats, "+t.Name,
			func(a Attacked) float64 { return a.NoisySame - a.Similarity }, report.Above, 0)}
	for _, other := range r.Config.AllTasks()[1:] {
		p.Beside = append(p.Beside, r.attacked(other, "the same, "+other.Name, func(a Attacked) float64 { return a.NoisySame - a.Similarity },
			"", 0))
	}
	return p
}

func (r *Result) unsupervised() report.ClaimPart {
	t := tasks[0]
	beyond := func(a Attacked) float64 { return a.Rate - a.Noise }
	p := report.ClaimPart{Statement: "without supervision", Controls: []report.Test{r.learned(t), r.confirmed(t)},
		Test: percent(r.attacked(t, "images with an example that the network treats no worse, minus those that noise of the same norm does "+
			"that for, "+
			t.Name, beyond, report.Above, 0))}
	for _, other := range r.Config.AllTasks() {
		p.Beside = append(p.Beside, percent(r.attacked(other, "success rate, "+other.Name, func(a Attacked) float64 { return a.Rate }, "", 0)))
		if other.Name != t.Name {
			p.Beside = append(p.Beside, percent(r.attacked(other, "beyond noise, "+other.Name, beyond, "", 0)))
		}
	}
	return p
}

func (r *Result) converges() report.ClaimPart {
	return report.ClaimPart{Statement: "converges", Controls: []report.Test{r.learned(tasks[0])},
		Test: report.Test{What: "violation f⁺ in the first tenth of the steps minus that in the last", Relation: report.Above,
			Values: study.Values(r.Search(MinMax), study.Always(func(m Searched) float64 { return m.Early - m.Late }))},
		Beside: []report.Test{r.searched(MinMax, "violation in the last tenth", func(m Searched) float64 { return m.Late })}}
}

func (r *Result) efficient() report.ClaimPart {
	c := r.Config
	less := func(name, than string, of func(m Searched) float64) []float64 {
		return study.Minus(study.Values(r.Search(name), study.Always(of)), study.Values(r.Search(than), study.Always(of)))
	}
	until, rate := func(m Searched) float64 { return m.Until }, func(m Searched) float64 { return m.Rate }
	p := report.ClaimPart{Statement: "efficiently: with fewer gradient steps than a search for the penalty's weight",
		Controls: []report.Test{r.learned(tasks[0]),
			{What: "successes of MinMax that do not hold", Relation: report.Zero,
				Values: study.Values(r.Search(MinMax), study.Always(func(m Searched) float64 { return float64(m.Wrong) }))}},
		Test: report.Test{What: fmt.Sprintf("gradient steps to the first success, of %d: penalty in %d rounds minus MinMax", c.Search,
			c.Rounds),
			Relation: report.Above, Values: less(ShortPenalty, MinMax, until)},
		Beside: []report.Test{
			{What: fmt.Sprintf("the same, penalty with %d times the steps", c.Rounds), Values: less(Penalty, MinMax, until)},
			{What: "the same, squared distances in place of information", Values: less(PenaltyL2, MinMaxL2, until)},
			percent(report.Test{What: "success rate, MinMax minus penalty", Values: less(MinMax, ShortPenalty, rate)})}}
	for _, name := range []string{MinMax, ShortPenalty, Penalty, Authors} {
		p.Beside = append(p.Beside, percent(r.searched(name, "success rate, "+name, rate)))
	}
	return p
}

func (r *Result) supervised() report.ClaimPart {
	of := func(value func(m Supervised) float64) []float64 {
		return study.Values(r.Supervised, study.Always(value))
	}
	return report.ClaimPart{Statement: "extends",
		Controls: []report.Test{
			percent(report.Test{What: "accuracy of the classifier", Relation: report.AtLeast, Threshold: 0.8,
				Values: of(func(m Supervised) float64 { return m.Accuracy })}),
			{What: "successes that do not hold", Relation: report.Zero, Values: of(func(m Supervised) float64 { return float64(m.Wrong) })}},
		Test: percent(report.Test{What: "images on which the classifier is fooled, minus those on which noise of the same norm fools it",
			Relation: report.Above, Values: of(func(m Supervised) float64 { return m.Rate - m.Noise })}),
		Beside: []report.Test{percent(report.Test{What: "success rate", Relation: report.AtLeast, Threshold: 0.98,
			Values: of(func(m Supervised) float64 { return m.Rate })})}}
}

// improves judges what retraining brings a network: by as many epochs, as the authors' code counts them; by as many steps; and against
// noise that is as large as the examples.
func (r *Result) improves(t Task) []report.ClaimPart {
	rows := r.Task(t.Name)
	unit := "share of the error of reconstruction that is gone"
	if !t.reconstructs() {
		unit = "accuracy gained"
	}
	gain := func(what, beside string, longer bool, than string, thanLonger bool) report.Test {
		return percent(report.Test{What: fmt.Sprintf("%s, %s: %s", unit, t.Name, what),
			Values: study.Values(rows, func(m Learned) (float64, bool) { return m.gain(beside, longer, than, thanLonger) })})
	}
	part := func(statement string, test report.Test, beside ...report.Test) report.ClaimPart {
		test.Relation = report.Above
		return report.ClaimPart{Statement: statement, Test: test, Controls: r.controls(t), Beside: beside}
	}
	name := t.Kind
	if t.reconstructs() { // several networks do
		name = fmt.Sprintf("%s (%s)", t.Kind, t.Name)
	}
	return []report.ClaimPart{
		part(name+", with as many epochs, which are twice the steps",
			gain("examples for twice the steps, against the images alone", Adversarial, true, Originals, false),
			gain("the images again for twice the steps, against once", Duplicated, true, Originals, false),
			gain("examples against the images again, both for twice the steps", Adversarial, true, Duplicated, true)),
		part(name+", with as many steps",
			gain("examples against the images alone", Adversarial, false, Originals, false),
			gain("examples against the images again", Adversarial, false, Duplicated, false)),
		part(name+", by the examples: more than noise of the same norm brings",
			gain("examples against noise of their norm", Adversarial, false, Matched, false),
			gain("noise of their norm against the images alone", Matched, false, Originals, false),
			gain("examples against noise of their norm, both for twice the steps", Adversarial, true, Matched, true),
			gain("examples by information against those by squared distance", Adversarial, false, Distant, false)),
	}
}
