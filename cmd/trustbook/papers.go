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

	"github.com/trustbook/trustbook/creativity"
	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fewshot/maml"
	"github.com/trustbook/trustbook/fewshot/pairgan"
	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/robust/hardlabel"
	"github.com/trustbook/trustbook/robust/joint"
	"github.com/trustbook/trustbook/robust/unsup"
	"github.com/trustbook/trustbook/robust/vit"
	"github.com/trustbook/trustbook/robust/weights"
	"github.com/trustbook/trustbook/scoring"
	"github.com/trustbook/trustbook/study"
	"github.com/trustbook/trustbook/watermark/gradsigns"
)

// paper is a replicated paper as the command line sees it.
type paper struct {
	id, slug, title string
	notebook        string // "" until there is one
	imports         bool   // whether it studies a user's ONNX models
	// settings returns the configuration of a scale, with all defaults.
	settings func(scale string) (any, error)
	// plan checks the options before anything is opened or read, and returns the run.
	plan func(ctx context.Context, o runOptions) (runner, error)
}

// folder is the name of the paper's output folder.
func (p paper) folder() string { return strings.ReplaceAll(p.slug, "/", "-") }

// runner runs what was planned. It returns the configuration too, for result.json.
type runner func(ctx context.Context, e *engine.Engine) (r replication, config any, err error)

// replication is what every paper's Run returns.
type replication interface {
	Tables() []*report.Table
	Figures() []*report.Figure
	Claims() []report.Claim
	Document() *report.Document
}

// runOptions are what the command line knows of a run.
type runOptions struct {
	scale, dataset, dataDir string
	seeds                   []int64
	set                     []string                            // k=v
	models                  []string                            // ONNX files of the user's, each maybe NAME=FILE
	inputs, labels          string                              // NPY files of labeled images for them
	shard                   study.Shard                         // what to do of it
	stateDir                string                              // where unfinished work is kept
	progress                func(tasks float64) report.Progress // starts the display; every runner calls it once
}

// papers are all replicated papers.
var papers = []paper{
	of("2102.11935", "robust/joint", "Non-Singular Adversarial Robustness of Neural Networks",
		"robust_joint.ipynb", joint.AtScale, joint.Run, knownData),
	of("2103.02200", "robust/weights", "Formalizing Generalization and Robustness of Neural Networks to Weight Perturbations",
		"robust_weights.ipynb", weights.AtScale, weights.Run, knownData),
	of("2103.15670", "robust/vit", "On the Adversarial Robustness of Vision Transformers",
		"robust_vit.ipynb", vit.AtScale, vit.Run, knownData, imports),
	of("2104.03469", "scoring", "Gi and Pal Scores: Deep Neural Network Generalization Statistics", "scoring_gi_pal.ipynb",
		scoring.AtScale, scoring.Run, knownData),
	of("2102.10454", "fewshot/maml", "On Fast Adversarial Robustness Adaptation in Model-Agnostic Meta-Learning", "fewshot_maml.ipynb",
		maml.AtScale, maml.Run, anyData),
	of("2104.00479", "creativity", "Towards Creativity Characterization of Generative Models via Group-Based Subset Scanning",
		"creativity_scan.ipynb", creativity.AtScale, creativity.Run, knownData),
	of("2103.03325", "robust/hardlabel",
		"Hard-label Manifolds: Unexpected Advantages of Query Efficiency for Finding On-manifold Adversarial Examples",
		"robust_hardlabel.ipynb",
		hardlabel.AtScale, hardlabel.Run, knownData),
	of("2103.01895", "robust/unsup", "Adversarial Examples can be Effective Data Augmentation for Unsupervised Machine Learning",
		"robust_unsup.ipynb",
		unsup.AtScale, unsup.Run, knownData),
	of("2102.12765", "fewshot/pairgan", "Paired Few-Shot GAN", "fewshot_pairgan.ipynb", pairgan.AtScale, pairgan.Run, anyData),
	of("2103.03701", "watermark", "Don't Forget to Sign the Gradients!", "watermark_gradsigns.ipynb",
		gradsigns.AtScale, gradsigns.Run, knownData),
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

// of makes a paper of the functions of its package; known checks the name of its data set, imports, if there, fills in
// the user's models and images.
func of[C study.Config[C], R replication](id, slug, title, notebook string, at func(scale string) (C, error),
	run func(ctx context.Context, e *engine.Engine, c C) (R, error), known func(ctx context.Context, dataset string) error,
	imports ...func(*C, runOptions)) paper {
	settings := func(scale string) (any, error) {
		c, err := at(scale)
		return c.WithDefaults(), err
	}
	plan := func(ctx context.Context, o runOptions) (runner, error) {
		c, err := scaled(at, o)
		if err != nil {
			return nil, err
		}
		if o.dataset != "" {
			*study.Field[string](&c, "Dataset") = o.dataset
		}
		if len(o.seeds) > 0 {
			*study.Field[[]int64](&c, "Seeds") = o.seeds
		}
		for _, fill := range imports {
			fill(&c, o)
		}
		c = c.WithDefaults()
		*study.Field[string](&c, "DataDir"), *study.Field[string](&c, "Dir") = o.dataDir, o.stateDir
		*study.Field[study.Shard](&c, "Shard") = o.shard
		if err := c.Validate(); err != nil {
			return nil, usageError{err}
		}
		if err := known(ctx, *study.Field[string](&c, "Dataset")); err != nil {
			return nil, err
		}
		return func(ctx context.Context, e *engine.Engine) (replication, any, error) {
			*study.Field[report.Progress](&c, "Progress") = o.progress(float64(c.Tasks()))
			r, err := run(ctx, e, c)
			if err != nil {
				return nil, nil, err // and no typed nil
			}
			return r, *study.Field[C](r, "Config"), nil // with what the run found out
		}, nil
	}
	return paper{id: id, slug: slug, title: title, notebook: notebook, imports: len(imports) > 0, settings: settings, plan: plan}
}

// anyData leaves the check of the data set's name to the paper.
func anyData(context.Context, string) error { return nil }

// imports fills in the user's models and images.
func imports(c *vit.Config, o runOptions) {
	for _, m := range o.models {
		name, path, ok := strings.Cut(m, "=")
		if !ok {
			name, path = strings.TrimSuffix(filepath.Base(m), ".onnx"), m
		}
		c.Imported = append(c.Imported, vit.Imported{Name: name, Path: path})
	}
	c.Images, c.Labels = o.inputs, o.labels
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
