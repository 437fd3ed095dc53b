package scoring

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
)

// Measures of the literature, oriented to grow with the generalization gap where they are right.
const (
	Frobenius     = "Frobenius norm²"              // sum of the squares of all weights
	Spectral      = "log spectral product"         // sum over matrices of the logarithm of the largest singular value
	Margin        = "−mean margin"                 // of the label's logit over the largest other, on training examples
	TrainingError = "training error"               // on the labels trained on
	Sharpness     = "sharpness"                    // error on training examples with weights noisy by 30 %
	MixupError    = "mixup error"                  // error of intra-class mixup at one half: a part of PGDL's winner
	DaviesBouldin = "Davies-Bouldin × mixup error" // PGDL's winner (Natekar and Sharma, arXiv 2012.02775): how little the classes
	// separate in a hidden layer, times the former
)

// BaselineNames are the measures that [Baselines] gives.
var BaselineNames = []string{Frobenius, Spectral, Margin, TrainingError, Sharpness, MixupError, DaviesBouldin}

const (
	sharpnessNoise = 0.3
	sharpnessDraws = 5
)

// Baselines computes the measures that Gi and Pal scores are held against, by name, from a network and training examples with the
// labels that it was trained on. intra is the curve of intra-class mixup at the input on these examples. The network's weights
// are moved for the sharpness, and put back.
func (r *Responder) Baselines(ctx context.Context, d fit.Data, intra Curve) (map[string]float64, error) {
	margins, accuracy, err := r.Margins(ctx, d)
	if err != nil {
		return nil, err
	}
	b := map[string]float64{Margin: -stat.Mean(margins, nil), TrainingError: 1 - accuracy}
	if b[Frobenius], b[Spectral], err = Norms(r.Model); err != nil {
		return nil, err
	}
	if b[Sharpness], err = r.sharpness(ctx, d); err != nil {
		return nil, err
	}
	half, err := intra.At(0.5)
	if err != nil {
		return nil, err
	}
	b[MixupError] = 1 - half
	hidden, err := r.Hidden(ctx, d.Images, min(1, len(r.Stages)-1))
	if err != nil {
		return nil, err
	}
	index, err := DaviesBouldinIndex(hidden, d.Labels)
	b[DaviesBouldin] = index * b[MixupError]
	return b, err
}

// Norms returns the sum of the squares of all weights, and the sum of the logarithms of the largest singular values of the
// weights with two axes or more, kernels as matrices of all else by outputs.
func Norms(m *nets.Model) (squares, logSpectral float64, err error) {
	for _, w := range m.Weights() {
		value, err := w.Value()
		if err != nil {
			return 0, 0, err
		}
		flat := tensors.MustCopyFlatData[float32](value)
		entries := make([]float64, len(flat))
		for i, v := range flat {
			entries[i] = float64(v)
		}
		squares += floats.Dot(entries, entries)
		dims := value.Shape().Dimensions
		if len(dims) < 2 {
			continue
		}
		columns := dims[len(dims)-1]
		if l, _ := nets.LayoutOf(m.InputShape); len(dims) > 2 && l.ChannelsFirst { // kernels [outputs, inputs, height, width]
			columns = len(entries) / dims[0]
		}
		norm, err := spectralNorm(mat.NewDense(len(entries)/columns, columns, entries))
		if err != nil {
			return 0, 0, errors.WithMessagef(err, "scoring: weight %s", w.Path())
		}
		logSpectral += math.Log(norm)
	}
	return squares, logSpectral, nil
}

// spectralNorm is the root of the largest eigenvalue of AᵀA.
func spectralNorm(a *mat.Dense) (float64, error) {
	rows, columns := a.Dims()
	var gram mat.SymDense
	if gram.SymOuterK(1, a.T()); rows < columns {
		gram = mat.SymDense{}
		gram.SymOuterK(1, a)
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(&gram, false) {
		return 0, errors.New("no eigenvalues found: are the weights finite?")
	}
	return math.Sqrt(max(0, slices.Max(eigen.Values(nil)))), nil
}

// sharpness is the mean error with each weight w replaced by w·(1 + 0.3·g), g standard normal.
func (r *Responder) sharpness(ctx context.Context, d fit.Data) (mean float64, err error) {
	kept := make([]*tensors.Tensor, len(r.Model.Weights()))
	for i, w := range r.Model.Weights() {
		value, err := w.Value()
		if err != nil {
			return 0, err
		}
		if kept[i], err = value.LocalClone(); err != nil {
			return 0, err
		}
	}
	defer func() {
		for i, w := range r.Model.Weights() {
			if setErr := w.SetValue(kept[i]); err == nil {
				err = setErr
			}
		}
	}()
	rng := rand.New(rand.NewPCG(uint64(r.options.Seed), 0x7368617270)) // the stream "sharp"
	for range sharpnessDraws {
		for i, w := range r.Model.Weights() {
			flat := tensors.MustCopyFlatData[float32](kept[i])
			for k := range flat {
				flat[k] *= float32(1 + sharpnessNoise*rng.NormFloat64())
			}
			if err := w.SetValue(tensors.FromFlatDataAndDimensions(flat, kept[i].Shape().Dimensions...)); err != nil {
				return 0, err
			}
		}
		_, accuracy, err := r.Margins(ctx, d)
		if err != nil {
			return 0, err
		}
		mean += (1 - accuracy) / sharpnessDraws
	}
	return mean, nil
}

// DaviesBouldinIndex tells how little classes separate (Davies and Bouldin, 1979): the mean over classes of the worst other
// class's (sᵢ + sⱼ) / |cᵢ - cⱼ|, with cᵢ the middle of a class and sᵢ the mean distance to it. values is [n, ...].
func DaviesBouldinIndex(values *tensors.Tensor, labels []int32) (float64, error) {
	flat := tensors.MustCopyFlatData[float32](values)
	if len(labels) == 0 || len(flat)%len(labels) != 0 || values.Shape().Dimensions[0] != len(labels) {
		return 0, errors.Errorf("scoring: %d labels for values of shape %s: give one each", len(labels), values.Shape())
	}
	width := len(flat) / len(labels)
	row := func(i int) []float64 {
		out := make([]float64, width)
		for k := range out {
			out[k] = float64(flat[i*width+k])
		}
		return out
	}
	var classes []int32
	members := map[int32][]int{}
	for i, y := range labels {
		if members[y] == nil {
			classes = append(classes, y)
		}
		members[y] = append(members[y], i)
	}
	if len(classes) < 2 {
		return 0, errors.New("scoring: the Davies-Bouldin index needs two classes")
	}
	slices.Sort(classes)
	middles, spreads := make([][]float64, len(classes)), make([]float64, len(classes))
	for c, y := range classes {
		middles[c] = make([]float64, width)
		for _, i := range members[y] {
			floats.Add(middles[c], row(i))
		}
		floats.Scale(1/float64(len(members[y])), middles[c])
		for _, i := range members[y] {
			spreads[c] += floats.Distance(row(i), middles[c], 2) / float64(len(members[y]))
		}
	}
	sum := 0.0
	for c := range classes {
		worst := 0.0
		for o := range classes {
			if o == c {
				continue
			}
			apart := floats.Distance(middles[c], middles[o], 2)
			if apart == 0 {
				return 0, errors.Errorf("scoring: classes %d and %d have the same middle: the Davies-Bouldin index is undefined",
					classes[c], classes[o])
			}
			worst = max(worst, (spreads[c]+spreads[o])/apart)
		}
		sum += worst / float64(len(classes))
	}
	return sum, nil
}
