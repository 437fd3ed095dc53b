package robust

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"
)

// Check is one self-check of an evaluation: whether it was raised, what that means and what to do. docs/checks.md
// tells more of each.
type Check struct {
	Name    string `json:"name"`
	Raised  bool   `json:"raised"`
	Meaning string `json:"meaning"`
	Advice  string `json:"advice"`
}

// Void says why the outcome's numbers mean nothing, if a self-check was raised that no number survives: examples outside
// the budget or the pixel bounds, values that are not finite, a network that answers the same question differently. The
// other checks are for a reader to weigh.
func (o *Outcome) Void() error {
	for _, c := range o.Checks {
		switch c.Name {
		case "budget", "bounds", "finite", "randomized":
			if c.Raised {
				return errors.Errorf("check %s: %s", c.Name, c.Meaning)
			}
		}
	}
	return nil
}

func (o *Outcome) checks(found tally, weightExcess float64, rows []int, seen signs) []Check {
	unmoved, broken, left := 0, 0, 0
	gradients := false
	for _, s := range o.Stages {
		if s.Access >= Gradients {
			gradients = true
		} else if gradients && s.Fell > 0 {
			broken, left = broken+s.Fell, left+s.Attacked
		}
	}
	for _, r := range rows {
		if o.Norms[r] == 0 {
			unmoved++
		}
	}
	check := func(name string, raised bool, meaning, advice string) Check {
		return Check{Name: name, Raised: raised, Meaning: meaning, Advice: advice}
	}
	return []Check{
		check("budget", found.overBudget > 0 || weightExcess > tolerance,
			fmt.Sprintf("%d examples left the input budget by more than %g; weights left theirs by %.3g",
				found.overBudget, tolerance, max(0, weightExcess)),
			"they do not count as successes: mend the attack's projection"),
		check("bounds", found.outside > 0,
			fmt.Sprintf("%d examples left the pixel bounds by more than %g", found.outside, tolerance),
			"they do not count as successes: clip to the model's Lower and Upper"),
		check("finite", found.notFinite > 0,
			fmt.Sprintf("%d examples hold NaN or infinite pixels", found.notFinite),
			"they do not count as successes: look for a division by zero in the attack or the model"),
		check("unmoved", o.Problem.Threat.Epsilon > 0 && !o.Problem.Threat.MovesWeights() && unmoved > 0,
			fmt.Sprintf("%d of %d attacked examples were returned as they came", unmoved, len(rows)),
			"gradients may vanish (saturated or quantized model): try the margin loss or an attack on scores"),
		check("zero-gradient", seen.zeroGradients > 0,
			fmt.Sprintf("the cross-entropy has no gradient at all at %d of the %d clean examples looked at", seen.zeroGradients, seen.looked),
			"gradient attacks start blind there: use the margin or the DLR loss, and an attack on scores (square)"),
		check("infinite-gradient", seen.clean.examples+seen.perturbed.examples > 0,
			fmt.Sprintf("the cross-entropy's slope is infinite or NaN at %d of the %d clean examples looked at (%d pixels), perturbed at %d (%d)",
				seen.clean.examples, seen.looked, seen.clean.pixels, seen.perturbed.examples, seen.perturbed.pixels),
			"attacks go on with the finite rest: smooth what has no slope there (a root or a norm at 0), and attack scores too (square)"),
		check("randomized", seen.spread > 1e-4,
			fmt.Sprintf("the same clean images give logits that differ by %.3g (relative to the largest)", seen.spread),
			"a success may be luck and so may a survival: turn the randomness off, or average over many passes"),
		check("softmax", seen.probabilities,
			"the outputs are non-negative and sum to 1: they look like probabilities, not logits",
			"attack the network without its last softmax: a second one flattens the gradients of every loss"),
		check("black-box", broken > 0,
			fmt.Sprintf("an attack without gradients broke %d of %d examples that gradient attacks had left standing", broken, left),
			"gradients mislead (masked or shattered): do not trust gradient attacks alone, and attack what hides them"),
	}
}

// checksElsewhere are the checks that can be made without asking the model anything: what was not looked at is not there.
func (o *Outcome) checksElsewhere(found tally, rows []int) []Check {
	return slices.DeleteFunc(o.checks(found, 0, rows, signs{}), func(c Check) bool {
		return slices.Contains([]string{"zero-gradient", "infinite-gradient", "randomized", "softmax"}, c.Name)
	})
}

// signs are what the clean images tell of a model that fools attacks.
type signs struct {
	looked, zeroGradients int     // examples looked at for gradients, and those that have none
	clean, perturbed      kinks   // of the examples looked at, as they came and as the attack left them
	spread                float64 // largest difference between the logits of two passes, relative to the largest logit
	probabilities         bool
}

// kinks counts examples with slopes that are infinite or NaN, and their pixels.
type kinks struct{ examples, pixels int }

// inspect passes one batch of the attacked clean images through the model, twice, and books it on nobody. Gradients are
// looked at only if the attack had them and moves inputs; then it passes the perturbed images, too, which must be finite.
func (v *Victim) inspect(ctx context.Context, p Problem, access Access, rows []int, perturbed *tensors.Tensor) (seen signs, err error) {
	if len(rows) == 0 {
		return seen, nil
	}
	defer v.Shrink()()
	rows = rows[:min(len(rows), v.Batch)]
	gradients := access >= Gradients && p.Threat.Epsilon > 0
	step, err := v.compile(fmt.Sprintf("inspect/gradients=%t", gradients), func(o *Oracle, args []*Node) []*Node {
		images := args[0]
		logits := v.Model.Logits(o.scope, images)
		if !gradients {
			return []*Node{logits}
		}
		g := Gradient(ReduceAllSum(CrossEntropy.Graph(logits, args[1], false)), images)[0]
		return []*Node{logits, ConvertDType(g, dtypes.Float32)} // counted on the host: reductions cost more to compile
	})
	if err != nil {
		return seen, err
	}
	look := func(images *tensors.Tensor) (logits, slopes []float32, err error) {
		flat, err := tensors.CopyFlatData[float32](images)
		if err != nil {
			return nil, nil, err
		}
		args := []any{v.Images(flat, rows)}
		if gradients {
			args = append(args, v.Ints(p.Goal.Classes(), rows))
		}
		out, err := step.Call(ctx, nil, args...)
		if err != nil {
			return nil, nil, err
		}
		if logits, err = tensors.CopyFlatData[float32](out[0]); err != nil || !gradients {
			return logits, nil, err
		}
		slopes, err = tensors.CopyFlatData[float32](out[1])
		return logits, slopes, err
	}
	logits, slopes, err := look(p.Images)
	if err != nil {
		return seen, err
	}
	again, _, err := look(p.Images)
	if err != nil {
		return seen, err
	}
	classes := v.Model.Classes
	seen.compare(logits[:len(rows)*classes], again[:len(rows)*classes], classes)
	if !gradients {
		return seen, nil
	}
	seen.looked = len(rows)
	size := v.exampleSize()
	for i, r := range rows {
		own := slopes[i*size : (i+1)*size]
		flat := !slices.ContainsFunc(own, func(s float32) bool { return s != 0 })
		if flat || saturated(logits[i*classes:(i+1)*classes], p.Goal.Classes()[r]) {
			seen.zeroGradients++
		}
		seen.clean.count(own)
	}
	if _, slopes, err = look(perturbed); err != nil {
		return seen, err
	}
	for i := range rows {
		seen.perturbed.count(slopes[i*size : (i+1)*size])
	}
	return seen, nil
}

// count looks at the slopes of one example.
func (k *kinks) count(slopes []float32) {
	before := k.pixels
	for _, s := range slopes {
		if d := float64(s); math.IsNaN(d) || math.IsInf(d, 0) {
			k.pixels++
		}
	}
	if k.pixels > before {
		k.examples++
	}
}

// saturated tells whether the gradient of the cross-entropy at these logits is zero in float32, whatever the slopes of the
// logits are: it is their sum with the weights p_k - [k=y], none of which is larger than the probability of all classes
// but y, and that lies below float32's smallest normal number, 2^-126 (a gap of 87.3). What a gradient that was computed
// holds then is the rounding of 1 - 1.
func saturated(logits []float32, y int32) bool {
	others := 0.0
	for k, z := range logits {
		if int32(k) != y {
			others += math.Exp(float64(z) - float64(logits[y])) // >= (1-p_y), by a factor of 1/p_y
		}
	}
	return others < 0x1p-126
}

// compare looks at the logits of two passes.
func (s *signs) compare(a, b []float32, classes int) {
	largest, apart := 1e-30, 0.0
	s.probabilities = true
	sum := 0.0
	for i := range a {
		largest = max(largest, math.Abs(float64(a[i])))
		apart = max(apart, math.Abs(float64(a[i])-float64(b[i])))
		if i%classes == 0 {
			sum = 0
		}
		if sum += float64(a[i]); a[i] < 0 || (i%classes == classes-1 && math.Abs(sum-1) > 1e-3) {
			s.probabilities = false
		}
	}
	s.spread = apart / largest
}
