// Package datasets reads labeled images: MNIST, Fashion-MNIST, CIFAR-10, SVHN, Omniglot, and characters rendered from
// fonts in any number of classes.
//
//	train, test, err := datasets.Load(ctx, "mnist", datasets.Options{})
//	few, err := train.Take(1000, 42)      // 100 a class, more or less; the same on every machine
//	images, labels := few.Tensors()       // float32 [1000, 28, 28, 1] in [0, 1], int32 [1000]
//
// Nothing is downloaded unless [Options.Fetch] or [Fetch] asks for it. MNIST comes with a Go module, the glyphs are
// rendered; the other sets are read from a folder that [Options.Dir] names, or from the cache that [Fetch] fills.
// Official checksums are verified wherever there are any; where there are none, [Set.Note] says so.
//
// [ParseIDX], [ParseCIFAR], [ParseSVHN] and [ParseOmniglot] read the published formats from memory; they take any input
// without panicking. [New] makes a [Set] of anybody's own images.
package datasets
