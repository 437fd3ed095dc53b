package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"
	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/report"
)

func newReplicate() *cobra.Command {
	o := runOptions{}
	var backend, out string
	var asJSON, verdictsFine bool
	c := &cobra.Command{
		Use:   "replicate PAPER",
		Short: "Replicate a paper: tables, figures, claims with verdicts, a report",
		Long: "Replicate a paper, named by arXiv id or slug (see `trustbook list`). The output folder gets result.json, claims.json, tables,\n" +
			"figures and the self-contained report.html. Stopped or killed, the same command goes on where it was, to the same bytes.\n\n" +
			"Exit status: 0 if every tested claim is replicated, 1 if one is not or the run failed, 2 for wrong use.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			p, err := findPaper(args[0])
			if err != nil {
				return err
			}
			if out == "" {
				out = filepath.Join("results", strings.ReplaceAll(p.slug, "/", "-"))
			}
			e, err := engine.Open(backend)
			if err != nil {
				return err
			}
			defer e.Close()
			o.stateDir = filepath.Join(out, "state")
			o.progress = func(tasks float64) report.Progress { return report.NewJob(tasks) }
			start := time.Now()
			r, err := p.run(c.Context(), e, o)
			if err != nil {
				return err
			}
			if err := writeResult(out, p, r, e, c.CommandPath()+" replicate "+p.slug+flagsGiven(c)); err != nil {
				return err
			}
			if err := writeJSON(filepath.Join(out, "run.json"), map[string]any{"seconds": time.Since(start).Seconds(), "finished": time.Now().UTC()}); err != nil {
				return err
			}
			claims := r.Claims()
			if asJSON {
				if err := printJSON(c, claims); err != nil {
					return err
				}
			} else {
				printTable(c, report.ClaimTable(claims))
				fmt.Fprintln(c.OutOrStdout(), "Report:", filepath.Join(out, "report.html"))
			}
			for _, claim := range claims {
				if claim.Decide().Verdict == report.NotReplicated && !verdictsFine {
					return quiet{errors.New("not every claim is replicated")}
				}
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&o.scale, "scale", "quick", "smoke (seconds), quick (minutes on 2 cores) or paper (the paper's sizes)")
	f.StringVar(&o.dataset, "dataset", "", "data set (default: the paper's)")
	f.StringVar(&o.dataDir, "data-dir", "", "folder that holds the data files")
	f.Int64SliceVar(&o.seeds, "seeds", nil, "seeds, each a run of its own: intervals are over them")
	f.StringVar(&backend, "backend", "", "xla, xla:cpu, xla:cuda, xla:/path/plugin.so or go (default $GOMLX_BACKEND, else xla)")
	f.StringVar(&out, "out", "", "output folder (default results/SLUG)")
	f.StringArrayVar(&o.set, "set", nil, "change a setting of the configuration, KEY=VALUE; repeatable")
	f.BoolVar(&asJSON, "json", false, "print the claims as JSON")
	f.BoolVar(&verdictsFine, "any-verdict", false, "exit with status 0 also if a claim is not replicated")
	return c
}

// flagsGiven repeats the flags that shape the result, for the report's command.
func flagsGiven(c *cobra.Command) (s string) {
	for _, name := range []string{"scale", "dataset", "seeds", "set"} {
		f := c.Flags().Lookup(name)
		if !f.Changed {
			continue
		}
		values := []string{strings.Trim(f.Value.String(), "[]")}
		if name == "set" {
			values, _ = c.Flags().GetStringArray(name)
		}
		for _, v := range values {
			s += " --" + name + " " + v
		}
	}
	return s
}

// writeResult writes everything that a run shows; nothing in it depends on when or where it ran.
func writeResult(dir string, p paper, r replication, e *engine.Engine, command string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
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
		doc.Versions = append(doc.Versions, report.Setting{Name: name, Value: versions[name]})
	}
	if err := doc.WriteFile(filepath.Join(dir, "report.html")); err != nil {
		return err
	}
	claims := r.Claims()
	if err := report.SaveClaims(filepath.Join(dir, "claims.json"), claims); err != nil {
		return err
	}
	var seeds []int64
	if len(claims) > 0 {
		seeds = claims[0].Seeds
	}
	return writeJSON(filepath.Join(dir, "result.json"), map[string]any{
		"paper": p.id, "slug": p.slug, "config": r.Settings(), "versions": versions, "backend": e.Name(), "seeds": seeds,
		"tables": saved.Tables, "figures": saved.Figures,
	})
}

var versionNames = []string{"trustbook", "go", "gomlx", "go-xla", "backend"}

// moduleVersions tells what the program was built of.
func moduleVersions(e *engine.Engine) map[string]string {
	versions := map[string]string{"trustbook": "0.1.0", "backend": e.Description()}
	if info, ok := debug.ReadBuildInfo(); ok {
		versions["go"] = info.GoVersion
		for _, m := range info.Deps {
			switch m.Path {
			case "github.com/gomlx/gomlx":
				versions["gomlx"] = m.Version
			case "github.com/gomlx/go-xla":
				versions["go-xla"] = m.Version
			}
		}
	}
	return versions
}

func writeJSON(path string, value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	return renameio.WriteFile(path, append(data, '\n'), 0o644)
}
