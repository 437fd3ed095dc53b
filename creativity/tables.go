package creativity

import (
	"fmt"

	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/creativity/scan"
	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/study"
)

// Tables returns the run's tables, means over seeds with 95 % intervals.
func (r *Result) Tables() []*report.Table {
	return []*report.Table{r.DetectionTable(), r.SubsetTable(), r.NodeTable(), r.LabelTable(), r.EveryTable(), r.MethodTable()}
}

// cell is the interval of a number over seeds; "–" where it was not measured.
func (r *Result) cell(method string, of number) any {
	if values := study.Values(r.For(method), of); len(values) > 0 {
		return report.Interval(values)
	}
	return "–"
}

// DetectionTable shows how well scans tell each mode's samples from normal ones, alone and in groups, in every space.
func (r *Result) DetectionTable() *report.Table {
	by := r.shown()
	t := &report.Table{
		Title: "Detection",
		Caption: fmt.Sprintf("Area under the curve that separates scores of samples decoded in a mode from scores of those decoded "+
			"as ever; 0.5 "+
			"is chance, below it the mode's samples have the lower scores. Single samples, and groups of %d of which a share is of the mode. %s.",
			r.Config.Group, by),
		Columns: []report.Column{{Name: "mode"}, {Name: "space"}, {Name: "single", Format: "%.2f"}},
	}
	for _, share := range r.Config.Shares {
		t.Columns = append(t.Columns, report.Column{Name: fmt.Sprintf("%g%% of a group", 100*share), Format: "%.2f"})
	}
	for _, method := range r.Config.Methods {
		for _, space := range Spaces {
			row := []any{method, string(space), r.cell(method, by.single(space))}
			for _, share := range r.Config.Shares {
				row = append(row, r.cell(method, by.groupAUC(space, share)))
			}
			t.Rows = append(t.Rows, row)
		}
	}
	return t
}

// String tells readers how a scan was made.
func (by scanBy) String() string {
	return fmt.Sprintf("Scans with the score %s, tail: %s", by.score, by.tail)
}

// SubsetTable shows how many nodes of the changed layer the scans of single samples find.
func (r *Result) SubsetTable() *report.Table {
	by := r.shown()
	t := &report.Table{Title: "Sizes of subsets",
		Caption: "Nodes of the changed layer that the scan of a single sample finds, and how likely a sample of the mode has more " +
			"than a normal one. " +
			by.score + ".",
		Columns: []report.Column{{Name: "mode"}, {Name: "tail"}, {Name: "normal", Format: "%.0f"}, {Name: "mode's", Format: "%.0f"},
			{Name: "larger", Format: "%.2f"}, {Name: "larger if creative", Format: "%.2f"}}}
	for _, method := range r.Config.Methods {
		for _, tail := range []scan.Tail{scan.Two, scan.Upper} {
			of := func(value func(s *Scan) float64) number {
				return always(func(m Measured) float64 { return value(m.Scan(ChangedLayer, by.score, tail.String())) })
			}
			t.Rows = append(t.Rows, []any{method, tail.String(), r.cell(method, of(func(s *Scan) float64 { return s.NormalNodes })),
				r.cell(method, of(func(s *Scan) float64 { return s.ModeNodes })), r.cell(method, of(func(s *Scan) float64 { return s.Larger })),
				r.cell(method, func(m Measured) (float64, bool) {
					s := m.Scan(ChangedLayer, by.score, tail.String())
					if s.LargerIfCreative == nil {
						return 0, false
					}
					return *s.LargerIfCreative, true
				})})
		}
	}
	return t
}

// NodeTable compares which nodes are highlighted.
func (r *Result) NodeTable() *report.Table {
	by := r.shown()
	t := &report.Table{Title: "Highlighted nodes",
		Caption: fmt.Sprintf("Mean Jaccard index of the nodes that scans find in two samples, of %d of each kind; the permutation "+
			"test's p-value (largest "+
			"over the seeds) that both kinds have the same frequencies; and, in groups of which half is of the mode, how many of the "+
			"nodes found were changed, and how many of those changed were found.", r.Config.Compared),
		Columns: []report.Column{{Name: "mode"}, {Name: "both normal", Format: "%.3f"}, {Name: "both of the mode", Format: "%.3f"},
			{Name: "one of each", Format: "%.3f"}, {Name: "p", Format: "%.3f"}, {Name: "precision", Percent: true},
			{Name: "recall", Percent: true}}}
	for _, method := range r.Config.Methods {
		all := r.For(method)
		if len(all) == 0 {
			continue
		}
		p := 0.
		for _, m := range all {
			p = max(p, m.Nodes.P)
		}
		found := func(of func(*Group) *float64) any {
			return r.cell(method, func(m Measured) (float64, bool) { return optional(by.of(m, ChangedLayer).Group(half), of) })
		}
		of := func(value func(n Nodes) float64) any {
			return r.cell(method, always(func(m Measured) float64 { return value(m.Nodes) }))
		}
		t.Rows = append(t.Rows, []any{method, of(func(n Nodes) float64 { return n.Normal }), of(func(n Nodes) float64 { return n.Mode }),
			of(func(n Nodes) float64 { return n.Between }), p, found(func(g *Group) *float64 { return g.NodePrecision }),
			found(func(g *Group) *float64 { return g.NodeRecall })})
	}
	return t
}

// LabelTable shows how many samples of each mode count as novel and valuable.
func (r *Result) LabelTable() *report.Table {
	t := &report.Table{Title: "Novel and valuable",
		Caption: fmt.Sprintf("Novel: farther from the %d nearest training images than 95 %% of normal decodings. Valuable: a "+
			"classifier is more than "+
			"half sure of a class. These labels stand in for those of the paper's nine evaluators.", r.Config.Neighbors),
		Columns: []report.Column{{Name: "mode"}, {Name: "novel", Percent: true}, {Name: "valuable", Percent: true},
			{Name: "both", Percent: true}}}
	for _, method := range r.Config.Methods {
		of := func(value func(m Measured) float64) any { return r.cell(method, always(value)) }
		t.Rows = append(t.Rows, []any{method, of(func(m Measured) float64 { return m.Novel }),
			of(func(m Measured) float64 { return m.Valuable }), of(func(m Measured) float64 { return m.Creative })})
	}
	return t
}

// EveryTable has the detection of every mode, space, score and tail.
func (r *Result) EveryTable() *report.Table {
	t := &report.Table{Title: "Every scan", Caption: "Means over seeds; groups where they were scanned.",
		Columns: []report.Column{{Name: "mode"}, {Name: "space"}, {Name: "score"}, {Name: "tail"}, {Name: "single", Format: "%.3f"},
			{Name: "share"}, {Name: "group", Format: "%.3f"}, {Name: "rows: precision", Percent: true}, {Name: "recall", Percent: true}}}
	mean := func(method string, of number) float64 { return stat.Mean(study.Values(r.For(method), of), nil) }
	for _, method := range r.Config.Methods {
		all := r.For(method)
		if len(all) == 0 {
			continue
		}
		for _, s := range all[0].Scans {
			at := func(m Measured) *Scan { return m.Scan(s.Space, s.Score, s.Tail) }
			row := []any{method, string(s.Space), s.Score, s.Tail, mean(method, always(func(m Measured) float64 { return at(m).Single.AUC }))}
			if len(s.Groups) == 0 {
				t.Rows = append(t.Rows, append(row, "–", "–", "–", "–"))
			}
			for _, g := range s.Groups {
				of := func(value func(*Group) float64) float64 {
					return mean(method, always(func(m Measured) float64 { return value(at(m).Group(g.Share)) }))
				}
				t.Rows = append(t.Rows, append(row[:len(row):len(row)], fmt.Sprintf("%g%%", 100*g.Share),
					of(func(g *Group) float64 { return g.Area.AUC }), of(func(g *Group) float64 { return g.RowPrecision }),
					of(func(g *Group) float64 { return g.RowRecall })))
			}
		}
	}
	return t
}

// MethodTable says what each mode does.
func (r *Result) MethodTable() *report.Table {
	t := &report.Table{Title: "Modes", Columns: []report.Column{{Name: "mode"}, {Name: "what it does"}}}
	methods, err := methodsNamed(r.Config.Methods, 0)
	if err != nil {
		return t
	}
	for _, m := range methods {
		t.Rows = append(t.Rows, []any{m.Name, m.About})
	}
	return t
}
