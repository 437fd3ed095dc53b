// Package fit trains models: the same configuration gives the same weights, bit for bit on one backend, whether the
// run was undisturbed or killed and resumed, and work that is finished is found again instead of repeated.
//
//	c := fit.Config{Phases: []fit.Phase{{Epochs: 5, Loss: fit.CrossEntropy()}}, Seed: 1}
//	history, err := fit.TrainOrLoad(ctx, eng, model, fit.Data{Images: images, Labels: labels}, c, fit.Options{Dir: dir})
package fit
