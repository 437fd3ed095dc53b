package creativity

import (
	"math"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/stat"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/nets"
)

// judge labels images in place of the paper's nine evaluators: novel is what lies farther from its nearest training images
// than 95 % of normal decodings do, valuable what a classifier takes for one of its classes, creative what is both.
type judge struct {
	classes   *nets.Predictor
	distance  *Exec // of images [batch, pixels] from all training images: squared, [batch, images]
	train     *tensors.Tensor
	shape     []int
	neighbors int
	farthest  float64
}

const judgeBatch = 100

// novelShare is the share of normal decodings that count as novel.
const novelShare = 0.05

func newJudge(e *engine.Engine, classes *nets.Predictor, train [][]float32, shape []int, neighbors int,
	normal [][]float32) (*judge, error) {
	size := len(train[0])
	j := &judge{classes: classes, shape: shape, neighbors: neighbors,
		train: tensors.FromFlatDataAndDimensions(slices.Concat(train...), len(train), size)}
	exec, err := NewExec(e.Backend(), func(x, train *Node) *Node {
		square := func(x *Node) *Node { return ReduceSum(Square(x), -1) }
		return Sub(Add(InsertAxes(square(x), 1), InsertAxes(square(train), 0)), MulScalar(Einsum("bp,np->bn", x, train), 2))
	})
	if err != nil {
		return nil, err
	}
	j.distance = exec
	novelty, err := j.novelty(normal)
	if err != nil {
		return nil, err
	}
	slices.Sort(novelty)
	j.farthest = stat.Quantile(1-novelShare, stat.Empirical, novelty, nil)
	return j, nil
}

// novelty is the mean distance of each image from its nearest training images, per pixel: the root of the mean square.
func (j *judge) novelty(images [][]float32) ([]float64, error) {
	var all []float64
	size := len(images[0])
	for batch := range slices.Chunk(images, judgeBatch) {
		flat := make([]float32, judgeBatch*size)
		copy(flat, slices.Concat(batch...))
		out, err := j.distance.Call(tensors.FromFlatDataAndDimensions(flat, judgeBatch, size), j.train)
		if err != nil {
			return nil, err
		}
		d, err := tensors.CopyFlatData[float32](out[0])
		if err != nil {
			return nil, err
		}
		n := len(d) / judgeBatch
		for i := range batch {
			all = append(all, meanRoot(least(d[i*n:(i+1)*n], j.neighbors), size))
		}
	}
	return all, nil
}

// least are the k smallest values.
func least(values []float32, k int) []float32 {
	found := slices.Clone(values[:k])
	slices.Sort(found)
	for _, v := range values[k:] {
		if v < found[k-1] {
			at, _ := slices.BinarySearch(found, v)
			copy(found[at+1:], found[at:k-1])
			found[at] = v
		}
	}
	return found
}

// meanRoot is the mean of the roots of squared distances, per value.
func meanRoot(squares []float32, size int) (mean float64) {
	for _, s := range squares {
		mean += math.Sqrt(max(0, float64(s))/float64(size)) / float64(len(squares))
	}
	return mean
}

// labels of an image.
type labels struct{ novel, valuable bool }

func (l labels) creative() bool { return l.novel && l.valuable }

func (j *judge) judge(images [][]float32) ([]labels, error) {
	novelty, err := j.novelty(images)
	if err != nil {
		return nil, err
	}
	dims := append([]int{len(images)}, j.shape...)
	logits, err := j.classes.Logits(tensors.FromFlatDataAndDimensions(slices.Concat(images...), dims...))
	if err != nil {
		return nil, err
	}
	all := make([]labels, len(images))
	for i := range all {
		all[i] = labels{novelty[i] > j.farthest, confidence(logits[i]) > 0.5}
	}
	return all, nil
}

// confidence is the largest probability of a softmax.
func confidence(logits []float32) float64 {
	sum, most := 0., slices.Max(logits)
	for _, z := range logits {
		sum += math.Exp(float64(z - most))
	}
	return 1 / sum
}
