package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/report"
	"github.com/trustbook/trustbook/study"
)

func newReplicate() *cobra.Command {
	o := runOptions{}
	var backend, out, part string
	var asJSON, verdictsFine bool
	c := &cobra.Command{
		Use:   "replicate PAPER",
		Short: "Replicate a paper: tables, figures, claims with verdicts, a report",
		Long: "Replicate a paper, named by arXiv id or slug (see `trustbook list`). The output folder gets\n" +
			"result.json, claims.json, tables, figures and the self-contained report.html. Stopped or killed, the\n" +
			"same command goes on where it was, to the same bytes.\n\n" +
			"Exit status: 0 if every tested claim is replicated, 1 if one is not, or in part\n" +
			"only, or the run failed, 2 for wrong use.",
		Example: "  trustbook replicate robust/joint\n" +
			"  trustbook replicate 2102.11935 --scale smoke --seeds 1,2 --set epochs=3 --out /tmp/try\n" +
			"  trustbook replicate robust/vit --model vit.onnx --model resnet.onnx --inputs X.npy --labels Y.npy",
		Args:        takes("PAPER"),
		Annotations: map[string]string{onStop: "resumes"},
		RunE: func(c *cobra.Command, args []string) error {
			p, err := findPaper(args[0])
			if err != nil {
				return err
			}
			if !p.imports && (len(o.models) > 0 || o.inputs != "" || o.labels != "") {
				return usagef("%s: trains networks of its own: --model, --inputs and --labels are for robust/vit", p.slug)
			}
			if o.shard, err = parseShard(part); err != nil {
				return err
			}
			if o.shard.Of > 0 && len(o.models) > 0 {
				return usagef("--shard %s: a study of --model files runs as a whole only", part)
			}
			if out == "" {
				out = filepath.Join("results", p.folder())
			}
			if err := checkOutFolder("out", out); err != nil {
				return err
			}
			o.stateDir = filepath.Join(out, "state")
			claims, err := replicate(c, p, o, backend, out, c.CommandPath()+" "+p.slug+flagsGiven(c))
			if err != nil || o.shard.Of > 0 {
				return err
			}
			return conclude(c, claims, out, asJSON, verdictsFine)
		},
	}
	f := c.Flags()
	f.StringVar(&o.scale, "scale", "quick", "`SCALE` of the run: smoke (seconds), quick (minutes on 2 cores) or paper (the paper's sizes)")
	f.StringVar(&o.dataset, "dataset", "", "`NAME` of the data set (default: the paper's)")
	f.StringVar(&o.dataDir, "data-dir", "", "`DIR` that holds the data files (default: the cache)")
	f.Int64SliceVar(&o.seeds, "seeds", nil,
		"`LIST` of seeds, such as 1,2,3: each is a run of its own, intervals are over them (default: the scale's)")
	f.Lookup("seeds").DefValue = "" // shown as [] otherwise
	f.StringVar(&backend, "backend", "", backendHelp)
	f.StringVar(&out, "out", "", "output `DIR` (default results/PAPER)")
	f.StringArrayVar(&o.set, "set", nil, "change a setting of the configuration: `KEY=VALUE`, repeatable")
	f.StringArrayVar(&o.models, "model", nil, "study an ONNX `FILE`, or NAME=FILE, in place of the paper's networks, repeatable (robust/vit)")
	f.StringVar(&o.inputs, "inputs", "", "NPY `FILE` with images for --model")
	f.StringVar(&o.labels, "labels", "", "NPY `FILE` with their labels")
	f.StringVar(&part, "shard", "", "run only `INDEX/COUNT` of the work, such as 2/8, for `trustbook merge`")
	f.BoolVar(&asJSON, "json", false, "print the claims as JSON")
	f.BoolVar(&verdictsFine, "any-verdict", false, "exit with status 0 also if a tested claim is not replicated")
	return c
}

// conclude prints the claims, and says by its error whether one was tested and is not replicated in all its parts.
func conclude(c *cobra.Command, claims []report.Claim, out string, asJSON, verdictsFine bool) error {
	if err := printClaims(c, claims, out, asJSON); err != nil {
		return err
	}
	for _, claim := range claims {
		if v := claim.Verdict(); v != report.Replicated && v != report.NotTested && !verdictsFine {
			return errNotReplicated
		}
	}
	return nil
}

// replicate runs a paper, or a shard, and writes what it shows; command is what the report says to repeat it by.
func replicate(c *cobra.Command, p paper, o runOptions, backend, out, command string) ([]report.Claim, error) {
	start := time.Now()
	var job *report.Bar
	o.progress = func(tasks float64) report.Progress {
		job = report.NewJob(tasks)
		return job
	}
	run, err := p.plan(c.Context(), o)
	if err != nil {
		return nil, err
	}
	e, err := openEngine(backend)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	r, config, err := run(c.Context(), e)
	if err != nil && !errors.Is(err, study.ErrShard) {
		return nil, err
	}
	if err := c.Context().Err(); err != nil { // stopped during the last step
		return nil, err
	}
	if job != nil {
		job.Finish()
	}
	if o.shard.Of > 0 {
		return nil, writeShard(c, p, o, e, out)
	}
	if err := writeResult(out, p, r, config, e, command); err != nil {
		return nil, err
	}
	times := map[string]any{"seconds": time.Since(start).Seconds(), "finished": time.Now().UTC()}
	return r.Claims(), writeJSON(filepath.Join(out, "run.json"), times)
}

func printClaims(c *cobra.Command, claims []report.Claim, out string, asJSON bool) error {
	if asJSON {
		return printJSON(c, claims)
	}
	if err := printTable(c, report.ClaimTable(claims)); err != nil {
		return err
	}
	_, err := fmt.Fprintln(c.OutOrStdout(), "Report:", filepath.Join(out, "report.html"))
	return err
}

// flagsGiven repeats the flags that shape the result, for the report's command.
func flagsGiven(c *cobra.Command) (s string) {
	for _, name := range []string{"scale", "dataset", "seeds", "model", "inputs", "labels", "set"} {
		f := c.Flags().Lookup(name)
		if !f.Changed {
			continue
		}
		values := []string{strings.Trim(f.Value.String(), "[]")}
		if name == "set" || name == "model" {
			values, _ = c.Flags().GetStringArray(name)
		}
		for _, v := range values {
			s += " --" + name + " " + quote(v)
		}
	}
	return s
}

// writeResult writes everything that a run shows; nothing in it depends on when or where it ran.
func writeResult(dir string, p paper, r replication, config any, e *engine.Engine, command string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	sweep(dir)
	var parts []report.Part
	for _, t := range r.Tables() {
		parts = append(parts, t)
	}
	for _, f := range r.Figures() {
		parts = append(parts, f)
	}
	saved, err := report.Save(dir, parts...)
	if err != nil {
		return err
	}
	versions := moduleVersions(e)
	doc := r.Document()
	doc.Command = command
	for _, name := range versionNames {
		doc.Versions = append(doc.Versions, report.Setting{Name: strings.ReplaceAll(name, "_", "-"), Value: versions[name]})
	}
	if err := doc.WriteFile(filepath.Join(dir, "report.html")); err != nil {
		return err
	}
	claims := r.Claims()
	if err := report.SaveClaims(filepath.Join(dir, claimsFile), claims); err != nil {
		return err
	}
	var seeds []int64
	if len(claims) > 0 {
		seeds = claims[0].Seeds
	}
	return writeJSON(filepath.Join(dir, "result.json"), map[string]any{
		"paper": p.id, "slug": p.slug, "config": config, "versions": versions, "backend": e.Name(), "seeds": seeds,
		"tables": saved.Tables, "figures": saved.Figures,
	})
}

// leftover is a temporary file of a run that was killed while it wrote: a dot, the file's name, digits.
var leftover = regexp.MustCompile(`^\..+\.(json|html|csv|png|bin)\d+$`)

// sweep removes the leftovers of killed runs.
func sweep(dir string) {
	for _, sub := range []string{"", "tables", "figures", "state"} {
		entries, _ := os.ReadDir(filepath.Join(dir, sub))
		for _, e := range entries {
			if e.Type().IsRegular() && leftover.MatchString(e.Name()) {
				os.Remove(filepath.Join(dir, sub, e.Name()))
			}
		}
	}
}

func writeJSON(path string, value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	return renameio.WriteFile(path, append(data, '\n'), 0o644)
}
