package fit_test

import (
	"context"
	"fmt"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
)

// Two pixels, two classes: which one is brighter.
func ExampleTrain() {
	eng, err := engine.Open("")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer eng.Close()
	var pixels []float32
	var labels []int32
	for i := range 100 {
		bright, dark := float32(0.5+0.004*float64(i)), float32(0.004*float64(i))
		if i%2 == 0 {
			pixels, labels = append(pixels, bright, dark), append(labels, 0)
		} else {
			pixels, labels = append(pixels, dark, bright), append(labels, 1)
		}
	}
	data := fit.Data{Images: tensors.FromFlatDataAndDimensions(pixels, 100, 2), Labels: labels}
	m, err := nets.NewMLP(nets.MLPConfig{Input: []int{2}, Hidden: []int{8}, Classes: 2, Seed: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	history, err := fit.Train(context.Background(), eng, m, data, fit.Config{
		Phases:       []fit.Phase{{Epochs: 20, Loss: fit.CrossEntropy()}},
		BatchSize:    20,
		LearningRate: 0.05,
		Validation:   &data,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(history.Loss), "epochs, accuracy", history.Accuracy[19])
	// Output: 20 epochs, accuracy 1
}
