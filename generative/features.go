package generative

import (
	"math"
	"runtime"
	"slices"
	"sync"

	"github.com/pkg/errors"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"
)

// matrix checks rows and makes a matrix of them; set is what one of them is called, least is how many there must be.
func matrix(set string, rows [][]float64, least int, who string) (*mat.Dense, error) {
	if len(rows) < least {
		return nil, errors.Errorf("generative: %s needs ≥%d samples per set, got %d %ss", who, least, len(rows), set)
	}
	width := len(rows[0])
	if width == 0 {
		return nil, errors.Errorf("generative: %ss have no features", set)
	}
	m := mat.NewDense(len(rows), width, nil)
	for i, row := range rows {
		if len(row) != width {
			return nil, errors.Errorf("generative: %s %d has %d features, the first has %d: want the same number", set, i, len(row), width)
		}
		for j, v := range row {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return nil, errors.Errorf("generative: %s %d, feature %d is %g: want finite numbers", set, i, j, v)
			}
		}
		m.SetRow(i, row)
	}
	return m, nil
}

// comparedSets are what samples of the two sets that are compared are called.
var comparedSets = [2]string{"real sample", "generated sample"}

// matrices are those of two sets with features of one width.
func matrices(who string, sets [2]string, a, b [][]float64, least int) (x, y *mat.Dense, err error) {
	if x, err = matrix(sets[0], a, least, who); err != nil {
		return nil, nil, err
	}
	if y, err = matrix(sets[1], b, least, who); err != nil {
		return nil, nil, err
	}
	if _, d := x.Dims(); d != y.RawMatrix().Cols {
		return nil, nil, errors.Errorf("generative: a %s has %d features, a %s %d features: want those of one network", sets[0], d,
			sets[1], y.RawMatrix().Cols)
	}
	return x, y, nil
}

// tooLarge is the error of a measure that is not finite, of features that are.
func tooLarge(who string, sets ...*mat.Dense) error {
	largest := 0.0
	for _, x := range sets {
		largest = max(largest, mat.Max(x), -mat.Min(x))
	}
	return errors.Errorf("generative: %s overflows: features as large as %.1e are too large to be squared and summed in float64: "+
		"divide those of both sets by the same number", who, largest)
}

func isFinite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// blockValues is about how many products are in memory at once (128 MiB). A variable for tests.
var blockValues = 1 << 24

// tileRows is how many rows of the second set stay in the processor's cache while all of a block of the first meet them.
const tileRows = 64

// products hands out, for each row of x in turn, its products with all rows of y. What is done with a row may change it, and ends
// all of it with false. A product is the same bits wherever its two rows are, so that copies of a sample are equally far from others.
func products(x, y *mat.Dense, do func(i int, row []float64) bool) {
	n, _ := x.Dims()
	m, _ := y.Dims()
	rows := min(n, max(1, blockValues/m))
	block := make([]float64, rows*m)
	for first := 0; first < n; first += rows {
		last := min(n, first+rows)
		share := (last - first + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0)
		var all sync.WaitGroup
		for from := first; from < last; from += share {
			all.Go(func() {
				for tile := 0; tile < m; tile += tileRows {
					for i := from; i < min(last, from+share); i++ {
						for j := tile; j < min(m, tile+tileRows); j++ {
							block[(i-first)*m+j] = floats.Dot(x.RawRowView(i), y.RawRowView(j))
						}
					}
				}
			})
		}
		all.Wait()
		for i := first; i < last; i++ {
			if !do(i, block[(i-first)*m:(i-first+1)*m]) {
				return
			}
		}
	}
}

// squaredDistances hands out, for each row of x in turn, its squared distances to all rows of y, which may be changed.
func squaredDistances(who string, x, y *mat.Dense, do func(i int, row []float64)) error {
	a, b := squaredNorms(x), squaredNorms(y)
	finite := true
	products(x, y, func(i int, row []float64) bool {
		for j := range row {
			row[j] = math.Max(0, a[i]+b[j]-2*row[j])
			finite = finite && isFinite(row[j])
		}
		if finite {
			do(i, row)
		}
		return finite
	})
	if !finite {
		return tooLarge(who, x, y)
	}
	return nil
}

func squaredNorms(x *mat.Dense) []float64 {
	n, _ := x.Dims()
	norms := make([]float64, n)
	for i := range norms {
		norms[i] = floats.Dot(x.RawRowView(i), x.RawRowView(i)) // the same bits as products'
	}
	return norms
}

// centered moves both sets by about the mean of the first, so that distances lose fewer digits. Each feature moves by a whole number of
// powers of two as large as it varies, which rounds nothing that has few digits: distances of whole numbers that are equal stay so.
func centered(x, y *mat.Dense) {
	n, width := x.Dims()
	column := make([]float64, n)
	for j := range width {
		mat.Col(column, j, x)
		least, most := slices.Min(column), slices.Max(column)
		move := least
		if most > least {
			_, exponent := math.Frexp(most - least)
			step := math.Ldexp(1, exponent)
			move = step * math.Round(stat.Mean(column, nil)/step)
		}
		for _, m := range []*mat.Dense{x, y} {
			rows, _ := m.Dims()
			for i := range rows {
				m.Set(i, j, m.At(i, j)-move)
			}
		}
	}
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return stat.Quantile(0.5, stat.LinInterp, sorted, nil)
}
