package creativity

import (
	"fmt"
	"slices"

	"github.com/trustbook/trustbook/creativity/scan"
	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/study"
)

// paperID is the arXiv id of the replicated paper.
const paperID = "2104.00479"

// Claims are judged by the mode nearest to the paper's description, and by scans with the score on the paper's poster, in both
// directions.
const judgedMode = LowActive10

var judged = scanBy{scan.KolmogorovSmirnov.String(), scan.Two.String()}

// scanBy is how a scan was made.
type scanBy struct{ score, tail string }

// shown is how the scans were made that tables and figures show: those that claims are judged by, where the run has them.
func (r *Result) shown() scanBy {
	c, by := r.Config, judged
	if !slices.Contains(c.Scores, by.score) {
		by.score = c.Scores[0]
	}
	if !slices.Contains(c.GroupTails, by.tail) {
		by.tail = c.GroupTails[0]
	}
	return by
}

// of returns the scans of a space; nil if the run left them out.
func (by scanBy) of(m Measured, space Space) *Scan { return m.Scan(space, by.score, by.tail) }

// The shares of creative samples in groups that the paper reports.
const half, tenth = 0.5, 0.1

// Claims judges the sentences of the paper's abstract by the numbers of the run.
func (r *Result) Claims() []report.Claim {
	c := r.Config
	learned := report.Test{What: "nats by which the autoencoder's bound is better than independent pixels, by share of these",
		Values:   study.Values(r.For(judgedMode), study.Always(func(m Measured) float64 { return 1 - m.Bound/m.Apart })),
		Relation: report.AtLeast, Threshold: 0.25, Percent: true}
	quiet := r.test(Unchanged, "detection of samples decoded as ever (0.5 is chance)", judged.groupAUC(ChangedLayer, half),
		report.AtMost, 0.62)
	controls := []report.Test{learned, quiet}
	claims := []report.Claim{
		{
			Sentence: "Group-based subset scanning quantifies, detects and characterizes creative processes by a subset of anomalous " +
				"node activations in the hidden layers of generative models.",
			Parts: []report.ClaimPart{
				{
					Statement: "detects creative processes",
					Test: r.test(judgedMode, "detection (AUC) of groups of which half is decoded creatively", judged.groupAUC(ChangedLayer, half),
						report.Above, 0.5),
					Ours: "0.5 is chance", Controls: controls,
					Beside: append(r.each("the same", judged.groupAUC(ChangedLayer, half)),
						r.each("of groups of which a tenth is", judged.groupAUC(ChangedLayer, tenth))...),
				},
				{
					Statement: "characterizes them by a subset of nodes",
					Test: r.test(judgedMode, "share of the nodes found that were changed, minus the share of all nodes that were", r.nodesFound,
						report.Above, 0),
					Controls: controls,
					Beside: []report.Test{r.test(judgedMode, "share of the changed nodes that are found", func(m Measured) (float64, bool) {
						return optional(judged.of(m, ChangedLayer).Group(half), func(g *Group) *float64 { return g.NodeRecall })
					}, "", 0)},
				},
			},
		},
		{
			Sentence: "Creative samples are detected better by their subset scores in activation space than in pixel space.",
			Parts: []report.ClaimPart{
				r.better("one by one", judged.single, controls),
				r.better("in groups of which half is creative", func(s Space) number { return judged.groupAUC(s, half) }, controls),
				r.better("in groups of which a tenth is", func(s Space) number { return judged.groupAUC(s, tenth) }, controls),
			},
		},
		{
			Sentence: "Creative samples generate larger subsets of anomalies than normal or non-creative samples.",
			Parts: []report.ClaimPart{
				{
					Statement: "larger than normal samples",
					Test: r.test(judgedMode, "how likely a creative sample has more anomalous nodes than a normal one", judged.larger(),
						report.Above, 0.5),
					Ours: "0.5 is chance", Controls: controls,
					Beside: append(r.each("the same", judged.larger()),
						r.each("the same, upper tail", scanBy{judged.score, scan.Upper.String()}.larger())...),
				},
				{
					Statement: "larger than non-creative samples",
					Test: r.test(judgedMode, "the same against samples of the mode that are not both novel and valuable",
						func(m Measured) (float64, bool) {
							s := judged.of(m, ChangedLayer)
							if s == nil || s.LargerIfCreative == nil {
								return 0, false
							}
							return *s.LargerIfCreative, true
						}, report.Above, 0.5),
					Ours: "0.5 is chance; the paper's labels are by people, ours by distance and a classifier", Controls: controls,
				},
			},
		},
		{
			Sentence: "The nodes highlighted in creative decoding differ from those of normal generation.",
			Parts: []report.ClaimPart{{
				Statement: "differ",
				Test: r.test(judgedMode, "likeness (Jaccard index) of samples' nodes within a kind minus between kinds",
					always(func(m Measured) float64 { return m.Nodes.Apart() }), report.Above, 0),
				Controls: append([]report.Test{r.test(Unchanged, "the same of samples decoded as ever",
					always(func(m Measured) float64 { return m.Nodes.Apart() }), report.AtMost, 0.01)}, controls...),
				Beside: append([]report.Test{r.test(judgedMode, "p-value of equal frequencies", always(func(m Measured) float64 { return m.Nodes.P }),
					report.AtMost, 0.01)}, r.each("likeness within minus between", always(func(m Measured) float64 { return m.Nodes.Apart() }))...),
			}},
		},
	}
	return study.Source{Paper: paperID, Scale: c.Scale, Dataset: r.Data, N: c.Samples, Seeds: c.Seeds}.Number(claims)
}

// number is a number of one method and seed; not ok where it was not measured.
type number func(m Measured) (value float64, ok bool)

func always(of func(m Measured) float64) number { return study.Always(of) }

// single is the detection of single samples in a space.
func (by scanBy) single(space Space) number {
	return func(m Measured) (float64, bool) {
		s := by.of(m, space)
		if s == nil {
			return 0, false
		}
		return s.Single.AUC, true
	}
}

// groupAUC is the detection of groups with a share of the mode's samples in a space.
func (by scanBy) groupAUC(space Space, share float64) number {
	return func(m Measured) (float64, bool) {
		g := by.of(m, space).Group(share)
		if g == nil {
			return 0, false
		}
		return g.Area.AUC, true
	}
}

// larger is how likely a sample of the mode has the larger subset of nodes.
func (by scanBy) larger() number {
	return func(m Measured) (float64, bool) {
		s := by.of(m, ChangedLayer)
		if s == nil {
			return 0, false
		}
		return s.Larger, true
	}
}

func optional(g *Group, of func(*Group) *float64) (float64, bool) {
	if g == nil || of(g) == nil {
		return 0, false
	}
	return *of(g), true
}

// nodesFound is the precision of the nodes found minus that of nodes at random.
func (r *Result) nodesFound(m Measured) (float64, bool) {
	precision, ok := optional(judged.of(m, ChangedLayer).Group(half), func(g *Group) *float64 { return g.NodePrecision })
	nodes := r.Config.nodes()
	return precision - float64(nodes/10)/float64(nodes), ok
}

func (r *Result) test(method, what string, of number, relation report.Relation, threshold float64) report.Test {
	return report.Test{What: fmt.Sprintf("%s, %s", what, method), Values: study.Values(r.For(method), of),
		Relation: relation, Threshold: threshold}
}

// each are the same number of the other methods of the run, for numbers that are shown beside.
func (r *Result) each(what string, of number) (tests []report.Test) {
	for _, method := range r.Config.Methods {
		if method != judgedMode {
			tests = append(tests, r.test(method, what, of, "", 0))
		}
	}
	return tests
}

// better is the part of the claim on spaces for one way to detect.
func (r *Result) better(how string, of func(Space) number, controls []report.Test) report.ClaimPart {
	test := func(method string, other Space, relation report.Relation) report.Test {
		return report.Test{What: fmt.Sprintf("detection in the changed layer minus in %s, %s", other, method), Relation: relation,
			Values: study.Minus(study.Values(r.For(method), of(ChangedLayer)), study.Values(r.For(method), of(other)))}
	}
	ceiling := r.test(judgedMode, "detection in pixels: where they tell all, nothing can be better", of(Pixels), report.AtMost, 0.99)
	part := report.ClaimPart{Statement: how, Test: test(judgedMode, Pixels, report.Above),
		Controls: append([]report.Test{ceiling}, controls...), Beside: []report.Test{test(judgedMode, RawPixels, "")}}
	for _, method := range r.Config.Methods {
		if method != judgedMode && method != Unchanged {
			part.Beside = append(part.Beside, test(method, Pixels, ""))
		}
	}
	return part
}
