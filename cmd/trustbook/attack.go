package main

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/nets/onnx"
	"github.com/trustbook/trustbook/npy"
	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/attack"
)

// attackFlags are the flags of `trustbook attack`.
type attackFlags struct {
	modelFlags
	remoteFlags
	targets, out                        string
	attack, norm, loss, backend         string
	directions, uaeMode                 string
	epsilon, stepSize                   float64
	steps, restarts, batch, queries     int
	targetClasses                       int
	stateDir                            string
	randomStart, earlyStop, multiTarget bool
	seed                                int64
	asJSON                              bool

	space *space // that directions names
}

func newAttack() *cobra.Command {
	var f attackFlags
	c := &cobra.Command{
		Use:   "attack --model M.onnx|--url URL --inputs X.npy --labels Y.npy --epsilon E",
		Short: "Attack a model that was trained elsewhere",
		Long: "Attack an ONNX model, or one behind an HTTP endpoint, on labeled images and print clean and robust accuracy,\n" +
			"as the referee measures them: budget, bounds and success of every example are checked again, whatever the\n" +
			"attack says. An endpoint is attacked by its scores or decisions. minmax does without labels too; uae takes\n" +
			"autoencoders, and no labels.\n\n" +
			arraysHelp,
		Example: "  trustbook attack --model M.onnx --inputs X.npy --labels Y.npy --attack pgd --norm linf --epsilon 0.3 --out ADV.npy\n" +
			"  trustbook attack --url URL --model-name NAME --inputs X.npy --labels Y.npy --attack square --epsilon 0.3\n" +
			"  trustbook attack --model AUTOENCODER.onnx --inputs X.npy --attack uae --epsilon 0.3 --out ADV.npy",
		Args: func(c *cobra.Command, args []string) error {
			f.freeLabels(c) // which flags are required is looked at next
			return takes()(c, args)
		},
		Annotations: map[string]string{onStop: "nothing"},
		RunE:        func(c *cobra.Command, _ []string) error { return f.run(c) },
	}
	flags := c.Flags()
	f.modelFlags.register(c)
	f.remoteFlags.register(flags)
	flags.StringVar(&f.targets, "targets", "", "NPY `FILE` with target classes: makes the attack targeted")
	flags.StringVar(&f.out, "out", "", "NPY `FILE` for the perturbed images")
	flags.StringVar(&f.attack, "attack", "pgd", "`NAME` of the attack: "+strings.Join(attackNames(), ", "))
	flags.StringVar(&f.norm, "norm", "linf", "`NORM` of the perturbation: linf, l2 or l1")
	flags.StringVar(&f.loss, "loss", "ce", "`NAME` of the loss: ce, margin or dlr (fgsm, pgd, mim, apgd)")
	flags.StringVar(&f.backend, "backend", "", backendHelp)
	flags.Float64Var(&f.epsilon, "epsilon", 0,
		"`RADIUS` of the perturbation; inf: none, for attacks that minimize it ("+strings.Join(minimizers(), ", ")+")")
	flags.Float64Var(&f.stepSize, "step-size", 0,
		"absolute step `SIZE` (default 2.5·epsilon/steps; mim: epsilon/steps; minmax: 0.01; uae: 0.1)")
	flags.IntVar(&f.steps, "steps", 0,
		"`NUMBER` of steps (default 20; mim: 10; apgd, fab: 100; deepfool: 50; cw: 1000; minmax: 200; uae: 300)")
	flags.IntVar(&f.restarts, "restarts", 1, "`NUMBER` of runs, each on the examples still standing (pgd, apgd, square, fab)")
	flags.IntVar(&f.queries, "queries", 0, "`NUMBER` of queries an example ("+strings.Join(attacksWith("queries"), ", ")+"; default 5000)")
	flags.StringVar(&f.directions, "directions", "full",
		"`SPACE` of random directions: full, bilinear:SIDE, dct:SIDE or decoder:FILE.onnx ("+strings.Join(attacksWith("directions"), ", ")+")")
	flags.StringVar(&f.uaeMode, "uae-mode", "",
		"`SAMPLES` by which information is estimated: maps of the first convolution (conv) or random projections (random; uae)")
	flags.IntVar(&f.targetClasses, "target-classes", 0,
		"`NUMBER` of likeliest other classes to search towards, one by one (apgd, fab, cw; default: untargeted)")
	flags.StringVar(&f.stateDir, "state", "", "`DIR` in which finished batches are kept, so that a stopped run goes on (autoattack)")
	flags.IntVar(&f.batch, "batch-size", 128, "`NUMBER` of examples in a batch, or fewer of a large network, and in a request to --url")
	flags.BoolVar(&f.randomStart, "random-start", true, "start at a random point of the ball (pgd)")
	flags.BoolVar(&f.earlyStop, "early-stop", false, "stop a batch once all its examples are solved (pgd)")
	flags.BoolVar(&f.multiTarget, "multi-target", false, "after the untargeted run, one towards each other class (pgd)")
	flags.Int64Var(&f.seed, "seed", 0, "`SEED` of the random start")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON")
	_ = c.MarkFlagRequired("epsilon")
	return c
}

// problem turns the flags into an attack and a threat; what is wrong here is wrong use.
func (f *attackFlags) problem(changed func(flag string) bool) (robust.Attack, robust.Threat, onnx.Options, error) {
	var t robust.Threat
	var o onnx.Options
	norm, err := robust.ParseNorm(f.norm)
	if err != nil {
		return nil, t, o, usagef("--norm %s: want linf, l2 or l1", f.norm)
	}
	loss, err := robust.ParseLoss(f.loss)
	if err != nil {
		return nil, t, o, usagef("--loss %s: want ce, margin or dlr", f.loss)
	}
	t = robust.Threat{Norm: norm, Epsilon: f.epsilon}
	if err := t.Validate(0); err != nil {
		return nil, t, o, usagef("--epsilon %g: must be finite and >= 0, or inf for attacks that minimize it", f.epsilon)
	}
	if o, err = f.options(changed); err != nil {
		return nil, t, o, err
	}
	if err := checkWhole(changed, whole{"steps", f.steps, 1}, whole{"restarts", f.restarts, 1}, whole{"queries", f.queries, 1},
		whole{"target-classes", f.targetClasses, 1}, whole{"batch-size", f.batch, 1}); err != nil {
		return nil, t, o, err
	}
	if changed("step-size") && !(f.stepSize > 0 && finite32(f.stepSize)) {
		return nil, t, o, usagef("--step-size %g: must be finite and > 0", f.stepSize)
	}
	if f.targets != "" && (f.targetClasses > 0 || f.multiTarget) {
		return nil, t, o, usagef("--targets tells the class to search towards: leave out --target-classes and --multi-target")
	}
	if f.space, err = readDirections(f.directions); err != nil {
		return nil, t, o, err
	}
	if f.unsupervised() {
		return nil, t, o, f.checkUAE(changed, t)
	}
	directions := f.space.Directions
	for _, known := range f.attacks(loss, directions) {
		if strings.EqualFold(f.attack, known.name) {
			if changed("queries") && f.queries < known.least {
				return nil, t, o, usagef("--queries %d: %s needs at least %d an example", f.queries, known.name, known.least)
			}
			if err = known.check(changed, t); err == nil {
				err = f.checkWhere(changed, known, f.attacks(loss, directions))
			}
			return known.Attack, t, o, err
		}
	}
	return nil, t, o, usagef("--attack %s: want %s", f.attack, strings.Join(attackNames(), ", "))
}

// named is an attack under the name that --attack takes, with the settings and norms that it has.
type named struct {
	name string
	robust.Attack
	flags, norms []string
	least        int // queries that it needs
}

// attacks are all attacks, with the settings of the flags.
func (f *attackFlags) attacks(loss robust.Loss, directions attack.Directions) []named {
	all, most := []string{"linf", "l2", "l1"}, []string{"linf", "l2"}
	searched := []string{"queries", "directions"}
	return []named{
		{"fgsm", attack.FGSM{Loss: loss}, []string{"loss"}, all, 0},
		{"pgd", attack.PGD{Steps: f.steps, StepSize: f.stepSize, Restarts: f.restarts, NoRandom: !f.randomStart, EarlyStop: f.earlyStop,
			MultiTarget: f.multiTarget, Loss: loss},
			[]string{"loss", "steps", "step-size", "restarts", "random-start", "early-stop", "multi-target"}, all, 0},
		{"mim", attack.MIM{Steps: f.steps, StepSize: f.stepSize, Loss: loss}, []string{"loss", "steps", "step-size"}, all, 0},
		{"apgd", attack.APGD{Steps: f.steps, Restarts: f.restarts, Loss: loss, Targets: f.targetClasses},
			[]string{"loss", "steps", "restarts", "target-classes"}, most, 0},
		{"square", attack.SquareAttack{Queries: f.queries, Restarts: f.restarts}, []string{"queries", "restarts"}, most, 1},
		{"fab", attack.FAB{Steps: f.steps, Restarts: f.restarts, Targets: f.targetClasses},
			[]string{"steps", "restarts", "target-classes"}, all, 0},
		{"autoattack", attack.AutoAttack{Dir: f.stateDir}, []string{"state"}, most, 0},
		{"deepfool", attack.DeepFool{Steps: f.steps}, []string{"steps"}, most, 0},
		{"cw", attack.CW{Steps: f.steps, Targets: f.targetClasses, AbortEarly: true}, []string{"steps", "target-classes"}, []string{"l2"}, 0},
		{"hopskipjump", attack.HopSkipJump{Queries: f.queries, Directions: directions}, searched, most, 2},
		{"sign-opt", attack.SignOPT{Queries: f.queries, Directions: directions}, searched, []string{"l2"}, 101},
		{"rays", attack.RayS{Queries: f.queries}, []string{"queries"}, []string{"linf"}, 2},
		{"boundary", attack.Boundary{Queries: f.queries, Directions: directions}, searched, []string{"l2"}, 2},
		{"minmax", f.minmax(), []string{"steps", "step-size"}, []string{"linf"}, 0},
	}
}

// attackSettings are the flags that only some attacks have.
var attackSettings = []string{"loss", "steps", "step-size", "restarts", "queries", "target-classes",
	"state", "random-start", "early-stop", "multi-target", "directions", "uae-mode"}

// check refuses settings that the attack would not use, which is better than to ignore them.
func (n named) check(changed func(flag string) bool, t robust.Threat) error {
	for _, name := range attackSettings {
		if changed(name) && !slices.Contains(n.flags, name) {
			return usagef("--%s: %s has no such setting; it has --%s", name, n.name, strings.Join(n.flags, ", --"))
		}
	}
	if norm := t.Norm.String(); !slices.Contains(n.norms, norm) {
		return usagef("--norm %s: %s works in %s", norm, n.name, strings.Join(n.norms, ", "))
	}
	if minimal, ok := n.Attack.(robust.Unbudgeted); math.IsInf(t.Epsilon, 1) && (!ok || !minimal.Unbudgeted()) {
		return usagef("--epsilon inf: %s needs a finite radius; %s do without", n.name, strings.Join(minimizers(), ", "))
	}
	return nil
}

func attackNames() []string { return append(namesOf(func(named) bool { return true }), "uae") }

// attacksWith are the attacks that have a setting.
func attacksWith(flag string) []string {
	return namesOf(func(n named) bool { return slices.Contains(n.flags, flag) })
}

// minimizers are the attacks that need no radius.
func minimizers() []string {
	return namesOf(func(n named) bool {
		minimal, ok := n.Attack.(robust.Unbudgeted)
		return ok && minimal.Unbudgeted()
	})
}

func namesOf(fits func(n named) bool) (names []string) {
	for _, a := range (&attackFlags{}).attacks(robust.CrossEntropy, attack.FullSpace{}) {
		if fits(a) {
			names = append(names, a.name)
		}
	}
	return names
}

func (f *attackFlags) run(c *cobra.Command) error {
	a, threat, options, err := f.problem(c.Flags().Changed)
	if err != nil {
		return err
	}
	if err := f.checkOut(); err != nil {
		return err
	}
	if f.unsupervised() {
		return f.runUAE(c, threat, options)
	}
	s, err := f.subject(c, options)
	if err != nil {
		return err
	}
	defer s.close()
	p, m := s.p, s.m
	if err := s.allows(a, f.attacks(robust.CrossEntropy, nil)); err != nil {
		return err
	}
	if err := f.fits(m, p.Goal); err != nil {
		return err
	}
	p.Threat, p.Seed, p.Progress = threat, f.seed, report.NewBar()
	e, err := openEngine(f.backend)
	if err != nil {
		return err
	}
	defer e.Close()
	v, err := s.victim(e, f, c.Flags().Changed("batch-size"))
	if err != nil {
		return err
	}
	if err := f.space.on(e); err != nil {
		return err
	}
	o, err := robust.Evaluate(c.Context(), v, a, p)
	if err != nil {
		return err
	}
	if err := c.Context().Err(); err != nil { // stopped during the last step
		return err
	}
	if f.out != "" {
		if err := npy.WriteImages(f.out, o.Perturbed); err != nil {
			return err
		}
	}
	if f.asJSON {
		out := outcomeJSON(o, m, e)
		s.addTo(out, o)
		return printJSON(c, out)
	}
	return printOutcome(c, o, m, e, f.out, s.asked(o))
}

// fits reports a loss that the model has too few classes for, and directions that its images do not have.
func (f *attackFlags) fits(m *nets.Model, goal robust.Goal) error {
	loss, err := robust.ParseLoss(f.loss)
	if err == nil {
		err = loss.Validate(m.Classes, goal.Targeted() || f.multiTarget || f.targetClasses > 0)
	}
	if err != nil {
		return usagef("--loss %v: use --loss margin", err)
	}
	return f.space.fits(m)
}

// checkOut reports an output file that cannot be written, or that would overwrite an input.
func (f *attackFlags) checkOut() error {
	if f.out == "" {
		return nil
	}
	return checkOutFile("out", f.out, input{"model", f.model}, input{"inputs", f.inputs}, input{"labels", f.labels},
		input{"targets", f.targets}, input{"answer-log", f.answerLog}, input{"directions", f.space.file})
}

// subject reads or finds the model, reads the arrays, and checks that they fit each other.
func (f *attackFlags) subject(c *cobra.Command, options onnx.Options) (_ *subject, err error) {
	s := &subject{}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.p.Goal.Targets, err = f.readTargets(); err != nil {
		return nil, err
	}
	switch {
	case f.url != "":
		err = s.find(c, f, options)
	case f.labels == "" && f.labelFree():
		s.m, s.p.Images, err = f.readUnlabeled(options)
	default:
		s.m, s.p.Images, s.p.Goal.Labels, err = f.read(options)
	}
	if err != nil {
		return nil, err
	}
	if others := s.m.Classes - 1; f.targetClasses > others {
		return nil, usagef("--target-classes %d: the model has %d other classes: want 1 to %d", f.targetClasses, others, others)
	}
	if err := s.p.Goal.Validate(s.p.Images.Shape().Dimensions[0], s.m); err != nil {
		return nil, wrongFile("targets", f.targets, err)
	}
	return s, nil
}

func (f *attackFlags) readTargets() ([]int32, error) {
	if f.targets == "" {
		return nil, nil
	}
	targets, err := npy.ReadLabels(f.targets)
	if err != nil {
		return nil, wrongFile("targets", f.targets, err)
	}
	return targets, nil
}

// outcomeJSON are the keys of `attack --json`.
func outcomeJSON(o *robust.Outcome, m *nets.Model, e *engine.Engine) map[string]any {
	return map[string]any{
		"attack": o.Attack, "norm": o.Problem.Threat.Norm, "epsilon": o.Problem.Threat.Budget(), "examples": o.N, "attacked": o.Attacked,
		"clean_accuracy": o.CleanAccuracy, "robust_accuracy": o.RobustAccuracy, "success_rate": o.SuccessRate,
		"median_norm": o.MedianNorm, "max_norm": o.MaxNorm, "queries_per_example": o.MeanQueries,
		"seconds": json.Number(fmt.Sprintf("%.3f", o.Elapsed.Seconds())),
		"backend": e.Name(), "seed": o.Problem.Seed, "checks": o.Checks, "notes": notesOf(m),
	}
}

func printOutcome(c *cobra.Command, o *robust.Outcome, m *nets.Model, e *engine.Engine, out, asked string) error {
	t := &report.Table{
		Title: o.Attack,
		Caption: fmt.Sprintf("%s, radius %g, %d examples, %s, %.1f s on %s",
			o.Problem.Threat.Norm, o.Problem.Threat.Epsilon, o.N, m.Name, o.Elapsed.Seconds(), e.Name()),
		Columns: []report.Column{{Name: "clean accuracy", Percent: true}, {Name: "robust accuracy", Percent: true},
			{Name: "success rate", Percent: true}, {Name: "median norm"}, {Name: "max norm"}, {Name: "queries per example"}},
		Rows: [][]any{{o.CleanAccuracy, o.RobustAccuracy, o.SuccessRate, o.MedianNorm, o.MaxNorm, o.MeanQueries}},
	}
	if err := printTable(c, t); err != nil {
		return err
	}
	printNotes(c, m.Notes)
	for _, check := range o.Checks {
		if check.Raised {
			fmt.Fprintf(c.OutOrStdout(), "Check %s: %s; %s\n", check.Name, check.Meaning, check.Advice)
		}
	}
	if asked != "" {
		fmt.Fprintln(c.OutOrStdout(), asked)
	}
	if out == "" {
		return nil
	}
	_, err := fmt.Fprintln(c.OutOrStdout(), "Perturbed images:", out)
	return err
}
