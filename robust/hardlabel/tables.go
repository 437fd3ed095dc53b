package hardlabel

import (
	"fmt"
	"strings"

	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/study"
)

// Tables returns the run's tables, means over seeds with 95 % intervals.
func (r *Result) Tables() []*report.Table {
	return []*report.Table{r.RatioTable(), r.DistanceTable(), r.ReachTable(), r.SphereTable(), r.NetworkTable(), r.MethodTable()}
}

// cell is the interval of a number over the seeds of a method; "–" where it was not measured.
func (r *Result) cell(method string, of number) any { return interval(study.Values(r.For(method), of)) }

func interval(values []float64) any {
	if len(values) == 0 {
		return "–"
	}
	return report.Interval(values)
}

// methods are the names of the networks.
func (r *Result) methods() (names []string) {
	for _, m := range r.Config.Methods() {
		names = append(names, m.Name)
	}
	return names
}

// RatioTable compares reduced spaces with the full one, on either network.
func (r *Result) RatioTable() *report.Table {
	c := r.Config
	t := &report.Table{Title: "Decrease in reduced spaces",
		Caption: "By which share the excess of the tangent residual is lower than that of the same attack in the full space, over the images " +
			"that both got over the boundary; 50% is two-fold, below 0 it is higher. At matched l2, where both perturbations are cut to the " +
			"length of the shorter one: the excess minus that of the full space.",
		Columns: []report.Column{{Name: "attack"}, {Name: "space"}, {Name: "queries"}}}
	for _, method := range r.methods() {
		t.Columns = append(t.Columns, report.Column{Name: method, Percent: true, Format: "%.0f"},
			report.Column{Name: "at matched l2", Format: "%.2f"})
	}
	for _, attack := range Searches {
		for _, space := range c.Spaces[1:] {
			for _, queries := range c.budgetsOf(Natural, space) {
				row := []any{attack, space, queries}
				for _, method := range r.methods() {
					row = append(row, r.cell(method, paired(attack, space, queries, (*Pair).Decrease)),
						r.cell(method, paired(attack, space, queries, matchedLess)))
				}
				t.Rows = append(t.Rows, row)
			}
		}
	}
	return t
}

// DistanceTable has every number of every attack, space and budget.
func (r *Result) DistanceTable() *report.Table {
	t := &report.Table{Title: "What attacks find",
		Caption: fmt.Sprintf("Of the nearest adversarial image found with so many queries: l2 distance from the clean image, excess of "+
			"its tangent residual and of its mean distance from the %d nearest training images over the clean image's, share of the "+
			"perturbation off the tangent plane, Fréchet distance of features from those of training images (– with fewer than two "+
			"images a feature). Means over what was found.", r.Config.Near),
		Columns: []report.Column{{Name: "network"}, {Name: "attack"}, {Name: "space"}, {Name: "queries"},
			{Name: "found", Percent: true, Format: "%.0f"}, {Name: "l2", Format: "%.2f"}, {Name: "excess", Format: "%.2f"},
			{Name: "nearest", Format: "%.2f"}, {Name: "off", Percent: true},
			{Name: "Fréchet", Format: "%.2f"}}}
	for _, method := range r.methods() {
		all := r.For(method)
		if len(all) == 0 {
			continue
		}
		for _, one := range all[0].Rows {
			of := func(value func(m Means) float64) any {
				return r.cell(method, func(m Measured) (float64, bool) {
					row := m.Row(one.Attack, one.Space, one.Queries)
					if row == nil || row.Of == nil {
						return 0, false
					}
					return value(*row.Of), true
				})
			}
			queries := any(one.Queries)
			if one.Queries == 0 {
				queries = "gradients"
			}
			t.Rows = append(t.Rows, []any{method, one.Attack, one.Space, queries,
				r.cell(method, func(m Measured) (float64, bool) {
					row := m.Row(one.Attack, one.Space, one.Queries)
					if row == nil {
						return 0, false
					}
					return row.Success, true
				}),
				of(func(m Means) float64 { return m.Length }), of(func(m Means) float64 { return m.Excess }),
				of(func(m Means) float64 { return m.Farther }), of(func(m Means) float64 { return m.OffShare }),
				r.cell(method, func(m Measured) (float64, bool) {
					row := m.Row(one.Attack, one.Space, one.Queries)
					if row == nil {
						return 0, false
					}
					return frechet(row)
				})})
		}
	}
	return t
}

// ReachTable compares searches with gradients.
func (r *Result) ReachTable() *report.Table {
	c := r.Config
	t := &report.Table{Title: "Beside gradients",
		Caption: fmt.Sprintf("Within the least of the tried l2 radii at which PGD brings %g%% of the images over the boundary: the share "+
			"that others do, by PGD's share. Each with its largest number of queries.", 100*most),
		Columns: []report.Column{{Name: "network"}, {Name: "attack"}, {Name: "space"}, {Name: "radius", Format: "%.2f"},
			{Name: "of PGD's share", Percent: true}}}
	for _, method := range r.methods() {
		all := r.For(method)
		if len(all) == 0 {
			continue
		}
		for _, one := range all[0].Reaches {
			t.Rows = append(t.Rows, []any{method, one.Attack, one.Space, r.cell(method, func(m Measured) (float64, bool) {
				radius, _, _, ok := c.reached(m)
				return radius, ok
			}), r.cell(method, c.against(one.Attack, one.Space))})
		}
	}
	return t
}

// SphereTable shows what decisions told of spheres.
func (r *Result) SphereTable() *report.Table {
	t := &report.Table{Title: "Decisions as an oracle of the manifold",
		Caption: "Mutual information, in nats, of a decision and the change of the distance from the source's sphere; its closed form at the " +
			"mean cosine ρ of boundary and manifold; the estimate with decisions shuffled; the cosine of the gradient that decisions " +
			"give and that of the distance; the network's accuracy. All of it is ln 2 = 0.693.",
		Columns: []report.Column{{Name: "varied"}, {Name: "dimensions"}, {Name: "in"}, {Name: "points"}, {Name: "directions"},
			{Name: "information", Format: "%.3f"}, {Name: "closed form", Format: "%.3f"}, {Name: "ρ", Format: "%.3f"},
			{Name: "shuffled", Format: "%.3f"}, {Name: "cosine", Format: "%.2f"}, {Name: "accuracy", Percent: true}}}
	for i, x := range r.Config.Spheres(0) {
		of := func(value func(l Leaked) float64) any {
			return interval(study.Values(r.Spheres, func(l Leaks) (float64, bool) {
				if i >= len(l.All) {
					return 0, false
				}
				return value(l.All[i]), true
			}))
		}
		t.Rows = append(t.Rows, []any{x.Series, x.Intrinsic, x.Ambient, x.Train, x.Space, of(nats),
			of(func(l Leaked) float64 { return l.ClosedForm }), of(func(l Leaked) float64 { return l.Rho }),
			of(func(l Leaked) float64 { return l.Shuffled }), of(func(l Leaked) float64 { return l.Cosine }),
			of(func(l Leaked) float64 { return l.Accuracy })})
	}
	return t
}

// NetworkTable shows the attacked networks, and where the images lie that attacks begin with.
func (r *Result) NetworkTable() *report.Table {
	t := &report.Table{Title: "Networks",
		Caption: fmt.Sprintf("Accuracy on test images, and under PGD in linf with radius %.3g on %d of them; tangent residual of the "+
			"attacked images as they are, and their mean distance from the %d nearest training images.", r.Config.Epsilon,
			min(checked, r.Config.Test), r.Config.Near),
		Columns: []report.Column{{Name: "network"}, {Name: "training"}, {Name: "accuracy", Percent: true}, {Name: "under PGD", Percent: true},
			{Name: "residual", Format: "%.2f"}, {Name: "nearest", Format: "%.2f"}}}
	for _, m := range r.Config.Methods() {
		of := func(value func(m Measured) float64) any { return r.cell(m.Name, study.Always(value)) }
		t.Rows = append(t.Rows, []any{m.Name, m.About, of(func(m Measured) float64 { return m.Accuracy }),
			of(func(m Measured) float64 { return m.Standing }), of(func(m Measured) float64 { return m.Residual }),
			of(func(m Measured) float64 { return m.Nearness })})
	}
	return t
}

// MethodTable says what attacks and spaces are.
func (r *Result) MethodTable() *report.Table {
	t := &report.Table{Title: "Attacks and spaces", Columns: []report.Column{{Name: "name"}, {Name: "what it is"}}}
	t.Rows = [][]any{
		{HopSkipJump, "walks along the boundary by normals that decisions about random probes give (arXiv 1904.02144)"},
		{SignOPT, "looks for the direction in which the boundary is nearest, by signs that decisions give (arXiv 1909.10773)"},
		{RayS, "looks over directions of signs for the boundary nearest in linf (arXiv 2006.12792); draws no directions"},
		{PGD, "climbs the cross-entropy by gradients, within one l2 radius after the other"},
		{SpaceFull, "directions of all pixels"},
	}
	for _, space := range r.Config.Spaces[1:] {
		about := "images of so many pixels a side, enlarged by bilinear interpolation"
		switch {
		case space == SpaceAutoencoder:
			about = "what an autoencoder's decoder makes of random latents, less what it makes of zeros"
		case strings.HasPrefix(space, "dct"):
			about = "so many of the lowest frequencies in either direction"
		}
		t.Rows = append(t.Rows, []any{space, about})
	}
	return t
}
