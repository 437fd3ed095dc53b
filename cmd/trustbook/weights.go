package main

import (
	"fmt"
	"math"
	"slices"

	"github.com/pkg/errors"
	"github.com/spf13/cobra"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/robust/weights"
)

// weightsFlags are the flags of `trustbook weights`.
type weightsFlags struct {
	modelFlags
	backend                string
	epsilon                float64
	relative               bool
	steps, restarts, draws int
	bits                   []int
	batch                  int
	seed                   int64
	asJSON                 bool
}

func newWeights() *cobra.Command {
	var f weightsFlags
	c := &cobra.Command{
		Use:   "weights --model M.onnx --inputs X.npy --labels Y.npy --epsilon E",
		Short: "Attack, round and certify the weights of a model that was trained elsewhere",
		Long: "Move the weights of an ONNX model by at most a radius, at random and along gradients, all of them and\n" +
			"matrix by matrix; round them to fewer bits; and certify the dense layers at the model's end, as far as the\n" +
			"theory goes: non-negative monotone activations (ReLU, sigmoid, softplus) between dense layers.\n\n" +
			arraysHelp,
		Example:     "  trustbook weights --model M.onnx --inputs X.npy --labels Y.npy --epsilon 0.001 --bits 8,4,2",
		Args:        takes(),
		Annotations: map[string]string{onStop: "nothing"},
		RunE:        func(c *cobra.Command, _ []string) error { return f.run(c) },
	}
	f.register(c)
	_ = c.MarkFlagRequired("model")
	flags := c.Flags()
	flags.StringVar(&f.backend, "backend", "", backendHelp)
	flags.Float64Var(&f.epsilon, "epsilon", 0, "`RADIUS` by which every weight may move")
	flags.BoolVar(&f.relative, "relative", false, "the radius is a share of each tensor's largest absolute weight")
	flags.IntVar(&f.steps, "steps", 20, "`NUMBER` of steps along gradients")
	flags.IntVar(&f.restarts, "restarts", 1, "`NUMBER` of runs along gradients, all but the first from a random start")
	flags.IntVar(&f.draws, "draws", 10, "`NUMBER` of random perturbations, of which the worst counts")
	flags.IntSliceVar(&f.bits, "bits", []int{8, 7, 6, 5, 4, 3, 2}, "`BITS` to which weights are rounded, 2 to 16")
	flags.IntVar(&f.batch, "batch-size", 500, "`NUMBER` of examples in a batch")
	flags.Int64Var(&f.seed, "seed", 0, "`SEED` of the random perturbations")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON")
	_ = c.MarkFlagRequired("epsilon")
	return c
}

func (f *weightsFlags) check(changed func(flag string) bool) error {
	if !(f.epsilon > 0) || math.IsInf(f.epsilon, 1) {
		return usagef("--epsilon %g: must be finite and > 0", f.epsilon)
	}
	if err := checkWhole(changed, whole{"steps", f.steps, 1}, whole{"restarts", f.restarts, 1}, whole{"draws", f.draws, 1},
		whole{"batch-size", f.batch, 1}); err != nil {
		return err
	}
	for _, b := range f.bits {
		if b < 2 || b > 16 {
			return usagef("--bits %d: want 2 to 16", b)
		}
	}
	return nil
}

func (f *weightsFlags) run(c *cobra.Command) error {
	if err := f.check(c.Flags().Changed); err != nil {
		return err
	}
	options, err := f.options(c.Flags().Changed)
	if err != nil {
		return err
	}
	m, images, labels, err := f.read(options)
	if err != nil {
		return err
	}
	if len(m.WeightPaths) == 0 {
		return wrongFile("model", f.model, errors.New("no weights to move: none of its operators has weights of type float32"))
	}
	e, err := openEngine(f.backend)
	if err != nil {
		return err
	}
	defer e.Close()
	a, err := weights.Assess(c.Context(), e, m, fit.Data{Images: images, Labels: labels}, weights.AssessConfig{
		Epsilon: f.epsilon, Relative: f.relative, Steps: f.steps, Restarts: f.restarts, Draws: f.draws,
		Bits: f.bits, Batch: f.batch, Seed: f.seed, Progress: report.NewBar()})
	if err != nil {
		return err
	}
	if f.asJSON {
		return printJSON(c, assessmentJSON{a, f.epsilon, f.relative, f.seed, e.Name(), notesOf(m)})
	}
	return f.print(c, a, m.Notes, e)
}

// assessmentJSON are the keys of `weights --json`.
type assessmentJSON struct {
	*weights.Assessment
	Epsilon  float64  `json:"epsilon"`
	Relative bool     `json:"relative"`
	Seed     int64    `json:"seed"`
	Backend  string   `json:"backend"`
	Notes    []string `json:"notes"`
}

func (f *weightsFlags) print(c *cobra.Command, a *weights.Assessment, notes []string, e *engine.Engine) error {
	radius := fmt.Sprintf("radius %g", f.epsilon)
	if f.relative {
		radius += " of each tensor's largest weight"
	}
	tables := a.Tables()
	tables[0].Caption += fmt.Sprintf(", %s, on %s", radius, e.Name())
	for _, t := range tables {
		if err := printTable(c, t); err != nil {
			return err
		}
	}
	if a.Uncovered != "" {
		notes = append(slices.Clone(notes), "not certified: "+a.Uncovered)
	}
	printNotes(c, notes)
	return nil
}
