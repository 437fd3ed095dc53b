package pairgan

import (
	"context"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/trustbook/trustbook/generative"
)

// Look holds pictures, each a list of images' bytes, [height, width, 3].
type Look struct {
	Seed int64 `json:"seed"`
	// Source, Again and Swapped: held-out source images, their reconstructions, and each in the next one's appearance.
	Source  [][]byte `json:"source"`
	Again   [][]byte `json:"again"`
	Swapped [][]byte `json:"swapped"`
	// FewSource and FewTarget are pairs.
	FewSource [][]byte `json:"few_source"`
	FewTarget [][]byte `json:"few_target"`
	// Contents are held-out source images, Wanted their counterparts. Grid has a row for each of the first appearances of
	// FewTarget, a column for each content.
	Contents [][]byte   `json:"contents"`
	Wanted   [][]byte   `json:"wanted"`
	Grid     [][][]byte `json:"grid"`
	// Samples are those of each method for the same contents, where it is given any; Nearest, of [Full]'s samples, the nearest few-shot
	// target images in features.
	Samples map[string][][]byte `json:"samples"`
	Nearest [][]byte            `json:"nearest"`
	// Film is what the target's generator made of the same codes, as it learned: pictures of FilmRows times FilmCols images.
	Film     [][][]byte `json:"film"`
	FilmRows int        `json:"film_rows"`
	FilmCols int        `json:"film_cols"`
}

const (
	lookedAt    = 10 // contents
	appearances = 4
)

// Look draws the pictures of a seed.
func (s *Study) Look(ctx context.Context, seed int64) (Look, error) {
	z, err := s.sceneOf(ctx, seed)
	if err != nil {
		return Look{}, err
	}
	l := Look{Seed: seed, Samples: map[string][][]byte{}}
	n := min(lookedAt, z.split.HeldOut.Len())
	own := z.split.HeldOut.Subset(firstRows(n))
	other := own.Subset(next(n))
	again, err := z.source.Swap(s.e, own.Source, own.Source)
	if err != nil {
		return l, err
	}
	swapped, err := z.source.Swap(s.e, own.Source, other.Source)
	if err != nil {
		return l, err
	}
	l.Source, l.Again, l.Swapped = bytesOf(own.Source, n), bytesOf(again, n), bytesOf(swapped, n)
	l.Contents, l.Wanted = l.Source, bytesOf(own.Target, n)
	l.FewSource, l.FewTarget = bytesOf(z.split.Few.Source, n), bytesOf(z.split.Few.Target, n)

	x, err := s.adapt(ctx, z, z.split.Few, s.Config.training(seed), s.options("train "+Full))
	if err != nil {
		return l, err
	}
	for row := range min(appearances, z.split.Few.Len()) {
		images, err := x.target.Synthesize(s.e, own.Source, z.split.Few.Subset([]int{row, row}).Target)
		if err != nil {
			return l, err
		}
		l.Grid = append(l.Grid, bytesOf(images, n))
	}
	for _, frame := range x.target.Film {
		l.Film = append(l.Film, bytesOf(frame, frame.Shape().Dimensions[0]))
	}
	l.FilmRows, l.FilmCols = x.target.FilmRows, x.target.FilmCols
	for _, m := range s.Config.chosen() {
		made, err := m.learn(ctx, s, z, s.options("train "+m.Name))
		if err != nil {
			return l, err
		}
		l.Samples[m.Name] = bytesOf(made.images, n)
	}
	l.Nearest, err = s.nearest(z, x.images, n)
	return l, err
}

func (s *Study) nearest(z *scene, images *tensors.Tensor, n int) ([][]byte, error) {
	f, err := z.scorer.features(images)
	if err != nil {
		return nil, err
	}
	known, err := z.scorer.features(z.split.Few.Target)
	if err != nil {
		return nil, err
	}
	_, rows, err := generative.Nearest(f[:n], known)
	if err != nil {
		return nil, err
	}
	return bytesOf(z.split.Few.Subset(rows).Target, n), nil
}

func firstRows(n int) []int {
	rows := make([]int, n)
	for i := range rows {
		rows[i] = i
	}
	return rows
}

// bytesOf are the first n images with values from 0 to 255.
func bytesOf(images *tensors.Tensor, n int) (all [][]byte) {
	d := images.Shape().Dimensions
	n = min(n, d[0])
	for row := range slices.Chunk(tensors.MustCopyFlatData[float32](images)[:n*d[1]*d[2]*d[3]], d[1]*d[2]*d[3]) {
		bytes := make([]byte, len(row))
		for i, v := range row {
			bytes[i] = byte(min(max((v+1)*127.5, 0), 255) + 0.5)
		}
		all = append(all, bytes)
	}
	return all
}
