package pairgan

import (
	"fmt"
	"slices"

	"github.com/trustbook/trustbook/fewshot/pfsgan"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/study"
)

// numbers of pairs, in their order.
func (c Config) numbers() []int {
	return slices.Sorted(slices.Values(append([]int{c.Pairs}, c.Sweep...)))
}

// Figures returns the run's figures.
func (r *Result) Figures() []*report.Figure {
	return []*report.Figure{r.TradeFigure(), r.PairsFigure(), r.LossFigure()}
}

// look is the first seed's; a run without pictures has none.
func (r *Result) look() Look {
	if len(r.Looks) == 0 {
		return Look{}
	}
	return r.Looks[0]
}

// row makes images of bytes.
func (r *Result) row(pictures [][]byte) (images []report.Image) {
	for _, bytes := range pictures {
		pixels := make([]float32, len(bytes))
		for i, b := range bytes {
			pixels[i] = float32(b) / 255
		}
		images = append(images, report.NewImage(pixels, r.Shape...))
	}
	return images
}

func (r *Result) grid(title, caption string, names []string, rows ...[][]byte) *report.Grid {
	g := &report.Grid{Title: title, Caption: caption}
	for i, row := range rows {
		if len(row) > 0 {
			g.RowNames, g.Rows = append(g.RowNames, names[i]), append(g.Rows, r.row(row))
		}
	}
	return g
}

// SwapGrid shows what stage 1 takes for content and for appearance.
func (r *Result) SwapGrid() *report.Grid {
	l := r.look()
	return r.grid("Content and appearance", "Held-out source images, what is put together from their codes, and each content in the "+
		"appearance of the next image. First seed.", []string{"source", "reconstructed", "swapped"}, l.Source, l.Again, l.Swapped)
}

// PairGrid shows some of the few pairs.
func (r *Result) PairGrid() *report.Grid {
	l := r.look()
	return r.grid("Pairs", fmt.Sprintf("Ten of the %d pairs that the target is learned from.", r.Config.Pairs), []string{"source", "target"},
		l.FewSource, l.FewTarget)
}

// SynthesisGrid has appearances along rows and contents along columns.
func (r *Result) SynthesisGrid() *report.Grid {
	l := r.look()
	g := r.grid("New contents in the target's appearance", "Columns are contents of held-out source images, rows appearances of few-shot "+
		"target images. The last row is the contents' true target. First seed.", []string{"content"}, l.Contents)
	for i, row := range l.Grid {
		g.RowNames, g.Rows = append(g.RowNames, fmt.Sprintf("appearance %d", i+1)), append(g.Rows, r.row(row))
	}
	if len(l.Wanted) > 0 {
		g.RowNames, g.Rows = append(g.RowNames, "true target"), append(g.Rows, r.row(l.Wanted))
	}
	return g
}

// MethodGrid shows samples of most methods.
func (r *Result) MethodGrid() *report.Grid {
	l := r.look()
	g := r.grid("Samples", "Methods that are given a content get the column's. First seed.", []string{"content"}, l.Contents)
	for _, name := range r.Config.Methods {
		if name == NoShift || name == NoJudge || name == Repeated || name == Unadapted {
			continue // tables have them
		}
		if rows := l.Samples[name]; len(rows) > 0 {
			g.RowNames, g.Rows = append(g.RowNames, name), append(g.Rows, r.row(rows))
		}
	}
	return g
}

// MemoryGrid holds samples beside what they may have been copied from.
func (r *Result) MemoryGrid() *report.Grid {
	l := r.look()
	return r.grid("Learned by heart?", "Samples of the method, and of the few-shot target images those whose features are nearest.",
		[]string{"sample", "nearest"}, l.Samples[Full], l.Nearest)
}

// Film shows the target's generator as it learns.
func (r *Result) Film() *report.Animation {
	l, c := r.look(), r.Config
	a := &report.Animation{Title: "The target's generator as it learns", Caption: "The same codes, from the source's generator on: one " +
		"appearance a row, one content a column. First seed.", MaxBytes: 42_000}
	for i, frame := range l.Film {
		step := min(c.TargetSteps, i*max(1, c.TargetSteps/frames))
		g := &report.Grid{Title: fmt.Sprintf("step %d", step)}
		for row := range l.FilmRows {
			g.Rows = append(g.Rows, r.row(frame[row*l.FilmCols:(row+1)*l.FilmCols]))
		}
		a.Frames = append(a.Frames, g)
	}
	return a
}

// frames are how many pictures pfsgan keeps by default.
const frames = 8

// TradeFigure holds distances of distributions against contents that are kept.
func (r *Result) TradeFigure() *report.Figure {
	p := report.Panel{X: report.Axis{Label: "FID-f"}, Y: report.Axis{Label: "digit kept", Percent: true}}
	for _, name := range r.Config.Methods {
		x, y := study.Values(r.For(name), frechet), study.Values(r.For(name), content)
		if len(y) > 0 {
			p.Marks = append(p.Marks, report.Points{Name: name, X: x, Y: y})
		}
	}
	return &report.Figure{Title: "A distance does not see contents", PanelHeight: 3.4,
		Caption: "One point a seed. Samples whose distribution is near to the target's need not show what they were made of.",
		Panels:  []report.Panel{p}}
}

// PairsFigure shows what more pairs bring.
func (r *Result) PairsFigure() *report.Figure {
	f := &report.Figure{Title: "How many pairs it takes", Columns: 2, PanelHeight: 2.6, Caption: "Means over seeds with 95 % intervals."}
	for _, p := range []struct {
		label   string
		of      number
		percent bool
	}{{"FID-f", frechet, false}, {"digit kept", content, true}} {
		line := report.Line{Name: Full}
		for _, k := range r.Config.numbers() {
			values := study.Values(r.with(k), p.of)
			if len(values) == 0 {
				continue
			}
			e := report.Interval(values)
			line.X, line.Y = append(line.X, float64(k)), append(line.Y, e.Mean)
			if len(values) > 1 {
				line.Low, line.High = append(line.Low, e.Low), append(line.High, e.High)
			}
		}
		f.Panels = append(f.Panels, report.Panel{X: report.Axis{Label: "pairs"}, Y: report.Axis{Label: p.label, Percent: p.percent},
			Marks: []report.Mark{line}})
	}
	return f
}

// LossFigure shows the losses of both stages, of the first seed.
func (r *Result) LossFigure() *report.Figure {
	f := &report.Figure{Title: "Losses", Columns: 3, PanelHeight: 2.4, Caption: "Of the first seed: of stage 1; of stage 2; and the four " +
		"parts of the relation loss. The adversarial terms of stage 1 begin when reconstructions fit."}
	if len(r.Sources) == 0 || len(r.For(Full)) == 0 {
		return f
	}
	one, two := r.Sources[0].Losses, r.For(Full)[0].Losses
	panel := func(title string, losses fit.Losses, steps int, names ...string) {
		p := report.Panel{Title: title, X: report.Axis{Label: "step"}}
		for _, name := range names {
			line := report.Line{Name: name, Y: losses[name], NoPoints: true}
			for i := range line.Y {
				line.X = append(line.X, float64(i+1)*float64(steps)/float64(len(line.Y)))
			}
			if len(line.Y) > 0 {
				p.Marks = append(p.Marks, line)
			}
		}
		f.Panels = append(f.Panels, p)
	}
	panel("stage 1", one, r.Config.SourceSteps, pfsgan.LossReconstruction, pfsgan.LossSwapped, pfsgan.LossDivergence, pfsgan.LossAdversarial)
	panel("stage 2", two, r.Config.TargetSteps, pfsgan.LossReconstruction, pfsgan.LossAdversarial, pfsgan.LossJudge)
	panel("relations", two, r.Config.TargetSteps, pfsgan.Relation1, pfsgan.Relation2, pfsgan.Relation3, pfsgan.Relation4)
	return f
}
