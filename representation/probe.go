package representation

import (
	"context"
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"
	"gonum.org/v1/gonum/floats"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust/manifold"
)

// Probe is how a linear classifier of features is trained: multinomial logistic regression, whose optimum is unique, so that
// differences in accuracy are those of features.
type Probe struct {
	// L2 is the penalty: the sum over examples of the cross-entropy, and half of L2 times the sum of the squared weights, are
	// minimal; biases are free. Zero: 1. It is 1/C of scikit-learn's LogisticRegression, which differs with two classes.
	L2 float64
}

// Linear is a linear classifier.
type Linear struct {
	Weights [][]float64 // [classes][values]
	Biases  []float64   // [classes], of mean 0
	Labels  []int32     // of the classes, in order
}

// Fit trains a classifier of features [n, values], float32 or float64, one label each, to convergence. An error says what is wrong
// with the data, fewer than 2 classes for one, or that training does not converge.
func (p Probe) Fit(ctx context.Context, e *engine.Engine, features *tensors.Tensor, labels []int32) (*Linear, error) {
	l, err := p.fit(ctx, e, features, labels)
	return l, errors.WithMessage(err, "linear probe")
}

func (p Probe) fit(ctx context.Context, e *engine.Engine, features *tensors.Tensor, labels []int32) (*Linear, error) {
	if p.L2 == 0 {
		p.L2 = 1
	}
	if !(p.L2 > 0) || math.IsInf(p.L2, 1) {
		return nil, errors.Errorf("L2 = %g: must be finite and above 0", p.L2)
	}
	x, n, size, err := rowsOf(features, labels)
	if err != nil {
		return nil, err
	}
	classes := slices.Clone(labels)
	slices.Sort(classes)
	classes = slices.Compact(classes)
	if len(classes) < 2 {
		return nil, errors.Errorf("all %d examples have label %d: want at least 2 classes", n, classes[0])
	}
	targets := make([]int32, n)
	for i, y := range labels {
		at, _ := slices.BinarySearch(classes, y)
		targets[i] = int32(at)
	}
	center := centered(x, size) // biases are free, so that the optimum stays
	r, err := newRegression(e, x, targets, size, len(classes), p.L2)
	if err != nil {
		return nil, err
	}
	defer r.close()
	at, err := r.minimize(ctx)
	if err != nil {
		return nil, err
	}
	return linear(at, classes, center), nil
}

// linear is the classifier of features that are not centered, from weights [values+1][classes] of those that are.
func linear(at []float64, classes []int32, center []float64) *Linear {
	size := len(center)
	l := &Linear{Labels: classes, Biases: at[size*len(classes):]}
	mean := 0.
	for c := range classes {
		w := make([]float64, size)
		for j := range w {
			w[j] = at[j*len(classes)+c]
			l.Biases[c] -= w[j] * center[j]
		}
		l.Weights = append(l.Weights, w)
		mean += l.Biases[c] / float64(len(classes))
	}
	floats.AddConst(-mean, l.Biases)
	return l
}

// Predict returns the label of each of the features [n, values]: of the class with the largest logit, the first of equal ones.
func (l *Linear) Predict(features *tensors.Tensor) ([]int32, error) {
	x, n, size, err := rowsOf(features, nil)
	if err != nil {
		return nil, errors.WithMessage(err, "linear probe")
	}
	if size != len(l.Weights[0]) {
		return nil, errors.Errorf("linear probe: features have %d values, it was trained on %d", size, len(l.Weights[0]))
	}
	labels := make([]int32, n)
	for i := range labels {
		best := math.Inf(-1)
		for c, w := range l.Weights {
			logit := l.Biases[c]
			for j, v := range x[i*size : (i+1)*size] {
				logit += w[j] * v
			}
			if logit > best {
				best, labels[i] = logit, l.Labels[c]
			}
		}
	}
	return labels, nil
}

// Accuracy trains a classifier on features [n, values] and returns the share of test features [m, values] that it tells the label of.
func (p Probe) Accuracy(ctx context.Context, e *engine.Engine, train *tensors.Tensor, labels []int32,
	test *tensors.Tensor, testLabels []int32) (float64, error) {
	if _, _, _, err := rowsOf(test, testLabels); err != nil {
		return 0, errors.WithMessage(err, "linear probe: test set")
	}
	l, err := p.Fit(ctx, e, train, labels)
	if err != nil {
		return 0, err
	}
	predicted, err := l.Predict(test)
	return share(predicted, testLabels), err
}

// KNNAccuracy is the share of test features [m, values] whose label is the most frequent one among their k nearest training features
// [n, values], by the l2 distance: of equally frequent ones the smallest, of equally near ones those that come first.
func KNNAccuracy(e *engine.Engine, k int, train *tensors.Tensor, labels []int32,
	test *tensors.Tensor, testLabels []int32) (float64, error) {
	if _, _, _, err := rowsOf(train, labels); err != nil {
		return 0, errors.WithMessage(err, "knn: training set")
	}
	if _, _, _, err := rowsOf(test, testLabels); err != nil {
		return 0, errors.WithMessage(err, "knn: test set")
	}
	near, err := manifold.Neighbors(e, train, test, k)
	if err != nil {
		return 0, err
	}
	predicted := make([]int32, len(near))
	for i, rows := range near {
		votes := nets.PickRows(labels, 1, rows)
		slices.Sort(votes)
		most := 0
		for from := 0; from < len(votes); {
			to := from
			for to < len(votes) && votes[to] == votes[from] {
				to++
			}
			if to-from > most {
				most, predicted[i] = to-from, votes[from]
			}
			from = to
		}
	}
	return share(predicted, testLabels), nil
}

// share is that of labels which are right.
func share(predicted, labels []int32) float64 {
	right := 0
	for i, y := range predicted {
		if y == labels[i] {
			right++
		}
	}
	return float64(right) / float64(len(labels))
}

// rowsOf reads features [n, values], and checks that labels, if there are any, are one each and not negative.
func rowsOf(features *tensors.Tensor, labels []int32) (rows []float64, n, size int, err error) {
	if features == nil {
		return nil, 0, 0, errors.New("no features given: want float32 or float64 [n, values]")
	}
	shape := features.Shape()
	if shape.Rank() != 2 || shape.Size() == 0 || shape.DType != dtypes.Float32 && shape.DType != dtypes.Float64 {
		return nil, 0, 0, errors.Errorf("features have shape %s: want float32 or float64 [n, values], at least one of each", shape)
	}
	n, size = shape.Dimensions[0], shape.Dimensions[1]
	if labels != nil && len(labels) != n {
		return nil, 0, 0, errors.Errorf("%d labels for %d examples: give one each", len(labels), n)
	}
	for i, y := range labels {
		if y < 0 {
			return nil, 0, 0, errors.Errorf("label %d at row %d: want 0 or above", y, i)
		}
	}
	if shape.DType == dtypes.Float64 {
		if rows, err = tensors.CopyFlatData[float64](features); err != nil {
			return nil, 0, 0, err
		}
	} else {
		flat, err := tensors.CopyFlatData[float32](features)
		if err != nil {
			return nil, 0, 0, err
		}
		for _, v := range flat {
			rows = append(rows, float64(v))
		}
	}
	for i, v := range rows {
		if v-v != 0 {
			return nil, 0, 0, errors.Errorf("feature %g at [%d,%d] is not finite", v, i/size, i%size)
		}
	}
	return rows, n, size, nil
}

// centered takes the mean of its rows off x, and returns it.
func centered(x []float64, size int) []float64 {
	mean, n := make([]float64, size), len(x)/size
	for i, v := range x {
		mean[i%size] += v / float64(n)
	}
	for i := range x {
		x[i] -= mean[i%size]
	}
	return mean
}
