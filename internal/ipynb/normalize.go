package ipynb

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// Normalize prepares an executed notebook for a commit, so that two runs differ in nothing but what they show: the
// kernel's name, ids for cells that have none (made from their place and source), and no traces of the run in the
// metadata (times, widgets, editors).
func Normalize(nb *Notebook) {
	nb.doc["nbformat"], nb.doc["nbformat_minor"] = json.Number("4"), json.Number("5")
	nb.doc["metadata"] = map[string]any{
		"kernelspec":    map[string]any{"display_name": "Go (gonb)", "language": "go", "name": "gonb"},
		"language_info": map[string]any{"file_extension": ".go", "mimetype": "text/x-go", "name": "go"},
	}
	nb.Minor, nb.Kernel, nb.Language = 5, "gonb", "go"
	taken := map[string]bool{}
	for i, c := range nb.Cells {
		if c.ID == "" || taken[c.ID] {
			sum := sha256.Sum256(fmt.Appendf(nil, "%d %s %s", i, c.Type, c.Source))
			c.ID = hex.EncodeToString(sum[:4])
			for taken[c.ID] {
				c.ID += "x"
			}
			c.raw["id"] = c.ID
		}
		taken[c.ID] = true
		kept := map[string]any{}
		if metadata, ok := c.raw["metadata"].(map[string]any); ok {
			for _, key := range []string{"tags", "slideshow", "editable", "deletable"} {
				if value, ok := metadata[key]; ok {
					kept[key] = value
				}
			}
		}
		c.raw["metadata"] = kept
		c.raw["source"] = lines(c.Source)
		if c.Type == "code" {
			c.normalizeOutputs()
		}
	}
}

// normalizeOutputs joins neighboring pieces of one stream, which come as the pipe happened to be read, and leaves of
// a line that was drawn over and over, as progress bars do, only what it came to.
func (c *Cell) normalizeOutputs() {
	raws, _ := c.raw["outputs"].([]any)
	joined, kept := []any{}, c.Outputs[:0]
	for i, o := range c.Outputs {
		raw, _ := raws[i].(map[string]any)
		delete(raw, "transient")
		last := len(kept) - 1
		if o.Type == "stream" && last >= 0 && kept[last].Type == "stream" && kept[last].Name == o.Name {
			kept[last].Text += o.Text
			continue
		}
		kept, joined = append(kept, o), append(joined, raw)
	}
	for i := range kept {
		if kept[i].Type == "stream" {
			kept[i].Text = overdrawn.ReplaceAllString(kept[i].Text, "$1")
			joined[i].(map[string]any)["text"] = lines(kept[i].Text)
		}
	}
	c.Outputs, c.raw["outputs"] = kept, joined
}

// overdrawn is what a carriage return takes back, unless a line break follows.
var overdrawn = regexp.MustCompile(`[^\n]*\r+([^\n\r])`)

// lines splits a text as Jupyter writes it, each line with its break.
func lines(text string) []any {
	found := []any{}
	for line := range strings.SplitAfterSeq(text, "\n") {
		if line != "" {
			found = append(found, line)
		}
	}
	return found
}
