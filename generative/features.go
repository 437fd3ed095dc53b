package generative

import (
	"math"
	"slices"

	"github.com/pkg/errors"
	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"
)

// matrix checks rows and makes a matrix of them; least is how many there must be.
func matrix(set string, rows [][]float64, least int, who string) (*mat.Dense, error) {
	if len(rows) < least {
		return nil, errors.Errorf("generative: %s needs ≥%d samples per set, got %d %s", who, least, len(rows), set)
	}
	width := len(rows[0])
	if width == 0 {
		return nil, errors.Errorf("generative: %s samples have no features", set)
	}
	m := mat.NewDense(len(rows), width, nil)
	for i, row := range rows {
		if len(row) != width {
			return nil, errors.Errorf("generative: %s sample %d has %d features, the first has %d: want the same number", set, i, len(row), width)
		}
		for j, v := range row {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return nil, errors.Errorf("generative: %s sample %d, feature %d is %g: want finite numbers", set, i, j, v)
			}
		}
		m.SetRow(i, row)
	}
	return m, nil
}

// matrices are those of two sets with features of one width.
func matrices(who string, real, generated [][]float64, least int) (x, y *mat.Dense, err error) {
	if x, err = matrix("real", real, least, who); err != nil {
		return nil, nil, err
	}
	if y, err = matrix("generated", generated, least, who); err != nil {
		return nil, nil, err
	}
	if _, a := x.Dims(); a != y.RawMatrix().Cols {
		return nil, nil, errors.Errorf("generative: %d real and %d generated features: want those of one network", a, y.RawMatrix().Cols)
	}
	return x, y, nil
}

// squaredDistances are those of each row of x to each of y, [n][m].
func squaredDistances(x, y *mat.Dense) *mat.Dense {
	n, _ := x.Dims()
	m, _ := y.Dims()
	d := mat.NewDense(n, m, nil)
	d.Mul(x, y.T())
	a, b := squaredNorms(x), squaredNorms(y)
	for i := range n {
		row := d.RawRowView(i)
		for j := range row {
			row[j] = math.Max(0, a[i]+b[j]-2*row[j])
		}
	}
	return d
}

func squaredNorms(x *mat.Dense) []float64 {
	n, _ := x.Dims()
	norms := make([]float64, n)
	for i := range norms {
		for _, v := range x.RawRowView(i) {
			norms[i] += v * v
		}
	}
	return norms
}

// centered moves both sets by the mean of the first, so that distances lose fewer digits.
func centered(x, y *mat.Dense) {
	n, width := x.Dims()
	mean := make([]float64, width)
	for i := range n {
		for j, v := range x.RawRowView(i) {
			mean[j] += v / float64(n)
		}
	}
	for _, m := range []*mat.Dense{x, y} {
		rows, _ := m.Dims()
		for i := range rows {
			row := m.RawRowView(i)
			for j := range row {
				row[j] -= mean[j]
			}
		}
	}
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return stat.Quantile(0.5, stat.LinInterp, sorted, nil)
}
