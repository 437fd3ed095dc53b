package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/nets/onnx"
	"github.com/trustbook/trustbook/npy"
	"github.com/trustbook/trustbook/remote"
	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/watermark"
)

// readingFlags are the flags of commands that read a mark from images of the key's target.
type readingFlags struct {
	modelFlags
	key, backend string
	asJSON       bool
}

func (f *readingFlags) register(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.model, "model", "", "ONNX `FILE` of the model")
	flags.StringVar(&f.key, "key", "", "`FILE` of the key")
	flags.StringVar(&f.inputs, "inputs", "", "NPY `FILE` with images of the key's target")
	flags.StringVar(&f.labels, "labels", "", "NPY `FILE` with their labels, to be checked")
	f.registerReading(flags)
	flags.StringVar(&f.backend, "backend", "", backendHelp)
	flags.BoolVar(&f.asJSON, "json", false, "print JSON")
	for _, name := range []string{"key", "inputs"} {
		_ = c.MarkFlagRequired(name)
	}
}

// readTargets reads the key and images of its target.
func (f *readingFlags) readTargets(command string) (*watermark.Key, *tensors.Tensor, error) {
	k, err := readKey(f.key)
	if err != nil {
		return nil, nil, err
	}
	images, err := f.readImages("inputs", f.inputs)
	if err != nil {
		return nil, nil, err
	}
	if shape := images.Shape().Dimensions[1:]; !slices.Equal(shape, k.Shape) {
		return nil, nil, usagef("--inputs %s: images have shape %v, key: made for %v", f.inputs, shape, k.Shape)
	}
	if f.labels == "" {
		return k, images, nil
	}
	labels, err := npy.ReadLabels(f.labels)
	if err != nil {
		return nil, nil, wrongFile("labels", f.labels, err)
	}
	if err := k.CheckLabels(images, labels); err != nil {
		return nil, nil, usagef("%s: %w", command, err)
	}
	return k, images, nil
}

// suspect reads the model, which must be one that the key was made for.
func (f *readingFlags) suspect(o onnx.Options, k *watermark.Key, images *tensors.Tensor) (*nets.Model, error) {
	m, err := f.load(o, images, "inputs", f.inputs)
	if err != nil {
		return nil, err
	}
	if err := k.Fits(m); err != nil {
		return nil, usageError{err}
	}
	return m, nil
}

// maybeModel reads a model for a key, if one is named.
func (f *modelFlags) maybeModel(k *watermark.Key) (*nets.Model, error) {
	if f.model == "" {
		return nil, nil
	}
	o, err := f.options(func(string) bool { return false })
	if err != nil {
		return nil, err
	}
	o.InputShape = k.Shape
	m, err := onnx.Load(f.model, o)
	if err == nil {
		err = k.Fits(m)
	}
	if err != nil {
		return nil, wrongFile("model", f.model, err)
	}
	return m, nil
}

func newExtract() *cobra.Command {
	var f readingFlags
	c := &cobra.Command{
		Use:   "extract --model M.onnx --key KEY --inputs X.npy",
		Short: "Read a key's bits from the gradients of a model",
		Long: "Read the bits of a key from the mean input gradient of an ONNX model over images of the key's target, and tell how\n" +
			"many are wrong and how likely so few are by chance.\n\n" + arraysHelp,
		Example:     "  trustbook watermark extract --model M2.onnx --key KEY --inputs X.npy --json",
		Args:        takes(),
		Annotations: map[string]string{onStop: "nothing"},
		RunE:        func(c *cobra.Command, _ []string) error { return f.extract(c) },
	}
	f.register(c)
	_ = c.MarkFlagRequired("model")
	return c
}

func (f *readingFlags) extract(c *cobra.Command) error {
	o, err := f.options(c.Flags().Changed)
	if err != nil {
		return err
	}
	k, images, err := f.readTargets("extract")
	if err != nil {
		return err
	}
	m, err := f.suspect(o, k, images)
	if err != nil {
		return err
	}
	e, err := openEngine(f.backend)
	if err != nil {
		return err
	}
	defer e.Close()
	r, err := watermark.Extract(c.Context(), e, m, k, images, nil)
	if err != nil {
		return err
	}
	notes := slices.Concat(notesOf(m), k.Notes(), r.Notes)
	if f.asJSON {
		return printJSON(c, map[string]any{"errors": r.Errors, "decided": r.Decided, "bits": r.Bits, "ber": r.BER, "p_value": r.PValue,
			"projections": r.Projections, "examples": images.Shape().Dimensions[0], "backend": e.Name(), "notes": notes})
	}
	return printReading(c, r, notes, nil, nil)
}

// printReading shows errors and p-value in a table, with more columns behind them.
func printReading(c *cobra.Command, r *watermark.Reading, notes []string, columns []report.Column, more []any) error {
	t := &report.Table{Columns: append([]report.Column{{Name: "errors"}, {Name: "decided"}, {Name: "bits"},
		{Name: "error rate", Format: "%.3f"}, {Name: "p", Format: "%.2g"}}, columns...)}
	rate := any("")
	if r.BER != nil {
		rate = *r.BER
	}
	t.Rows = [][]any{append([]any{r.Errors, r.Decided, len(r.Bits), rate, r.PValue}, more...)}
	if err := printTable(c, t); err != nil {
		return err
	}
	printNotes(c, notes)
	return nil
}

// verifyFlags are the flags of `trustbook watermark verify`.
type verifyFlags struct {
	readingFlags
	remoteFlags
	estimator, commitment, journal string
	step, level                    float64
	samples, queries, batch        int
	seed                           int64
}

func newVerify() *cobra.Command {
	var f verifyFlags
	c := &cobra.Command{
		Use:   "verify --model M.onnx|--url URL --key KEY --inputs X.npy [--commitment FILE]",
		Short: "Verify a watermark by the predictions of a model, here or behind an HTTP endpoint",
		Long: "Ask an ONNX model, or one behind an HTTP endpoint, for predictions of slightly changed images of the key's target,\n" +
			"and judge whether it carries the key's mark: marked, not shown, or undecided. The status is 0 only if marked.\n" +
			"The p-value is evidence for a key that was committed before the model appeared: --commitment checks that.\n\n" + arraysHelp,
		Example: "  trustbook watermark verify --model M2.onnx --key KEY --inputs X.npy --commitment COMMITMENT --json\n" +
			"  trustbook watermark verify --url URL --model-name NAME --key KEY --inputs X.npy --queries 2000 --journal J",
		Args:        takes(),
		Annotations: map[string]string{onStop: "nothing"},
		RunE:        func(c *cobra.Command, _ []string) error { return f.verify(c) },
	}
	flags := c.Flags()
	f.readingFlags.register(c)
	f.remoteFlags.register(flags)
	f.registerVerifying(flags)
	return c
}

func (f *verifyFlags) registerVerifying(flags *pflag.FlagSet) {
	flags.StringVar(&f.estimator, "estimator", "directional", "`NAME` of how bits are read: "+strings.Join(estimatorNames(), ", "))
	flags.Float64Var(&f.step, "step-size", 0,
		"Euclidean `LENGTH` of a change, in the units of pixels (default 0.1; larger for answers that tell less)")
	flags.IntVar(&f.samples, "samples", 0, "`NUMBER` of images a bit, the first of those given (default 10)")
	flags.IntVar(&f.queries, "queries", 0, "most questions, a `NUMBER` (default: any)")
	flags.StringVar(&f.commitment, "commitment", "", "`FILE` that `commit` wrote, to be checked")
	flags.Float64Var(&f.level, "level", watermark.Level, "p-value below which the mark counts as shown, `P`; 8e-25 without a time-stamp")
	flags.StringVar(&f.journal, "journal", "", "`FILE` that keeps what was learned, so that a stopped run goes on and asks nothing twice")
	flags.IntVar(&f.batch, "batch-size", 128, "`NUMBER` of images in a batch, and in a request to --url")
	flags.Int64Var(&f.seed, "seed", 0, "`SEED` of the order of questions")
}

func estimatorNames() (names []string) {
	for _, e := range watermark.Estimators {
		names = append(names, strings.ReplaceAll(string(e), " ", "-"))
	}
	return names
}

// verifier checks the flags.
func (f *verifyFlags) verifier(changed func(flag string) bool) (v watermark.Verifier, err error) {
	if err := f.checkWhere(changed, "trustbook watermark verify", f.model); err != nil {
		return v, err
	}
	err = checkWhole(changed, whole{"samples", f.samples, 1}, whole{"queries", f.queries, 1}, whole{"batch-size", f.batch, 1})
	if err != nil {
		return v, err
	}
	at := slices.Index(estimatorNames(), f.estimator)
	switch {
	case at < 0:
		return v, usagef("--estimator %s: want %s", f.estimator, strings.Join(estimatorNames(), ", "))
	case changed("step-size") && !(f.step > 0 && finite32(f.step)):
		return v, usagef("--step-size %g: must be finite and > 0", f.step)
	case !(f.level > 0 && f.level < 1):
		return v, usagef("--level %g: must be above 0 and below 1", f.level)
	}
	v = watermark.Verifier{Estimator: watermark.Estimators[at], Step: f.step, Samples: f.samples, Budget: f.queries, Batch: f.batch,
		Level: f.level, Journal: f.journal, Seed: f.seed, Progress: report.NewBar()}
	if f.commitment != "" {
		if v.Commitment, err = watermark.ReadCommitment(f.commitment); err != nil {
			return v, usagef("--commitment %s: %s", f.commitment, afterColon(err))
		}
	}
	for flag, path := range map[string]string{"journal": f.journal, "answer-log": f.answerLog} {
		if path == "" {
			continue
		}
		read := []input{{"inputs", f.inputs}, {"labels", f.labels}, {"key", f.key}, {"model", f.model}, {"commitment", f.commitment}}
		if err := checkOutFile(flag, path, read...); err != nil {
			return v, err
		}
	}
	return v, nil
}

// afterColon is an error without what stands before its first colon.
func afterColon(err error) string {
	text := oneLine(err)
	_, rest, ok := strings.Cut(text, ": ")
	if !ok {
		return text
	}
	return rest
}

func (f *verifyFlags) verify(c *cobra.Command) error {
	v, err := f.verifier(c.Flags().Changed)
	if err != nil {
		return err
	}
	o, err := f.options(c.Flags().Changed)
	if err != nil {
		return err
	}
	k, images, err := f.readTargets("verify")
	if err != nil {
		return err
	}
	if err := v.Validate(k, images.Shape().Dimensions[0]); err != nil {
		return usageError{err}
	}
	if v.Commitment != nil {
		if err := v.Commitment.Check(k); err != nil {
			return usagef("--commitment %s: %s", f.commitment, afterColon(err))
		}
	}
	if f.journal != "" || f.answerLog != "" {
		c.Annotations[onStop] = "resumes"
	}
	if f.url != "" {
		return f.verifyRemote(c, v, o, k, images)
	}
	m, err := f.suspect(o, k, images)
	if err != nil {
		return err
	}
	e, err := openEngine(f.backend)
	if err != nil {
		return err
	}
	defer e.Close()
	end, err := watermark.ModelEndpoint(e, m, f.batch)
	if err != nil {
		return err
	}
	return f.judge(c, v, end, k, images, func(out map[string]any) ([]string, string) {
		out["backend"] = e.Name()
		return notesOf(m), ""
	})
}

// verifyRemote asks by HTTP, enough at once for all requests that may be under way.
func (f *verifyFlags) verifyRemote(c *cobra.Command, v watermark.Verifier, o onnx.Options, k *watermark.Key, images *tensors.Tensor) error {
	m, err := nets.NewModel(k.Shape, o.Lower, o.Upper)
	if err != nil {
		return err
	}
	if err := checkImages(m, images, "inputs", f.inputs); err != nil {
		return err
	}
	cfg, err := f.config(k.Shape, k.Target+1, f.batch, f.output)
	if err != nil {
		return err
	}
	client, err := remote.Open(c.Context(), cfg)
	if err != nil {
		return err
	}
	defer client.Close()
	v.Batch = f.batch * f.concurrency
	return f.judge(c, v, watermark.RemoteEndpoint(client, k.Shape), k, images, func(out map[string]any) ([]string, string) {
		n := client.Stats()
		out["endpoint"] = map[string]any{"name": client.Name(), "answers": client.Answers().String(), "asked": n}
		return client.Notes(), fmt.Sprintf("Asked %s about %d images in %d requests, %d of them again",
			client.Name(), n.Rows, n.Requests, n.Retries)
	})
}

// judge verifies and prints. Describe adds what is known of the endpoint once it was asked, and tells notes and a last line.
func (f *verifyFlags) judge(c *cobra.Command, v watermark.Verifier, e watermark.Endpoint, k *watermark.Key, images *tensors.Tensor,
	describe func(out map[string]any) (notes []string, last string)) error {
	r, err := v.Verify(c.Context(), e, k, images)
	if err != nil {
		return err
	}
	out := map[string]any{}
	notes, last := describe(out)
	notes = slices.Concat([]string{}, notes, r.Notes)
	if f.asJSON {
		for key, value := range map[string]any{"errors": r.Errors, "decided": r.Decided, "ber": r.BER, "p_value": r.PValue, "queries": r.Queries,
			"verdict": r.Result, "registered": r.Registered, "commitment": r.Commitment, "level": f.level, "seed": f.seed, "notes": notes} {
			out[key] = value
		}
		err = printJSON(c, out)
	} else {
		err = printReading(c, &r.Reading, notes, []report.Column{{Name: "queries"}, {Name: "verdict"}, {Name: "commitment"}},
			[]any{r.Queries, r.Result, r.Commitment})
		if err == nil && last != "" {
			_, err = fmt.Fprintln(c.OutOrStdout(), last)
		}
	}
	if err == nil && r.Result != watermark.Marked {
		err = errNotMarked
	}
	return err
}

var errNotMarked = quiet{errors.New("the mark is not shown")}
