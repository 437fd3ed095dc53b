package hardlabel

import (
	"context"
	"slices"
)

// Look is what pictures show of one network with the first seed: one image, and how attacks get from far to near it.
type Look struct {
	Method string  `json:"method"`
	Clean  []byte  `json:"clean"` // pixels of 8 bits
	Paths  []Path  `json:"paths"`
	Clouds []Cloud `json:"clouds"`
}

// Path is what an attack had found of the image after each number of queries, from the first that was enough.
type Path struct {
	Attack  string    `json:"attack"`
	Space   string    `json:"space"`
	Queries []int     `json:"queries"`
	Length  []float64 `json:"length"` // l2 distance from the clean image
	Images  [][]byte  `json:"images"`
}

// Cloud has what an attack found of all images with as many queries as claims are judged by: how far each is from its clean image,
// and the excess of its tangent residual.
type Cloud struct {
	Attack string    `json:"attack"`
	Space  string    `json:"space"`
	Length []float64 `json:"length"`
	Excess []float64 `json:"excess"`
}

// Path returns what an attack did in a space; nil if there is nothing.
func (l Look) Path(attack, space string) *Path {
	for i, p := range l.Paths {
		if p.Attack == attack && p.Space == space {
			return &l.Paths[i]
		}
	}
	return nil
}

// Look attacks the network of a method and seed, unless Attack did, and takes the pictures. The image is the first that all searches
// got over the boundary, else the first.
func (s *Study) Look(ctx context.Context, method string, seed int64) (Look, error) {
	l := Look{Method: method}
	a, err := s.Attack(ctx, method, seed)
	if err != nil {
		return l, err
	}
	z, err := s.Scene(ctx, seed)
	if err != nil {
		return l, err
	}
	queries := s.Config.queries()
	clean, all, err := s.examine(z, a, func(run AttackRun, at int) bool { return at == queries && slices.Contains(Searches, run.Attack) })
	if err != nil {
		return l, err
	}
	for _, f := range all {
		points := Cloud{Attack: f.Attack, Space: f.Space}
		for i, x := range f.of {
			if x != nil {
				points.Length, points.Excess = append(points.Length, x.length), append(points.Excess, x.residual-clean[i].residual)
			}
		}
		if len(points.Length) > 0 {
			l.Clouds = append(l.Clouds, points)
		}
	}
	shown := a.shown(queries)
	l.Clean = eightBits(a.clean[shown])
	for _, run := range a.Runs {
		if !slices.Contains(Searches, run.Attack) {
			continue
		}
		p := Path{Attack: run.Attack, Space: run.Space}
		for k, queries := range run.Budgets {
			if image := run.Found[k][shown]; image != nil {
				length, _ := distance(image, a.clean[shown])
				p.Queries, p.Length, p.Images = append(p.Queries, queries), append(p.Length, length), append(p.Images, eightBits(image))
			}
		}
		if len(p.Queries) > 0 {
			l.Paths = append(l.Paths, p)
		}
	}
	return l, nil
}

// shown is the image for pictures.
func (a *Attacked) shown(queries int) int {
	for i := range a.Labels {
		all := true
		for _, run := range a.Runs {
			all = all && (!slices.Contains(Searches, run.Attack) || run.At(queries)[i] != nil)
		}
		if all {
			return i
		}
	}
	return 0
}

func eightBits(pixels []float32) []byte {
	out := make([]byte, len(pixels))
	for i, v := range pixels {
		out[i] = byte(v*255 + 0.5)
	}
	return out
}
