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
	"strings"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/robust/joint"
	"github.com/trustbook/trustbook/robust/vit"
)

// paper is a replicated paper as the command line sees it.
type paper struct {
	id, slug, title string
	notebook        string // "" until there is one
	imports         bool   // whether it studies a user's ONNX models
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
	stateDir                string                              // where unfinished work is kept
	progress                func(tasks float64) report.Progress // starts the display; every runner calls it once
}

// papers are all replicated papers.
var papers = []paper{
	{id: "2102.11935", slug: "robust/joint", title: "Non-Singular Adversarial Robustness of Neural Networks", notebook: "robust_joint.ipynb", plan: planJoint},
	{id: "2103.15670", slug: "robust/vit", title: "On the Adversarial Robustness of Vision Transformers", notebook: "robust_vit.ipynb", plan: planViT, imports: true},
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

func planJoint(ctx context.Context, o runOptions) (runner, error) {
	c, err := scaled(joint.AtScale, o)
	if err != nil {
		return nil, err
	}
	if o.dataset != "" {
		c.Dataset = o.dataset
	}
	if len(o.seeds) > 0 {
		c.Seeds = o.seeds
	}
	c = c.WithDefaults()
	c.DataDir, c.Dir = o.dataDir, o.stateDir
	if err := c.Validate(); err != nil {
		return nil, usageError{err}
	}
	if err := knownData(ctx, c.Dataset); err != nil {
		return nil, err
	}
	return func(ctx context.Context, e *engine.Engine) (replication, error) {
		c.Progress = o.progress(float64(len(c.Methods) * len(c.Seeds) * joint.TasksPerNetwork))
		r, err := joint.Run(ctx, e, c)
		if err != nil {
			return nil, err // and no typed nil
		}
		return r, nil
	}, nil
}

func planViT(ctx context.Context, o runOptions) (runner, error) {
	c, err := scaled(vit.AtScale, o)
	if err != nil {
		return nil, err
	}
	if o.dataset != "" {
		c.Dataset = o.dataset
	}
	if len(o.seeds) > 0 {
		c.Seeds = o.seeds
	}
	for _, m := range o.models {
		name, path, ok := strings.Cut(m, "=")
		if !ok {
			name, path = strings.TrimSuffix(filepath.Base(m), ".onnx"), m
		}
		c.Imported = append(c.Imported, vit.Imported{Name: name, Path: path})
	}
	c.Images, c.Labels = o.inputs, o.labels
	c = c.WithDefaults()
	c.DataDir, c.Dir = o.dataDir, o.stateDir
	if err := c.Validate(); err != nil {
		return nil, usageError{err}
	}
	if err := knownData(ctx, c.Dataset); err != nil {
		return nil, err
	}
	return func(ctx context.Context, e *engine.Engine) (replication, error) {
		c.Progress = o.progress(float64(c.Tasks()))
		r, err := vit.Run(ctx, e, c)
		if err != nil {
			return nil, err // and no typed nil
		}
		return r, nil
	}, nil
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

// empty matches the zero values of settings.
var empty = regexp.MustCompile(`^\s*(-?0+(\.0*)?([eE].*)?|\[\s*\]|null|""|)\s*$`)

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
		if empty.MatchString(value) { // a zero field of a configuration stands for its default
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
