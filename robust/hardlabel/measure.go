package hardlabel

import (
	"context"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/robust/manifold"
	"github.com/trustbook/trustbook/study"
)

// Measured are the numbers of one network.
type Measured struct {
	Method   string   `json:"method"`
	Seed     int64    `json:"seed"`
	Accuracy float64  `json:"accuracy"` // on test images
	Standing float64  `json:"standing"` // accuracy under PGD in linf, with the radius of adversarial training
	Images   int      `json:"images"`   // that were attacked
	Residual float64  `json:"residual"` // tangent residual of those, mean
	Nearness float64  `json:"nearness"` // mean distance to the nearest training images of those, mean
	Rows     []Row    `json:"rows"`
	Reaches  []Reach  `json:"reaches"`
	Courses  []Course `json:"courses"`
}

// Row is what an attack in a space found with so many queries.
type Row struct {
	Attack  string  `json:"attack"`
	Space   string  `json:"space"`
	Queries int     `json:"queries"` // 0: by gradients
	Success float64 `json:"success"` // share of the images
	Of      *Means  `json:"of,omitempty"`
	// Frechet is the Fréchet distance between features of what was found and of training images; absent where it is fewer than two
	// images a feature.
	Frechet *float64 `json:"frechet,omitempty"`
	// Pair compares with the same attack in the full space, with as many queries; absent for that itself and where no image was
	// found in both.
	Pair *Pair `json:"pair,omitempty"`
}

// Means are over what was found.
type Means struct {
	Length   float64 `json:"length"`   // l2 distance from the clean image
	Linf     float64 `json:"linf"`     // linf distance
	Residual float64 `json:"residual"` // tangent residual, D_T
	Excess   float64 `json:"excess"`   // that less the clean image's
	Nearness float64 `json:"nearness"` // mean distance to the nearest training images
	Farther  float64 `json:"farther"`  // that less the clean image's
	OffShare float64 `json:"off_share"`
}

// Pair is a space beside the full one, over the images that were found in both.
type Pair struct {
	Images  int     `json:"images"`
	Full    float64 `json:"full"` // excess of the tangent residual
	Reduced float64 `json:"reduced"`
	// At matched lengths: both differences from the clean image are cut to the length of the shorter one.
	MatchedFull    float64 `json:"matched_full"`
	MatchedReduced float64 `json:"matched_reduced"`
}

// Decrease is the share by which the reduced space's excess is below the full one's: 0.5 is two-fold. It is not measured where the full
// space has no excess.
func (p *Pair) Decrease() (share float64, ok bool) {
	if p == nil || p.Full <= 0 {
		return 0, false
	}
	return 1 - p.Reduced/p.Full, true
}

// Reach is the share of images that an attack brings over the boundary within each radius of Config.Radii, with all its queries.
type Reach struct {
	Attack string    `json:"attack"`
	Space  string    `json:"space"`
	Shares []float64 `json:"shares"`
}

// Course is the median distance of what a search has found after so many queries, as it tells itself; it begins where half of the
// images are over the boundary.
type Course struct {
	Attack   string    `json:"attack"`
	Space    string    `json:"space"`
	Queries  []int     `json:"queries"`
	Distance []float64 `json:"distance"` // l2
}

// Row returns what an attack found in a space with so many queries; nil if the run left it out.
func (m Measured) Row(attack, space string, queries int) *Row {
	for i, r := range m.Rows {
		if r.Attack == attack && r.Space == space && r.Queries == queries {
			return &m.Rows[i]
		}
	}
	return nil
}

// Reach returns how far an attack in a space reaches; nil if the run left it out.
func (m Measured) Reach(attack, space string) []float64 {
	for _, r := range m.Reaches {
		if r.Attack == attack && r.Space == space {
			return r.Shares
		}
	}
	return nil
}

// example is an adversarial image with what is measured of it.
type example struct {
	image                    []float32
	length, linf             float64
	residual, near, offShare float64
}

// read measures distances of images from clean ones, which stand in the same places, and from the training images.
func (s *Study) read(z *Scene, images, clean [][]float32, shape []int) ([]example, error) {
	x := stack(images, shape)
	residual, err := z.Surface.Distances(x)
	if err != nil {
		return nil, err
	}
	near, err := z.Surface.Nearest(x, s.Config.Near)
	if err != nil {
		return nil, err
	}
	off, err := z.Surface.OffShares(x, stack(clean, shape))
	if err != nil {
		return nil, err
	}
	all := make([]example, len(images))
	for i, image := range images {
		length, linf := distance(image, clean[i])
		all[i] = example{image, length, linf, residual[i], near[i], off[i]}
	}
	return all, nil
}

func distance(a, b []float32) (l2, linf float64) {
	for i, v := range a {
		d := math.Abs(float64(v) - float64(b[i]))
		l2, linf = l2+d*d, max(linf, d)
	}
	return math.Sqrt(l2), linf
}

// finds are what an attack in a space found with so many queries, one an image; nil for none.
type finds struct {
	Row
	of []*example
}

// examine measures clean images, and what attacks found at the budgets that are asked for. All is read at once, since few images take
// as long as many.
func (s *Study) examine(z *Scene, a *Attacked, asked func(r AttackRun, queries int) bool) (clean []*example, all []finds, err error) {
	images, from := slices.Clone(a.clean), slices.Clone(a.clean)
	clean = make([]*example, len(a.clean))
	var places []**example
	for i := range clean {
		places = append(places, &clean[i])
	}
	for _, run := range a.Runs {
		for k, queries := range run.Budgets {
			if !asked(run, queries) {
				continue
			}
			f := finds{Row{Attack: run.Attack, Space: run.Space, Queries: queries}, make([]*example, len(a.clean))}
			for i, image := range run.Found[k] {
				if image != nil {
					images, from, places = append(images, image), append(from, a.clean[i]), append(places, &f.of[i])
				}
			}
			all = append(all, f)
		}
	}
	examples, err := s.read(z, images, from, a.Net.InputShape)
	if err != nil {
		return nil, nil, err
	}
	for i, place := range places {
		*place = &examples[i]
	}
	return clean, all, nil
}

// Measure trains and attacks the network of a method and seed, and measures what the attacks found.
func (s *Study) Measure(ctx context.Context, method string, seed int64) (Measured, error) {
	c := s.Config
	r := Measured{Method: method, Seed: seed}
	a, err := s.Attack(ctx, method, seed)
	if err != nil {
		return r, err
	}
	z, err := s.Scene(ctx, seed)
	if err != nil {
		return r, err
	}
	c.Progress.Begin("measure "+study.Label(method, seed), 0, 1)
	defer c.Progress.End()
	clean, all, err := s.examine(z, a, func(run AttackRun, queries int) bool { // others are for pictures
		return run.Attack == PGD || slices.Contains(c.budgetsOf(method, run.Space), queries)
	})
	if err != nil {
		return r, err
	}
	r.Accuracy, r.Standing, r.Images = a.Accuracy, a.Standing, len(a.Labels)
	r.Residual = mean(clean, func(x *example) float64 { return x.residual })
	r.Nearness = mean(clean, func(x *example) float64 { return x.near })
	for i := range all {
		if err := s.average(z, a, clean, &all[i]); err != nil {
			return r, err
		}
	}
	if err := s.compareSpaces(z, a, clean, all); err != nil {
		return r, err
	}
	for i, f := range all {
		r.Rows = append(r.Rows, f.Row)
		if i == len(all)-1 || all[i+1].Attack != f.Attack || all[i+1].Space != f.Space { // its largest budget
			r.Reaches = append(r.Reaches, Reach{f.Attack, f.Space, reaching(f.of, c.Radii)})
		}
	}
	for _, run := range a.Runs {
		if slices.Contains(Searches, run.Attack) {
			r.Courses = append(r.Courses, run.course())
		}
	}
	c.Progress.Advance(1)
	return r, ctx.Err()
}

// average fills in the means of a row.
func (s *Study) average(z *Scene, a *Attacked, clean []*example, f *finds) error {
	var found, from []*example
	var images [][]float32
	for i, x := range f.of {
		if x != nil {
			found, from, images = append(found, x), append(from, clean[i]), append(images, x.image)
		}
	}
	f.Success = float64(len(found)) / float64(len(f.of))
	if len(found) == 0 {
		return nil
	}
	residual, near := func(x *example) float64 { return x.residual }, func(x *example) float64 { return x.near }
	f.Of = &Means{Length: mean(found, func(x *example) float64 { return x.length }),
		Linf: mean(found, func(x *example) float64 { return x.linf }), Residual: mean(found, residual),
		Excess:   mean(found, residual) - mean(from, residual),
		Nearness: mean(found, near), Farther: mean(found, near) - mean(from, near),
		OffShare: mean(found, func(x *example) float64 { return x.offShare })}
	if z.features == nil || len(found) < 2*s.Config.Dense {
		return nil
	}
	features, err := z.featuresOf(stack(images, a.Net.InputShape))
	if err != nil {
		return err
	}
	distance, err := manifold.Frechet(features, z.known)
	f.Frechet = &distance
	return err
}

// compareSpaces fills in the pairs of rows.
func (s *Study) compareSpaces(z *Scene, a *Attacked, clean []*example, all []finds) error {
	type place struct {
		attack  string
		queries int
	}
	full := map[place][]*example{}
	var cut [][]float32
	var sums []*float64 // where the residual of each belongs
	for k := range all {
		f := &all[k]
		at := place{f.Attack, f.Queries}
		if f.Space == SpaceFull {
			full[at] = f.of
			continue
		}
		p := &Pair{}
		for i, x := range full[at] {
			y := f.of[i]
			if x == nil || y == nil {
				continue
			}
			p.Images++
			p.Full, p.Reduced = p.Full+x.residual-clean[i].residual, p.Reduced+y.residual-clean[i].residual
			p.MatchedFull, p.MatchedReduced = p.MatchedFull-clean[i].residual, p.MatchedReduced-clean[i].residual
			length := min(x.length, y.length)
			cut = append(cut, shortened(x, a.clean[i], length), shortened(y, a.clean[i], length))
			sums = append(sums, &p.MatchedFull, &p.MatchedReduced)
		}
		if p.Images > 0 {
			f.Pair = p
		}
	}
	if len(cut) == 0 {
		return nil
	}
	residuals, err := z.Surface.Distances(stack(cut, a.Net.InputShape))
	if err != nil {
		return err
	}
	for i, v := range residuals {
		*sums[i] += v
	}
	for _, f := range all {
		if p := f.Pair; p != nil {
			for _, sum := range []*float64{&p.Full, &p.Reduced, &p.MatchedFull, &p.MatchedReduced} {
				*sum /= float64(p.Images)
			}
		}
	}
	return nil
}

// shortened is the point at a length on the way from the clean image to an adversarial one.
func shortened(x *example, clean []float32, length float64) []float32 {
	out := make([]float32, len(clean))
	for i, v := range clean {
		out[i] = float32(float64(v) + (float64(x.image[i])-float64(v))*length/x.length)
	}
	return out
}

// reaching are the shares of images with an example within each radius.
func reaching(found []*example, radii []float64) []float64 {
	shares := make([]float64, len(radii))
	for _, x := range found {
		for k, radius := range radii {
			if x != nil && x.length <= radius*(1+1e-6) { // as far as float32 may take PGD's
				shares[k] += 1 / float64(len(found))
			}
		}
	}
	return shares
}

// course reads the median distance from traces, at numbers of queries that grow by a fifth.
func (r *AttackRun) course() Course {
	c := Course{Attack: r.Attack, Space: r.Space}
	most := r.Budgets[len(r.Budgets)-1]
	for q := 20; ; q = max(q+1, q*6/5) {
		q = min(q, most)
		var distances []float64
		for _, t := range r.Outcome.Traces {
			distances = append(distances, t.Distance(q))
		}
		slices.Sort(distances)
		if d := distances[len(distances)/2]; !math.IsInf(d, 1) {
			c.Queries, c.Distance = append(c.Queries, q), append(c.Distance, d)
		}
		if q == most {
			return c
		}
	}
}

func mean[T any](all []T, value func(T) float64) float64 {
	values := make([]float64, len(all))
	for i, x := range all {
		values[i] = value(x)
	}
	return stat.Mean(values, nil)
}
