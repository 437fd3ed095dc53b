package creativity

import (
	"context"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/creativity/scan"
)

// looked is how many samples are shown in pictures.
const looked = 10

// Look is what figures show of one method with the first seed.
type Look struct {
	Method string `json:"method"`
	Usual  []byte `json:"usual"`  // pixels of the first samples decoded as ever, of 8 bits
	Images []byte `json:"images"` // of the same latents decoded with the mode
	// Single scores in the changed layer (Kolmogorov-Smirnov, two tails).
	NormalScores []float64 `json:"normal_scores"`
	ModeScores   []float64 `json:"mode_scores"`
	// How often the scans find each node of the changed layer, and where samples lie by their nodes: the first two principal
	// components of the highlighted nodes.
	NormalNodes  []float64    `json:"normal_nodes"`
	ModeNodes    []float64    `json:"mode_nodes"`
	NormalPoints [][2]float64 `json:"normal_points"`
	ModePoints   [][2]float64 `json:"mode_points"`
}

func (s *Study) look(ctx context.Context, m Method, seed int64) (Look, error) {
	l := Look{Method: m.Name}
	z, err := s.Scene(ctx, seed)
	if err != nil {
		return l, err
	}
	usual, err := z.Decode(None{})
	if err != nil {
		return l, err
	}
	d, err := z.Decode(m.Mode)
	if err != nil {
		return l, err
	}
	l.Usual, l.Images = eightBits(usual.Pixels), eightBits(d.Pixels)
	normal, creative, err := z.Ranks(d, ChangedLayer, scan.Two)
	if err != nil {
		return l, err
	}
	o := scan.Options{Score: scan.KolmogorovSmirnov}
	for _, side := range []struct {
		ranks *scan.Ranks
		to    *[]float64
	}{{normal, &l.NormalScores}, {creative, &l.ModeScores}} {
		found, err := scan.Singles(side.ranks, o)
		if err != nil {
			return l, err
		}
		*side.to = scores(found)
	}
	a, b, err := s.both(z, d)
	if err != nil {
		return l, err
	}
	l.NormalNodes, l.ModeNodes = frequencies(a), frequencies(b)
	points := principal(append(append([][]float64{}, a...), b...))
	l.NormalPoints, l.ModePoints = points[:len(a)], points[len(a):]
	return l, nil
}

// eightBits are the first samples' pixels, one after the other.
func eightBits(pixels [][]float32) (all []byte) {
	for _, row := range pixels[:min(looked, len(pixels))] {
		for _, v := range row {
			all = append(all, byte(v*255+0.5))
		}
	}
	return all
}

// principal projects rows on their first two principal components; zeros where there are none.
func principal(rows [][]float64) [][2]float64 {
	x := mat.NewDense(len(rows), len(rows[0]), nil)
	for i, row := range rows {
		x.SetRow(i, row)
	}
	points := make([][2]float64, len(rows))
	var pc stat.PC
	if !pc.PrincipalComponents(x, nil) {
		return points
	}
	var ways mat.Dense
	pc.VectorsTo(&ways)
	for i, row := range rows {
		for k := range points[i] {
			points[i][k] = mat.Dot(mat.NewVecDense(len(row), row), ways.ColView(k))
		}
	}
	return points
}
