package engine_test

import (
	"fmt"

	"github.com/trustbook/trustbook/engine"
)

// The pure-Go backend runs anywhere, slowly; "" or "xla" would open XLA.
func ExampleOpen() {
	e, err := engine.Open("go")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer e.Close()
	fmt.Println(e.Description())
	// Output: go, pure Go
}
