package datasets_test

import (
	"context"
	"fmt"
	"log"

	"github.com/trustbook/trustbook/datasets"
)

// A thousand images of MNIST, about a hundred of each digit.
func Example() {
	train, test, err := datasets.Load(context.Background(), "mnist", datasets.Options{})
	if err != nil {
		log.Fatal(err)
	}
	few, err := train.Take(1000, 42)
	if err != nil {
		log.Fatal(err)
	}
	images, labels := few.Tensors()
	fmt.Println(train.Len(), test.Len(), train.ClassNames)
	fmt.Println(images.Shape(), labels.Shape())
	// Output:
	// 60000 10000 [0 1 2 3 4 5 6 7 8 9]
	// (Float32)[1000, 28, 28, 1] (Int32)[1000]
}

// Twenty classes of Greek and Cyrillic characters for few-shot learning.
func ExampleLoad_glyphs() {
	train, _, err := datasets.Load(context.Background(), "glyphs", datasets.Options{
		Seed:   7,
		Glyphs: datasets.GlyphOptions{Scripts: []string{"greek", "cyrillic"}, Classes: 20, Train: 5},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(train.Len(), train.Shape, train.ClassNames[:3])
	// Output:
	// 100 [28 28 1] [Γ Δ Θ]
}
