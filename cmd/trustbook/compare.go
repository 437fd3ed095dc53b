package main

import (
	"fmt"
	"math"

	"github.com/spf13/cobra"

	"github.com/trustbook/trustbook/generative"
	"github.com/trustbook/trustbook/report"
)

// compareFlags are the flags of `trustbook compare-images`.
type compareFlags struct {
	modelFlags
	layerFlags
	authentic, generated, out string
	k                         int
	seed                      int64
	asJSON                    bool
}

func newCompareImages() *cobra.Command {
	f := compareFlags{modelFlags: modelFlags{named: "features"}}
	c := &cobra.Command{
		Use:   "compare-images --real A.npy --generated B.npy [--features M.onnx --layer K]",
		Short: "Measure how generated samples compare with real ones",
		Long: "Measure how generated samples compare with real ones: Fréchet distance, also for infinitely many samples (arXiv\n" +
			"1706.08500, 1911.07023), kernel distance (1801.01401), precision and recall (1904.06991), density and coverage\n" +
			"(2002.09797), diversity, and how near generated samples are to real ones.\n\n" +
			"Arrays are features [n, d], from anywhere; more axes count as features. With --features they are images, and a\n" +
			"layer of that ONNX network makes the features: layer 1 is the first with weights, and so on.",
		Example: "  trustbook compare-images --real A.npy --generated B.npy\n" +
			"  trustbook compare-images --real A.npy --generated B.npy --features M.onnx --layer 2 --json",
		Args:        takes(),
		Annotations: map[string]string{onStop: "nothing"},
		RunE:        func(c *cobra.Command, _ []string) error { return f.run(c) },
	}
	flags := c.Flags()
	flags.StringVar(&f.authentic, "real", "", "NPY `FILE` with the real samples")
	flags.StringVar(&f.generated, "generated", "", "NPY `FILE` with the generated samples")
	for _, name := range []string{"real", "generated"} {
		_ = c.MarkFlagRequired(name)
	}
	flags.StringVar(&f.model, "features", "", "ONNX `FILE` of a network whose activations are the features")
	flags.IntVar(&f.layer, "layer", 0, "`NUMBER` of the layer, from 1")
	f.registerReading(flags)
	flags.IntVar(&f.batch, "batch-size", 128, "`NUMBER` of images in a batch")
	flags.IntVar(&f.k, "k", 5, "`NUMBER` of neighbors of precision, recall, density and coverage")
	flags.Int64Var(&f.seed, "seed", 1, "`SEED` of random subsets")
	flags.StringVar(&f.backend, "backend", "", backendHelp)
	flags.StringVar(&f.out, "out", "", "`FILE` that gets the JSON")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON")
	return c
}

// only reports flags that do not go together.
func (f *compareFlags) only(c *cobra.Command) error {
	changed := c.Flags().Changed
	if f.model != "" {
		if !changed("layer") {
			return usagef("--features needs --layer: see `%s --help`", c.CommandPath())
		}
		return nil
	}
	for _, name := range []string{"layer", "bounds", "scale", "output", "batch-size", "backend"} {
		if changed(name) {
			return usagef("--%s is for --features: without it, arrays are the features", name)
		}
	}
	return nil
}

func (f *compareFlags) run(c *cobra.Command) error {
	if err := checkWhole(c.Flags().Changed, whole{"k", f.k, 1}, whole{"batch-size", f.batch, 1}); err != nil {
		return err
	}
	if err := f.only(c); err != nil {
		return err
	}
	authentic, generated := input{"real", f.authentic}, input{"generated", f.generated}
	if f.out != "" {
		if err := checkOutFile("out", f.out, authentic, generated, input{"features", f.model}); err != nil {
			return err
		}
	}
	read := rowsOf
	if f.model != "" {
		read = func(c *cobra.Command, a, b input) (x, y [][]float32, notes []string, err error) {
			return f.activationsOf(c, f.layerFlags, a, b)
		}
	}
	a, b, notes, err := read(c, authentic, generated)
	if err != nil {
		return err
	}
	x, err := f.features(authentic, a)
	if err != nil {
		return err
	}
	y, err := f.features(generated, b)
	if err != nil {
		return err
	}
	if len(x[0]) != len(y[0]) {
		return wrongFile("generated", f.generated, fmt.Errorf("%d features, --real has %d: want as many", len(y[0]), len(x[0])))
	}
	m, err := generative.Measure(x, y, generative.Options{K: f.k, Seed: f.seed})
	if err != nil {
		return err
	}
	return f.show(c, compared{Measures: m, K: f.k, Seed: f.seed, Layer: f.layer, Notes: append(append([]string{}, notes...), m.Notes...)})
}

// features are rows that Measure takes.
func (f *compareFlags) features(of input, rows [][]float32) ([][]float64, error) {
	if len(rows) <= f.k {
		return nil, wrongFile(of.flag, of.path, fmt.Errorf("%d samples: want more than --k %d", len(rows), f.k))
	}
	all := make([][]float64, len(rows))
	for i, row := range rows {
		all[i] = make([]float64, len(row))
		for j, v := range row {
			if all[i][j] = float64(v); math.IsNaN(all[i][j]) || math.IsInf(all[i][j], 0) {
				return nil, wrongFile(of.flag, of.path, fmt.Errorf("feature %d of sample %d is %g: want finite numbers", j, i, v))
			}
		}
	}
	return all, nil
}

// compared is the JSON.
type compared struct {
	*generative.Measures
	K     int      `json:"k"`
	Seed  int64    `json:"seed"`
	Layer int      `json:"layer,omitempty"`
	Notes []string `json:"notes"` // those of the network too
}

func (f *compareFlags) show(c *cobra.Command, m compared) error {
	if f.out != "" {
		if err := writeJSON(f.out, m); err != nil {
			return err
		}
	}
	if f.asJSON {
		return printJSON(c, m)
	}
	t := &report.Table{Title: "Generated samples against real ones",
		Caption: fmt.Sprintf("%d real and %d generated samples of %d features; k = %d. FID-f and KID-f are distances of this network's "+
			"features; the usual FID needs an Inception network's file.", m.Real, m.Generated, m.Features, m.K),
		Columns: []report.Column{{Name: "measure"}, {Name: "value"}}}
	t.Rows = append(t.Rows, []any{"Fréchet distance (FID-f)", m.Frechet})
	if m.FrechetInfinity != nil {
		t.Rows = append(t.Rows, []any{"for infinitely many samples", m.FrechetInfinity.Value}, []any{"slope in 1/n", m.FrechetInfinity.Slope})
	}
	t.Rows = append(t.Rows, []any{"kernel distance (KID-f)", m.Kernel}, []any{"mean of subsets", m.KernelSubsets},
		[]any{"deviation of a subset", m.KernelDeviation}, []any{"precision", m.Precision}, []any{"recall", m.Recall},
		[]any{"density", m.Density}, []any{"coverage", m.Coverage}, []any{"diversity, real", m.DiversityReal},
		[]any{"diversity, generated", m.DiversityGenerated}, []any{"median distance to the nearest real one", m.Nearest})
	if err := printTable(c, t); err != nil {
		return err
	}
	printNotes(c, m.Notes)
	return nil
}
