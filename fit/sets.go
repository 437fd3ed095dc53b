package fit

import (
	"context"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/datasets"
)

// Sets are a data set as a study over seeds uses it: a pool from which each seed draws its training examples, and test
// examples that all networks share.
type Sets struct {
	Pool, Test *datasets.Set
	Images     *tensors.Tensor // of Test, [n, height, width, channels] in [0, 1]
	Labels     []int32         // of Test
}

// LoadSets reads a data set by name, from dir if that is not "", and checks that train examples can be drawn from it.
// It takes test examples of the test set, each class with its share.
func LoadSets(ctx context.Context, name, dir string, train, test int) (*Sets, error) {
	pool, all, err := datasets.Load(ctx, name, datasets.Options{Dir: dir})
	if err != nil {
		return nil, err
	}
	if train > pool.Len() || test > all.Len() {
		return nil, errors.Errorf("fit: %d training and %d test examples wanted, %s has %d and %d", train, test, name, pool.Len(), all.Len())
	}
	few, err := all.Take(test, 0)
	if err != nil {
		return nil, err
	}
	s := &Sets{Pool: pool, Test: few, Labels: few.Labels}
	s.Images, _ = few.Tensors()
	return s, nil
}

// Draw takes the n training examples of a seed.
func (s *Sets) Draw(n int, seed int64) (Data, error) {
	train, err := s.Pool.Take(n, seed)
	if err != nil {
		return Data{}, err
	}
	return dataOf(train), nil
}

// DrawApart takes as many training examples as the sizes add up to for a seed, and deals them out: no example is in two parts.
func (s *Sets) DrawApart(seed int64, sizes ...int) (parts []Data, err error) {
	total := 0
	for _, n := range sizes {
		total += n
	}
	all, err := s.Pool.Take(total, seed)
	if err != nil {
		return nil, err
	}
	rows := make([]int, total)
	for i := range rows {
		rows[i] = i
	}
	for _, n := range sizes {
		parts = append(parts, dataOf(all.Subset(rows[:n])))
		rows = rows[n:]
	}
	return parts, nil
}

func dataOf(set *datasets.Set) Data {
	images, _ := set.Tensors()
	return Data{Images: images, Labels: set.Labels, Checksum: set.Checksum()}
}

// Sample returns n of the test examples (all, if there are fewer), the same at each call and drawn from all classes alike.
func (s *Sets) Sample(n int) (images *tensors.Tensor, labels []int32, err error) {
	few, err := s.Test.Take(min(n, s.Test.Len()), 1)
	if err != nil {
		return nil, nil, err
	}
	images, _ = few.Tensors()
	return images, few.Labels, nil
}

// Describe names the data set, with its note if it has one.
func (s *Sets) Describe() string {
	if s.Pool.Note != "" {
		return s.Pool.Name + " (" + s.Pool.Note + ")"
	}
	return s.Pool.Name
}
