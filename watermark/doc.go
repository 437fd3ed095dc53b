// Package watermark signs a classifier in its input gradients and reads the signature back, with the network at hand or
// through its predictions alone (GradSigns; Aramoon, Chen, Qu, "Don't Forget to Sign the Gradients!", arXiv 2103.03701).
//
// A [Key] names a target class t, some coordinates of the input (the carriers), a random matrix K and a signature of bits w.
// With v the mean gradient of the cross-entropy of images of class t with respect to the input, bit j of what a network says
// is the sign of y_j = (K v)_j on the carriers. Marking a network means training it until these are the bits of w:
//
//	key, err := watermark.NewKey(secret, "Acme Ltd", watermark.KeyOptions{Shape: []int{28, 28, 1}, Target: 3})
//	history, err := watermark.Embedder{Seed: 1}.Embed(ctx, eng, model, key, train, fit.Options{Dir: dir})
//	reading, err := watermark.Extract(ctx, eng, model, key, images, nil) // images of class 3
//	endpoint, err := watermark.ModelEndpoint(eng, model, 0)
//	verdict, err := watermark.Verifier{Seed: 1}.Verify(ctx, endpoint, key, images)
//
// # What a verdict says
//
// If K does not depend on the suspect and its rows are independent and symmetric, then every bit of any network is right with
// probability one half, whatever the network: the errors are exactly binomial, and [PValue] is the chance of so few. The chance
// is over keys. It says nothing of a key that was made after the suspect was seen: anyone can read the bits of any network and
// call them his signature. So a p-value is evidence for a key whose [Commitment] was published before, and the verdict of every
// other says "unregistered: p is not evidence". Where the day of the publication cannot be proved, a commitment can be ground
// too: N secrets tried make the p-value N times as large, and [Strict] is the level to ask for.
//
// # What is conceded
//
// Whoever holds a marked network sees that its target class is odd: its gradients are larger, its images are attacked more
// easily. The endpoint that answers a [Verifier] sees images beside each other that differ by multiples of the key's rows: a
// verification shows the rows to whoever keeps the questions and knows which belong together. A key that was used against an
// endpoint that is not trusted is spent, as is one that was shown to a judge: embed and commit several.
//
// Nothing else leaves: matrix, carriers, signature and secret stand in no error, report, log or journal.
package watermark
