// Package fit trains networks: the same configuration gives the same weights, bit for bit on one machine and backend,
// whether the run was undisturbed or killed and resumed, and work that is finished is found again instead of repeated.
//
//	c := fit.Config{Phases: []fit.Phase{{Epochs: 5, Loss: fit.CrossEntropy()}}, Seed: 1}
//	history, err := fit.TrainOrLoad(ctx, eng, model, fit.Data{Images: images, Labels: labels}, c, fit.Options{Dir: dir})
//
// A [Loss] is a graph function, so that adversarial training and regularizers are losses like any other; it can do its
// own inner maximization and draw random numbers. [Key] says when two runs are the same run.
//
// Networks that are no classifiers, and several that train each other, are trained by an [Alternation] of updates. What
// fits neither is a [Loop] of steps of one's own: it owns the file, checkpoints, resumption, cancellation and progress,
// and the two others are made of it. A [Rule] is how gradients change weights, in all of them.
//
// A classifier's data live on the device; a training step is one compiled call that gets the rows of its batch and leaves weights,
// optimizer and the epoch's sums on the device.
//
// Equal bits are promised for XLA's CPU backend and tested there. On CUDA, XLA may pick other kernels in another
// process, so that a resumed run can differ in the last bits.
package fit
