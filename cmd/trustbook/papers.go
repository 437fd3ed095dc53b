package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fewshot/maml"
	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/robust/joint"
	"github.com/trustbook/trustbook/robust/vit"
	"github.com/trustbook/trustbook/robust/weights"
	"github.com/trustbook/trustbook/scoring"
)

// paper is a replicated paper as the command line sees it.
type paper struct {
	id, slug, title string
	notebook        string // "" until there is one
	imports         bool   // whether it studies a user's ONNX models
	shards          bool   // whether it can be run in shards
	// plan checks the options before anything is opened or read, and returns the run.
	plan func(ctx context.Context, o runOptions) (runner, error)
}

// folder is the name of the paper's output folder.
func (p paper) folder() string { return strings.ReplaceAll(p.slug, "/", "-") }

// runner runs what was planned.
type runner func(ctx context.Context, e *engine.Engine) (replication, error)

// replication is what every paper's Run returns.
type replication interface {
	Tables() []*report.Table
	Figures() []*report.Figure
	Claims() []report.Claim
	Document() *report.Document
	Settings() any // the configuration, for result.json
}

// runOptions are what the command line knows of a run.
type runOptions struct {
	scale, dataset, dataDir string
	seeds                   []int64
	set                     []string                            // k=v
	models                  []string                            // ONNX files of the user's, each maybe NAME=FILE
	inputs, labels          string                              // NPY files of labeled images for them
	ownData                 bool                                // the paper checks the data set's name itself
	shard                   shard                               // what to run of it
	complete                bool                                // refuse to work: everything must be in stateDir
	stateDir                string                              // where unfinished work is kept
	progress                func(tasks float64) report.Progress // starts the display; every runner calls it once
}

// papers are all replicated papers.
var papers = []paper{
	{id: "2102.11935", slug: "robust/joint", title: "Non-Singular Adversarial Robustness of Neural Networks", notebook: "robust_joint.ipynb", plan: planJoint},
	{id: "2103.02200", slug: "robust/weights", title: "Formalizing Generalization and Robustness of Neural Networks to Weight Perturbations",
		notebook: "robust_weights.ipynb", plan: planWeights},
	{id: "2103.15670", slug: "robust/vit", title: "On the Adversarial Robustness of Vision Transformers", notebook: "robust_vit.ipynb", plan: planViT, imports: true},
	{id: "2104.03469", slug: "scoring", title: "Gi and Pal Scores: Deep Neural Network Generalization Statistics", notebook: "scoring_gi_pal.ipynb", plan: planScoring, shards: true},
	{id: "2102.10454", slug: "fewshot/maml", title: "On Fast Adversarial Robustness Adaptation in Model-Agnostic Meta-Learning", notebook: "fewshot_maml.ipynb", plan: planMAML},
}

func findPaper(name string) (paper, error) {
	var known []string
	for _, p := range papers {
		if name == p.id || name == p.slug {
			return p, nil
		}
		known = append(known, p.slug+" ("+p.id+")")
	}
	return paper{}, usagef("no paper %q: want one of %s", name, strings.Join(known, ", "))
}

// study is what every paper's Config can do.
type study[C any] interface {
	WithDefaults() C
	Validate() error
	Tasks() int
}

// common are the fields that every paper's Config has.
type common struct {
	dataset, dataDir, dir *string
	seeds                 *[]int64
	progress              *report.Progress
}

// planStudy plans the run of a paper: at gives the configuration of a scale, fields where its common fields are, special sets
// what only this paper has (nil: nothing).
func planStudy[C study[C], R replication](ctx context.Context, o runOptions, at func(scale string) (C, error), fields func(*C) common,
	special func(*C), run func(ctx context.Context, e *engine.Engine, c C) (R, error)) (runner, error) {
	c, err := scaled(at, o)
	if err != nil {
		return nil, err
	}
	if o.dataset != "" {
		*fields(&c).dataset = o.dataset
	}
	if len(o.seeds) > 0 {
		*fields(&c).seeds = o.seeds
	}
	if special != nil {
		special(&c)
	}
	c = c.WithDefaults()
	*fields(&c).dataDir, *fields(&c).dir = o.dataDir, o.stateDir
	if err := c.Validate(); err != nil {
		return nil, usageError{err}
	}
	if !o.ownData {
		if err := knownData(ctx, *fields(&c).dataset); err != nil {
			return nil, err
		}
	}
	return func(ctx context.Context, e *engine.Engine) (replication, error) {
		*fields(&c).progress = o.progress(float64(c.Tasks()))
		r, err := run(ctx, e, c)
		if err != nil {
			return nil, err // and no typed nil
		}
		return r, nil
	}, nil
}

func planJoint(ctx context.Context, o runOptions) (runner, error) {
	return planStudy(ctx, o, joint.AtScale, func(c *joint.Config) common {
		return common{&c.Dataset, &c.DataDir, &c.Dir, &c.Seeds, &c.Progress}
	}, nil, joint.Run)
}

func planWeights(ctx context.Context, o runOptions) (runner, error) {
	return planStudy(ctx, o, weights.AtScale, func(c *weights.Config) common {
		return common{&c.Dataset, &c.DataDir, &c.Dir, &c.Seeds, &c.Progress}
	}, nil, weights.Run)
}

func planScoring(ctx context.Context, o runOptions) (runner, error) {
	run := scoring.Run
	if o.shard.of > 0 {
		run = func(ctx context.Context, e *engine.Engine, c scoring.Config) (*scoring.Result, error) {
			return nil, scoring.RunShard(ctx, e, c, scoring.Shard{Index: o.shard.index, Of: o.shard.of})
		}
	}
	return planStudy(ctx, o, scoring.AtScale, func(c *scoring.Config) common {
		return common{&c.Dataset, &c.DataDir, &c.Dir, &c.Seeds, &c.Progress}
	}, func(c *scoring.Config) { c.Complete = o.complete }, run)
}

func planMAML(ctx context.Context, o runOptions) (runner, error) {
	o.ownData = true
	return planStudy(ctx, o, maml.AtScale, func(c *maml.Config) common {
		return common{&c.Dataset, &c.DataDir, &c.Dir, &c.Seeds, &c.Progress}
	}, nil, maml.Run)
}

func planViT(ctx context.Context, o runOptions) (runner, error) {
	return planStudy(ctx, o, vit.AtScale, func(c *vit.Config) common {
		return common{&c.Dataset, &c.DataDir, &c.Dir, &c.Seeds, &c.Progress}
	}, func(c *vit.Config) {
		for _, m := range o.models {
			name, path, ok := strings.Cut(m, "=")
			if !ok {
				name, path = strings.TrimSuffix(filepath.Base(m), ".onnx"), m
			}
			c.Imported = append(c.Imported, vit.Imported{Name: name, Path: path})
		}
		c.Images, c.Labels = o.inputs, o.labels
	}, vit.Run)
}

// kindOf names a type of setting for people.
func kindOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "a list such as [1,2] of which each is " + kindOf(t.Elem())
	case reflect.String:
		return "a text"
	case reflect.Bool:
		return "true or false"
	}
	return "a value of type " + t.String()
}

// empty matches the settings of nothing that are no numbers.
var empty = regexp.MustCompile(`^\s*(\[\s*\]|null|""|)\s*$`)

// isZero tells whether a setting would be stored as the zero value, numbers too small for float64 included.
func isZero(value string) bool {
	v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	return err == nil && v == 0 || empty.MatchString(value)
}

// scaled picks the configuration of a scale and applies k=v settings, whose keys are the configuration's JSON keys and
// whose values are JSON or plain text.
func scaled[C any](at func(scale string) (C, error), o runOptions) (C, error) {
	c, err := at(o.scale)
	if err != nil {
		return c, usageError{err}
	}
	known := map[string]json.RawMessage{}
	if data, err := json.Marshal(c); err != nil || json.Unmarshal(data, &known) != nil {
		return c, fmt.Errorf("configuration of scale %s: %w", o.scale, err)
	}
	for _, kv := range o.set {
		key, value, ok := strings.Cut(kv, "=")
		if _, exists := known[key]; !ok || !exists {
			return c, usagef("--set %s: want KEY=VALUE with KEY one of %s", kv, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
		if isZero(value) { // a zero field of a configuration stands for its default
			return c, usagef("--set %s: nothing of %s cannot be asked for: leave it out for the default", kv, key)
		}
		if !json.Valid([]byte(value)) {
			quoted, _ := json.Marshal(value)
			value = string(quoted)
		}
		decoder := json.NewDecoder(bytes.NewReader([]byte(fmt.Sprintf("{%q: %s}", key, value))))
		if err := decoder.Decode(&c); err != nil {
			if wrong := new(json.UnmarshalTypeError); errors.As(err, &wrong) {
				return c, usagef("--set %s: want %s, not a %s", kv, kindOf(wrong.Type), wrong.Value)
			}
			return c, usagef("--set %s: %s", kv, err)
		}
	}
	return c, nil
}
