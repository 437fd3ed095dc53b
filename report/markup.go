package report

import (
	"html/template"
	"regexp"
	"strings"
)

// Formula is a formula on a line of its own, in Unicode with _{…} for subscripts and ^{…} for superscripts:
// "‖δ‖_{∞} ≤ ε". It needs no script to be shown.
type Formula string

func (f Formula) html() (template.HTML, error) {
	return "<p class=\"formula\">" + inline(string(f)) + "</p>\n", nil
}

// html renders paragraphs, separated by empty lines, and lists, whose lines begin with "- ". Within a
// line **bold**, *italic*, `code`, [text](https://address), x_{sub} and x^{super} are understood; all else
// shows as it is written.
func (t Text) html() (template.HTML, error) { return t.paragraphs(), nil }

func (t Text) paragraphs() template.HTML {
	var b strings.Builder
	for _, block := range strings.Split(strings.ReplaceAll(string(t), "\r\n", "\n"), "\n\n") {
		var plain []string
		list := false
		flush := func() {
			if len(plain) > 0 {
				b.WriteString("<p>" + string(inline(strings.Join(plain, " "))) + "</p>\n")
				plain = nil
			}
		}
		for _, line := range strings.Split(block, "\n") {
			line = strings.TrimSpace(line)
			if item, ok := strings.CutPrefix(line, "- "); ok {
				flush()
				if !list {
					b.WriteString("<ul>\n")
				}
				list = true
				b.WriteString("<li>" + string(inline(item)) + "</li>\n")
				continue
			}
			if line == "" {
				continue
			}
			if list {
				b.WriteString("</ul>\n")
				list = false
			}
			plain = append(plain, line)
		}
		flush()
		if list {
			b.WriteString("</ul>\n")
		}
	}
	return template.HTML(b.String())
}

// markup matches one piece of inline markup; code comes first because nothing is understood inside it.
var markup = regexp.MustCompile("`([^`\n]+)`" + `|\[([^\[\]\n]+)\]\((https?://[^\s()<>"']+)\)|\*\*([^*\n]+)\*\*|\*([^*\s](?:[^*\n]*[^*\s])?)\*|_\{([^{}\n]+)\}|\^\{([^{}\n]+)\}`)

// inline renders inline markup; everything is escaped, and links lead to http and https alone.
func inline(s string) template.HTML {
	s = plainText(s)
	var b strings.Builder
	at := 0
	for _, m := range markup.FindAllStringSubmatchIndex(s, -1) {
		b.WriteString(template.HTMLEscapeString(s[at:m[0]]))
		at = m[1]
		group := func(i int) string { return s[m[2*i]:m[2*i+1]] }
		has := func(i int) bool { return m[2*i] >= 0 }
		switch {
		case has(1):
			b.WriteString("<code>" + template.HTMLEscapeString(group(1)) + "</code>")
		case has(2):
			b.WriteString("<a href=\"" + template.HTMLEscapeString(group(3)) + "\">" + string(inline(group(2))) + "</a>")
		case has(4):
			b.WriteString("<strong>" + string(inline(group(4))) + "</strong>")
		case has(5):
			b.WriteString("<em>" + string(inline(group(5))) + "</em>")
		case has(6):
			b.WriteString("<sub>" + string(inline(group(6))) + "</sub>")
		case has(7):
			b.WriteString("<sup>" + string(inline(group(7))) + "</sup>")
		}
	}
	b.WriteString(template.HTMLEscapeString(s[at:]))
	return template.HTML(b.String())
}
