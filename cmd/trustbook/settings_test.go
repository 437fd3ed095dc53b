package main

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/fewshot/maml"
	"github.com/trustbook/trustbook/robust/joint"
	"github.com/trustbook/trustbook/robust/vit"
	"github.com/trustbook/trustbook/robust/weights"
	"github.com/trustbook/trustbook/scoring"
)

// No setting of any paper takes a number that cannot be meant, or takes nothing for its default.
func TestSettingsRefuse(t *testing.T) {
	for _, p := range papers {
		config := settingsOf(t, p)
		for key, value := range config {
			var bad []string
			switch v := value.(type) {
			case float64:
				bad = []string{"-1", "0", "0.0", "-0", "1e-400", "null"}
			case []any:
				if _, number := v[0].(float64); number {
					bad = []string{"[]", "null"}
					if key != "angles" && key != "seeds" {
						bad = append(bad, "[-1]")
					}
				}
			}
			for _, b := range bad {
				t.Run(fmt.Sprintf("%s %s=%s", p.slug, key, b), func(t *testing.T) {
					_, err := p.plan(t.Context(), runOptions{scale: "smoke", set: []string{key + "=" + b}})
					require.Error(t, err)
					require.ErrorAs(t, err, new(usageError))
					require.NotContains(t, err.Error(), "\n")
				})
			}
		}
	}
}

// settingsOf are a paper's settings at the smallest scale, by key.
func settingsOf(t *testing.T, p paper) (config map[string]any) {
	t.Helper()
	data, err := json.Marshal(smallest(t, p))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &config))
	return config
}

func smallest(t *testing.T, p paper) any {
	t.Helper()
	switch p.slug {
	case "robust/joint":
		return joint.Smoke().WithDefaults()
	case "robust/weights":
		return weights.Smoke().WithDefaults()
	case "robust/vit":
		return vit.Smoke().WithDefaults()
	case "scoring":
		return scoring.Smoke().WithDefaults()
	case "fewshot/maml":
		return maml.Smoke().WithDefaults()
	}
	t.Fatalf("no settings known of %s", p.slug)
	return nil
}
