package information_test

import (
	"fmt"
	"math/rand/v2"

	"github.com/trustbook/trustbook/robust/information"
)

// How much a number tells of the sign of another that it correlates with by 0.8.
func ExampleRoss() {
	rng := rand.New(rand.NewPCG(1, 2))
	var labels []int
	var values [][]float64
	for range 5000 {
		x := rng.NormFloat64()
		label := 0
		if 0.8*x+0.6*rng.NormFloat64() > 0 {
			label = 1
		}
		labels, values = append(labels, label), append(values, []float64{x})
	}
	found, err := information.Ross(labels, values, 3)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.2f, in closed form %.2f\n", found, information.SignGaussian(0.8))
	// Output: 0.27, in closed form 0.27
}
