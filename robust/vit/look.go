package vit

import (
	"context"
	"fmt"
	"math"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"
	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/study"
)

// looked is how many test images are shown in pictures, and maxLookedSide how large they may be, so that results stay
// small files.
const looked, maxLookedSide = 5, 64

// Look is what a network makes of the first few test images: PGD's perturbations at Reference, one channel of the first
// block's output, the one that varies most, and how much each place is attended to in the last block (mean over heads and
// asking tokens; transformers only). Each holds one row an image.
type Look struct {
	Model     string      `json:"model"`
	Delta     [][]float32 `json:"delta"`     // [height·width·channels]
	Feature   [][]float32 `json:"feature"`   // [side²]
	Attention [][]float32 `json:"attention"` // [side²]
}

// Gallery are a few test images, and what networks make of them.
type Gallery struct {
	Images [][]float32 `json:"images"` // [height·width·channels] each
	Looks  []Look      `json:"looks"`
}

// hung are the models that the gallery shows: the CNN and the transformer, if images are small enough.
func (s *Study) hung() []Model {
	if max(s.layout.Height, s.layout.Width) > maxLookedSide {
		return nil
	}
	return study.Where(s.Models, func(m Model) bool { return m.build != nil && (m.Name == CNN || m.Name == ViT) })
}

// gallery records what the first seed's networks make of the first test images that all classify right.
func (s *Study) gallery(ctx context.Context) (found Gallery, err error) {
	models := s.hung()
	gauges := make([]*gauge, len(models))
	right := slices.Repeat([]bool{true}, len(s.labels))
	for i, m := range models {
		if gauges[i], err = s.gauged(ctx, m.architecture(), m, s.Config.Seeds[0]); err != nil {
			return found, err
		}
		classes, err := gauges[i].victim.Predictions(ctx, s.images, nil)
		if err != nil {
			return found, err
		}
		for row, y := range s.labels {
			right[row] = right[row] && classes[row] == y
		}
	}
	values, err := tensors.CopyFlatData[float32](s.images)
	if err != nil {
		return found, err
	}
	var labels []int32
	for row, image := range rows(values, len(s.labels)) {
		if right[row] && len(labels) < looked {
			found.Images, labels = append(found.Images, image), append(labels, s.labels[row])
		}
	}
	if len(labels) == 0 {
		return found, nil
	}
	for i, g := range gauges {
		l, err := g.look(ctx, s, found.Images, labels)
		if err != nil {
			return found, errors.WithMessage(err, models[i].Name)
		}
		l.Model = models[i].Name
		found.Looks = append(found.Looks, l)
	}
	return found, nil
}

// look attacks the images and looks into the network.
func (g *gauge) look(ctx context.Context, s *Study, images [][]float32, labels []int32) (l Look, err error) {
	n := len(images)
	x := tensors.FromFlatDataAndDimensions(slices.Concat(images...), append([]int{n}, g.net.InputShape...)...)
	p := s.problem(s.Config.Reference, s.Config.Seeds[0])
	p.Images, p.Goal.Labels = x, labels
	o, err := robust.Evaluate(ctx, g.victim, s.Config.pgd(s.Config.Reference), p)
	if err != nil {
		return l, err
	}
	attends, ofTokens := false, false
	exec, err := model.NewExec(s.e.Backend(), g.net.Store, func(scope *model.Scope, x, moved *Node) []*Node {
		var first, last *Node
		for _, f := range g.net.Inspect(scope, x) {
			switch {
			case f.Kind == nets.Attention:
				last = f.Node
			case first == nil && f.Name == "block 1":
				first, ofTokens = f.Node, f.Kind == nets.Tokens
			}
		}
		out := []*Node{Sub(moved, x), Reshape(first, n, -1, first.Shape().Dimensions[first.Rank()-1])}
		if attends = last != nil; attends {
			out = append(out, ReduceMean(last, 1, 2))
		}
		return out
	})
	if err != nil {
		return l, err
	}
	defer exec.Finalize()
	out, err := exec.Call(x, o.Perturbed)
	if err != nil {
		return l, err
	}
	l.Delta = rows(tensors.MustCopyFlatData[float32](out[0]), n)
	if l.Feature = liveliest(out[1]); ofTokens {
		l.Feature = onGrid(l.Feature)
	}
	if attends {
		l.Attention = onGrid(rows(tensors.MustCopyFlatData[float32](out[2]), n))
	}
	return l, nil
}

// rows cuts values into n rows of equal length.
func rows(values []float32, n int) [][]float32 {
	return slices.Collect(slices.Chunk(values, len(values)/n))
}

// onGrid leaves out a class token, which comes first, so that the rest fill a square.
func onGrid(rows [][]float32) [][]float32 {
	for i, row := range rows {
		side := int(math.Sqrt(float64(len(row))))
		rows[i] = row[len(row)-side*side:]
	}
	return rows
}

// liveliest is the channel of features [images, places, channels] with the largest variance.
func liveliest(features *tensors.Tensor) [][]float32 {
	d := features.Shape().Dimensions
	values := tensors.MustCopyFlatData[float32](features)
	channel := func(c int) (v []float64) {
		for i := c; i < len(values); i += d[2] {
			v = append(v, float64(values[i]))
		}
		return v
	}
	best, most := 0, -1.0
	for c := range d[2] {
		if v := stat.Variance(channel(c), nil); v > most {
			best, most = c, v
		}
	}
	var found []float32
	for _, v := range channel(best) {
		found = append(found, float32(v))
	}
	return rows(found, d[0])
}

// Pictures shows what a convolutional network and a transformer make of a few test images: PGD's perturbations, what the
// first block hands on, and where the last block of the transformer looks. It is nil for imported networks.
func (r *Result) Pictures() *report.Grid {
	if len(r.Gallery.Looks) == 0 {
		return nil
	}
	g := &report.Grid{Title: "What the networks see", Columns: []string{"image"},
		Caption: fmt.Sprintf("Perturbations of PGD at radius %.3g (red: brighter, blue: darker; pale pixels kept their random start, "+
			"for want of a gradient), the liveliest channel of the first block's output, and how much each patch is attended to in the "+
			"transformer's last block; first seed.", r.Config.Reference)}
	for _, pixels := range r.Gallery.Images {
		g.Rows = append(g.Rows, []report.Image{report.NewImage(pixels, r.Shape...)})
	}
	for _, look := range r.Gallery.Looks {
		g.Columns = append(g.Columns, look.Model+": perturbation", look.Model+": block 1")
		for i := range g.Rows {
			delta := report.NewImage(look.Delta[i], r.Shape...)
			delta.Diverging = true
			delta.Range[1] = float32(r.Config.Reference)
			g.Rows[i] = append(g.Rows[i], delta, r.enlarged(look.Feature[i]))
		}
		if look.Attention != nil {
			g.Columns = append(g.Columns, look.Model+": attention")
			for i := range g.Rows {
				g.Rows[i] = append(g.Rows[i], r.enlarged(look.Attention[i]))
			}
		}
	}
	return g
}

// enlarged draws a square of numbers at the image's size, the smallest black and the largest white.
func (r *Result) enlarged(values []float32) report.Image {
	height, width := r.Shape[0], r.Shape[1]
	side := int(math.Sqrt(float64(len(values))))
	pixels := make([]float32, height*width)
	for y := range height {
		for x := range width {
			pixels[y*width+x] = values[y*side/height*side+x*side/width]
		}
	}
	m := report.NewImage(pixels, height, width)
	m.Range = [2]float32{slices.Min(values), slices.Max(values)}
	return m
}
