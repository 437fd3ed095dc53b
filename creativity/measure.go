package creativity

import (
	"context"
	"slices"

	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/creativity/scan"
	"github.com/trustbook/trustbook/study"
)

// Measured are the numbers of one method with one seed.
type Measured struct {
	Method string  `json:"method"`
	Seed   int64   `json:"seed"`
	Bound  float64 `json:"bound"` // negative ELBO of the autoencoder, nats an image, after training
	Apart  float64 `json:"apart"` // the same of independent pixels
	Live   int     `json:"live"`  // nodes of the changed layer that are active at all
	Scans  []Scan  `json:"scans"`
	Nodes  Nodes   `json:"nodes"`
	// Shares of the samples that count as novel, valuable and both; see the report for how that is told.
	Novel    float64 `json:"novel"`
	Valuable float64 `json:"valuable"`
	Creative float64 `json:"creative"`
}

// Scan is what scans in one space found.
type Scan struct {
	Space  Space     `json:"space"`
	Score  string    `json:"score"`
	Tail   string    `json:"tail"`
	Single scan.Area `json:"single"` // detection of single samples
	// Mean numbers of nodes in the subsets of single samples, and how likely a sample of the mode has the larger one.
	NormalNodes float64 `json:"normal_nodes"`
	ModeNodes   float64 `json:"mode_nodes"`
	Larger      float64 `json:"larger"`
	// LargerIfCreative is the same of samples of the mode that count as creative against its others; absent where there are
	// fewer than fewest of either.
	LargerIfCreative *float64 `json:"larger_if_creative,omitempty"`
	Groups           []Group  `json:"groups,omitempty"`
}

// Group is what group scans found.
type Group struct {
	Share        float64   `json:"share"` // of the group, decoded with the mode
	Area         scan.Area `json:"area"`
	RowPrecision float64   `json:"row_precision"`
	RowRecall    float64   `json:"row_recall"`
	// NodePrecision and NodeRecall compare the found nodes with those that the mode changed; absent where it changed none in
	// all samples alike, and in other spaces.
	NodePrecision *float64 `json:"node_precision,omitempty"`
	NodeRecall    *float64 `json:"node_recall,omitempty"`
}

// fewest is how many samples of a label a comparison takes.
const fewest = 20

// Scan returns the scans of a space by score and tail; nil if the run left them out.
func (m Measured) Scan(space Space, score, tail string) *Scan {
	for i, s := range m.Scans {
		if s.Space == space && s.Score == score && s.Tail == tail {
			return &m.Scans[i]
		}
	}
	return nil
}

// Group returns the group scans with a share of the mode's samples; nil if the run left them out.
func (s *Scan) Group(share float64) *Group {
	if s == nil {
		return nil
	}
	if i := slices.IndexFunc(s.Groups, func(g Group) bool { return g.Share == share }); i >= 0 {
		return &s.Groups[i]
	}
	return nil
}

// Measure decodes a seed's samples with a method and scans them.
func (s *Study) Measure(ctx context.Context, m Method, seed int64) (Measured, error) {
	c := s.Config
	r := Measured{Method: m.Name, Seed: seed}
	z, err := s.Scene(ctx, seed)
	if err != nil {
		return r, err
	}
	r.Bound, r.Apart, r.Live = z.Bound, z.Apart, len(z.Decoder.Profile.Live)
	d, err := z.Decode(m.Mode)
	if err != nil {
		return r, err
	}
	judged, err := z.judge.judge(d.Pixels)
	if err != nil {
		return r, err
	}
	for _, l := range judged {
		r.Novel += share(l.novel, len(judged))
		r.Valuable += share(l.valuable, len(judged))
		r.Creative += share(l.creative(), len(judged))
	}
	tails := []scan.Tail{scan.Two, scan.Upper}
	c.Progress.Begin("scan "+study.Label(m.Name, seed), 0, len(Spaces)*len(c.Scores)*len(tails))
	defer c.Progress.End()
	for _, space := range Spaces {
		for _, tail := range tails {
			normal, creative, err := z.Ranks(d, space, tail)
			if err != nil {
				return r, err
			}
			for _, name := range c.Scores {
				if err := ctx.Err(); err != nil {
					return r, err
				}
				found, err := s.scans(normal, creative, name, space, tail, d.Changed, judged, seed)
				if err != nil {
					return r, err
				}
				r.Scans = append(r.Scans, found)
				c.Progress.Advance(1)
			}
		}
	}
	r.Nodes, err = s.compare(z, d)
	return r, err
}

func share(holds bool, of int) float64 {
	if holds {
		return 1 / float64(of)
	}
	return 0
}

// scans are single and group scans with one score.
func (s *Study) scans(normal, creative *scan.Ranks, name string, space Space, tail scan.Tail, changed []int, judged []labels,
	seed int64) (Scan, error) {
	c, r := s.Config, Scan{Space: space, Score: name, Tail: tail.String()}
	score, err := scan.ParseScore(name)
	if err != nil {
		return r, err
	}
	o := scan.Options{Score: score, Starts: c.Starts, Seed: uint64(seed)}
	usual, err := scan.Singles(normal, o)
	if err != nil {
		return r, err
	}
	found, err := scan.Singles(creative, o)
	if err != nil {
		return r, err
	}
	if r.Single, err = scan.Detect(scores(usual), scores(found)); err != nil {
		return r, err
	}
	r.NormalNodes, r.ModeNodes = stat.Mean(sizes(usual), nil), stat.Mean(sizes(found), nil)
	larger, err := scan.Detect(sizes(usual), sizes(found))
	if err != nil {
		return r, err
	}
	r.Larger = larger.AUC
	var creativeSizes, otherSizes []float64
	for i, n := range sizes(found) {
		if judged[i].creative() {
			creativeSizes = append(creativeSizes, n)
		} else {
			otherSizes = append(otherSizes, n)
		}
	}
	if min(len(creativeSizes), len(otherSizes)) >= fewest {
		larger, err := scan.Detect(otherSizes, creativeSizes)
		if err != nil {
			return r, err
		}
		r.LargerIfCreative = &larger.AUC
	}
	if !slices.Contains(c.GroupTails, tail.String()) {
		return r, nil
	}
	if space != ChangedLayer {
		changed = nil
	}
	for _, part := range c.Shares {
		g, err := s.group(normal, creative, part, changed, o)
		if err != nil {
			return r, err
		}
		r.Groups = append(r.Groups, g)
	}
	return r, nil
}

func (s *Study) group(normal, creative *scan.Ranks, part float64, changed []int, o scan.Options) (Group, error) {
	c := s.Config
	p, err := scan.DetectionPower(normal, creative, c.Group, c.count(part), c.Runs, o)
	if err != nil {
		return Group{}, err
	}
	g := Group{Share: part, Area: p.Area, RowPrecision: p.RowPrecision, RowRecall: p.RowRecall}
	if len(changed) > 0 {
		var precision, recall float64
		for _, found := range p.Subsets {
			a, b := scan.Overlap(found.Nodes, changed)
			precision, recall = precision+a/float64(len(p.Subsets)), recall+b/float64(len(p.Subsets))
		}
		g.NodePrecision, g.NodeRecall = &precision, &recall
	}
	return g, nil
}

func scores(subsets []scan.Subset) []float64 {
	return study.Values(subsets, study.Always(func(s scan.Subset) float64 { return s.Score }))
}

func sizes(subsets []scan.Subset) []float64 {
	return study.Values(subsets, study.Always(func(s scan.Subset) float64 { return float64(len(s.Nodes)) }))
}
