// Package gradsigns replicates "Don't Forget to Sign the Gradients!" (Aramoon, Chen, Qu, MLSys 2021, arXiv 2103.03701): a signature
// that is put into the gradient of a network's loss with respect to its input, and read again through predictions alone.
//
//   - networks are trained with marks of several sizes, and without one, by package watermark;
//   - each mark is read from the network itself and through answers: exact, rounded, noisy, labels only, of blurred inputs, with the
//     queries counted;
//   - a thief who has the network, other images and this text, but not the key, tries to remove the mark by the attacks of package
//     removal, and by what an endpoint may hide; accuracy stands beside each;
//   - a key that is made up after the fact is read, too;
//   - [Run] does so over seeds, and judges the paper's claims.
//
// We could read the paper's abstract and its authors' code, not its text. The code settles the method; schedules, thresholds, the
// attacks' settings and the reading in pairs along the key's own directions are our operationalization.
//
//	result, err := gradsigns.Run(ctx, eng, gradsigns.Config{})
//	fmt.Println(result.For(gradsigns.Marked)[0].Errors, result.Attack("fine-tuning, rate 1e-3")[0].PValue)
package gradsigns
