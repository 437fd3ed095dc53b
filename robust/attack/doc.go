// Package attack has the attacks, one file each, and the training losses that are built of the same graph code. Every
// attack is a plain struct whose zero fields mean documented defaults; robust.Evaluate runs it and checks it.
//
//	| attack   | access    | norms        | kind   | source |
//	| FGSM     | gradients | linf, l2, l1 | budget | Goodfellow et al., arXiv 1412.6572 |
//	| PGD      | gradients | linf, l2, l1 | budget | Madry et al., arXiv 1706.06083 |
//	| MIM      | gradients | linf, l2, l1 | budget | Dong et al., arXiv 1710.06081 |
//	| APGD     | gradients | linf, l2     | budget | Croce and Hein, arXiv 2003.01690 (APGD-T: its field Targets) |
//	| SquareAttack | scores | linf, l2    | budget | Andriushchenko et al., arXiv 1912.00049 |
//	| AutoAttack | gradients | linf, l2   | budget | Croce and Hein, arXiv 2003.01690: APGD, APGD-T, FAB-T, SquareAttack |
//	| HopSkipJump | decisions | linf, l2 | minimal | Chen et al., arXiv 1904.02144 |
//	| SignOPT  | decisions | l2           | minimal | Cheng et al., arXiv 1909.10773 |
//	| RayS     | decisions | linf         | minimal | Chen and Gu, arXiv 2006.12792 |
//	| Boundary | decisions | l2           | minimal | Brendel et al., arXiv 1712.04248 |
//	| JointPGD | gradients | linf         | budget | inputs and weights together, arXiv 2102.11935 |
package attack
