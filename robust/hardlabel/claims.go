package hardlabel

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/study"
)

// paperID is the arXiv id of the replicated paper.
const paperID = "2103.03325"

// Thresholds that are ours.
const (
	most       = 0.9  // of the images, which PGD brings over the boundary within the radius that attacks are compared at
	comparable = 0.8  // of PGD's share
	quiet      = 0.03 // nats that shuffled decisions may tell
	twoFold    = 0.5  // the paper's: half of what it was
)

// Claims judges the sentences of the paper's abstract by the numbers of the run.
func (r *Result) Claims() []report.Claim {
	c := r.Config
	claims := []report.Claim{
		{Sentence: "Zeroth-order hard-label attacks perform comparably to gradient-level ones."},
		{
			Sentence: "Query efficiency is connected to the adversary's traversal through the data manifold.",
			Parts:    []report.ClaimPart{r.traversal()},
		},
		{
			Sentence: "Hard-label queries act as a noisy manifold-distance oracle.",
			N:        c.Boundary * around,
			Parts:    []report.ClaimPart{r.oracle()},
		},
		{
			Sentence: "Mutual information of manifold and gradient is a function of effective problem dimension and number of training points.",
			N:        c.Boundary * around,
			Parts:    r.dependence(),
		},
		{Sentence: "On real datasets, several zeroth-order attacks using dimension reduction give samples closer to the manifold."},
		{
			Sentence: "The decrease in the manifold distance measure is up to two-fold, regardless of model robustness.",
			Parts:    []report.ClaimPart{r.largest(Natural), r.largest(Robust), r.regardless()},
		},
	}
	for _, attack := range Searches {
		claims[0].Parts = append(claims[0].Parts, r.comparably(attack))
		claims[4].Parts = append(claims[4].Parts, r.closer(attack))
	}
	return study.Source{Paper: paperID, Scale: c.Scale, Dataset: r.Data, N: c.Images, Seeds: c.Seeds}.Number(claims)
}

// number is a number of one network; not ok where it was not measured.
type number func(m Measured) (value float64, ok bool)

func (r *Result) test(method, what string, of number, relation report.Relation, threshold float64) report.Test {
	return report.Test{What: fmt.Sprintf("%s, %s network", what, method), Values: study.Values(r.For(method), of), Relation: relation,
		Threshold: threshold}
}

func percent(t report.Test) report.Test {
	t.Percent = true
	return t
}

// learned are the controls that the networks are what their names say.
func (r *Result) learned(methods ...string) (controls []report.Test) {
	accuracy := study.Always(func(m Measured) float64 { return m.Accuracy })
	for _, method := range methods {
		least := 0.9
		if method == Robust {
			least = 0.8
			more := report.Test{What: fmt.Sprintf("accuracy under PGD in linf, radius %.3g, %s network minus natural", r.Config.Epsilon, Robust),
				Relation: report.AtLeast, Threshold: 0.3, Percent: true}
			standing := study.Always(func(m Measured) float64 { return m.Standing })
			more.Values = study.Minus(study.Values(r.For(Robust), standing), study.Values(r.For(Natural), standing))
			controls = append(controls, more)
		}
		controls = append(controls, percent(r.test(method, "accuracy", accuracy, report.AtLeast, least)))
	}
	return controls
}

// reached is where attacks are compared: the least of the radii within which PGD brings most images over the boundary, and its share
// there.
func (c Config) reached(m Measured) (radius, share float64, at int, ok bool) {
	for k, share := range m.Reach(PGD, SpaceGradient) {
		if share >= most {
			return c.Radii[k], share, k, true
		}
	}
	return 0, 0, 0, false
}

// against is an attack's share of images over the boundary where PGD has most, as a share of PGD's.
func (c Config) against(attack, space string) number {
	return func(m Measured) (float64, bool) {
		_, share, at, ok := c.reached(m)
		shares := m.Reach(attack, space)
		if !ok || shares == nil {
			return 0, false
		}
		return shares[at] / share, true
	}
}

func (r *Result) comparably(attack string) report.ClaimPart {
	c := r.Config
	what := fmt.Sprintf("share of images that %s brings over the boundary with %d queries within the radius at which PGD brings %g%%, "+
		"by PGD's share", attack, c.deepest(), 100*most)
	part := report.ClaimPart{Statement: attack, Test: percent(r.test(Natural, what, c.against(attack, SpaceFull), report.AtLeast, comparable)),
		Ours: fmt.Sprintf("%g%% of PGD's share: comparable, though not the same", 100*comparable),
		Controls: append(r.learned(Natural), r.test(Natural, "PGD's share of images over the boundary within its largest radius",
			func(m Measured) (float64, bool) {
				shares := m.Reach(PGD, SpaceGradient)
				if len(shares) == 0 {
					return 0, false
				}
				return shares[len(shares)-1], true
			}, report.AtLeast, most))}
	part.Beside = []report.Test{
		percent(r.test(Robust, fmt.Sprintf("the same with %d queries", c.queries()), c.against(attack, SpaceFull), "", 0)),
		percent(r.test(Natural, "share of images over the boundary at any distance, "+attack, c.successOf(attack), "", 0)),
		r.test(Natural, "mean l2 distance, "+attack+" minus PGD", c.lengthOver(attack), "", 0),
	}
	return part
}

// successOf is how often the search in the full space finds anything with all its queries.
func (c Config) successOf(attack string) number {
	return func(m Measured) (float64, bool) {
		row := m.Row(attack, SpaceFull, c.deepest())
		if row == nil {
			return 0, false
		}
		return row.Success, true
	}
}

// lengthOver is how much farther the search in the full space ends than PGD, which steps over the radii of the configuration.
func (c Config) lengthOver(attack string) number {
	return func(m Measured) (float64, bool) {
		row, pgd := m.Row(attack, SpaceFull, c.deepest()), m.Row(PGD, SpaceGradient, 0)
		if row == nil || row.Of == nil || pgd == nil || pgd.Of == nil {
			return 0, false
		}
		return row.Of.Length - pgd.Of.Length, true
	}
}

// traversal correlates, over attacks and spaces, how near few queries get with how far off the manifold they lead.
func (r *Result) traversal() report.ClaimPart {
	c := r.Config
	share, excess := func(m Means) float64 { return m.OffShare }, func(m Means) float64 { return m.Excess }
	what := func(of string, queries int) string {
		return fmt.Sprintf("Kendall's τ, over attacks and spaces, of the l2 distance after %d queries and %s", queries, of)
	}
	const off, far = "the share of the perturbation off the manifold", "the excess of the tangent residual"
	first, last := c.Budgets[0], c.queries()
	return report.ClaimPart{
		Statement: "connected", Controls: r.learned(Natural),
		Test: r.test(Natural, what(off, first), c.tau(first, share), report.Above, 0),
		Ours: "0: the fewer a search needs for a distance, the less of its way leads off the manifold. Shares are compared, which do not " +
			"shrink with the distance by themselves, as the residual's excess does",
		Beside: []report.Test{r.test(Natural, what(off, last), c.tau(last, share), "", 0),
			r.test(Robust, what(off, first), c.tau(first, share), "", 0),
			r.test(Natural, what(far, first), c.tau(first, excess), "", 0), r.test(Robust, what(far, first), c.tau(first, excess), "", 0)},
	}
}

// tau is the rank correlation of lengths with another number, over searches and spaces.
func (c Config) tau(queries int, of func(m Means) float64) number {
	return func(m Measured) (float64, bool) {
		var x, y []float64
		for _, attack := range Searches {
			for _, space := range c.Spaces {
				row := m.Row(attack, space, queries)
				if row == nil || row.Of == nil {
					return 0, false
				}
				x, y = append(x, row.Of.Length), append(y, of(*row.Of))
			}
		}
		tau := stat.Kendall(x, y, nil)
		return tau, !math.IsNaN(tau)
	}
}

// leak is a number of one experiment on spheres of each seed.
func (r *Result) leak(what string, pick func(l Leaks) (value float64, ok bool), relation report.Relation, threshold float64) report.Test {
	return report.Test{What: what, Values: study.Values(r.Spheres, pick), Relation: relation, Threshold: threshold}
}

// sphere picks a number of the experiment of a series at a place in it.
func sphere(series string, at int, of func(l Leaked) float64) func(l Leaks) (float64, bool) {
	return func(l Leaks) (float64, bool) {
		some := study.Where(l.All, func(x Leaked) bool { return x.Series == series })
		if at >= len(some) {
			return 0, false
		}
		return of(some[at]), true
	}
}

// less subtracts a number of an experiment from that of another.
func less(a, b func(l Leaks) (float64, bool)) func(l Leaks) (float64, bool) {
	return func(l Leaks) (float64, bool) {
		x, okX := a(l)
		y, okY := b(l)
		return x - y, okX && okY
	}
}

func nats(l Leaked) float64     { return l.MI }
func shuffled(l Leaked) float64 { return math.Abs(l.Shuffled) }

// farFrom is how far the estimate is from the closed form.
func farFrom(l Leaked) float64 { return math.Abs(l.MI - l.ClosedForm) }

func (r *Result) oracle() report.ClaimPart {
	c := r.Config
	middle := len(c.TrainPoints) / 2
	name := fmt.Sprintf("%d dimensions, %d training points", c.SphereDimension, c.TrainPoints[middle])
	return report.ClaimPart{
		Statement: "a noisy oracle",
		Test: r.leak("mutual information, in nats, of a decision and the change of the distance from the manifold: spheres of "+name,
			sphere(ByTrainPoints, middle, nats), report.Above, 0),
		Ours:     "0: decisions that tell nothing of the distance",
		Controls: []report.Test{r.leak("the same with decisions shuffled", sphere(ByTrainPoints, middle, shuffled), report.AtMost, quiet)},
		Beside: []report.Test{
			r.leak("distance from the closed form at the measured angle", sphere(ByTrainPoints, middle, farFrom), report.AtMost, 0.05),
			r.leak("cosine of the gradient that decisions give and that of the distance",
				sphere(ByTrainPoints, middle, func(l Leaked) float64 { return l.Cosine }), "", 0)},
	}
}

func (r *Result) dependence() []report.ClaimPart {
	c := r.Config
	part := func(statement, series, what string, from, to int, beside ...report.Test) report.ClaimPart {
		p := report.ClaimPart{Statement: statement,
			Test:   r.leak("mutual information in nats, "+what, less(sphere(series, from, nats), sphere(series, to, nats)), report.Above, 0),
			Beside: beside}
		for _, at := range []int{from, to} {
			p.Controls = append(p.Controls, r.leak("nats with decisions shuffled", sphere(series, at, shuffled), report.AtMost, quiet))
		}
		return p
	}
	var forms []report.Test
	for i, d := range c.Dimensions {
		forms = append(forms, r.leak(fmt.Sprintf("distance from the closed form, %d dimensions", d), sphere(ByDimension, i, farFrom),
			report.AtMost, 0.05))
	}
	for i, space := range []string{SpaceManifold, SpaceRandom} {
		forms = append(forms, r.leak(fmt.Sprintf("directions of the %s space minus all, %d of %d dimensions", space, c.SphereInside, c.Ambient),
			less(sphere(BySpace, i+1, nats), sphere(BySpace, 0, nats)), "", 0))
	}
	last, many := len(c.Dimensions)-1, len(c.TrainPoints)-1
	return []report.ClaimPart{
		part("effective problem dimension", ByDimension,
			fmt.Sprintf("%d dimensions minus %d", c.Dimensions[0], c.Dimensions[last]), 0, last, forms...),
		part("number of training points", ByTrainPoints,
			fmt.Sprintf("%d training points minus %d", c.TrainPoints[many], c.TrainPoints[0]), many, 0),
	}
}

// paired is a number of a reduced space beside the full one.
func paired(attack, space string, queries int, of func(p *Pair) (float64, bool)) number {
	return func(m Measured) (float64, bool) {
		row := m.Row(attack, space, queries)
		if row == nil || row.Pair == nil {
			return 0, false
		}
		return of(row.Pair)
	}
}

func excessLess(p *Pair) (float64, bool)  { return p.Reduced - p.Full, true }
func matchedLess(p *Pair) (float64, bool) { return p.MatchedReduced - p.MatchedFull, true }
func fullExcess(p *Pair) (float64, bool)  { return p.Full, true }

// unlike is a reduced space's mean minus the full space's, each over what it found.
func unlike(attack, space string, queries int, of func(r *Row) (float64, bool)) number {
	return func(m Measured) (float64, bool) {
		a, b := m.Row(attack, space, queries), m.Row(attack, SpaceFull, queries)
		if a == nil || b == nil {
			return 0, false
		}
		x, okX := of(a)
		y, okY := of(b)
		return x - y, okX && okY
	}
}

func farther(r *Row) (float64, bool) {
	if r.Of == nil {
		return 0, false
	}
	return r.Of.Farther, true
}

func frechet(r *Row) (float64, bool) {
	if r.Frechet == nil {
		return 0, false
	}
	return *r.Frechet, true
}

// leaves is the control that a search in the full space leaves the manifold.
func (r *Result) leaves(method, attack string) report.Test {
	c := r.Config
	return r.test(method, "excess of the tangent residual in the full space, "+attack, paired(attack, c.reduced(), c.queries(), fullExcess),
		report.Above, 0)
}

func (r *Result) closer(attack string) report.ClaimPart {
	c := r.Config
	what := func(of, space string, queries int) string {
		return fmt.Sprintf("%s after %d queries, %s in %s minus in full space", of, queries, attack, space)
	}
	const excess = "excess of the tangent residual"
	lower := func(space string, queries int) report.Test {
		return r.test(Natural, what(excess, space, queries), paired(attack, space, queries, excessLess), report.Below, 0)
	}
	p := report.ClaimPart{Statement: attack,
		Test:     lower(c.reduced(), c.queries()),
		Controls: append(r.learned(Natural), r.leaves(Natural, attack)),
		Beside: []report.Test{
			percent(r.test(Natural, fmt.Sprintf("decrease by share, %s in %s", attack, c.reduced()),
				paired(attack, c.reduced(), c.queries(), (*Pair).Decrease), "", 0)),
			r.test(Natural, what(excess+" at matched l2", c.reduced(), c.queries()),
				paired(attack, c.reduced(), c.queries(), matchedLess), report.Below, 0),
			r.test(Natural, what("distance from the nearest training images", c.reduced(), c.queries()),
				unlike(attack, c.reduced(), c.queries(), farther), report.Below, 0),
		}}
	if c.comparesFeatures() {
		p.Beside = append(p.Beside, r.test(Natural, what("Fréchet distance", c.reduced(), c.queries()),
			unlike(attack, c.reduced(), c.queries(), frechet), report.Below, 0))
	}
	for _, space := range c.Spaces[2:] {
		p.Beside = append(p.Beside, lower(space, c.queries()))
	}
	for _, queries := range append(c.Budgets[:len(c.Budgets)-1:len(c.Budgets)-1], c.Deep...) {
		p.Beside = append(p.Beside, lower(c.reduced(), queries))
	}
	return p
}

// decreases are the decreases of one network, over searches, reduced spaces and budgets; NaN where not measured.
func (c Config) decreases(m Measured) (all []float64) {
	for _, attack := range Searches {
		for _, space := range c.Spaces[1:] {
			for _, queries := range c.Budgets {
				v, ok := paired(attack, space, queries, (*Pair).Decrease)(m)
				if !ok {
					v = math.NaN()
				}
				all = append(all, v)
			}
		}
	}
	return all
}

// elsewhereLargest is, for each network, its decrease with that search, space and budget which has the largest mean decrease over
// the networks of the other seeds: the largest of one network's own would be large by chance. One network alone has that of
// the first search in the reduced space that claims are judged by.
func (c Config) elsewhereLargest(networks []Measured) (values []float64) {
	var all [][]float64
	for _, m := range networks {
		all = append(all, c.decreases(m))
	}
	for i := range all {
		best, at := math.Inf(-1), len(c.Budgets)-1
		for k := range all[i] {
			sum := 0.0
			for j := range all {
				if j != i {
					sum += all[j][k]
				}
			}
			if len(all) > 1 && sum > best {
				best, at = sum, k
			}
		}
		if math.IsNaN(all[i][at]) {
			return nil
		}
		values = append(values, all[i][at])
	}
	return values
}

// ownLargest is the largest decrease of each network.
func (c Config) ownLargest(m Measured) (value float64, ok bool) {
	value = math.Inf(-1)
	for _, v := range c.decreases(m) {
		if v > value {
			value, ok = v, true
		}
	}
	return value, ok
}

func (r *Result) largest(method string) report.ClaimPart {
	c := r.Config
	p := report.ClaimPart{Statement: "up to two-fold, " + method + " network",
		Test: report.Test{What: "decrease of the excess by share, " + method + " network: that of the attack, space and budget which is " +
			"largest over the other seeds", Values: c.elsewhereLargest(r.For(method)), Relation: report.AtLeast, Threshold: twoFold, Percent: true},
		Controls: r.learned(method),
		Beside:   []report.Test{percent(r.test(method, "largest of each network's own", c.ownLargest, "", 0))}}
	for _, attack := range Searches {
		p.Controls = append(p.Controls, r.leaves(method, attack))
		p.Beside = append(p.Beside,
			percent(r.test(method, fmt.Sprintf("decrease by share, %s in %s after %d queries", attack, c.reduced(), c.queries()),
				paired(attack, c.reduced(), c.queries(), (*Pair).Decrease), "", 0)),
			percent(r.test(method, fmt.Sprintf("the same of the whole tangent residual, %s", attack),
				func(m Measured) (float64, bool) {
					share, ok := unlike(attack, c.reduced(), c.queries(), residual)(m)
					if !ok {
						return 0, false
					}
					return -share / m.Row(attack, SpaceFull, c.queries()).Of.Residual, true
				}, "", 0)))
	}
	return p
}

func residual(r *Row) (float64, bool) {
	if r.Of == nil {
		return 0, false
	}
	return r.Of.Residual, true
}

// regardless asks for the decrease of the adversarially trained network.
func (r *Result) regardless() report.ClaimPart {
	c := r.Config
	p := report.ClaimPart{Statement: "regardless of model robustness",
		Test: r.test(Robust, fmt.Sprintf("excess of the tangent residual after %d queries, in %s minus in full space, the larger of the attacks",
			c.queries(), c.reduced()), func(m Measured) (float64, bool) {
			worst := math.Inf(-1)
			for _, attack := range Searches {
				v, ok := paired(attack, c.reduced(), c.queries(), excessLess)(m)
				if !ok {
					return 0, false
				}
				worst = max(worst, v)
			}
			return worst, true
		}, report.Below, 0), Controls: r.learned(Natural, Robust)}
	for _, attack := range Searches {
		p.Controls = append(p.Controls, r.leaves(Robust, attack))
		for _, space := range c.Spaces[1:] {
			what := fmt.Sprintf("%s in %s minus in full space", attack, space)
			p.Beside = append(p.Beside, r.test(Robust, "excess, "+what, paired(attack, space, c.queries(), excessLess), report.Below, 0),
				r.test(Robust, "excess at matched l2, "+what, paired(attack, space, c.queries(), matchedLess), report.Below, 0))
		}
	}
	return p
}
