package maml

import (
	"fmt"

	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/report"
)

// Tables returns the run's tables, means over seeds with 95 % intervals.
func (r *Result) Tables() []*report.Table {
	return []*report.Table{r.accuracyTable(), r.mapTable(), r.maskingTable(), r.seedTable()}
}

func (r *Result) accuracyTable() *report.Table {
	c := r.Config
	percent := func(name string) report.Column { return report.Column{Name: name, Percent: true, Best: report.Highest} }
	t := &report.Table{Title: "Accuracy after fine-tuning", Caption: fmt.Sprintf("%d-way, %d-shot, %d test tasks with %d query images of each class, judged together. "+
		"Robust: under PGD-%d against the fine-tuned network, radius %.3g. Intervals over seeds. Fine-tuning sees clean images; for methods that train with "+
		"adversarial fine-tuning, two columns give that too, over %d tasks. Cost: passes forward and backward a task in a meta-update.",
		c.Ways, c.Shots, c.TestTasks, c.TestQueries, c.AttackSteps, c.Epsilon, min(c.TestTasks, c.SweepTasks)),
		Columns: []report.Column{{Name: "method"}, percent("accuracy"), percent("robust"), percent("accuracy, robust fine-tuning"), percent("robust, robust fine-tuning"),
			{Name: "cost", Format: "%.0f", Best: report.Lowest}, {Name: "training"}}}
	for _, name := range c.Methods {
		m := c.Method(name)
		row := []any{name, report.Interval(r.values(name, standard)), report.Interval(r.values(name, robust))}
		if m.GammaIn > 0 {
			row = append(row, report.Interval(r.values(name, func(m Measured) float64 { return m.Robust.SA })), report.Interval(r.values(name, func(m Measured) float64 { return m.Robust.RA })))
		} else {
			row = append(row, "", "")
		}
		training := m.String()
		if found := r.For(name); len(found) > 0 && found[0].Unlabeled > 0 {
			training += fmt.Sprintf(", %d unlabeled of each class", found[0].Unlabeled)
		}
		t.Rows = append(t.Rows, append(row, float64(m.Passes()), training))
	}
	return t
}

func (r *Result) mapTable() *report.Table {
	t := &report.Table{Title: "What excites neurons", Caption: "Means over neurons, with intervals over seeds. Low frequencies: share of a map's energy below a quarter of Nyquist's frequency.",
		Columns: []report.Column{{Name: "method"}, {Name: "low frequencies", Percent: true}, {Name: "cosine before and after fine-tuning", Format: "%.2f"}}}
	for _, name := range []string{MAML, Out} {
		if found := r.For(name); len(found) > 0 && found[0].Maps != nil {
			t.Rows = append(t.Rows, []any{name, report.Interval(r.values(name, func(m Measured) float64 { return m.Maps.LowFrequency })),
				report.Interval(r.values(name, func(m Measured) float64 { return m.Maps.Cosine }))})
		}
	}
	return t
}

func (r *Result) maskingTable() *report.Table {
	t := &report.Table{Title: "Weaker and stronger attacks on out", Caption: fmt.Sprintf("The same %d test tasks of each seed, intervals over seeds. Were robustness a lack of gradients, "+
		"one step would do more than many, or many more much more.", r.Config.MaskingTasks),
		Columns: []report.Column{{Name: "attack"}, {Name: "robust accuracy", Percent: true}}}
	for _, attack := range []struct {
		name     string
		accuracy func(m *Masking) float64
	}{
		{"FGSM", func(m *Masking) float64 { return m.Fast }},
		{fmt.Sprintf("PGD-%d", r.Config.AttackSteps), func(m *Masking) float64 { return m.Usual }},
		{"PGD-50, worst of 3 restarts", func(m *Masking) float64 { return m.Strong }},
	} {
		if values := r.masking(attack.accuracy); len(values) > 0 {
			t.Rows = append(t.Rows, []any{attack.name, report.Interval(values)})
		}
	}
	return t
}

// seedTable has the intervals over test tasks, seed by seed.
func (r *Result) seedTable() *report.Table {
	t := &report.Table{Title: "Seed by seed", Caption: fmt.Sprintf("Means over %d test tasks, with 95 %% intervals over these tasks.", r.Config.TestTasks),
		Columns: []report.Column{{Name: "method"}, {Name: "seed", Format: "%.0f"}, {Name: "accuracy", Percent: true}, {Name: "robust", Percent: true}}}
	around := func(mean, half float64) report.Estimate {
		return report.Estimate{Mean: mean, Low: mean - half, High: mean + half, N: r.Config.TestTasks}
	}
	for _, m := range r.Models {
		t.Rows = append(t.Rows, []any{m.Method, float64(m.Seed), around(m.Tested.SA, m.Tested.SAHalf), around(m.Tested.RA, m.Tested.RAHalf)})
	}
	return t
}

// Figures returns the run's figures.
func (r *Result) Figures() []*report.Figure {
	return []*report.Figure{r.barFigure(), r.sweepFigure(), r.trainingFigure()}
}

// barFigure compares the methods.
func (r *Result) barFigure() *report.Figure {
	bars := report.Bars{Groups: r.Config.Methods}
	for _, kind := range []struct {
		name string
		of   func(m Measured) float64
	}{{"accuracy", standard}, {"robust accuracy", robust}} {
		s := report.BarSeries{Name: kind.name}
		for _, name := range r.Config.Methods {
			e := report.Interval(r.values(name, kind.of))
			if s.Values = append(s.Values, e.Mean); len(r.Config.Seeds) > 1 {
				s.Low, s.High = append(s.Low, e.Low), append(s.High, e.High)
			}
		}
		bars.Series = append(bars.Series, s)
	}
	return &report.Figure{Title: "Where to robustify, and how", Caption: "After fine-tuning on clean images, which is all that a user of a meta-model does. Means with intervals over seeds.",
		Panels: []report.Panel{{Y: report.Axis{Label: "accuracy", Min: 0, Max: 1, Percent: true}, Marks: []report.Mark{bars}}}, Width: 9, PanelHeight: 3}
}

// sweepFigure shows the first seed's accuracies over steps of fine-tuning and over radii.
func (r *Result) sweepFigure() *report.Figure {
	axis := report.Axis{Label: "accuracy", Min: 0, Max: 1, Percent: true}
	clean := report.Panel{Title: "accuracy", X: report.Axis{Label: "steps of fine-tuning"}, Y: axis}
	attacked := report.Panel{Title: "robust accuracy", X: report.Axis{Label: "steps of fine-tuning"}, Y: axis}
	radii := report.Panel{Title: "robust accuracy", X: report.Axis{Label: "radius × 255"}, Y: axis}
	for _, s := range r.Sweeps {
		a, b, e := report.Line{Name: s.Method}, report.Line{Name: s.Method}, report.Line{Name: s.Method}
		for _, v := range s.Steps {
			a.X, b.X = append(a.X, float64(v.Step)), append(b.X, float64(v.Step))
			a.Y, b.Y = append(a.Y, v.SA), append(b.Y, v.RA)
		}
		for i, v := range s.Epsilon {
			e.X, e.Y = append(e.X, 255*r.Config.SweepEpsilon[i]), append(e.Y, v.RA)
		}
		clean.Marks, attacked.Marks, radii.Marks = append(clean.Marks, a), append(attacked.Marks, b), append(radii.Marks, e)
	}
	return &report.Figure{Title: "Robustness survives fine-tuning", Caption: fmt.Sprintf("Seed %d, %d test tasks. Fine-tuning sees clean images only.", r.Config.Seeds[0], r.Config.SweepTasks),
		Panels: []report.Panel{clean, attacked, radii}, Columns: 3, Width: 9, PanelHeight: 2.8}
}

// trainingFigure shows the query loss over the updates, smoothed.
func (r *Result) trainingFigure() *report.Figure {
	panel := report.Panel{X: report.Axis{Label: "meta-update"}, Y: report.Axis{Label: "query loss after adaptation"}}
	const window = 20
	for _, name := range r.Config.Methods {
		found := r.For(name)
		if len(found) == 0 {
			continue
		}
		line := report.Line{Name: name, NoPoints: true}
		loss := found[0].History.Loss
		for i := 0; i < len(loss); i += window {
			part := loss[i:min(i+window, len(loss))]
			line.X, line.Y = append(line.X, float64(i)+float64(len(part))/2), append(line.Y, stat.Mean(part, nil))
		}
		panel.Marks = append(panel.Marks, line)
	}
	return &report.Figure{Title: "Meta-training", Caption: fmt.Sprintf("Seed %d: clean loss on the query images, means of %d updates.", r.Config.Seeds[0], window), Panels: []report.Panel{panel}, PanelHeight: 3, Width: 8}
}

// MapGrid shows what excites neurons of a seed's networks: each row a method before or after fine-tuning.
func (r *Result) MapGrid(seed int64) *report.Grid {
	g := &report.Grid{Title: "What excites neurons", Caption: "One column a neuron of the last hidden layer: the change of a gray image that excites it most. Red is brighter, blue darker."}
	size := r.Shape[0] * r.Shape[1]
	for _, name := range []string{MAML, Out} {
		for _, m := range r.For(name) {
			if m.Seed != seed || m.Maps == nil {
				continue
			}
			for _, kind := range []struct {
				name string
				maps [][]float64
			}{{name, m.Maps.Before}, {name + ", fine-tuned", m.Maps.After}} {
				var row []report.Image
				for _, values := range kind.maps {
					pixels := make([]float32, size)
					for i, v := range values {
						pixels[i*size/len(values)] += float32(v)
					}
					image := report.NewImage(pixels, r.Shape[0], r.Shape[1])
					image.Diverging = true
					row = append(row, image)
				}
				g.RowNames, g.Rows = append(g.RowNames, kind.name), append(g.Rows, row)
			}
		}
	}
	return g
}

// Document is the run as a report that stands alone.
func (r *Result) Document() *report.Document {
	c := r.Config
	figures, tables := r.Figures(), r.Tables()
	return &report.Document{
		Title: "Robust meta-learning: when, and how",
		Subtitle: "Ren Wang, Kaidi Xu, Sijia Liu, Pin-Yu Chen, Tsui-Wei Weng, Chuang Gan, Meng Wang: *On Fast Adversarial Robustness Adaptation in Model-Agnostic " +
			"Meta-Learning*, ICLR 2021, [arXiv 2102.10454](https://arxiv.org/abs/2102.10454)",
		Lead: report.Textf("A meta-model learns a new task from a handful of images. Where must it meet adversarial examples so that the *fine-tuned* network resists them: "+
			"in fine-tuning, in the meta-update, or in both? Here %d methods are meta-trained with %d seeds on %s, and attacked after fine-tuning.", len(c.Methods), len(c.Seeds), r.Data),
		Keys:   r.keys(),
		Claims: r.Claims(),
		Sections: []report.Section{
			{Title: "When and how", Parts: []report.Part{
				report.Text("Each task i is learned by gradient descent from the meta-parameters θ; these are trained so that it goes well:"),
				report.Formula("θ_{i} ← θ_{i} − α ∇ [ℓ(θ_{i}; support) + γ_{in} R(θ_{i}; support)],   min_{θ} mean_{i} ℓ(θ_{i}; query) + γ_{out} R(θ_{i}; query)"),
				report.Text("R is the loss on adversarial images, or their distance from clean predictions (TRADES)."), figures[0], tables[0], figures[1], tables[2]}},
			{Title: "What neurons see", Parts: []report.Part{tables[1]}},
			{Title: "Training", Parts: []report.Part{figures[2], tables[3]}},
		},
		Settings: []report.Setting{
			{Name: "scale", Value: c.Scale}, {Name: "data", Value: r.Data}, {Name: "tasks", Value: fmt.Sprintf("%d-way, %d-shot, %d query images of each class in training, %d in testing", c.Ways, c.Shots, c.Queries, c.TestQueries)},
			{Name: "network", Value: fmt.Sprintf("four blocks of %d filters, batch normalization with each batch's own statistics", c.Filters)},
			{Name: "training", Value: fmt.Sprintf("%d updates of %d tasks, Adam %g; fine-tuning %d steps of %g, in testing %d", c.Updates, c.Batch, c.LR, c.InnerSteps, c.InnerLR, c.TestSteps)},
			{Name: "attack", Value: fmt.Sprintf("FGSM from a random start in training, PGD-%d in testing, radius %.4g", c.AttackSteps, c.Epsilon)}, {Name: "seeds", Value: fmt.Sprint(c.Seeds)},
		},
	}
}

// keys are the figures at the top of the report.
func (r *Result) keys() (keys []report.Key) {
	for _, name := range []string{MAML, In, Out, Both} {
		if values := r.values(name, robust); len(values) > 0 {
			keys = append(keys, report.Key{Label: name, Value: fmt.Sprintf("%.1f%%", 100*stat.Mean(values, nil)), Note: "robust accuracy"})
		}
	}
	return keys
}
