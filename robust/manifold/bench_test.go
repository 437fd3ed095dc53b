package manifold_test

import (
	"testing"

	"github.com/trustbook/trustbook/internal/testengine"
	"github.com/trustbook/trustbook/robust/manifold"
)

// BenchmarkDistances is of 200 points of 28·28 values from 5000 training points; BenchmarkKNN the same without planes.
func BenchmarkDistances(b *testing.B) {
	e := testengine.Get(b)
	surface, err := manifold.Tangent{}.Fit(e, table(normal(20, 5000, 784), 784))
	if err != nil {
		b.Fatal(err)
	}
	x := table(normal(21, 200, 784), 784)
	for b.Loop() {
		if _, err := surface.Distances(x); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkKNN(b *testing.B) {
	e := testengine.Get(b)
	train, x := table(normal(20, 5000, 784), 784), table(normal(21, 200, 784), 784)
	for b.Loop() {
		if _, err := manifold.KNN(e, train, x, 5); err != nil {
			b.Fatal(err)
		}
	}
}
