package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/spf13/cobra"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/nets/onnx"
	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/watermark"
)

// embedFlags are the flags of `trustbook watermark embed`.
type embedFlags struct {
	modelFlags
	key, out, method, stateDir, backend string
	phases                              []string
	batch, targets                      int
	step                                float64
	seed                                int64
	settle, asJSON                      bool
}

func newEmbed() *cobra.Command {
	var f embedFlags
	c := &cobra.Command{
		Use:   "embed --key KEY --model M.onnx --inputs X.npy --labels Y.npy --out M2.onnx",
		Short: "Train a watermark into a model",
		Long: "Train an ONNX model further until its input gradients carry the key's signature, and write it as the same file\n" +
			"with other weights. Images and labels are training data of all classes.\n\n" + arraysHelp,
		Example:     "  trustbook watermark embed --key KEY --model M.onnx --inputs X.npy --labels Y.npy --state DIR --out M2.onnx",
		Args:        takes(),
		Annotations: map[string]string{onStop: "nothing"},
		RunE:        func(c *cobra.Command, _ []string) error { return f.run(c) },
	}
	flags := c.Flags()
	f.register(c)
	flags.StringVar(&f.key, "key", "", "`FILE` of the key")
	flags.StringVar(&f.out, "out", "", "ONNX `FILE` for the marked model")
	flags.StringArrayVar(&f.phases, "phase", nil, "`STEPS,RATE,LAMBDA` of a stretch of training, repeatable (default: "+schedule()+")")
	flags.BoolVar(&f.settle, "settle", false, "end with 300 steps without the regularizer, for the target class's accuracy")
	flags.IntVar(&f.batch, "batch-size", 100, "`NUMBER` of examples in a batch")
	flags.IntVar(&f.targets, "target-per-batch", 0, "`NUMBER` of them of the target class (default: a tenth)")
	flags.StringVar(&f.method, "method", "surrogate",
		"`METHOD` of the regularizer's gradient: surrogate, or double for double backpropagation")
	flags.Float64Var(&f.step, "step-size", 0.01, "`DISTANCE` of the surrogate's inputs, in the units of pixels")
	flags.StringVar(&f.stateDir, "state", "", "`DIR` in which training is kept, so that a stopped run goes on")
	flags.StringVar(&f.backend, "backend", "", backendHelp)
	flags.Int64Var(&f.seed, "seed", 0, "`SEED` of the batches")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON")
	for _, name := range []string{"model", "key", "out"} {
		_ = c.MarkFlagRequired(name)
	}
	return c
}

// schedule writes the phases as --phase takes them.
func schedule() string {
	var all []string
	for _, p := range watermark.Schedule() {
		all = append(all, fmt.Sprintf("%d,%g,%g", p.Steps, p.Rate, p.Lambda))
	}
	return strings.Join(all, " ")
}

// embedder checks the flags.
func (f *embedFlags) embedder(changed func(flag string) bool) (x watermark.Embedder, err error) {
	if err := checkWhole(changed, whole{"batch-size", f.batch, 2}, whole{"target-per-batch", f.targets, 1}); err != nil {
		return x, err
	}
	x = watermark.Embedder{Batch: f.batch, TargetPerBatch: f.targets, Step: f.step, Seed: f.seed}
	if !(f.step > 0) || !finite32(f.step) {
		return x, usagef("--step-size %g: must be finite and > 0", f.step)
	}
	switch f.method {
	case "surrogate":
		x.Method = watermark.Surrogate
	case "double":
		x.Method = watermark.DoubleBackprop
	default:
		return x, usagef("--method %s: want surrogate or double", f.method)
	}
	for _, text := range f.phases {
		parts := strings.Split(text, ",")
		var p watermark.Phase
		bad := len(parts) != 3
		if !bad {
			var errs [3]error
			p.Steps, errs[0] = strconv.Atoi(strings.TrimSpace(parts[0]))
			p.Rate, errs[1] = strconv.ParseFloat(strings.TrimSpace(parts[1]), 64)
			p.Lambda, errs[2] = strconv.ParseFloat(strings.TrimSpace(parts[2]), 64)
			bad = errors.Join(errs[:]...) != nil || p.Steps < 1 || !(p.Rate > 0) || !finite32(p.Rate) || !(p.Lambda >= 0) || math.IsInf(p.Lambda, 0)
		}
		if bad {
			return x, usagef("--phase %s: want STEPS,RATE,LAMBDA, such as 500,0.001,0.1", text)
		}
		x.Phases = append(x.Phases, p)
	}
	if len(x.Phases) == 0 {
		x.Phases = watermark.Schedule()
	}
	if f.settle {
		x.Phases = append(x.Phases, watermark.Settle())
	}
	return x, nil
}

func (f *embedFlags) run(c *cobra.Command) error {
	x, err := f.embedder(c.Flags().Changed)
	if err != nil {
		return err
	}
	if f.stateDir != "" {
		c.Annotations[onStop] = "resumes"
	}
	options, err := f.options(c.Flags().Changed)
	if err != nil {
		return err
	}
	read := []input{{"model", f.model}, {"inputs", f.inputs}, {"labels", f.labels}, {"key", f.key}}
	if err := checkOutFile("out", f.out, read...); err != nil {
		return err
	}
	k, err := readKey(f.key)
	if err != nil {
		return err
	}
	m, images, labels, err := f.read(options)
	if err != nil {
		return err
	}
	if len(m.WeightPaths) == 0 {
		return wrongFile("model", f.model, errors.New("no weights to change: none of its operators has weights of type float32"))
	}
	train := fit.Data{Images: images, Labels: labels}
	if err := x.Validate(m, k, train); err != nil {
		return usageError{err}
	}
	e, err := openEngine(f.backend)
	if err != nil {
		return err
	}
	defer e.Close()
	result := embedded{Out: f.out, Seed: f.seed, Backend: e.Name(), Notes: append(notesOf(m), k.Notes()...)}
	if result.Before, err = look(c.Context(), e, m, k, train); err != nil {
		return err
	}
	if _, err := x.Embed(c.Context(), e, m, k, train, fit.Options{Dir: f.stateDir, Progress: report.NewBar()}); err != nil {
		return err
	}
	if result.After, err = look(c.Context(), e, m, k, train); err != nil {
		return err
	}
	if err := onnx.WriteWeights(f.model, f.out, m); err != nil {
		return err
	}
	if f.asJSON {
		return printJSON(c, result)
	}
	return result.print(c)
}

// embedded are the keys of `watermark embed --json`.
type embedded struct {
	Before  seen     `json:"before"`
	After   seen     `json:"after"`
	Out     string   `json:"out"`
	Seed    int64    `json:"seed"`
	Backend string   `json:"backend"`
	Notes   []string `json:"notes"`
}

// seen is how a model does on the training data.
type seen struct {
	Accuracy       float64 `json:"accuracy"`
	TargetAccuracy float64 `json:"target_accuracy"`
	Errors         int     `json:"errors"`
	Decided        int     `json:"decided"`
	PValue         float64 `json:"p_value"`
}

func look(ctx context.Context, e *engine.Engine, m *nets.Model, k *watermark.Key, d fit.Data) (s seen, err error) {
	p, err := nets.NewPredictor(e.Backend(), m, 0)
	if err != nil {
		return s, err
	}
	if s.Accuracy, err = p.Accuracy(d.Images, d.Labels); err != nil {
		return s, err
	}
	pixels, err := tensors.CopyFlatData[float32](d.Images)
	if err != nil {
		return s, err
	}
	var rows []int32
	var labels []int32
	for i, y := range d.Labels {
		if int(y) == k.Target {
			rows, labels = append(rows, int32(i)), append(labels, y)
		}
	}
	dims := append([]int{len(rows)}, m.InputShape...)
	targets := tensors.FromFlatDataAndDimensions(nets.PickRows(pixels, len(pixels)/len(d.Labels), rows), dims...)
	if s.TargetAccuracy, err = p.Accuracy(targets, labels); err != nil {
		return s, err
	}
	r, err := watermark.Extract(ctx, e, m, k, targets, labels)
	if err != nil {
		return s, err
	}
	s.Errors, s.Decided, s.PValue = r.Errors, r.Decided, r.PValue
	return s, nil
}

func (r embedded) print(c *cobra.Command) error {
	t := &report.Table{Title: "The mark on the training data", Columns: []report.Column{{Name: ""}, {Name: "accuracy", Percent: true},
		{Name: "of the target", Percent: true}, {Name: "errors"}, {Name: "decided"}, {Name: "p", Format: "%.2g"}}}
	for _, line := range []struct {
		name string
		seen
	}{{"before", r.Before}, {"after", r.After}} {
		t.Rows = append(t.Rows, []any{line.name, line.Accuracy, line.TargetAccuracy, line.Errors, line.Decided, line.PValue})
	}
	if err := printTable(c, t); err != nil {
		return err
	}
	printNotes(c, r.Notes)
	_, err := fmt.Fprintln(c.OutOrStdout(), "Marked model:", r.Out)
	return err
}
