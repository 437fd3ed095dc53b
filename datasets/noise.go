package datasets

import (
	"math/rand/v2"
	"slices"
)

// WrongLabels makes a share of the labels wrong: exactly that share, rounded up, gets another class than its own, drawn
// uniformly from the other ones, of which there must be one. The examples that are wrong at one share are wrong at each
// larger one, with the same class. [RedrawnLabels] draws from all classes, so that some labels stay right.
func WrongLabels(labels []int32, classes int, share float64, seed int64) []int32 {
	rng := rand.New(rand.NewPCG(uint64(seed), 0x77726f6e67)) // the stream "wrong"
	noisy := slices.Clone(labels)
	for k, i := range rng.Perm(len(labels)) {
		wrong := rng.Int32N(int32(classes) - 1)
		if wrong >= labels[i] {
			wrong++
		}
		if float64(k) < share*float64(len(labels)) {
			noisy[i] = wrong
		}
	}
	return noisy
}

// RedrawnLabels draws each label anew with probability share, uniformly from all classes, its own among them: on average
// share·(1 - 1/classes) of the labels become wrong. For an exact share of wrong ones there is [WrongLabels].
func RedrawnLabels(labels []int32, classes int, share float64, seed int64) []int32 {
	rng := rand.New(rand.NewPCG(uint64(seed), 0x6e6f697379)) // the stream "noisy"
	noisy := slices.Clone(labels)
	for i := range noisy {
		if rng.Float64() < share {
			noisy[i] = rng.Int32N(int32(classes))
		}
	}
	return noisy
}
