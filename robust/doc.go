// Package robust is the contract of every attack: what the adversary may change ([Threat]), what counts as success
// ([Goal]), what it may ask of the model ([Access], enforced by [Victim]), and [Evaluate], which never believes an
// attack: it measures budget, bounds, success and queries itself.
//
//	victim, err := robust.NewVictim(eng, model, 128)
//	outcome, err := robust.Evaluate(ctx, victim, attack.PGD{Steps: 20}, robust.Problem{
//		Images: images, Goal: robust.Goal{Labels: labels},
//		Threat: robust.Threat{Norm: robust.Linf, Epsilon: 0.3},
//	})
//	fmt.Println(outcome.RobustAccuracy)
//
// The attacks themselves are in package attack.
package robust
