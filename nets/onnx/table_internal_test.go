package onnx

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/stretchr/testify/require"
)

// TestOperatorTable compares the table of operators with the format's own schemas, which testdata/schemas.py wrote
// down from the package onnx, and with ONNX Runtime's of its own operators: every version, how many inputs it takes, every
// attribute with its type, and nothing else.
func TestOperatorTable(t *testing.T) {
	type file struct {
		Opset     int `json:"opset"`
		Operators map[string][]struct {
			Since      int    `json:"since"`
			Inputs     [2]int `json:"inputs"`
			Deprecated bool   `json:"deprecated"`
			Attributes map[string]struct {
				Type string `json:"type"`
			} `json:"attributes"`
		} `json:"operators"`
	}
	read := func(path string) (f file) {
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(content, &f))
		return f
	}
	schemas := read("testdata/schemas.json")
	require.Equal(t, schemas.Opset, newestOpset)
	for name, versions := range read("testdata/microsoft.json").Operators {
		schemas.Operators[name] = append(versions, schemas.Operators[name]...)
	}
	for name, o := range operators {
		t.Run(name, func(t *testing.T) {
			versions, attributes := schemas.Operators[name], map[string]bool{}
			require.NotEmpty(t, versions, "no such operator")
			var since []int
			for _, s := range versions {
				since = append(since, s.Since)
				low, high := o.arity(s.Since)
				if !s.Deprecated {
					require.Equal(t, s.Inputs, [2]int{low, high}, "inputs of version %d", s.Since)
				}
				for attribute, a := range s.Attributes {
					attributes[attribute] = true
					kind, _, ok := o.attribute(attribute, s.Since)
					require.True(t, ok, "attribute %s of version %d is missing", attribute, s.Since)
					require.Equal(t, a.Type, attributeTypes[kind].String(), "attribute %s of version %d", attribute, s.Since)
				}
				for _, field := range strings.Fields(o.attributes) {
					attribute, _, _ := strings.Cut(field, ":")
					_, defined := s.Attributes[attribute]
					_, _, ok := o.attribute(attribute, s.Since)
					require.Equal(t, defined, ok, "attribute %s of version %d", attribute, s.Since)
				}
			}
			slices.Sort(since)
			require.Equal(t, since, numbers(o.versions))
		})
	}
}

// TestAttributesAreRead: an attribute that the table says has an effect is one that some build function names.
func TestAttributesAreRead(t *testing.T) {
	files, err := os.ReadDir(".")
	require.NoError(t, err)
	var source strings.Builder
	for _, f := range files {
		name := f.Name()
		if strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") && name != "operators.go" && name != "table.go" {
			content, err := os.ReadFile(name)
			require.NoError(t, err)
			source.Write(content)
		}
	}
	for name, o := range operators {
		for _, field := range strings.Fields(o.attributes) {
			if attribute, rest, _ := strings.Cut(field, ":"); !strings.HasSuffix(rest, "!") && name != "Constant" {
				require.Contains(t, source.String(), `"`+attribute+`"`, "attribute of %s", name)
			}
		}
	}
}

// TestUnknownAttributesAreRefused: for each operator and each of its versions.
func TestUnknownAttributesAreRefused(t *testing.T) {
	for name, o := range operators {
		for _, version := range numbers(o.versions) {
			domain, op := "", name
			if dot := strings.LastIndex(name, "."); dot >= 0 {
				domain, op = name[:dot], name[dot+1:]
			}
			g := &network{opset: version, opsetML: version}
			require.Equal(t, version, g.version(&protos.NodeProto{OpType: op, Domain: domain}), name)
			low, _ := o.arity(version)
			n := &protos.NodeProto{OpType: op, Domain: domain, Output: []string{"y"}, Input: slices.Repeat([]string{"x"}, low),
				Attribute: []*protos.AttributeProto{{Name: "invented", Type: protos.AttributeProto_INT}}}
			require.ErrorContains(t, g.checkNode(n), `attribute "invented" is none of version`, name)
			n.Attribute = nil
			require.NoError(t, g.checkNode(n), name)
		}
	}
}

// TestOperatorsAreDocumented: docs/onnx.md names every operator of the table, and the newest opset.
func TestOperatorsAreDocumented(t *testing.T) {
	content, err := os.ReadFile("../../docs/onnx.md")
	require.NoError(t, err)
	require.Contains(t, string(content), fmt.Sprintf("up to opset %d,", newestOpset))
	require.Contains(t, string(content), strings.Join(slices.Sorted(maps.Keys(operators)), ", ")+".")
}
