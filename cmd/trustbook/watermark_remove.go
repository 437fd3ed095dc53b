package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/spf13/cobra"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/nets/onnx"
	"github.com/trustbook/trustbook/npy"
	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/watermark"
	"github.com/trustbook/trustbook/watermark/removal"
)

// removeFlags are the flags of `trustbook watermark remove`.
type removeFlags struct {
	modelFlags
	testInputs, testLabels                    string
	key, verifyInputs, overwriteKey           string
	attack, out, stateDir, backend            string
	rate, share, epsilon, weight, temperature float64
	epochs, batch, bits                       int
	seed                                      int64
	asJSON                                    bool
	test, verify                              *tensors.Tensor
	tested                                    []int32
	owned, another                            *watermark.Key
}

// newWatermarkRemove is a subcommand of `trustbook watermark`.
func newWatermarkRemove() *cobra.Command {
	var f removeFlags
	c := &cobra.Command{
		Use:   "remove --model M.onnx --inputs X.npy --labels Y.npy --attack NAME --out M2.onnx",
		Short: "Attack the watermark of a model: what of it stays, and what that costs in accuracy",
		Long: "Do to an ONNX model what a thief may do to take its watermark out, write the model that comes out, and tell\n" +
			"its accuracy before and after; with --key and --verify-inputs also what is left of the mark. The images are\n" +
			"those that the thief has. Accuracy is that on --test-inputs, or on the thief's images where there are none.\n\n" +
			arraysHelp,
		Example: "  trustbook watermark remove --model M.onnx --inputs X.npy --labels Y.npy --attack fine-tune --rate 0.005 --out M2.onnx\n" +
			"  trustbook watermark remove --model M.onnx --inputs X.npy --labels Y.npy --attack prune --share 0.8 --key KEY \\\n" +
			"    --verify-inputs T.npy --out M2.onnx",
		Args:        takes(),
		Annotations: map[string]string{onStop: "nothing"},
		RunE:        func(c *cobra.Command, _ []string) error { return f.run(c) },
	}
	flags := c.Flags()
	f.register(c)
	flags.StringVar(&f.attack, "attack", "", "`NAME` of the attack: "+strings.Join(removalNames(), ", "))
	flags.StringVar(&f.out, "out", "", "ONNX `FILE` for the model that comes out")
	flags.StringVar(&f.testInputs, "test-inputs", "", "NPY `FILE` with images on which accuracy is measured")
	flags.StringVar(&f.testLabels, "test-labels", "", "NPY `FILE` with their labels")
	flags.StringVar(&f.key, "key", "", "`FILE` of the owner's key, under which the mark is read before and after")
	flags.StringVar(&f.verifyInputs, "verify-inputs", "", "NPY `FILE` with images of the key's target, from which it is read")
	flags.StringVar(&f.overwriteKey, "overwrite-key", "", "`FILE` of the key that the thief marks the model with (overwrite)")
	flags.Float64Var(&f.rate, "rate", 1e-3, "learning `RATE` ("+strings.Join(removalsWith("rate"), ", ")+")")
	flags.IntVar(&f.epochs, "epochs", 0, "`NUMBER` of epochs (the same attacks; default 10, of adversarial and gradient-penalty 5)")
	flags.IntVar(&f.batch, "batch-size", 64, "`NUMBER` of examples in a batch (the same attacks)")
	flags.Float64Var(&f.share, "share", 0.5, "`SHARE` of weights or units that go ("+strings.Join(removalsWith("share"), ", ")+")")
	flags.IntVar(&f.bits, "bits", 8, "`BITS` to which weights are rounded, 2 to 16 (quantize)")
	flags.Float64Var(&f.epsilon, "epsilon", 0.1, "l-infinity `RADIUS` of perturbations (adversarial)")
	flags.Float64Var(&f.weight, "penalty", 1, "`WEIGHT` of the squared input gradient (gradient-penalty)")
	flags.Float64Var(&f.temperature, "temperature", 1, "`TEMPERATURE` of the softmax (distill)")
	flags.StringVar(&f.stateDir, "state", "", "`DIR` in which training is kept, so that a stopped run goes on")
	flags.StringVar(&f.backend, "backend", "", backendHelp)
	flags.Int64Var(&f.seed, "seed", 0, "`SEED` of the order of examples, and of fresh weights")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON")
	for _, name := range []string{"model", "attack", "out"} {
		_ = c.MarkFlagRequired(name)
	}
	return c
}

// namedRemoval is a removal under the name that --attack takes, with the settings that it has.
type namedRemoval struct {
	name string
	removal.Removal
	flags []string
}

func (f *removeFlags) removals() []namedRemoval {
	training := removal.Training{Rate: f.rate, Epochs: f.epochs, Batch: f.batch, Seed: f.seed}
	trains := func(more ...string) []string {
		return append([]string{"rate", "epochs", "batch-size", "seed", "state"}, more...)
	}
	return []namedRemoval{
		{"fine-tune", removal.FineTune{Training: training}, trains()},
		{"prune", removal.Prune{Share: f.share}, []string{"share"}},
		{"prune-fine-tune", removal.PruneFineTune{Training: training, Share: f.share}, trains("share")},
		{"fine-prune", removal.FinePrune{Training: training, Share: f.share}, trains("share")},
		{"quantize", removal.Quantize{Bits: f.bits}, []string{"bits"}},
		{"adversarial", removal.AdversarialFineTune{Training: training, Epsilon: f.epsilon}, trains("epsilon")},
		{"gradient-penalty", removal.GradientPenalty{Training: training, Weight: f.weight}, trains("penalty")},
		{"overwrite", removal.Overwrite{Key: f.another, Embedder: watermark.Embedder{Seed: f.seed}}, []string{"overwrite-key", "seed", "state"}},
		{"distill", removal.Distill{Training: training, Temperature: f.temperature}, trains("temperature")},
		{"extract", removal.ExtractModel{Training: training}, trains()},
	}
}

func removalNames() []string { return removalsWith("") }

// removalsWith are the names of the removals that have a setting; "": of all.
func removalsWith(flag string) (names []string) {
	for _, r := range (&removeFlags{}).removals() {
		if flag == "" || slices.Contains(r.flags, flag) {
			names = append(names, r.name)
		}
	}
	return names
}

// choose finds the attack, and refuses settings that it would not use.
func (f *removeFlags) choose(changed func(flag string) bool) (removal.Removal, error) {
	for _, r := range f.removals() {
		if !strings.EqualFold(r.name, f.attack) {
			continue
		}
		for _, name := range []string{"rate", "epochs", "batch-size", "share", "bits", "epsilon", "penalty", "temperature", "overwrite-key",
			"seed", "state"} {
			if changed(name) && !slices.Contains(r.flags, name) {
				return nil, usagef("--%s: %s has no such setting; it has --%s", name, r.name, strings.Join(r.flags, ", --"))
			}
		}
		if r.name == "overwrite" && f.overwriteKey == "" {
			return nil, usagef("--attack overwrite needs --overwrite-key, the key that the thief marks the model with")
		}
		return r.Removal, nil
	}
	return nil, usagef("--attack %s: want %s", f.attack, strings.Join(removalNames(), ", "))
}

// check refuses numbers that cannot be meant, and flags that belong together.
func (f *removeFlags) check(changed func(flag string) bool) error {
	if err := checkWhole(changed, whole{"epochs", f.epochs, 1}, whole{"batch-size", f.batch, 1}); err != nil {
		return err
	}
	for _, n := range []struct {
		flag  string
		value float64
	}{{"rate", f.rate}, {"epsilon", f.epsilon}, {"penalty", f.weight}, {"temperature", f.temperature}} {
		if !(n.value > 0) || math.IsInf(n.value, 1) {
			return usagef("--%s %g: must be finite and > 0", n.flag, n.value)
		}
	}
	if !(f.share >= 0 && f.share < 1) {
		return usagef("--share %g: want 0 to below 1", f.share)
	}
	if f.bits < 2 || f.bits > 16 {
		return usagef("--bits %d: want 2 to 16", f.bits)
	}
	for _, pair := range [][2]string{{"test-inputs", "test-labels"}, {"key", "verify-inputs"}} {
		if a, b := changed(pair[0]), changed(pair[1]); a != b {
			return usagef("--%s and --%s: give both or neither", pair[0], pair[1])
		}
	}
	inputs := []input{{"inputs", f.inputs}, {"labels", f.labels}}
	for _, in := range []input{{"test-inputs", f.testInputs}, {"test-labels", f.testLabels}, {"key", f.key}, {"verify-inputs", f.verifyInputs},
		{"overwrite-key", f.overwriteKey}, {"model", f.model}} {
		if in.path != "" {
			inputs = append(inputs, in)
		}
	}
	return checkOutFile("out", f.out, inputs...)
}

func (f *removeFlags) run(c *cobra.Command) error {
	changed := c.Flags().Changed
	if f.stateDir != "" {
		c.Annotations[onStop] = "resumes"
	}
	if err := f.check(changed); err != nil {
		return err
	}
	options, err := f.options(changed)
	if err != nil {
		return err
	}
	if _, err := f.choose(changed); err != nil {
		return err
	}
	m, images, labels, err := f.read(options)
	if err != nil {
		return err
	}
	if err := f.readMore(m, images, labels); err != nil {
		return err
	}
	r, err := f.choose(changed)
	if err != nil {
		return err
	}
	e, err := openEngine(f.backend)
	if err != nil {
		return err
	}
	defer e.Close()
	result, err := f.attempt(c.Context(), e, r, m, fit.Data{Images: images, Labels: labels})
	if err != nil {
		return err
	}
	if f.asJSON {
		return printJSON(c, result)
	}
	return f.print(c, result)
}

// readMore reads the files that are not those of every command.
func (f *removeFlags) readMore(m *nets.Model, images *tensors.Tensor, labels []int32) (err error) {
	if len(m.WeightPaths) == 0 {
		return wrongFile("model", f.model, errors.New("no weights to change: none of its operators has weights of type float32"))
	}
	if f.batch > len(labels) {
		f.batch = len(labels)
	}
	f.test, f.tested = images, labels
	if f.testInputs != "" {
		if f.test, f.tested, err = f.readTest(m); err != nil {
			return err
		}
	}
	for _, k := range []struct {
		flag, path string
		to         **watermark.Key
	}{{"key", f.key, &f.owned}, {"overwrite-key", f.overwriteKey, &f.another}} {
		if k.path == "" {
			continue
		}
		if *k.to, err = watermark.ReadKey(k.path); err == nil {
			err = (*k.to).Fits(m)
		}
		if err != nil {
			return usagef("--%s %s: %s", k.flag, k.path, strings.TrimPrefix(oneLine(err), "key: "))
		}
	}
	if f.owned == nil {
		return nil
	}
	if f.verify, err = f.readImages("verify-inputs", f.verifyInputs); err != nil {
		return err
	}
	return checkImages(m, f.verify, "verify-inputs", f.verifyInputs)
}

func (f *removeFlags) readTest(m *nets.Model) (*tensors.Tensor, []int32, error) {
	images, err := f.readImages("test-inputs", f.testInputs)
	if err != nil {
		return nil, nil, err
	}
	if err := checkImages(m, images, "test-inputs", f.testInputs); err != nil {
		return nil, nil, err
	}
	labels, err := npy.ReadLabels(f.testLabels)
	if err == nil {
		err = m.CheckLabels(labels)
	}
	if n := images.Shape().Dimensions[0]; err == nil && n != len(labels) {
		err = fmt.Errorf("%d labels for %d images: give one each", len(labels), n)
	}
	if err != nil {
		return nil, nil, wrongFile("test-labels", f.testLabels, err)
	}
	return images, labels, nil
}

// removed are the keys of `watermark remove --json`.
type removed struct {
	Attack  string   `json:"attack"`
	Before  standing `json:"before"`
	After   standing `json:"after"`
	Tested  int      `json:"tested"` // images on which accuracy was measured
	Out     string   `json:"out"`
	Seed    int64    `json:"seed"`
	Backend string   `json:"backend"`
	Notes   []string `json:"notes"`
}

// standing is what a model is worth, and what of the mark it shows; null where no key was given.
type standing struct {
	Accuracy float64  `json:"accuracy"`
	Errors   *int     `json:"errors"`
	Decided  *int     `json:"decided"`
	PValue   *float64 `json:"p_value"`
}

// attempt attacks the model, measures and writes the one that comes out.
func (f *removeFlags) attempt(ctx context.Context, e *engine.Engine, r removal.Removal, m *nets.Model, data fit.Data) (*removed, error) {
	out := &removed{Attack: r.Name(), Tested: len(f.tested), Out: f.out, Seed: f.seed, Backend: e.Name(), Notes: notesOf(m)}
	if f.testInputs == "" {
		out.Notes = append(out.Notes, "accuracy is on the thief's own images: --test-inputs and --test-labels name others")
	}
	var err error
	if out.Before, err = f.measure(ctx, e, m); err != nil {
		return nil, err
	}
	got, err := r.Apply(ctx, e, m, data, fit.Options{Dir: f.stateDir, Progress: report.NewBar()})
	if err != nil {
		return nil, err
	}
	if out.After, err = f.measure(ctx, e, got); err != nil {
		return nil, err
	}
	return out, onnx.WriteWeights(f.model, f.out, got)
}

func (f *removeFlags) measure(ctx context.Context, e *engine.Engine, m *nets.Model) (s standing, err error) {
	p, err := nets.NewPredictor(e.Backend(), m, 0)
	if err != nil {
		return s, err
	}
	if s.Accuracy, err = p.Accuracy(f.test, f.tested); err != nil || f.owned == nil {
		return s, err
	}
	r, err := watermark.Extract(ctx, e, m, f.owned, f.verify, nil)
	if err != nil {
		return s, err
	}
	s.Errors, s.Decided, s.PValue = &r.Errors, &r.Decided, &r.PValue
	return s, nil
}

func (f *removeFlags) print(c *cobra.Command, r *removed) error {
	t := &report.Table{Caption: fmt.Sprintf("%s, on %s", r.Attack, r.Backend), Columns: []report.Column{{Name: ""}, {Name: "accuracy", Format: "%.4f"}}}
	rows := [][]any{{"before", r.Before.Accuracy}, {"after", r.After.Accuracy}}
	if f.owned != nil {
		t.Columns = append(t.Columns, report.Column{Name: "errors"}, report.Column{Name: "of bits"}, report.Column{Name: "p", Format: "%.2g"})
		for i, s := range []standing{r.Before, r.After} {
			rows[i] = append(rows[i], *s.Errors, *s.Decided, *s.PValue)
		}
	}
	t.Rows = rows
	if err := printTable(c, t); err != nil {
		return err
	}
	printNotes(c, r.Notes)
	return nil
}
