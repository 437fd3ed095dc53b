// Package ipynb reads, checks and writes Jupyter notebooks (nbformat 4).
//
//	nb, err := ipynb.Parse(data)
//	problems := ipynb.Lint(nb, ipynb.LintOptions{})       // a notebook about to be committed
//	problems = ipynb.Verify(executed, committed)          // what an execution hid
//
// The format: https://nbformat.readthedocs.io/en/latest/format_description.html
package ipynb

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// MaxSize is the size in bytes above which [Parse] refuses a file.
const MaxSize = 64 << 20

// Notebook is a parsed notebook. Fields that this package does not know are kept and written back.
type Notebook struct {
	Cells    []*Cell
	Kernel   string // metadata.kernelspec.name, "" where there is none
	Language string // metadata.kernelspec.language
	Minor    int    // nbformat_minor

	doc map[string]any
}

// Cell is one cell.
type Cell struct {
	Type    string // "markdown", "code" or "raw"
	ID      string // "" before nbformat 4.5
	Source  string
	Count   int // execution_count, 0 where the cell has not run
	Outputs []Output

	raw map[string]any
}

// Output is one output of a code cell.
type Output struct {
	Type string            // "stream", "display_data", "execute_result" or "error"
	Name string            // of a stream: "stdout" or "stderr"
	Text string            // of a stream: what it says; of an error: its traceback
	Data map[string]string // by MIME type: texts as they are, JSON as JSON
}

// Parse reads a notebook of nbformat 4. It takes any input without panicking, and says where it is no notebook.
func Parse(data []byte) (*Notebook, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("notebook: %d bytes, more than the %d that are read", len(data), MaxSize)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var doc map[string]any
	if err := dec.Decode(&doc); err != nil {
		return nil, fmt.Errorf("notebook: not valid JSON: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("notebook: not valid JSON: something follows the notebook")
	}
	if major, ok := integer(doc["nbformat"]); !ok || major != 4 {
		return nil, fmt.Errorf("notebook: nbformat is %v: want 4", doc["nbformat"])
	}
	nb := &Notebook{doc: doc}
	nb.Minor, _ = integer(doc["nbformat_minor"])
	metadata, _ := doc["metadata"].(map[string]any)
	spec, _ := metadata["kernelspec"].(map[string]any)
	nb.Kernel, _ = spec["name"].(string)
	nb.Language, _ = spec["language"].(string)
	cells, ok := doc["cells"].([]any)
	if !ok {
		return nil, errors.New("notebook: no list of cells")
	}
	for i, c := range cells {
		cell, err := parseCell(c)
		if err != nil {
			return nil, fmt.Errorf("notebook: cell %d: %w", i+1, err)
		}
		nb.Cells = append(nb.Cells, cell)
	}
	return nb, nil
}

func parseCell(value any) (*Cell, error) {
	raw, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("not an object")
	}
	c := &Cell{raw: raw}
	c.Type, _ = raw["cell_type"].(string)
	if c.Type != "markdown" && c.Type != "code" && c.Type != "raw" {
		return nil, fmt.Errorf("cell_type is %q: want markdown, code or raw", c.Type)
	}
	c.ID, _ = raw["id"].(string)
	if c.Source, ok = text(raw["source"]); !ok {
		return nil, errors.New("source is no text")
	}
	if c.Type != "code" {
		return c, nil
	}
	if raw["execution_count"] != nil {
		if c.Count, ok = integer(raw["execution_count"]); !ok || c.Count < 1 {
			return nil, fmt.Errorf("execution_count is %v: want a positive number or null", raw["execution_count"])
		}
	}
	outputs, ok := raw["outputs"].([]any)
	if !ok {
		return nil, errors.New("no list of outputs")
	}
	for i, o := range outputs {
		output, err := parseOutput(o)
		if err != nil {
			return nil, fmt.Errorf("output %d: %w", i+1, err)
		}
		c.Outputs = append(c.Outputs, output)
	}
	return c, nil
}

func parseOutput(value any) (Output, error) {
	raw, ok := value.(map[string]any)
	if !ok {
		return Output{}, errors.New("not an object")
	}
	var o Output
	o.Type, _ = raw["output_type"].(string)
	switch o.Type {
	case "stream":
		o.Name, _ = raw["name"].(string)
		if o.Text, ok = text(raw["text"]); !ok {
			return o, errors.New("the stream's text is no text")
		}
	case "error":
		name, _ := raw["ename"].(string)
		value, _ := raw["evalue"].(string)
		trace, _ := text(raw["traceback"])
		o.Text = strings.TrimSpace(name + ": " + value + "\n" + trace)
	case "display_data", "execute_result":
		data, ok := raw["data"].(map[string]any)
		if !ok {
			return o, errors.New("no data")
		}
		o.Data = make(map[string]string, len(data))
		for mime, value := range data {
			if s, ok := text(value); ok {
				o.Data[mime] = s
				continue
			}
			s, err := json.Marshal(value)
			if err != nil {
				return o, fmt.Errorf("data %q: %w", mime, err)
			}
			o.Data[mime] = string(s)
		}
	default:
		return o, fmt.Errorf("output_type is %q: want stream, display_data, execute_result or error", o.Type)
	}
	return o, nil
}

// text joins what the format calls a multiline string: a text or a list of texts.
func text(value any) (string, bool) {
	switch v := value.(type) {
	case string:
		return v, true
	case []any:
		var b strings.Builder
		for _, line := range v {
			s, ok := line.(string)
			if !ok {
				return "", false
			}
			b.WriteString(s)
		}
		return b.String(), true
	}
	return "", false
}

func integer(value any) (int, bool) {
	number, ok := value.(json.Number)
	if !ok {
		return 0, false
	}
	n, err := number.Int64()
	return int(n), err == nil
}

// Encode writes the notebook as Jupyter does: keys sorted, one space a level, a line break at the end.
func (nb *Notebook) Encode() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(nb.doc); err != nil {
		return nil, fmt.Errorf("notebook: %w", err)
	}
	return b.Bytes(), nil
}
