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
	return template.HTML("<p class=\"formula\">" + render(plainText(string(f)), true, 0) + "</p>\n"), nil
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

// markup matches one piece of inline markup where it begins; code comes first because nothing is understood
// inside it.
var markup = regexp.MustCompile("^(?:`([^`\n]+)`" + `|\[([^\[\]\n]+)\]\((https?://[^\s()<>"']+)\)` +
	`|\*\*([^*\n]+)\*\*|\*([^*\s](?:[^*\n]*[^*\s])?)\*)`)

// inline renders inline markup; everything is escaped, and links lead to http and https alone.
func inline(s string) template.HTML { return template.HTML(render(plainText(s), false, 0)) }

// words are names such as max or log, which stand upright in a formula.
var words = regexp.MustCompile(`[A-Za-z]{2,}`)

func render(s string, formula bool, depth int) string {
	var b strings.Builder
	from := 0 // where plain text begins that is not yet written
	flush := func(to int) {
		text := template.HTMLEscapeString(s[from:to])
		if formula {
			text = words.ReplaceAllStringFunc(s[from:to], func(w string) string { return "\x02" + w + "\x03" })
			text = strings.NewReplacer("\x02", "<span class=\"up\">", "\x03", "</span>").Replace(template.HTMLEscapeString(text))
		}
		b.WriteString(text)
	}
	for i := 0; i < len(s); {
		var out string
		n := 0
		switch c := s[i]; {
		case (c == '_' || c == '^') && depth < 8 && strings.HasPrefix(s[i+1:], "{"):
			if end := closing(s[i+1:]); end > 1 {
				tag := map[byte]string{'_': "sub", '^': "sup"}[c]
				out, n = "<"+tag+">"+render(s[i+2:i+1+end], formula, depth+1)+"</"+tag+">", end+2
			}
		case c == '`' || c == '[' || c == '*':
			m := markup.FindStringSubmatch(s[i:])
			if m == nil {
				break
			}
			n = len(m[0])
			switch {
			case m[1] != "":
				out = "<code>" + template.HTMLEscapeString(m[1]) + "</code>"
			case m[2] != "":
				out = "<a href=\"" + template.HTMLEscapeString(m[3]) + "\">" + render(m[2], formula, depth+1) + "</a>"
			case m[4] != "":
				out = "<strong>" + render(m[4], formula, depth+1) + "</strong>"
			default:
				out = "<em>" + render(m[5], formula, depth+1) + "</em>"
			}
		}
		if n == 0 {
			i++
			continue
		}
		flush(i)
		b.WriteString(out)
		i += n
		from = i
	}
	flush(len(s))
	return b.String()
}

// closing returns the index of the brace that closes the one that s begins with, -1 where there is none
// within 500 bytes.
func closing(s string) int {
	depth := 0
	for i := range min(len(s), 500) {
		switch s[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}
