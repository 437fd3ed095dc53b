package main

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/trustbook/trustbook/creativity/scan"
	"github.com/trustbook/trustbook/report"
)

// scanFlags are the flags of `trustbook scan`.
type scanFlags struct {
	modelFlags
	background, activations, backgroundInputs string
	layer, batch                              int
	score, tail, out, backend                 string
	alphaMax                                  float64
	restarts                                  int
	seed                                      uint64
	group, exact, asJSON                      bool
}

func newScan() *cobra.Command {
	var f scanFlags
	c := &cobra.Command{
		Use:   "scan {--background B.npy --activations A.npy | --model M.onnx --layer K --inputs X.npy --background-inputs B.npy}",
		Short: "Find the samples, and of each the nodes, that are least like a background",
		Long: "Compare activations with those of a background of normal samples, and find of each sample the nodes that are\n" +
			"least like it (subset scanning, arXiv 2104.00479): of anomalies, adversarial examples, samples from elsewhere.\n" +
			"With --group, find the samples and nodes that are unlike the background together.\n\n" +
			"Arrays are [samples, nodes], from anywhere; more axes count as nodes. With --model they are what a layer of an\n" +
			"ONNX model puts out for images: layer 1 is the first with weights, behind activation and pooling, and so on.",
		Example: "  trustbook scan --background B.npy --activations A.npy --tail two --group\n" +
			"  trustbook scan --model M.onnx --layer 2 --inputs X.npy --background-inputs B.npy --json",
		Args:        takes(),
		Annotations: map[string]string{onStop: "nothing"},
		RunE:        func(c *cobra.Command, _ []string) error { return f.run(c) },
	}
	flags := c.Flags()
	flags.StringVar(&f.background, "background", "", "NPY `FILE` with the activations of normal samples")
	flags.StringVar(&f.activations, "activations", "", "NPY `FILE` with the activations to scan")
	flags.StringVar(&f.model, "model", "", "ONNX `FILE` of a model whose activations are scanned")
	flags.IntVar(&f.layer, "layer", 0, "`NUMBER` of the layer, from 1")
	flags.StringVar(&f.inputs, "inputs", "", "NPY `FILE` with the images to scan")
	flags.StringVar(&f.backgroundInputs, "background-inputs", "", "NPY `FILE` with normal images")
	f.registerReading(flags)
	flags.IntVar(&f.batch, "batch-size", 128, "`NUMBER` of images in a batch")
	flags.StringVar(&f.score, "score", scan.BerkJones.String(), "`SCORE`: berk-jones, higher-criticism or kolmogorov-smirnov")
	flags.StringVar(&f.tail, "tail", scan.Upper.String(),
		"`TAIL`: activations are unlike the background if large (upper), small (lower) or either (two)")
	flags.Float64Var(&f.alphaMax, "alpha-max", 0.5, "largest p-value that counts, `ALPHA` above 0 and at most 1")
	flags.BoolVar(&f.group, "group", false, "scan all samples together too")
	flags.BoolVar(&f.exact, "exact", false, "try every subset of the smaller side, of 24 at most (with --group)")
	flags.IntVar(&f.restarts, "restarts", 10, "`NUMBER` of starts of the group scan")
	flags.Uint64Var(&f.seed, "seed", 1, "`SEED` of the random starts")
	flags.StringVar(&f.backend, "backend", "", backendHelp)
	flags.StringVar(&f.out, "out", "", "`FILE` that gets the JSON")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON")
	return c
}

// options are the scan's, checked before anything is read.
func (f *scanFlags) options(c *cobra.Command) (o scan.Options, tail scan.Tail, err error) {
	if o.Score, err = scan.ParseScore(f.score); err != nil {
		return o, 0, usageError{err}
	}
	if tail, err = scan.ParseTail(f.tail); err != nil {
		return o, 0, usageError{err}
	}
	if !(f.alphaMax > 0 && f.alphaMax <= 1) {
		return o, 0, usagef("--alpha-max %g: must be above 0 and at most 1", f.alphaMax)
	}
	if f.exact && !f.group {
		return o, 0, usagef("--exact is for --group: scans of single samples are exact anyway")
	}
	if err := checkWhole(c.Flags().Changed, whole{"restarts", f.restarts, 1}, whole{"batch-size", f.batch, 1}); err != nil {
		return o, 0, err
	}
	o.AlphaMax, o.Starts, o.Seed = f.alphaMax, f.restarts, f.seed
	return o, tail, nil
}

// only reports flags that do not go with the way that activations are given.
func (f *scanFlags) only(c *cobra.Command) error {
	arrays, images := []string{"background", "activations"}, []string{"model", "layer", "inputs", "background-inputs"}
	needed, others, forWhat := arrays, append(images, "bounds", "scale", "output", "batch-size", "backend"), "--activations"
	if f.model != "" {
		needed, others, forWhat = images, arrays, "--model"
	}
	if f.model == "" && f.activations == "" {
		return usagef("give either --background and --activations, or --model with --layer, --inputs and --background-inputs: see `%s --help`",
			c.CommandPath())
	}
	for _, name := range needed {
		if !c.Flags().Changed(name) {
			return usagef("%s needs --%s: see `%s --help`", forWhat, name, c.CommandPath())
		}
	}
	for _, name := range others {
		if c.Flags().Changed(name) {
			return usagef("--%s does not go with %s", name, forWhat)
		}
	}
	return nil
}

func (f *scanFlags) run(c *cobra.Command) error {
	o, tail, err := f.options(c)
	if err != nil {
		return err
	}
	if err := f.only(c); err != nil {
		return err
	}
	background, rows, read := input{"background", f.background}, input{"activations", f.activations}, rowsOf
	if f.model != "" {
		background, rows, read = input{"background-inputs", f.backgroundInputs}, input{"inputs", f.inputs}, f.ofModel
	}
	if f.out != "" {
		if err := checkOutFile("out", f.out, background, rows, input{"model", f.model}); err != nil {
			return err
		}
	}
	normal, scanned, notes, err := read(c, background, rows)
	if err != nil {
		return err
	}
	b, err := scan.NewBackground(normal)
	if err != nil {
		return wrongFile(background.flag, background.path, err)
	}
	r, err := b.Ranks(scanned, tail)
	if err != nil {
		return wrongFile(rows.flag, rows.path, err)
	}
	return f.scan(c, r, o, notes)
}

// ofModel takes activations from a layer of a model.
func (f *scanFlags) ofModel(c *cobra.Command, background, rows input) (normal, scanned [][]float32, notes []string, err error) {
	return f.activationsOf(c, layerFlags{f.layer, f.batch, f.backend}, background, rows)
}

// single is the scan of one sample, as JSON has it.
type single struct {
	Row   int     `json:"row"`
	Score float64 `json:"score"`
	Alpha float64 `json:"alpha"`
	Nodes []int   `json:"nodes"`
}

// scanned is the JSON.
type scanned struct {
	Score    string       `json:"score"`
	Tail     string       `json:"tail"`
	AlphaMax float64      `json:"alpha_max"`
	Samples  int          `json:"samples"`
	Nodes    int          `json:"nodes"`
	Singles  []single     `json:"singles"`
	Group    *scan.Subset `json:"group,omitempty"`
	Exact    bool         `json:"exact,omitempty"`
	Climbs   []scan.Climb `json:"climbs,omitempty"`
	Notes    []string     `json:"notes"`
}

func (f *scanFlags) scan(c *cobra.Command, r *scan.Ranks, o scan.Options, notes []string) error {
	found, err := scan.Singles(r, o)
	if err != nil {
		return err
	}
	s := scanned{Score: f.score, Tail: f.tail, AlphaMax: f.alphaMax, Singles: []single{}, Exact: f.exact, Notes: append([]string{}, notes...)}
	s.Samples, s.Nodes = r.Size()
	for i, x := range found {
		s.Singles = append(s.Singles, single{i, x.Score, x.Alpha, x.Nodes})
	}
	if f.group {
		var g scan.Subset
		if f.exact {
			g, err = scan.Exact(r, o)
		} else {
			g, s.Climbs, err = scan.Group(r, o)
		}
		if err != nil {
			return usageError{err}
		}
		s.Group = &g
	}
	if f.out != "" {
		if err := writeJSON(f.out, s); err != nil {
			return err
		}
	}
	if f.asJSON {
		return printJSON(c, s)
	}
	return s.print(c)
}

// shown is how many samples the table shows.
const shown = 20

func (s scanned) print(c *cobra.Command) error {
	order := slices.Clone(s.Singles)
	slices.SortStableFunc(order, func(a, b single) int { return cmp.Compare(b.Score, a.Score) })
	t := &report.Table{Title: "Samples least like the background",
		Caption: fmt.Sprintf("%d samples of %d nodes; %s, %s tail, alpha up to %g.", s.Samples, s.Nodes, s.Score, s.Tail, s.AlphaMax),
		Columns: []report.Column{{Name: "sample"}, {Name: "score", Format: "%.4g"}, {Name: "alpha", Format: "%.4g"}, {Name: "nodes"}}}
	if len(order) > shown {
		t.Caption += fmt.Sprintf(" The first %d; all are in the JSON.", shown)
	}
	for _, x := range order[:min(shown, len(order))] {
		t.Rows = append(t.Rows, []any{x.Row, x.Score, x.Alpha, len(x.Nodes)})
	}
	if err := printTable(c, t); err != nil {
		return err
	}
	if s.Group != nil {
		g := &report.Table{Title: "Samples and nodes that are unlike the background together",
			Columns: []report.Column{{Name: "score", Format: "%.4g"}, {Name: "alpha", Format: "%.4g"},
				{Name: "samples", Format: "%v"}, {Name: "nodes"}},
			Rows: [][]any{{s.Group.Score, s.Group.Alpha, fmt.Sprintf("%d: %s", len(s.Group.Rows), few(s.Group.Rows)), len(s.Group.Nodes)}}}
		if err := printTable(c, g); err != nil {
			return err
		}
	}
	printNotes(c, s.Notes)
	return nil
}

// few writes the first of a list.
func few(list []int) string {
	const most = 12
	if len(list) <= most {
		return fmt.Sprint(list)
	}
	text := fmt.Sprint(list[:most])
	return text[:len(text)-1] + " ...]"
}
