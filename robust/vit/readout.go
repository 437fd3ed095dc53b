package vit

import (
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"
	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust/attack"
)

// BlockRead tells how much of the image's fine detail a block still knows.
type BlockRead struct {
	Block string  `json:"block"`
	R2    float64 `json:"r2"` // of a linear read-out of the image's high frequencies, on held-out images
}

// ridge is the penalty of the read-out, in units of the mean squared length of the features.
const ridge = 1e-3

// readout tells how much of the targets can be read off the features linearly: R² = 1 - SSE/SST of a ridge regression
// that is fitted on the first half of the rows and tested on the second; 1 if all, 0 or less if nothing. features
// [n, p], targets [n, q].
//
// The dual form is solved, since there are fewer rows than features: with centered features F, K = FFᵀ and λ = ridge·tr(K)/n,
// predictions are K* (K + λI)⁻¹ (Y - mean).
func readout(features, targets *mat.Dense) (float64, error) {
	n, p := features.Dims()
	_, q := targets.Dims()
	half := n / 2
	fit, test := mat.DenseCopyOf(features.Slice(0, half, 0, p)), mat.DenseCopyOf(features.Slice(half, n, 0, p))
	y, want := mat.DenseCopyOf(targets.Slice(0, half, 0, q)), mat.DenseCopyOf(targets.Slice(half, n, 0, q))
	center(fit, test)
	center(y, want)

	var k, kTest, alpha, predicted mat.Dense
	k.Mul(fit, fit.T())
	kTest.Mul(test, fit.T())
	penalty := ridge * mat.Trace(&k) / float64(half)
	if penalty == 0 { // all features are constant: nothing can be read off them
		return 0, nil
	}
	system := mat.NewSymDense(half, nil)
	for i := range half {
		for j := i; j < half; j++ {
			system.SetSym(i, j, k.At(i, j))
		}
		system.SetSym(i, i, k.At(i, i)+penalty)
	}
	var cholesky mat.Cholesky
	if !cholesky.Factorize(system) {
		return 0, errors.New("the read-out's system is not positive definite: the features are not finite")
	}
	if err := cholesky.SolveTo(&alpha, y); err != nil {
		return 0, errors.WithMessage(err, "read-out")
	}
	predicted.Mul(&kTest, &alpha)
	predicted.Sub(want, &predicted)
	total := mat.Norm(want, 2)
	if total == 0 {
		return 0, errors.New("the read-out has nothing to predict: its targets are constant")
	}
	left := mat.Norm(&predicted, 2)
	return 1 - left*left/(total*total), nil
}

// center takes the mean of a's columns from the columns of a and b.
func center(a, b *mat.Dense) {
	rows, columns := a.Dims()
	column := make([]float64, rows)
	for j := range columns {
		mean := stat.Mean(mat.Col(column, j, a), nil)
		for _, m := range []*mat.Dense{a, b} {
			r, _ := m.Dims()
			for i := range r {
				m.Set(i, j, m.At(i, j)-mean)
			}
		}
	}
}

// blocks reads the image's high frequencies out of every block; nil for a network that does not tell of its blocks.
func (g *gauge) blocks(s *Study) ([]BlockRead, error) {
	if g.net.Inspect == nil {
		return nil, nil
	}
	images, _, err := s.sample(s.Config.InspectImages)
	if err != nil {
		return nil, err
	}
	if g.inspect == nil {
		if g.inspect, err = model.NewExec(s.e.Backend(), g.net.Store, func(scope *model.Scope, x *Node) []*Node {
			n := x.Shape().Dimensions[0]
			out := []*Node{Reshape(Sub(x, attack.Filter(x, attack.Low, min(s.layout.Height, s.layout.Width)/4)), n, -1)}
			g.blockNames = nil
			for _, f := range g.net.Inspect(scope, x) {
				if f.Kind != nets.Attention {
					g.blockNames, out = append(g.blockNames, f.Name), append(out, Reshape(f.Node, n, -1))
				}
			}
			return out
		}); err != nil {
			return nil, err
		}
	}
	out, err := g.inspect.Call(images)
	if err != nil {
		return nil, err
	}
	target := matrix(out[0])
	var found []BlockRead
	for i, t := range out[1:] {
		r2, err := readout(matrix(t), target)
		if err != nil {
			return nil, errors.WithMessagef(err, "block %s", g.blockNames[i])
		}
		found = append(found, BlockRead{Block: g.blockNames[i], R2: r2})
	}
	return found, nil
}

// matrix copies a float32 tensor [n, p].
func matrix(t *tensors.Tensor) *mat.Dense {
	d := t.Shape().Dimensions
	m := mat.NewDense(d[0], d[1], nil)
	for i, v := range tensors.MustCopyFlatData[float32](t) {
		m.Set(i/d[1], i%d[1], float64(v))
	}
	return m
}
