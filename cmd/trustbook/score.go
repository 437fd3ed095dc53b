package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/scoring"
)

// scoreFlags are the flags of `trustbook score`.
type scoreFlags struct {
	modelFlags
	curve, ideal, out string
	pal               []float64
	fold, asJSON      bool
	perturbations     []string
	layers            []int
	points, batch     int
	seed              int64
	backend           string
}

func newScore() *cobra.Command {
	var f scoreFlags
	c := &cobra.Command{
		Use:   "score {--curve CURVE.csv | --model M.onnx --inputs X.npy --labels Y.npy}",
		Short: "Score how a network's accuracy falls as its training examples are perturbed",
		Long: "Compute Gi-score and Pal-score of a perturbation response curve: from a CSV file with the header\n" +
			"magnitude,accuracy, or of an ONNX model on examples that it was trained on, with the labels that it was\n" +
			"trained on. No test set is needed.\n\n" +
			"A larger Gi-score and a smaller Pal-score predict a larger gap between training and test accuracy. Layer 0 is\n" +
			"the input, layer 1 what the first layer with weights puts out, after activation and pooling, and so on.",
		Example: "  trustbook score --curve CURVE.csv --ideal invariant\n" +
			"  trustbook score --model M.onnx --inputs X.npy --labels Y.npy --perturbations intra,rotation --layers 0,1",
		Args:        takes(),
		Annotations: map[string]string{onStop: "nothing"},
		RunE:        func(c *cobra.Command, _ []string) error { return f.run(c) },
	}
	f.register(c)
	_ = c.MarkFlagRequired("model")
	flags := c.Flags()
	for _, name := range []string{"model", "inputs", "labels"} { // needed only without --curve
		delete(flags.Lookup(name).Annotations, cobra.BashCompOneRequiredFlag)
	}
	flags.StringVar(&f.curve, "curve", "", "CSV `FILE` with the header magnitude,accuracy; accuracies from 0 to 1")
	flags.StringVar(&f.ideal, "ideal", "perfect",
		"network to compare with: `perfect` (always right) or invariant (keeps its accuracy at magnitude 0)")
	flags.Float64SliceVar(&f.pal, "pal", []float64{0.6, 0.1}, "top and bottom `FRACTIONS` of the Pal-score")
	flags.BoolVar(&f.fold, "fold", false,
		"average accuracies at opposite magnitudes first (the Pal-score of a model's rotation and translation always is so)")
	flags.StringSliceVar(&f.perturbations, "perturbations", []string{"inter", "intra", "noise"},
		"`NAMES` of inter, intra (mixup), noise, rotation, translation")
	flags.IntSliceVar(&f.layers, "layers", []int{0}, "`LAYERS` at which mixup and noise act")
	flags.IntVar(&f.points, "points", 0, "`NUMBER` of magnitudes (default: 11, one every 10 degrees or pixel)")
	flags.IntVar(&f.batch, "batch-size", 500, "`NUMBER` of examples in a batch")
	flags.Int64Var(&f.seed, "seed", 0, "`SEED` of partners and noise")
	flags.StringVar(&f.backend, "backend", "", backendHelp)
	flags.StringVar(&f.out, "out", "", "`DIR` that gets each measured curve as CSV")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON")
	return c
}

func (f *scoreFlags) run(c *cobra.Command) error {
	ideal, ok := map[string]scoring.Ideal{"perfect": scoring.IdealPerfect, "invariant": scoring.IdealInvariant}[f.ideal]
	if !ok {
		return usagef("--ideal %s: want perfect or invariant", f.ideal)
	}
	if len(f.pal) != 2 {
		return usagef("--pal %v: want two fractions, TOP,BOTTOM", f.pal)
	}
	fractions := scoring.PalFractions{Top: f.pal[0], Bottom: f.pal[1]}
	for _, v := range f.pal {
		if !(v > 0 && v <= 1) {
			return usagef("--pal %g,%g: each fraction must be above 0 and at most 1", f.pal[0], f.pal[1])
		}
	}
	if (f.curve == "") == (f.model == "") {
		return usagef("give either --curve, or --model with --inputs and --labels: see `%s --help`", c.CommandPath())
	}
	if f.curve != "" {
		for _, name := range append([]string{"perturbations", "layers", "points", "out", "batch-size", "seed", "backend"}, modelSettings...) {
			if c.Flags().Changed(name) {
				return usagef("--%s is for --model, not for --curve", name)
			}
		}
		return f.scoreCurve(c, ideal, fractions)
	}
	if f.fold {
		return usagef("--fold is for --curve: curves of a model with magnitudes of both signs are folded for the Pal-score anyway")
	}
	if f.inputs == "" || f.labels == "" {
		return usagef("--model needs --inputs and --labels: see `%s --help`", c.CommandPath())
	}
	return f.scoreModel(c, ideal, fractions)
}

func (f *scoreFlags) scoreCurve(c *cobra.Command, ideal scoring.Ideal, fractions scoring.PalFractions) error {
	curve, err := scoring.LoadCurve(f.curve)
	if err != nil {
		return wrongFile("curve", f.curve, err)
	}
	if f.fold {
		if curve, err = curve.Fold(); err != nil {
			return wrongFile("curve", f.curve, err)
		}
	}
	gi, err := scoring.GiScore(curve, ideal)
	if err != nil {
		return wrongFile("curve", f.curve, err)
	}
	pal, err := scoring.PalScore(curve, fractions)
	if err != nil {
		return wrongFile("curve", f.curve, err)
	}
	if f.asJSON {
		return printJSON(c, map[string]any{"gi": gi, "pal": pal, "ideal": f.ideal, "pal_fractions": f.pal, "points": len(curve.Magnitudes),
			"notes": []string{}})
	}
	return printTable(c, &report.Table{Title: "Scores of " + filepath.Base(f.curve),
		Columns: []report.Column{{Name: "points"}, {Name: "Gi-score", Format: "%.4f"}, {Name: "Pal-score", Format: "%.4f"}},
		Rows:    [][]any{{len(curve.Magnitudes), gi, pal}}})
}

// modelScore is a measured curve with its scores.
type modelScore struct {
	Perturbation string    `json:"perturbation"`
	Layer        int       `json:"layer"`
	Gi           float64   `json:"gi"`
	Pal          *float64  `json:"pal"` // null where it is undefined
	Magnitudes   []float64 `json:"magnitudes"`
	Accuracies   []float64 `json:"accuracies"`
}

func (f *scoreFlags) scoreModel(c *cobra.Command, ideal scoring.Ideal, fractions scoring.PalFractions) error {
	if err := checkWhole(c.Flags().Changed, whole{"batch-size", f.batch, 1}, whole{"points", f.points, 2}); err != nil {
		return err
	}
	chosen, err := f.chosen()
	if err != nil {
		return err
	}
	options, err := f.options(c.Flags().Changed)
	if err != nil {
		return err
	}
	if f.out != "" {
		if err := checkOutFolder("out", f.out); err != nil {
			return err
		}
	}
	m, images, labels, err := f.read(options)
	if err != nil {
		return err
	}
	e, err := openEngine(f.backend)
	if err != nil {
		return err
	}
	defer e.Close()
	r, err := scoring.NewResponder(e, m, scoring.ResponseOptions{Batch: f.batch, Seed: f.seed})
	if err != nil {
		return err
	}
	for _, layer := range f.layers {
		if err := r.CheckLayer(layer); err != nil {
			return usageError{err}
		}
	}
	data := fit.Data{Images: images, Labels: labels}
	_, accuracy, err := r.Margins(c.Context(), data)
	if err != nil {
		return err
	}
	scores, err := f.measure(c.Context(), r, data, chosen, ideal, fractions)
	if err != nil {
		return err
	}
	if f.asJSON {
		return printJSON(c, map[string]any{"accuracy": accuracy, "examples": len(labels), "ideal": f.ideal, "pal_fractions": f.pal,
			"seed": f.seed, "backend": e.Name(), "scores": scores, "notes": notesOf(m)})
	}
	caption := fmt.Sprintf("%d examples, accuracy %.1f%%, on %s", len(labels), 100*accuracy, e.Name())
	if err := printTable(c, scoresTable("Scores of "+m.Name, caption, scores)); err != nil {
		return err
	}
	notes := m.Notes
	if accuracy < 0.9 {
		notes = append(slices.Clone(notes), "the accuracy on these examples is low: the scores are meant for examples and labels "+
			"that the network was trained on, and has learned")
	}
	printNotes(c, notes)
	return nil
}

// chosen are the perturbations that the flags name, at as many magnitudes as they say.
func (f *scoreFlags) chosen() (chosen []scoring.Perturbation, err error) {
	for _, name := range f.perturbations {
		p, err := scoring.ByName(strings.TrimSpace(name))
		if err != nil {
			return nil, usageError{err}
		}
		if all := p.Magnitudes(); f.points > 0 {
			p = scoring.At(p, scoring.Linspace(all[0], all[len(all)-1], f.points)...)
		}
		chosen = append(chosen, p)
	}
	return chosen, nil
}

// measure scores every perturbation at every layer that it works in, and writes the curves where a folder is given.
func (f *scoreFlags) measure(ctx context.Context, r *scoring.Responder, data fit.Data, chosen []scoring.Perturbation,
	ideal scoring.Ideal, fractions scoring.PalFractions) ([]modelScore, error) {
	scores := []modelScore{}
	for _, p := range chosen {
		layers := f.layers
		if p.Needs().Pixels {
			layers = []int{0}
		}
		for _, layer := range layers {
			curve, err := r.Respond(ctx, data, p, layer)
			if err != nil {
				return nil, err
			}
			s := modelScore{Perturbation: p.Name(), Layer: layer, Magnitudes: curve.Magnitudes, Accuracies: curve.Accuracies}
			if s.Gi, err = scoring.GiScore(curve, ideal); err != nil {
				return nil, usageError{err}
			}
			folded := curve
			if curve.Magnitudes[0] < 0 {
				if folded, err = curve.Fold(); err != nil {
					return nil, err
				}
			}
			if pal, err := scoring.PalScore(folded, fractions); err == nil { // else it is undefined: nothing is right near magnitude 0
				s.Pal = &pal
			}
			scores = append(scores, s)
			if f.out != "" {
				if err := writeCurve(f.out, s, curve); err != nil {
					return nil, err
				}
			}
		}
	}
	return scores, nil
}

func scoresTable(title, caption string, scores []modelScore) *report.Table {
	t := &report.Table{Title: title, Caption: caption, Columns: []report.Column{{Name: "perturbation"}, {Name: "layer"},
		{Name: "Gi-score", Format: "%.4f"}, {Name: "Pal-score", Format: "%.2f"}, {Name: "accuracy at the end", Percent: true}}}
	for _, s := range scores {
		pal := any("undefined")
		if s.Pal != nil {
			pal = *s.Pal
		}
		t.Rows = append(t.Rows, []any{s.Perturbation, s.Layer, s.Gi, pal, s.Accuracies[len(s.Accuracies)-1]})
	}
	return t
}

// writeCurve writes a curve as CSV, named after perturbation and layer.
func writeCurve(dir string, s modelScore, curve scoring.Curve) error {
	var text strings.Builder
	if err := curve.Write(&text); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	name := fmt.Sprintf("%s-layer-%d.csv", strings.ReplaceAll(strings.ToLower(s.Perturbation), " ", "-"), s.Layer)
	return renameio.WriteFile(filepath.Join(dir, name), []byte(text.String()), 0o644)
}
