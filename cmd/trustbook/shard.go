package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/study"
)

func parseShard(text string) (s study.Shard, err error) {
	if text == "" {
		return s, nil
	}
	index, of, ok := strings.Cut(text, "/")
	s.Index, err = strconv.Atoi(index)
	if ok && err == nil {
		s.Of, err = strconv.Atoi(of)
	}
	if !ok || err != nil || s.Of < 1 || s.Index < 1 || s.Index > s.Of {
		return study.Shard{}, usagef("--shard %s: want INDEX/COUNT such as 2/8, with INDEX from 1 to COUNT", text)
	}
	return s, nil
}

// shardsFolder holds a file for each shard that has run, in the output folder.
const shardsFolder = "shards"

// shardFile says what a shard was a part of.
type shardFile struct {
	Paper    string            `json:"paper"`
	Index    int               `json:"index"`
	Of       int               `json:"of"`
	Command  string            `json:"command"` // of the whole run
	Scale    string            `json:"scale"`
	Dataset  string            `json:"dataset"`
	Seeds    []int64           `json:"seeds"`
	Set      []string          `json:"set"`
	Backend  string            `json:"backend"`
	Versions map[string]string `json:"versions"`
}

// whole is the run that a shard belongs to.
func (f shardFile) whole() shardFile {
	f.Index = 0
	return f
}

// writeShard notes that a shard has run.
func writeShard(c *cobra.Command, p paper, o runOptions, e *engine.Engine, out string) error {
	f := shardFile{Paper: p.slug, Index: o.shard.Index, Of: o.shard.Of, Command: c.CommandPath() + " " + p.slug + flagsGiven(c),
		Scale: o.scale, Dataset: o.dataset, Seeds: o.seeds, Set: o.set, Backend: e.Name(), Versions: moduleVersions(e)}
	if err := os.MkdirAll(filepath.Join(out, shardsFolder), 0o755); err != nil {
		return err
	}
	if err := writeJSON(filepath.Join(out, shardsFolder, fmt.Sprintf("%d-of-%d.json", f.Index, f.Of)), f); err != nil {
		return err
	}
	_, err := fmt.Fprintf(c.OutOrStdout(),
		"Shard %d of %d is done. When all are: trustbook merge DIR..., with every shard's output folder\n", f.Index, f.Of)
	return err
}

func newMerge() *cobra.Command {
	var out, dataDir string
	var asJSON, verdictsFine bool
	c := &cobra.Command{
		Use:   "merge DIR... [--out OUT]",
		Short: "Make one result of the shards of a run",
		Long: "Make one result of the shards that `trustbook replicate PAPER --shard INDEX/COUNT` has run, on one machine\n" +
			"or many: name their output folders, or the one that they shared. The output folder gets the files that the\n" +
			"whole run would have written, to the same bytes.\n\n" +
			"Exit status: as that of replicate.",
		Example: "  trustbook merge results/shard-1 results/shard-2 --out results/scoring",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fmt.Errorf("missing argument DIR")
			}
			return nil
		},
		Annotations: map[string]string{onStop: "nothing"},
		RunE: func(c *cobra.Command, args []string) error {
			whole, err := readShards(args)
			if err != nil {
				return err
			}
			p, err := findPaper(whole.Paper)
			if err != nil {
				return err
			}
			if out == "" {
				out = filepath.Join("results", p.folder())
			}
			if err := checkOutFolder("out", out); err != nil {
				return err
			}
			state, err := os.MkdirTemp("", "trustbook-merge-*")
			if err != nil {
				return err
			}
			defer os.RemoveAll(state)
			if err := gather(args, state); err != nil {
				return err
			}
			o := runOptions{scale: whole.Scale, dataset: whole.Dataset, dataDir: dataDir, seeds: whole.Seeds,
				set: whole.Set, shard: study.Shard{Merge: true}, stateDir: state}
			claims, err := replicate(c, p, o, whole.Backend, out, whole.Command)
			if err != nil {
				return err
			}
			return conclude(c, claims, out, asJSON, verdictsFine)
		},
	}
	f := c.Flags()
	f.StringVar(&out, "out", "", "output `DIR` (default results/PAPER)")
	f.StringVar(&dataDir, "data-dir", "", "`DIR` that holds the data files (default: the cache)")
	f.BoolVar(&asJSON, "json", false, "print the claims as JSON")
	f.BoolVar(&verdictsFine, "any-verdict", false, "exit with status 0 also if a tested claim is not replicated")
	return c
}

// readShards reads the notes of all shards in the folders and checks that together they are one run.
func readShards(dirs []string) (whole shardFile, err error) {
	found := map[int]string{}
	for _, dir := range dirs {
		files, _ := filepath.Glob(filepath.Join(dir, shardsFolder, "*.json"))
		if len(files) == 0 {
			return whole, usagef("%s: holds no shard: name output folders of `trustbook replicate PAPER --shard INDEX/COUNT`", dir)
		}
		for _, path := range files {
			var f shardFile
			data, err := os.ReadFile(path)
			if err == nil {
				err = json.Unmarshal(data, &f)
			}
			if err != nil || f.Of < 1 || f.Index < 1 || f.Index > f.Of {
				return whole, usagef("%s: damaged, or no note of a shard: run that shard again", path)
			}
			if len(found) == 0 {
				whole = f.whole()
			}
			if !reflect.DeepEqual(whole, f.whole()) {
				return whole, usagef("%s: of another run than %s: paper, settings, backend and versions must be the same",
					path, slices.Sorted(maps.Values(found))[0])
			}
			found[f.Index] = path
		}
	}
	var missing []string
	for i := range whole.Of {
		if found[i+1] == "" {
			missing = append(missing, fmt.Sprintf("%d/%d", i+1, whole.Of))
		}
	}
	if len(missing) > 0 {
		return whole, usagef("shards that have not run, or whose folder is not named: %s", strings.Join(missing, ", "))
	}
	return whole, nil
}

// gather copies what the shards kept into one folder.
func gather(dirs []string, state string) error {
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "state", "*.json"))
		if err != nil {
			return err
		}
		for _, path := range files {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if err := renameio.WriteFile(filepath.Join(state, filepath.Base(path)), data, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}
