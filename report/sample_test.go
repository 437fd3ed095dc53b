package report

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// The sample is a report as a paper package makes it, with invented numbers: it shows every kind of part.

func sampleClaims() []Claim {
	claims := []Claim{
		{Sentence: "Joint perturbations of inputs and weights lower accuracy more than either alone.",
			Reported: "20 to 40 points (figure 2)",
			Parts: []ClaimPart{{Statement: "more than either alone",
				Test: Test{What: "accuracy lost to the joint attack, beyond the stronger single attack",
					Values: []float64{0.214, 0.232, 0.198, 0.241, 0.225}, Relation: Above, Percent: true}}}},
		{Sentence: "The bound on the margin holds for every perturbation inside both budgets, and is tight.",
			Parts: []ClaimPart{{Statement: "the bound holds for every perturbation",
				Test: Test{What: "violations among random and adversarial perturbations", Values: make([]float64, 5), Relation: Zero},
				Controls: []Test{{What: "accuracy that the attack takes",
					Values: []float64{0.31, 0.33, 0.29, 0.35, 0.30}, Relation: Above, Percent: true}}},
				{Statement: "the bound is tight",
					Test: Test{What: "bound over the attained worst case, logarithmic",
						Values: []float64{1.9, 2.2, 2.0, 2.4, 2.1}, Relation: AtMost, Threshold: 3},
					Ours: "three times what is attained still tells a certified network from one that is not"}}},
		{Sentence: "Training with the joint regularizer is more robust than adversarial training, and costs no clean accuracy.",
			What: "accuracy of the joint regularizer minus adversarial training", Reported: "8.1 points (table 1)",
			Parts: []ClaimPart{{Statement: "more robust to joint attacks",
				Test: Test{What: "accuracy under the joint attack",
					Values: []float64{0.131, 0.148, 0.142, 0.161, 0.152}, Relation: Above, Percent: true},
				Beside: []Test{
					{What: "the same by 10 points",
						Values: []float64{0.131, 0.148, 0.142, 0.161, 0.152}, Relation: AtLeast, Threshold: 0.1, Percent: true},
					{What: "its norm of weights", Values: []float64{7.1, 7.3, 7.2, 7.5, 7.4}}}},
				{Statement: "more robust to input attacks",
					Test: Test{What: "accuracy under the input attack",
						Values: []float64{0.031, -0.008, 0.042, 0.011, -0.002}, Relation: Above, Percent: true}},
				{Statement: "no clean accuracy is lost",
					Test: Test{What: "clean accuracy",
						Values: []float64{-0.021, -0.032, -0.018, -0.027, -0.019}, Relation: AtLeast, Threshold: -0.01, Percent: true},
					Ours: "a point is what seeds differ by"},
				{Statement: "the same at depth",
					Test: Test{What: "accuracy of eight layers under the joint attack",
						Values: []float64{0.1, 0.1, 0.1, 0.1, 0.1}, Relation: Above, Percent: true},
					Controls: []Test{{What: "clean accuracy of eight layers",
						Values: []float64{0.5, 0.41, 0.62, 0.44, 0.58}, Relation: AtLeast, Threshold: 0.9, Percent: true}}}}},
		{Sentence: "The generalization gap shrinks as the weight norm is regularized.",
			Parts: []ClaimPart{{Statement: "the gap shrinks",
				Test: Test{What: "gap, regularized minus plain",
					Values: []float64{0.021, 0.032, 0.018, 0.027, 0.019}, Relation: Below}}}},
		{Sentence: "Weight attacks transfer between networks.",
			Parts: []ClaimPart{{Statement: "they transfer",
				Test: Test{What: "accuracy lost to a stranger's perturbation",
					Values: []float64{0.021, -0.032, 0.018, -0.027, 0.009}, Relation: Above}}}},
	}
	for i := range claims {
		c := &claims[i]
		c.ComparedWith, c.Scale, c.Dataset, c.N, c.Seeds = "the abstract's words", "quick", "mnist", 500, []int64{1, 2, 3, 4, 5}
		c.ID = fmt.Sprintf("2102.11935/%d", i+1)
	}
	return append(claims, Claim{ID: "2102.11935/6", Sentence: "The effect grows with depth on CIFAR-10.",
		Reason: "needs the paper's scale and a GPU"})
}

func sampleTable() *Table {
	return &Table{Title: "Robust accuracy, input budget ε = 0.1, weight budget γ = 0.01",
		Caption: "Mean over five seeds with 95% interval; best in each column emphasized.",
		Columns: []Column{{Name: "Training"}, {Name: "Clean", Percent: true, Best: Highest},
			{Name: "Input attack", Percent: true, Best: Highest}, {Name: "Weight attack", Percent: true, Best: Highest},
			{Name: "Joint attack", Percent: true, Best: Highest}, {Name: "Steps", Format: "%.0f"}},
		Rows: [][]any{
			{"standard", Estimate{0.981, 0.978, 0.984, 5}, Estimate{0.412, 0.39, 0.434, 5},
				Estimate{0.873, 0.861, 0.885, 5}, Estimate{0.118, 0.09, 0.146, 5}, 1500},
			{"adversarial (PGD)", Estimate{0.972, 0.97, 0.974, 5}, Estimate{0.893, 0.884, 0.902, 5},
				Estimate{0.846, 0.83, 0.862, 5}, Estimate{0.561, 0.52, 0.602, 5}, 1500},
			{"joint regularizer", Estimate{0.968, 0.965, 0.971, 5}, Estimate{0.881, 0.87, 0.892, 5},
				Estimate{0.921, 0.913, 0.929, 5}, Estimate{0.712, 0.69, 0.734, 5}, 1500}}}
}

func sampleLines() *Figure {
	var lines []Mark
	for k, name := range []string{"standard", "adversarial (PGD)", "joint regularizer"} {
		l := Line{Name: name}
		for i := range 11 {
			x := float64(i) * 0.03
			y := 0.98 / (1 + math.Pow(x/(0.08+0.09*float64(k)), 3))
			l.X, l.Y = append(l.X, x), append(l.Y, y)
			w := 0.01 + 0.05*math.Sqrt(y*(1-y))
			l.Low, l.High = append(l.Low, y-w), append(l.High, math.Min(1, y+w))
		}
		lines = append(lines, l)
	}
	return &Figure{Title: "Accuracy falls with the input budget", Caption: "Bands: 95% interval over five seeds. Weight budget `γ` = 0.01.",
		Panels: []Panel{{X: Axis{Label: "input budget ε (ℓ∞)"}, Y: Axis{Label: "robust accuracy", Percent: true, Max: 1, Min: 0},
			Marks: append(lines, Level{Name: "chance", At: 0.1})}}}
}

func sampleHeat() *Figure {
	f := &Figure{Title: "Robust accuracy over both budgets", Caption: "All panels share one scale."}
	for k, name := range []string{"standard", "adversarial (PGD)", "joint regularizer"} {
		h := Heat{Label: "accuracy", Percent: true, Min: 0, Max: 1}
		for i := range 5 {
			h.X = append(h.X, tickLabel(float64(i)*0.05, 0, false))
			h.Y = append(h.Y, tickLabel(float64(i)*0.01, 0, false))
			var row []float64
			for j := range 5 {
				row = append(row, 0.98*math.Exp(-float64(i)*(0.5-0.15*float64(k))-float64(j)*(0.6-0.25*math.Min(float64(k), 1))))
			}
			h.Z = append(h.Z, row)
		}
		f.Panels = append(f.Panels, Panel{Title: name, X: Axis{Label: "input budget ε"}, Y: Axis{Label: "weight budget γ"}, Marks: []Mark{h}})
	}
	return f
}

func sampleMixed() *Figure {
	r := rand.New(rand.NewPCG(7, 8))
	bound, found := Points{Name: "perturbation"}, []float64{}
	var a, b Histogram
	a.Name, b.Name = "clean", "perturbed"
	for range 400 {
		x := math.Exp(r.NormFloat64() * 1.5)
		bound.X, found = append(bound.X, x), append(found, x*math.Exp(0.3+math.Abs(r.NormFloat64())))
		a.Values, b.Values = append(a.Values, 3+r.NormFloat64()), append(b.Values, 0.5+1.4*r.NormFloat64())
	}
	bound.Y = found
	return &Figure{Title: "Bound, margins and losses", Columns: 2, Panels: []Panel{
		{Title: "The bound holds", X: Axis{Label: "attained loss of margin", Log: true}, Y: Axis{Label: "bound", Log: true},
			Marks: []Mark{bound, Diagonal{Name: "y = x"}}},
		{Title: "Margins", X: Axis{Label: "margin"}, Y: Axis{Label: "share", Percent: true}, Marks: []Mark{a, b}},
		{Title: "Accuracy by attack", Y: Axis{Label: "accuracy", Percent: true}, Marks: []Mark{
			Bars{Groups: []string{"FGSM", "PGD-20", "joint"}, Series: []BarSeries{
				{"standard", []float64{0.55, 0.41, 0.12}, []float64{0.52, 0.39, 0.09}, []float64{0.58, 0.43, 0.15}},
				{"joint regularizer", []float64{0.91, 0.88, 0.71}, []float64{0.90, 0.87, 0.69}, []float64{0.92, 0.89, 0.73}}}}}},
		{Title: "What the loss is made of", Y: Axis{Label: "loss"}, Marks: []Mark{
			Bars{Stacked: true, Groups: []string{"epoch 1", "epoch 5", "epoch 10"}, Series: []BarSeries{
				{Name: "cross-entropy", Values: []float64{0.9, 0.4, 0.2}},
				{Name: "input term", Values: []float64{0.5, 0.3, 0.25}},
				{Name: "weight term", Values: []float64{0.3, 0.2, 0.15}}}}}},
	}}
}

func sampleGrid() *Grid {
	r := rand.New(rand.NewPCG(9, 10))
	g := &Grid{Title: "Clean, perturbed, difference", Caption: "The largest change of a pixel is 0.1; differences are scaled to it.",
		Columns: []string{"clean", "perturbed", "difference", "clean", "perturbed", "difference"}, RowNames: []string{"standard", "joint"}}
	for i := range 2 {
		var row []Image
		for j := range 2 {
			clean, noisy, diff := newGray(28, 28), newGray(28, 28), newGray(28, 28)
			for y := range 28 {
				for x := range 28 {
					d := math.Hypot(float64(x)-13.5, float64(y)-13.5) - float64(6+3*i+j)
					v := float32(math.Max(0, 1-math.Abs(d)/2))
					e := 0.1 * float32(r.IntN(3)-1)
					k := y*28 + x
					clean.Pixels[k], noisy.Pixels[k] = v, min(max(v+e, 0), 1)
					diff.Pixels[k] = noisy.Pixels[k] - v
				}
			}
			diff.Diverging, clean.Caption, noisy.Caption = true, "0", fmt.Sprintf("0 → %d", 6+2*i)
			row = append(row, clean, noisy, diff)
		}
		g.Rows = append(g.Rows, row)
	}
	return g
}

func newGray(h, w int) Image {
	return Image{Height: h, Width: w, Channels: 1, Pixels: make([]float32, h*w)}
}

func sampleDocument() *Document {
	return &Document{
		Title:    "Non-singular adversarial robustness of neural networks",
		Subtitle: "Replication of [arXiv 2102.11935](https://arxiv.org/abs/2102.11935), Tsai, Hsu, Yu and Chen, ICASSP 2021",
		Lead: "A network can be attacked through its **inputs**, its **weights**, or both at once. The paper bounds the harm " +
			"of the joint attack and trains against it. Here three networks are trained on MNIST and attacked over a grid of " +
			"budgets, five times with different seeds.",
		Keys: []Key{{"Joint attack, standard training", "11.8%", "accuracy left, ε = 0.1, γ = 0.01"},
			{"Joint attack, joint regularizer", "71.2%", "95% interval 69.0% to 73.4%"},
			{"Violations of the bound", "0", "of 50,000 perturbations"}, {"Tightness of the bound", "2.1×", "median over the attained worst case"}},
		Claims: sampleClaims(),
		Sections: []Section{
			{"The attack", []Part{Text("The joint attack climbs the loss in the input and in every weight matrix at once:"),
				Formula("max_{‖δ‖_{∞} ≤ ε,  ‖Δ_{m}‖_{∞} ≤ γ}  L(f(x + δ; W + Δ), y)"),
				Text("Both budgets are checked again after the attack:\n- `ε` bounds each pixel,\n- `γ` bounds each weight, *relative* " +
					"to nothing.\n\nThe error bound of the paper's theorem 1 grows as N^{m} with the norms of the weights.")}},
			{"Accuracy under attack", []Part{sampleTable(), sampleLines(), sampleHeat()}},
			{"Bound and margins", []Part{sampleMixed()}},
			{"Examples", []Part{sampleGrid()}},
		},
		Settings: []Setting{{"scale", "quick"}, {"dataset", "mnist"}, {"seeds", "1, 2, 3, 4, 5"}, {"epsilon", 0.1}, {"gamma", 0.01},
			{"steps", 20}, {"batch size", 128}, {"learning rate", 0.001}},
		Command:  "trustbook replicate robust/joint --scale quick --dataset mnist --seeds 1,2,3,4,5",
		Versions: []Setting{{"backend", "xla:cpu"}, {"gomlx", "v0.28.8"}, {"plugin", "xla-cpu-pjrt 0.114.0"}, {"go", "go1.26"}},
	}
}
