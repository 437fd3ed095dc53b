package robust

import "fmt"

// Check is one self-check of an evaluation: whether it was raised, what that means and what to do. docs/checks.md
// tells more of each.
type Check struct {
	Name    string `json:"name"`
	Raised  bool   `json:"raised"`
	Meaning string `json:"meaning"`
	Advice  string `json:"advice"`
}

func (o *Outcome) checks(found tally, weightExcess float64, rows []int) []Check {
	unmoved := 0
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
	}
}
