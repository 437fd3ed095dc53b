package nets

import "math"

// RoundBits rounds values to so many bits, 2 or more: to the nearest of 2^bits - 1 evenly spaced values, symmetric around zero
// and as wide as the largest absolute value; halves go to the even one. It is what quantization does to a weight tensor.
func RoundBits(values []float32, bits int) {
	largest := 0.0
	for _, v := range values {
		largest = max(largest, math.Abs(float64(v)))
	}
	step := largest / (math.Exp2(float64(bits-1)) - 1)
	if step == 0 {
		return
	}
	for i, v := range values {
		values[i] = float32(math.RoundToEven(float64(v)/step) * step)
	}
}
