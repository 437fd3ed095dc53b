package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/nets/onnx"
	"github.com/trustbook/trustbook/npy"
	"github.com/trustbook/trustbook/remote"
	"github.com/trustbook/trustbook/robust"
)

// remoteFlags are the flags of a model behind an HTTP endpoint.
type remoteFlags struct {
	url, modelName, modelVersion, answers string
	inputName, inputType, inputShape      string
	authorizationFrom, answerLog          string
	timeout                               time.Duration
	rate                                  float64
	classes, retries, concurrency         int
	queryBudget                           int64
	nested                                bool
}

// remoteSettings are the flags that only a model behind an endpoint has.
var remoteSettings = []string{"model-name", "model-version", "answers", "classes", "input-name", "input-type", "input-shape", "nested",
	"timeout", "retries", "rate", "concurrency", "authorization-from", "answer-log", "query-budget"}

func (f *remoteFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.url, "url", "", "`URL` of a server that has the model, in place of --model: Open Inference Protocol, version 2")
	flags.StringVar(&f.modelName, "model-name", "", "`NAME` of the model there")
	flags.StringVar(&f.modelVersion, "model-version", "", "its `VERSION` (default: the server chooses)")
	flags.StringVar(&f.answers, "answers", "", "`WHAT` it answers: logits, probabilities or labels (default: seen from metadata and answers)")
	flags.IntVar(&f.classes, "classes", 0, "`NUMBER` of classes, of a model that answers labels (default: the largest label or target, and 1)")
	flags.StringVar(&f.inputName, "input-name", "", "`NAME` of its input (default: as the server tells)")
	flags.StringVar(&f.inputType, "input-type", "", "`TYPE` of its input: FP32, FP64, FP16 or BF16 (default: as the server tells, else FP32)")
	flags.StringVar(&f.inputShape, "input-shape", "", "shape of an example there, such as `784` or 1,28,28 (default: as the server tells)")
	flags.BoolVar(&f.nested, "nested", false, "send nested lists, to servers that want them")
	flags.DurationVar(&f.timeout, "timeout", 10*time.Second, "`TIME` for one request")
	flags.IntVar(&f.retries, "retries", 5, "`NUMBER` of times that a request that failed is sent again, later and later")
	flags.Float64Var(&f.rate, "rate", 0, "most requests a second, a `NUMBER`; 0: any")
	flags.IntVar(&f.concurrency, "concurrency", 4, "most requests at once, a `NUMBER`")
	flags.StringVar(&f.authorizationFrom, "authorization-from", "", "environment `VARIABLE` that holds the header Authorization")
	flags.StringVar(&f.answerLog, "answer-log", "", "`FILE` that keeps answers, so that a stopped run goes on and asks nothing twice")
	flags.Int64Var(&f.queryBudget, "query-budget", 0, "most rows that the server may have answered, a `NUMBER` (default: any)")
}

// checkWhere refuses flags that do not say where the model is, or that do not go with it, and attacks that no endpoint answers.
func (f *attackFlags) checkWhere(changed func(flag string) bool, a named, all []named) error {
	if f.url != "" && f.model == "" && f.modelName != "" && a.Access() > robust.Scores {
		return usagef("--attack %s: needs %s, which no endpoint gives; with --url: %s", a.name, a.Access(), within(all, robust.Scores))
	}
	return f.remoteFlags.checkWhere(changed, "trustbook attack", f.model)
}

// checkWhere refuses flags that do not say where the model is, or that do not go with it.
func (f *remoteFlags) checkWhere(changed func(flag string) bool, command, model string) error {
	if f.url == "" {
		if model == "" {
			return usagef("where is the model? give --model FILE, or --url URL and --model-name NAME: see `%s --help`", command)
		}
		for _, name := range remoteSettings {
			if changed(name) {
				return usagef("--%s: is for a model behind --url", name)
			}
		}
		return nil
	}
	switch {
	case model != "":
		return usagef("--model and --url: give one of them")
	case f.modelName == "":
		return usagef("--url %s: give --model-name, too", f.url)
	case f.rate < 0 || math.IsNaN(f.rate) || math.IsInf(f.rate, 0):
		return usagef("--rate %g: must be finite and >= 0", f.rate)
	case f.timeout <= 0:
		return usagef("--timeout %v: must be > 0, such as 10s", f.timeout)
	case changed("query-budget") && f.queryBudget < 1:
		return usagef("--query-budget %d: must be at least 1", f.queryBudget)
	}
	return checkWhole(changed, whole{"classes", f.classes, 2}, whole{"retries", f.retries, 0}, whole{"concurrency", f.concurrency, 1})
}

// within names the attacks that do with an access.
func within(all []named, most robust.Access) string {
	var names []string
	for _, a := range all {
		if a.Access() <= most {
			names = append(names, a.name)
		}
	}
	return strings.Join(names, ", ")
}

// config turns the flags into a client's configuration; what is wrong here is wrong use. Classes are how many there are at least.
func (f *remoteFlags) config(shape []int, classes, batch int, output string) (remote.Config, error) {
	retries := f.retries
	if retries == 0 {
		retries = -1
	}
	cfg := remote.Config{URL: f.url, Model: f.modelName, Version: f.modelVersion, Shape: shape, Classes: f.classes, Input: f.inputName,
		Datatype: f.inputType, Output: output, Nested: f.nested, Batch: batch, Timeout: f.timeout, Retries: retries, Rate: f.rate,
		Concurrency: f.concurrency, AuthorizationFrom: f.authorizationFrom, Budget: f.queryBudget, Log: f.answerLog}
	if f.answers != "" {
		var err error
		if cfg.Answers, err = remote.ParseAnswers(f.answers); err != nil || cfg.Answers == remote.Guess {
			return cfg, usagef("--answers %s: want logits, probabilities or labels", f.answers)
		}
	}
	if f.inputShape != "" {
		for _, part := range strings.Split(f.inputShape, ",") {
			d, err := strconv.Atoi(strings.TrimSpace(part))
			if err != nil || d < 1 {
				return cfg, usagef("--input-shape %s: want whole numbers, such as 1,28,28", f.inputShape)
			}
			cfg.InputShape = append(cfg.InputShape, d)
		}
	}
	if cfg.Classes == 0 {
		cfg.Classes = max(2, classes)
	}
	if err := cfg.Validate(); err != nil {
		return cfg, usagef("%s", strings.TrimPrefix(err.Error(), "remote: "))
	}
	return cfg, nil
}

// subject is what is attacked, and on what.
type subject struct {
	m      *nets.Model
	p      robust.Problem
	client *remote.Client // nil: the model is here
}

// find reads the arrays and looks for the model behind the endpoint, which is asked nothing before the arrays are sound.
func (s *subject) find(c *cobra.Command, f *attackFlags, o onnx.Options) (err error) {
	if s.p.Images, err = f.readImages("inputs", f.inputs); err != nil {
		return err
	}
	if s.p.Goal.Labels, err = npy.ReadLabels(f.labels); err != nil {
		return wrongFile("labels", f.labels, err)
	}
	shape := s.p.Images.Shape().Dimensions[1:]
	if s.m, err = nets.NewModel(shape, o.Lower, o.Upper); err != nil {
		return err
	}
	if err := checkImages(s.m, s.p.Images, "inputs", f.inputs); err != nil {
		return err
	}
	if f.answerLog != "" {
		read := []input{{"inputs", f.inputs}, {"labels", f.labels}, {"targets", f.targets}}
		if err := checkOutFile("answer-log", f.answerLog, read...); err != nil {
			return err
		}
	}
	classes := int(slices.Max(slices.Concat(s.p.Goal.Labels, s.p.Goal.Targets))) + 1
	cfg, err := f.config(shape, classes, f.batch, f.output)
	if err != nil {
		return err
	}
	if s.client, err = remote.Open(c.Context(), cfg); err != nil {
		return err
	}
	if f.answerLog != "" {
		c.Annotations[onStop] = "resumes"
	}
	pixels, err := tensors.CopyFlatData[float32](s.p.Images)
	if err != nil {
		return err
	}
	if err := s.client.Look(c.Context(), pixels, s.p.Images.Shape().Dimensions[0]); err != nil {
		return err
	}
	s.m.Name, s.m.Notes, s.m.Classes = s.client.Name(), s.client.Notes(), s.client.Classes()
	if f.classes > 0 && f.classes != s.m.Classes {
		return usagef("--classes %d: %s answers %d scores", f.classes, s.m.Name, s.m.Classes)
	}
	if err := (robust.Goal{Labels: s.p.Goal.Labels}).Validate(s.p.Images.Shape().Dimensions[0], s.m); err != nil {
		return wrongFile("labels", f.labels, err)
	}
	return nil
}

// allows refuses an attack on scores where the endpoint answers labels.
func (s *subject) allows(a robust.Attack, all []named) error {
	if s.client == nil || s.client.Scores() || a.Access() <= robust.Decisions {
		return nil
	}
	others := cmp.Or(within(all, robust.Decisions), "none of the attacks here")
	return usagef("--attack %s: needs scores, but %s answers labels only, which do for %s", a.Name(), s.client.Name(), others)
}

// victim is the model as attacks take it; one behind an endpoint is asked about enough at once for all its requests.
func (s *subject) victim(e *engine.Engine, f *attackFlags, sized bool) (*robust.Victim, error) {
	n := s.p.Images.Shape().Dimensions[0]
	if s.client == nil {
		batch := f.batch
		if !sized {
			batch = 0 // what suits the network
		}
		v, err := robust.NewVictim(e, s.m, batch)
		if err == nil {
			v.Batch = min(v.Batch, n)
		}
		return v, err
	}
	return robust.NewRemoteVictim(e, s.client, s.m.InputShape, s.m.Lower, s.m.Upper, min(f.batch*f.concurrency, n))
}

// addTo adds what the endpoint was asked to the JSON of an outcome.
func (s *subject) addTo(out map[string]any, o *robust.Outcome) {
	if s.client != nil {
		out["endpoint"] = map[string]any{"name": s.client.Name(), "answers": s.client.Answers().String(), "asked": s.client.Stats(),
			"referee": o.Referee}
	}
}

// asked says the same in a line.
func (s *subject) asked(o *robust.Outcome) string {
	if s.client == nil {
		return ""
	}
	n := s.client.Stats()
	line := fmt.Sprintf("Asked %s about %d images in %d requests, %d of them again", s.client.Name(), n.Rows, n.Requests, n.Retries)
	if n.Lost > 0 {
		line += fmt.Sprintf("; about %d more without an answer", n.Lost)
	}
	if n.Logged > 0 {
		line += fmt.Sprintf("; %d answers came from the log", n.Logged)
	}
	return line + fmt.Sprintf("; %d questions were the referee's", o.Referee)
}

func (s *subject) close() {
	if s.client != nil {
		s.client.Close()
	}
}
