package ipynb

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sound is a notebook with nothing to complain about; tests spoil one thing in it.
const sound = `{"nbformat": 4, "nbformat_minor": 5,
 "metadata": {"kernelspec": {"name": "gonb", "language": "go", "display_name": "Go (gonb)"}},
 "cells": [
  {"cell_type": "markdown", "id": "a", "metadata": {}, "source": ["# Title\n", "text, see https://example.com/home/x"]},
  {"cell_type": "code", "id": "b", "metadata": {}, "execution_count": 1, "source": "import \"fmt\"", "outputs": []},
  {"cell_type": "code", "id": "c", "metadata": {"tags": ["x"], "execution": {"t": "1"}}, "execution_count": 2, "source": "%%\nshow()",
   "outputs": [
    {"output_type": "stream", "name": "stdout", "text": ["one\n", "two\n"]},
    {"output_type": "display_data", "metadata": {}, "transient": {"display_id": "7"},
     "data": {"text/html": "<b>contradicted</b>", "image/png": "iVBOR/tmp/x="}}]}]}`

// spoil replaces one text in the sound notebook.
func spoil(t *testing.T, old, new string) *Notebook {
	t.Helper()
	require.Contains(t, sound, old)
	nb, err := Parse([]byte(strings.Replace(sound, old, new, 1)))
	require.NoError(t, err)
	return nb
}

func TestParse(t *testing.T) {
	nb := spoil(t, "one", "one")
	assert.Equal(t, "gonb", nb.Kernel)
	require.Len(t, nb.Cells, 3)
	assert.Equal(t, "# Title\ntext, see https://example.com/home/x", nb.Cells[0].Source)
	assert.Equal(t, 2, nb.Cells[2].Count)
	assert.Equal(t, Output{Type: "stream", Name: "stdout", Text: "one\ntwo\n"}, nb.Cells[2].Outputs[0])
	assert.Equal(t, "<b>contradicted</b>", nb.Cells[2].Outputs[1].Data["text/html"])
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                                  "not valid JSON",
		"[]":                                "not valid JSON",
		`{"nbformat": 4, "cells": []} x`:    "follows",
		sound[:len(sound)/2]:                "not valid JSON",
		`{"nbformat": 3, "worksheets": []}`: "want 4",
		`{"nbformat": "4"}`:                 "want 4",
		`{"nbformat": 4}`:                   "no list of cells",
		`{"nbformat": 4, "cells": [1]}`:     "cell 1: not an object",
		`{"nbformat": 4, "cells": [{"cell_type": "x"}]}`:                                                                "cell_type",
		`{"nbformat": 4, "cells": [{"cell_type": "raw", "source": [1]}]}`:                                               "source",
		`{"nbformat": 4, "cells": [{"cell_type": "code", "source": ""}]}`:                                               "outputs",
		`{"nbformat": 4, "cells": [{"cell_type": "code", "source": "", "outputs": [], "execution_count": -1}]}`:         "execution_count",
		`{"nbformat": 4, "cells": [{"cell_type": "code", "source": "", "outputs": [{"output_type": "stream"}]}]}`:       "no text",
		`{"nbformat": 4, "cells": [{"cell_type": "code", "source": "", "outputs": [{"output_type": "display_data"}]}]}`: "no data",
		`{"nbformat": 4, "cells": [{"cell_type": "code", "source": "", "outputs": [{"output_type": "odd"}]}]}`:          "output_type",
	} {
		_, err := Parse([]byte(text))
		require.ErrorContains(t, err, want, text)
		assert.NotContains(t, err.Error(), "\n")
	}
	_, err := Parse(make([]byte, MaxSize+1))
	assert.ErrorContains(t, err, "more than")
}

func TestLint(t *testing.T) {
	assert.Empty(t, Lint(spoil(t, "one", "one"), LintOptions{Paper: true, Size: SizeLimit}))
	for _, c := range []struct{ old, new, want string }{
		{`"name": "gonb"`, `"name": "python3"`, "want gonb"},
		{`"nbformat_minor": 5`, `"nbformat_minor": 4`, "4.5"},
		{"# Title", "Title", "title"},
		{`"id": "c"`, `"id": "b"`, "another cell's"},
		{`"id": "c", `, ``, "no id"},
		{`"execution_count": 2`, `"execution_count": 3`, "want 2"},
		{`"execution_count": 1`, `"execution_count": null`, "want 1"},
		{"show()", "!*go work init", "no set-up"},
		{"show()", "  %noautoget", "no set-up"},
		{`"%%\nshow()"`, `" "`, "empty"},
		{"one", "saved in /home/ann/x", "/home/ann/x"},
		{"one", "file:\\\"/tmp/gonb_1/main.go", "/tmp/gonb_1/main.go"},
		{"<b>", "<a href='/Users/ann'>", "/Users/ann"},
		{"<b>", "<script src=x>", "script"},
		{"<b>", "<IMG src='https://example.com/a.png'>", "network"},
		{`"image/png"`, `"application/javascript"`, "javascript"},
		{`"stdout", "text": ["one\n"`, `"stderr", "text": ["exit status 1\n"`, "exit status 1"},
		{`"stdout", "text": ["one\n"`, `"stderr", "text": ["\"%foo\" unknown or not implemented\n"`, "unknown"},
		{`{"output_type": "stream", "name": "stdout", "text": ["one\n", "two\n"]}`,
			`{"output_type": "error", "ename": "E", "evalue": "boom", "traceback": []}`, "boom"},
		{"contradicted", "done", "claims"},
	} {
		problems := Lint(spoil(t, c.old, c.new), LintOptions{Paper: true})
		require.NotEmpty(t, problems, "%s", c.new)
		var all []string
		for _, p := range problems {
			all = append(all, p.String())
		}
		assert.Contains(t, strings.Join(all, "\n"), c.want)
	}
	assert.NotEmpty(t, Lint(spoil(t, "one", "one"), LintOptions{Size: SizeLimit + 1}))
	assert.Empty(t, Lint(spoil(t, "contradicted", "done"), LintOptions{}), "only papers have claims")
}

func TestVerify(t *testing.T) {
	committed := spoil(t, "one", "one")
	assert.Empty(t, Verify(spoil(t, "one", "else"), committed))

	silent := spoil(t, "one", "one")
	silent.Cells[2].Outputs = nil
	problems := Verify(silent, committed)
	require.Len(t, problems, 1)
	assert.Equal(t, 3, problems[0].Cell)
	assert.Contains(t, problems[0].What, "shows nothing")

	assert.NotEmpty(t, Verify(spoil(t, `"execution_count": 1`, `"execution_count": null`), committed))
	assert.NotEmpty(t, Verify(&Notebook{}, committed))
	assert.NotEmpty(t, Verify(spoil(t, `"stdout", "text": ["one\n"`, `"stderr", "text": ["exit status 3\n"`), committed))

	// What the compiler said is in the HTML that GoNB shows, not in the error.
	failed := spoil(t, `{"output_type": "stream", "name": "stdout", "text": ["one\n", "two\n"]}`,
		`{"output_type": "display_data", "data": {"text/html": "<style>x</style><i class='gonb-err-x'>undefined: &#34;y&#34;</i>"}},
		 {"output_type": "error", "ename": "ERROR", "evalue": "go build", "traceback": []}`)
	problems = Verify(failed, committed)
	require.Len(t, problems, 1)
	assert.Equal(t, `cell 3: error: undefined: "y"`, problems[0].String())
}

// TestNormalize: what is shown stays, traces of the run go, and doing it twice changes nothing.
func TestNormalize(t *testing.T) {
	nb := spoil(t, `"id": "b", `, ``)
	Normalize(nb)
	first, err := nb.Encode()
	require.NoError(t, err)
	for _, gone := range []string{"transient", `"execution"`} {
		assert.NotContains(t, string(first), gone)
	}
	assert.Contains(t, string(first), `"tags"`)
	assert.True(t, strings.HasSuffix(string(first), "}\n"))
	again, err := Parse(first)
	require.NoError(t, err)
	assert.Len(t, again.Cells[1].ID, 8)
	assert.Equal(t, nb.Cells[2].Outputs, again.Cells[2].Outputs)
	Normalize(again)
	second, err := again.Encode()
	require.NoError(t, err)
	assert.Equal(t, string(first), string(second))
	assert.Empty(t, Lint(again, LintOptions{Paper: true, Size: len(second)}))
}

// TestNormalizeJoinsStreams: pieces of one stream become one, and progress bars their last state.
func TestNormalizeJoinsStreams(t *testing.T) {
	nb := spoil(t, `{"output_type": "stream", "name": "stdout", "text": ["one\n", "two\n"]}`,
		`{"output_type": "stream", "name": "stdout", "text": "10%\r20"},
		 {"output_type": "stream", "name": "stdout", "text": "%\r100%\nnext\r\n"},
		 {"output_type": "stream", "name": "stderr", "text": "warned\n"},
		 {"output_type": "stream", "name": "stdout", "text": "end"}`)
	Normalize(nb)
	data, err := nb.Encode()
	require.NoError(t, err)
	nb, err = Parse(data)
	require.NoError(t, err)
	require.Len(t, nb.Cells[2].Outputs, 4)
	assert.Equal(t, "100%\nnext\r\n", nb.Cells[2].Outputs[0].Text)
	assert.Equal(t, "warned\n", nb.Cells[2].Outputs[1].Text)
	assert.Equal(t, "end", nb.Cells[2].Outputs[2].Text)
	assert.Contains(t, string(data), `"next\r\n"`)
}

// FuzzParse: no input panics, and what parses can be linted, normalized and written, and parses again.
func FuzzParse(f *testing.F) {
	f.Add([]byte(sound))
	f.Add([]byte(`{"nbformat": 4, "cells": [{"cell_type": "code", "id": "a", "source": ["x"], ` +
		`"outputs": [{"output_type": "error", "traceback": 3}]}]}`))
	f.Add([]byte(`{"nbformat": 4, "metadata": [], "cells": [{"cell_type": "raw", "source": "", "metadata": 7, "id": 9}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		nb, err := Parse(data)
		if err != nil {
			return
		}
		Lint(nb, LintOptions{Paper: true})
		Verify(nb, nb)
		Normalize(nb)
		out, err := nb.Encode()
		require.NoError(t, err)
		require.True(t, json.Valid(out))
		again, err := Parse(out)
		require.NoError(t, err)
		require.Len(t, again.Cells, len(nb.Cells))
	})
}
