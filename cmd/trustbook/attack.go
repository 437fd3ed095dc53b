package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/npy"
	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/attack"
)

// attackFlags are the flags of `trustbook attack`.
type attackFlags struct {
	model, inputs, labels, targets, out string
	attack, norm, loss, bounds, backend string
	epsilon, stepSize                   float64
	steps, restarts, batch              int
	randomStart, earlyStop, multiTarget bool
	seed                                int64
	asJSON                              bool
}

func newAttack() *cobra.Command {
	var f attackFlags
	c := &cobra.Command{
		Use:   "attack --model M.onnx --inputs X.npy --labels Y.npy --epsilon E",
		Short: "Attack a model that was trained elsewhere",
		Long: "Attack an ONNX model on labeled images and print clean and robust accuracy, as measured by the referee: budget, bounds and\n" +
			"success of every example are checked again, whatever the attack says.\n\n" +
			"Images are float32 or float64 [n, ...] in the layout that the model takes, labels int64 or int32 [n].",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.run(c) },
	}
	flags := c.Flags()
	flags.StringVar(&f.model, "model", "", "ONNX file")
	flags.StringVar(&f.inputs, "inputs", "", "NPY file with the images")
	flags.StringVar(&f.labels, "labels", "", "NPY file with the labels")
	flags.StringVar(&f.targets, "targets", "", "NPY file with target classes: makes the attack targeted")
	flags.StringVar(&f.out, "out", "", "NPY file for the perturbed images")
	flags.StringVar(&f.attack, "attack", "pgd", "fgsm, pgd or mim")
	flags.StringVar(&f.norm, "norm", "linf", "linf, l2 or l1")
	flags.StringVar(&f.loss, "loss", "ce", "ce or margin")
	flags.StringVar(&f.bounds, "bounds", "0,1", "smallest and largest legal pixel value")
	flags.StringVar(&f.backend, "backend", "", "xla, xla:cpu, xla:cuda, xla:/path/plugin.so or go (default $GOMLX_BACKEND, else xla)")
	flags.Float64Var(&f.epsilon, "epsilon", 0, "radius of the perturbation")
	flags.Float64Var(&f.stepSize, "step-size", 0, "absolute step size (default 2.5·epsilon/steps; mim: epsilon/steps)")
	flags.IntVar(&f.steps, "steps", 0, "steps (default 20; mim: 10)")
	flags.IntVar(&f.restarts, "restarts", 1, "runs, each on the examples still standing (pgd)")
	flags.IntVar(&f.batch, "batch-size", 128, "examples in a batch")
	flags.BoolVar(&f.randomStart, "random-start", true, "start at a random point of the ball (pgd)")
	flags.BoolVar(&f.earlyStop, "early-stop", false, "stop a batch once all its examples are solved (pgd)")
	flags.BoolVar(&f.multiTarget, "multi-target", false, "after the untargeted run, one towards each other class (pgd)")
	flags.Int64Var(&f.seed, "seed", 0, "seed of the random start")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON")
	for _, name := range []string{"model", "inputs", "labels", "epsilon"} {
		_ = c.MarkFlagRequired(name)
	}
	return c
}

// problem turns the flags into an attack and a threat; what is wrong here is wrong use.
func (f *attackFlags) problem() (robust.Attack, robust.Threat, nets.ONNXOptions, error) {
	var t robust.Threat
	var o nets.ONNXOptions
	norm, err := robust.ParseNorm(f.norm)
	if err != nil {
		return nil, t, o, usagef("--norm %s: want linf, l2 or l1", f.norm)
	}
	loss, err := robust.ParseLoss(f.loss)
	if err != nil {
		return nil, t, o, usagef("--loss %s: want ce or margin", f.loss)
	}
	t = robust.Threat{Norm: norm, Epsilon: f.epsilon}
	if err := t.Validate(0); err != nil {
		return nil, t, o, usagef("--epsilon %g: must be finite and >= 0", f.epsilon)
	}
	low, high, ok := strings.Cut(f.bounds, ",")
	var errLow, errHigh error
	o.Lower, errLow = strconv.ParseFloat(strings.TrimSpace(low), 64)
	o.Upper, errHigh = strconv.ParseFloat(strings.TrimSpace(high), 64)
	if !ok || errLow != nil || errHigh != nil || !(o.Lower < o.Upper) {
		return nil, t, o, usagef("--bounds %s: want LOWER,UPPER with the lower below the upper, such as 0,1", f.bounds)
	}
	for name, v := range map[string]int{"steps": f.steps, "restarts": f.restarts - 1, "batch-size": f.batch - 1} {
		if v < 0 {
			return nil, t, o, usagef("--%s: must be at least 1", name)
		}
	}
	if !(f.stepSize >= 0) {
		return nil, t, o, usagef("--step-size %g: must be finite and > 0", f.stepSize)
	}
	switch strings.ToLower(f.attack) {
	case "fgsm":
		return attack.FGSM{Loss: loss}, t, o, nil
	case "pgd":
		return attack.PGD{Steps: f.steps, StepSize: f.stepSize, Restarts: f.restarts, NoRandom: !f.randomStart, EarlyStop: f.earlyStop,
			MultiTarget: f.multiTarget, Loss: loss}, t, o, nil
	case "mim":
		return attack.MIM{Steps: f.steps, StepSize: f.stepSize, Loss: loss}, t, o, nil
	}
	return nil, t, o, usagef("--attack %s: want fgsm, pgd or mim", f.attack)
}

func (f *attackFlags) run(c *cobra.Command) error {
	a, threat, options, err := f.problem()
	if err != nil {
		return err
	}
	p := robust.Problem{Threat: threat, Seed: f.seed, Progress: report.NewBar()}
	if p.Images, err = npy.ReadImages(f.inputs); err != nil {
		return err
	}
	if p.Goal.Labels, err = npy.ReadLabels(f.labels); err != nil {
		return err
	}
	if f.targets != "" {
		if p.Goal.Targets, err = npy.ReadLabels(f.targets); err != nil {
			return err
		}
	}
	if dims := p.Images.Shape().Dimensions; len(dims) > 1 {
		options.InputShape = dims[1:]
	}
	m, err := nets.LoadONNX(f.model, options)
	if err != nil {
		return err
	}
	e, err := engine.Open(f.backend)
	if err != nil {
		return err
	}
	defer e.Close()
	v, err := robust.NewVictim(e, m, min(f.batch, max(1, len(p.Goal.Labels))))
	if err != nil {
		return err
	}
	o, err := robust.Evaluate(c.Context(), v, a, p)
	if err != nil {
		return err
	}
	if f.out != "" {
		if err := npy.WriteImages(f.out, o.Perturbed); err != nil {
			return err
		}
	}
	if f.asJSON {
		return printJSON(c, outcomeJSON(o, e))
	}
	printOutcome(c, o, m, e)
	if f.out != "" {
		fmt.Fprintln(c.OutOrStdout(), "Perturbed images:", f.out)
	}
	return nil
}

// outcomeJSON are the keys of `attack --json`.
func outcomeJSON(o *robust.Outcome, e *engine.Engine) map[string]any {
	return map[string]any{
		"attack": o.Attack, "norm": o.Problem.Threat.Norm, "epsilon": o.Problem.Threat.Epsilon, "examples": o.N, "attacked": o.Attacked,
		"clean_accuracy": o.CleanAccuracy, "robust_accuracy": o.RobustAccuracy, "success_rate": o.SuccessRate,
		"median_norm": o.MedianNorm, "max_norm": o.MaxNorm, "queries_per_example": o.MeanQueries, "seconds": json.Number(fmt.Sprintf("%.3f", o.Elapsed.Seconds())),
		"backend": e.Name(), "seed": o.Problem.Seed, "checks": o.Checks,
	}
}

func printOutcome(c *cobra.Command, o *robust.Outcome, m *nets.Model, e *engine.Engine) {
	t := &report.Table{
		Title:   o.Attack,
		Caption: fmt.Sprintf("%s, radius %g, %d examples, %s, %.1f s on %s", o.Problem.Threat.Norm, o.Problem.Threat.Epsilon, o.N, m.Name, o.Elapsed.Seconds(), e.Name()),
		Columns: []report.Column{{Name: "clean accuracy", Percent: true}, {Name: "robust accuracy", Percent: true}, {Name: "success rate", Percent: true},
			{Name: "median norm"}, {Name: "max norm"}, {Name: "queries per example"}},
		Rows: [][]any{{o.CleanAccuracy, o.RobustAccuracy, o.SuccessRate, o.MedianNorm, o.MaxNorm, o.MeanQueries}},
	}
	printTable(c, t)
	for _, note := range m.Notes {
		fmt.Fprintln(c.OutOrStdout(), "Note:", note)
	}
	for _, check := range o.Checks {
		if check.Raised {
			fmt.Fprintf(c.OutOrStdout(), "Check %s: %s; %s\n", check.Name, check.Meaning, check.Advice)
		}
	}
}
