package paired_test

import (
	"context"
	"fmt"

	"github.com/trustbook/trustbook/fewshot/paired"
)

// What a method sees: 2,000 digits in color on black, and 20 of them in ink on paper, two of each digit.
func ExampleDigits() {
	split, err := paired.Digits(context.Background(), paired.Options{Domain: paired.Ink, Pairs: 20})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(split.Source.Shape())
	fmt.Println(split.Few.Len(), "pairs of", split.Few.Source.Shape(), "and", split.Few.Target.Shape())
	fmt.Println(split.HeldOut.Len(), "held out")
	// Output:
	// (Float32)[2000, 16, 16, 3]
	// 20 pairs of (Float32)[20, 16, 16, 3] and (Float32)[20, 16, 16, 3]
	// 400 held out
}
