package unsup

import (
	"fmt"

	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/study"
)

// Tables returns the run's tables, means over seeds with 95 % intervals.
func (r *Result) Tables() []*report.Table {
	return []*report.Table{r.EstimateTable(), r.AttackTable(), r.SearchTable(), r.SupervisedTable(), r.RetrainingTable(), r.GainTable()}
}

func interval(values []float64) any {
	if len(values) == 0 {
		return "–"
	}
	return report.Interval(values)
}

func deref(v *float64) (float64, bool) {
	if v == nil {
		return 0, false
	}
	return *v, true
}

// EstimateTable holds estimates against what is known.
func (r *Result) EstimateTable() *report.Table {
	t := &report.Table{Title: "Estimates of information that is known",
		Caption: fmt.Sprintf("Of two standard normal numbers, in nats: %d pairs, half of which the estimator never saw.", r.Config.EstimateOn),
		Columns: []report.Column{{Name: "correlation"}, {Name: "true", Format: "%.3f"}, {Name: "estimate", Format: "%.3f"}}}
	for i, rho := range correlations {
		values := study.Values(r.Estimates, func(m Estimated) (float64, bool) {
			if i >= len(m.Estimates) {
				return 0, false
			}
			return m.Estimates[i], true
		})
		if len(values) > 0 {
			t.Rows = append(t.Rows, []any{rho, r.Estimates[0].True[i], interval(values)})
		}
	}
	return t
}

// AttackTable tells of the examples of networks' own images.
func (r *Result) AttackTable() *report.Table {
	t := &report.Table{Title: "Examples",
		Caption: fmt.Sprintf("Of each of %d images. A success is treated no worse than its image by the network, and shares something with "+
			"it by the estimate; the referee has looked again. Beside: the share of images that noise of the same norm does that for. "+
			"Information is in nats, by estimators that were trained for that measurement alone.", r.Config.Train),
		Columns: []report.Column{{Name: "network"}, {Name: "task"}, {Name: "successes", Percent: true}, {Name: "noise", Percent: true},
			{Name: "information shared", Format: "%.3f"}, {Name: "with noise", Format: "%.3f"}, {Name: "l2", Format: "%.2f"},
			{Name: "successes by l2", Percent: true}}}
	for _, task := range r.Config.AllTasks() {
		of := func(value func(a Attacked) float64) any {
			return interval(study.Values(r.Task(task.Name), study.Always(func(m Learned) float64 { return value(m.Attack) })))
		}
		t.Rows = append(t.Rows, []any{task.Name, task.Kind, of(func(a Attacked) float64 { return a.Rate }), of(func(a Attacked) float64 {
			return a.Noise
		}),
			of(func(a Attacked) float64 { return a.Similarity }), of(func(a Attacked) float64 { return a.NoisySame }),
			of(func(a Attacked) float64 { return a.L2 }), of(func(a Attacked) float64 { return a.DistantRate })})
	}
	return t
}

// SearchTable compares searches.
func (r *Result) SearchTable() *report.Table {
	c := r.Config
	t := &report.Table{Title: "Searches",
		Caption: fmt.Sprintf("On the convolutional autoencoder, %d images (%d by the authors' setting); gradient steps for each; steps to "+
			"the first success, where images without one count as %d; the mean estimate at the first success and at the one that is kept; f⁺ "+
			"over the first and the last tenth of the steps.", c.Compared, c.Faithful, c.Search),
		Columns: []report.Column{{Name: "search"}, {Name: "steps"}, {Name: "successes", Percent: true}, {Name: "steps to the first",
			Format: "%.1f"},
			{Name: "first estimate", Format: "%.3f"}, {Name: "kept", Format: "%.3f"}, {Name: "l2", Format: "%.2f"}, {Name: "early f⁺",
				Format: "%.3f"}, {Name: "late f⁺", Format: "%.3f"}}}
	for _, x := range c.Searches(0) {
		rows := r.Search(x.Name)
		if len(rows) == 0 {
			continue
		}
		of := func(value func(m Searched) float64) any { return interval(study.Values(rows, study.Always(value))) }
		t.Rows = append(t.Rows, []any{x.Name, rows[0].Steps, of(func(m Searched) float64 { return m.Rate }), of(func(m Searched) float64 {
			return m.Until
		}),
			interval(study.Values(rows, func(m Searched) (float64, bool) { return deref(m.First) })),
			interval(study.Values(rows, func(m Searched) (float64, bool) { return deref(m.MI) })),
			of(func(m Searched) float64 { return m.L2 }),
			of(func(m Searched) float64 { return m.Early }), of(func(m Searched) float64 { return m.Late })})
	}
	return t
}

// SupervisedTable tells how a classifier stands the same search.
func (r *Result) SupervisedTable() *report.Table {
	t := &report.Table{Title: "The same search against a classifier",
		Caption: "On test images that it tells right: the share that is fooled, and that noise of the same norm fools; estimates at the " +
			"first success and at the one that is kept, which is to share as much as it can.",
		Columns: []report.Column{{Name: "accuracy", Percent: true}, {Name: "fooled", Percent: true}, {Name: "noise", Percent: true},
			{Name: "first estimate", Format: "%.3f"}, {Name: "kept", Format: "%.3f"}, {Name: "l2", Format: "%.2f"}}}
	of := func(value func(m Supervised) (float64, bool)) any { return interval(study.Values(r.Supervised, value)) }
	t.Rows = [][]any{{of(func(m Supervised) (float64, bool) { return m.Accuracy, true }), of(func(m Supervised) (float64, bool) {
		return m.Rate, true
	}),
		of(func(m Supervised) (float64, bool) { return m.Noise, true }), of(func(m Supervised) (float64, bool) { return deref(m.First) }),
		of(func(m Supervised) (float64, bool) { return deref(m.MI) }), of(func(m Supervised) (float64, bool) { return m.L2, true })}}
	return t
}

// lengths says how long an arm learns.
func lengths(longer bool) string {
	if longer {
		return "twice"
	}
	return "once"
}

// RetrainingTable tells how good networks are at their tasks.
func (r *Result) RetrainingTable() *report.Table {
	t := &report.Table{Title: "Learning anew",
		Caption: fmt.Sprintf("From %d images and one more of each, which is given first: the mean squared error of reconstruction of test "+
			"images, or the accuracy of a linear classifier of what the network makes of them. Steps are counted once or twice: with twice as "+
			"many images, twice the steps are as many epochs.", r.Config.Train),
		Columns: []report.Column{{Name: "beside the images"}, {Name: "steps"}}}
	for _, task := range r.Config.AllTasks() {
		t.Columns = append(t.Columns, report.Column{Name: task.Name, Percent: !task.reconstructs(),
			Format: map[bool]string{true: "%.3f"}[task.reconstructs()]})
	}
	for _, a := range r.Config.Arms() {
		row := []any{a.name(), lengths(a.Longer)}
		for _, task := range r.Config.AllTasks() {
			row = append(row, interval(study.Values(r.Task(task.Name), func(m Learned) (float64, bool) {
				x, ok := m.Score(a.name(), a.Longer)
				switch {
				case !ok:
					return 0, false
				case task.reconstructs():
					return deref(x.Error)
				}
				return deref(x.Accuracy)
			})))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// pairs are comparisons of two ways to learn.
var pairs = []struct {
	name        string
	a           string
	longer      bool
	b           string
	otherLonger bool
	than        string
}{
	{"examples, twice the steps", Adversarial, true, Originals, false, "the images alone, once"},
	{"the images again, twice the steps", Duplicated, true, Originals, false, "the images alone, once"},
	{"examples", Adversarial, false, Originals, false, "the images alone"},
	{"noise of their norm", Matched, false, Originals, false, "the images alone"},
	{"examples", Adversarial, false, Matched, false, "noise of their norm"},
	{"examples, twice the steps", Adversarial, true, Matched, true, "noise of their norm, twice the steps"},
	{"examples", Adversarial, false, Distant, false, "examples by l2"},
}

// GainTable holds paired differences.
func (r *Result) GainTable() *report.Table {
	t := &report.Table{Title: "What that gains",
		Caption: "Paired by seed, means with 95 % intervals: the share of the error of reconstruction that is gone, or the accuracy that is " +
			"gained. What noise of the same norm brings as well, the examples are not needed for.",
		Columns: []report.Column{{Name: "learning from"}, {Name: "instead of"}}}
	for _, task := range r.Config.AllTasks() {
		t.Columns = append(t.Columns, report.Column{Name: task.Name, Percent: true})
	}
	for _, p := range pairs {
		row := []any{p.name, p.than}
		for _, task := range r.Config.AllTasks() {
			row = append(row, interval(study.Values(r.Task(task.Name), func(m Learned) (float64, bool) {
				return m.gain(p.a, p.longer, p.b,
					p.otherLonger)
			})))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}
