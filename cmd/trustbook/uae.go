package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/spf13/cobra"

	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/nets/onnx"
	"github.com/trustbook/trustbook/npy"
	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/uae"
)

// unsupervised tells whether --attack is uae, which takes networks that are no classifiers.
func (f *attackFlags) unsupervised() bool { return strings.EqualFold(f.attack, "uae") }

// labelFree tells whether the attack does without labels.
func (f *attackFlags) labelFree() bool {
	return f.unsupervised() || strings.EqualFold(f.attack, "minmax")
}

// freeLabels takes --labels off the required flags where the attack does without.
func (f *attackFlags) freeLabels(c *cobra.Command) {
	if f.labelFree() {
		_ = c.Flags().SetAnnotation("labels", cobra.BashCompOneRequiredFlag, []string{"false"})
	}
}

// minmax is the supervised search with the settings of the flags.
func (f *attackFlags) minmax() uae.Attack {
	s := uae.Supervised()
	if f.steps > 0 {
		s.Steps = f.steps
	}
	if f.stepSize > 0 {
		s.StepSize = f.stepSize
	}
	return uae.Attack{Search: s}
}

// readUnlabeled reads a classifier and its images alone.
func (f *attackFlags) readUnlabeled(o onnx.Options) (*nets.Model, *tensors.Tensor, error) {
	images, err := f.readImages("inputs", f.inputs)
	if err != nil {
		return nil, nil, err
	}
	m, err := f.load(o, images, "inputs", f.inputs)
	if err == nil {
		m.Notes = append(m.Notes, "without labels, the classes that the model predicts for the clean images count as right")
	}
	return m, images, err
}

// checkUAE refuses flags that uae has no use for.
func (f *attackFlags) checkUAE(changed func(flag string) bool, t robust.Threat) error {
	for _, name := range slices.Concat(attackSettings, []string{"labels", "targets"}) {
		if changed(name) && !slices.Contains([]string{"steps", "step-size", "uae-mode"}, name) {
			return usagef("--%s: uae has no such setting; it has --steps, --step-size, --uae-mode, and needs no labels", name)
		}
	}
	switch {
	case f.url != "":
		return usagef("--attack uae: needs gradients, which no endpoint gives")
	case t.Norm != robust.Linf:
		return usagef("--norm %s: uae works in linf", t.Norm)
	case !(t.Epsilon > 0) || math.IsInf(t.Epsilon, 1):
		return usagef("--epsilon %g: uae needs a finite radius > 0", t.Epsilon)
	case f.uaeMode != "" && f.uaeMode != "conv" && f.uaeMode != "random":
		return usagef("--uae-mode %s: want conv or random", f.uaeMode)
	}
	return f.remoteFlags.checkWhere(changed, "trustbook attack", f.model)
}

// The random projections of --uae-mode random.
const uaeProjections, uaeProjected = 100, 32

// runUAE attacks an autoencoder.
func (f *attackFlags) runUAE(c *cobra.Command, threat robust.Threat, options onnx.Options) error {
	images, err := f.readImages("inputs", f.inputs)
	if err != nil {
		return err
	}
	o, x, err := f.autoencoder(options, images)
	if err != nil {
		return err
	}
	s := uae.Tuned()
	s.Epsilon, s.Seed, s.Progress = threat.Epsilon, f.seed, report.NewBar()
	if f.steps > 0 {
		s.Steps = f.steps
	}
	if f.stepSize > 0 {
		s.StepSize = f.stepSize
	}
	if c.Flags().Changed("batch-size") {
		s.Batch = f.batch
	}
	e, err := openEngine(f.backend)
	if err != nil {
		return err
	}
	defer e.Close()
	start := time.Now()
	ex, err := s.Generate(c.Context(), e, o, x, images)
	if err != nil {
		return err
	}
	took := time.Since(start)
	v, err := uae.Check(c.Context(), e, o, images, ex, threat.Epsilon)
	if err != nil {
		return err
	}
	if f.out != "" {
		if err := npy.WriteImages(f.out, ex.Images); err != nil {
			return err
		}
	}
	m := o.Model()
	notes := slices.Concat(m.Notes, ex.Notes)
	if len(v.Wrong) > 0 {
		notes = append(notes, fmt.Sprintf("the referee takes %d of the successes for none: f, budget or bounds do not hold there", len(v.Wrong)))
	}
	l2, shared := f.uaeMedians(ex, v)
	if f.asJSON {
		return printJSON(c, map[string]any{"attack": s.Name(), "norm": threat.Norm, "epsilon": threat.Epsilon, "examples": len(v.Success),
			"success_rate": v.Rate(), "median_l2": l2, "max_norm": slices.Max(v.Norms), "median_information": shared, "samples": x.Name(),
			"cut_off": ex.Dead, "seconds": json.Number(fmt.Sprintf("%.3f", took.Seconds())), "backend": e.Name(), "seed": f.seed,
			"notes": append([]string{}, notes...)})
	}
	t := &report.Table{
		Title: s.Name(),
		Caption: fmt.Sprintf("%s, radius %g, %d examples, %s, information by %s, %.1f s on %s; medians over the successes",
			threat.Norm, threat.Epsilon, len(v.Success), m.Name, x.Name(), took.Seconds(), e.Name()),
		Columns: []report.Column{{Name: "success rate", Percent: true}, {Name: "median l2"}, {Name: "max norm"}, {Name: "median information"}},
		Rows:    [][]any{{v.Rate(), cellOf(l2), slices.Max(v.Norms), cellOf(shared)}},
	}
	if err := printTable(c, t); err != nil {
		return err
	}
	printNotes(c, notes)
	if f.out == "" {
		return nil
	}
	_, err = fmt.Fprintln(c.OutOrStdout(), "Perturbed images:", f.out)
	return err
}

// autoencoder reads the network and says by what information is estimated.
func (f *attackFlags) autoencoder(options onnx.Options, images *tensors.Tensor) (*uae.Objective, *uae.Expansion, error) {
	lower, upper := options.Lower, options.Upper
	options.InputShape = images.Shape().Dimensions[1:]
	m, _, err := onnx.LoadMap(f.model, options)
	if errors.Is(err, onnx.ErrInputShape) {
		return nil, nil, wrongFile("inputs", f.inputs, fmt.Errorf("images have shape %v, which the model does not take: %w",
			images.Shape().Dimensions, err))
	}
	if err != nil {
		return nil, nil, wrongFile("model", f.model, err)
	}
	m.Lower, m.Upper = lower, upper
	if err := checkImages(m, images, "inputs", f.inputs); err != nil {
		return nil, nil, err
	}
	o, err := uae.Reconstruction(m)
	if err != nil {
		return nil, nil, wrongFile("model", f.model, fmt.Errorf("%w: uae takes autoencoders; for a classifier use --attack minmax, "+
			"which does without labels too, or with labels --attack pgd", err))
	}
	if f.uaeMode != "random" {
		x, err := uae.FirstConv(m)
		if err == nil {
			return o, x, nil
		}
		if f.uaeMode == "conv" {
			return nil, nil, usagef("--uae-mode conv: %s has no convolution to take maps of: use --uae-mode random", m.Name)
		}
		m.Notes = append(m.Notes, "information is estimated by random projections: there is no convolution to take maps of")
	}
	x, err := uae.RandomProjection(uaeProjections, uaeProjected)
	return o, x, err
}

// uaeMedians are those of ‖x̃ - x‖₂ and of the estimate over the successes; nil if there are none.
func (f *attackFlags) uaeMedians(ex *uae.Examples, v *uae.Verdict) (l2, shared *float64) {
	var lengths, estimates []float64
	for i, ok := range v.Success {
		if ok {
			lengths, estimates = append(lengths, ex.L2[i]), append(estimates, ex.MI[i])
		}
	}
	if len(lengths) == 0 {
		return nil, nil
	}
	slices.Sort(lengths)
	slices.Sort(estimates)
	return &lengths[len(lengths)/2], &estimates[len(estimates)/2]
}

// cellOf is a number as a table has it, empty if there is none.
func cellOf(v *float64) any {
	if v == nil {
		return nil
	}
	return *v
}
