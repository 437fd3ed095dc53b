package main

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
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
	c, err := p.settings("smoke")
	require.NoError(t, err)
	return c
}
