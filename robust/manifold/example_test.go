package manifold_test

import (
	"fmt"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/robust/manifold"
)

// Training points on a line through a square: what is off the line is off the data.
func ExampleTangent() {
	eng, err := engine.Open("")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer eng.Close()
	train := make([][]float32, 20)
	for i := range train {
		train[i] = []float32{float32(i) / 20, float32(i) / 20}
	}
	surface, err := manifold.Tangent{Neighbors: 5, Rank: 1}.Fit(eng, tensors.FromValue(train))
	if err != nil {
		fmt.Println(err)
		return
	}
	distances, err := surface.Distances(tensors.FromValue([][]float32{{0.52, 0.52}, {0.5, 0.7}}))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.3f\n", distances)
	// Output: [0.000 0.141]
}
