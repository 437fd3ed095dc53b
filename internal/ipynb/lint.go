package ipynb

import (
	"fmt"
	"regexp"
	"strings"
)

// Problem is something wrong with a notebook.
type Problem struct {
	Cell int // counted from 1; 0 where it is about the whole notebook
	What string
}

// String says where and what.
func (p Problem) String() string {
	if p.Cell == 0 {
		return p.What
	}
	return fmt.Sprintf("cell %d: %s", p.Cell, p.What)
}

// LintOptions says which rules hold beside those for every notebook.
type LintOptions struct {
	Paper bool // a paper's notebook: the last code cell must show the table of claims
	Size  int  // of the file in bytes; 0 where it is not known
}

// SizeLimit is the size in bytes that a committed notebook may have.
const SizeLimit = 500_000

var (
	// machinePath finds folders that exist on one machine only. What stands before must not be part of an address.
	machinePath = regexp.MustCompile(`(?:^|[\s"'=(:,\[>` + "`" + `])` +
		`((?:/home/|/Users/|/root/|/tmp/|/var/folders/|/private/|/mnt/|/work/|[A-Z]:\\)[^\s"'<)\]]*)`)
	script  = regexp.MustCompile(`(?i)<script\b|<iframe\b`)
	remote  = regexp.MustCompile(`(?i)\b(?:src|href)\s*=\s*["']?https?://[^"'\s>]+\.(?:js|css|png|jpe?g|gif|svg|woff2?)\b`)
	setUp   = regexp.MustCompile(`(?m)^\s*(?:!\*?\s*go\s+(?:work|mod|get)\b|%goworkfix|%noautoget|%autoget)`)
	verdict = regexp.MustCompile(`\b(?:replicated|contradicted|inconclusive|not tested)\b`)
	title   = regexp.MustCompile(`^\s*# \S`)
)

// Lint checks a notebook that is to be committed: the GoNB kernel; outputs of one clean run from top to bottom, with
// execution counts 1 to n, no errors and nothing that the kernel hid; pictures rather than scripts; no path of the
// machine that it ran on; no cell that sets up modules, which the installed kernel makes needless; and its size.
func Lint(nb *Notebook, o LintOptions) []Problem {
	var found []Problem
	add := func(cell int, format string, args ...any) {
		found = append(found, Problem{cell, fmt.Sprintf(format, args...)})
	}
	if nb.Kernel != "gonb" {
		add(0, "kernel is %q: want gonb", nb.Kernel)
	}
	if nb.Minor < 5 {
		add(0, "nbformat 4.%d: want 4.5 or newer, which has cell ids", nb.Minor)
	}
	if o.Size > SizeLimit {
		add(0, "%d bytes: want at most %d", o.Size, SizeLimit)
	}
	if len(nb.Cells) == 0 || nb.Cells[0].Type != "markdown" || !title.MatchString(nb.Cells[0].Source) {
		add(0, "the first cell is no markdown title")
	}
	ids := map[string]bool{}
	next, shown, last := 1, 0, 0
	for i, c := range nb.Cells {
		n := i + 1
		switch {
		case c.ID == "":
			add(n, "no id")
		case ids[c.ID]:
			add(n, "id %q is another cell's too", c.ID)
		}
		ids[c.ID] = true
		if m := machinePath.FindStringSubmatch(c.Source); m != nil {
			add(n, "source names a path of one machine: %s", m[1])
		}
		if c.Type != "code" {
			continue
		}
		if m := setUp.FindString(c.Source); m != "" {
			add(n, "%q: the installed kernel needs no set-up", strings.TrimSpace(m))
		}
		if strings.TrimSpace(c.Source) == "" {
			add(n, "empty")
			continue
		}
		last = n
		if c.Count != next {
			add(n, "execution count %d: want %d, from one clean run", c.Count, next)
		}
		next++
		shown += len(c.Outputs)
		for _, p := range hidden(c) {
			add(n, "%s", p)
		}
		for _, o := range c.Outputs {
			lintOutput(o, func(format string, args ...any) { add(n, format, args...) })
		}
	}
	switch {
	case last == 0:
		add(0, "no code")
	case shown == 0:
		add(0, "no outputs: run it, `nbcheck commit` does")
	case o.Paper && !showsVerdict(nb.Cells[last-1]):
		add(last, "the last code cell shows no table of claims with its verdicts")
	}
	return found
}

func lintOutput(o Output, add func(string, ...any)) {
	if m := machinePath.FindStringSubmatch(o.Text); m != nil {
		add("output names a path of one machine: %s", m[1])
	}
	for mime, data := range o.Data {
		if strings.HasPrefix(mime, "image/") && mime != "image/svg+xml" {
			continue // base64
		}
		if m := machinePath.FindStringSubmatch(data); m != nil {
			add("output names a path of one machine: %s", m[1])
		}
		if strings.Contains(mime, "javascript") || strings.Contains(mime, "widget") {
			add("output is %s: want a picture", mime)
		}
		if script.MatchString(data) {
			add("output holds a script or frame: want a picture")
		}
		if m := remote.FindString(data); m != "" {
			add("output loads from the network: %s", m)
		}
	}
}

func showsVerdict(c *Cell) bool {
	for _, o := range c.Outputs {
		if verdict.MatchString(o.Text) {
			return true
		}
		for mime, data := range o.Data {
			if strings.HasPrefix(mime, "text/") && verdict.MatchString(data) {
				return true
			}
		}
	}
	return false
}

var (
	exitStatus = regexp.MustCompile(`(?m)exit status \d+`)
	unknown    = regexp.MustCompile(`(?m).*unknown or not implemented.*`)
	tags       = regexp.MustCompile(`(?s)<style.*?</style>|<[^>]*>`)
	blank      = regexp.MustCompile(`\n\s*\n+`)
)

// hidden returns what went wrong in a cell, most of which the kernel reports as success: a failing shell line and an
// unknown magic leave no more than a line on the error stream.
func hidden(c *Cell) []string {
	var found []string
	detail := ""
	for _, o := range c.Outputs {
		if html := o.Data["text/html"]; strings.Contains(html, "gonb-err") {
			detail = strings.TrimSpace(blank.ReplaceAllString(unescape(tags.ReplaceAllString(html, "")), "\n"))
		}
	}
	for _, o := range c.Outputs {
		switch {
		case o.Type == "error" && detail != "":
			found = append(found, "error: "+detail)
		case o.Type == "error":
			found = append(found, "error: "+o.Text)
		case o.Name == "stderr":
			if m := exitStatus.FindString(o.Text); m != "" {
				found = append(found, "a command failed with "+m)
			}
			if m := unknown.FindString(o.Text); m != "" {
				found = append(found, strings.TrimSpace(m))
			}
		}
	}
	return found
}

func unescape(s string) string {
	return strings.NewReplacer("&#34;", `"`, "&#39;", "'", "&lt;", "<", "&gt;", ">", "&amp;", "&").Replace(s)
}

// Verify compares an execution with the notebook that was executed: nothing failed, not even hidden, every cell ran,
// and each cell that showed something when it was committed shows something again.
func Verify(executed, committed *Notebook) []Problem {
	var found []Problem
	if len(executed.Cells) != len(committed.Cells) {
		return []Problem{{0, fmt.Sprintf("%d cells came back of %d", len(executed.Cells), len(committed.Cells))}}
	}
	for i, c := range executed.Cells {
		if c.Type != "code" || strings.TrimSpace(c.Source) == "" {
			continue
		}
		for _, p := range hidden(c) {
			found = append(found, Problem{i + 1, p})
		}
		if c.Count == 0 {
			found = append(found, Problem{i + 1, "did not run"})
		} else if len(c.Outputs) == 0 && len(committed.Cells[i].Outputs) > 0 {
			found = append(found, Problem{i + 1, "shows nothing, but showed something when it was committed"})
		}
	}
	return found
}
