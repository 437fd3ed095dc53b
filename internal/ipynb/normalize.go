package ipynb

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
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
		outputs, _ := c.raw["outputs"].([]any)
		for _, o := range outputs {
			if output, ok := o.(map[string]any); ok {
				delete(output, "transient")
			}
		}
	}
}
