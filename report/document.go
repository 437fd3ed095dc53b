package report

import (
	"bytes"
	_ "embed" // the page's template and style
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"image/png"
	"strings"

	"github.com/google/renameio/v2"
)

// Document is a report that stands alone in one HTML file: pictures embedded, no scripts, nothing fetched.
// It follows the reader's choice of light or dark, fits a phone, and prints. Empty parts are left out.
type Document struct {
	Title string
	// Subtitle says what is reported on: the paper's citation, with a link.
	Subtitle Text
	// Lead is what a reader must know first.
	Lead Text
	// Keys are the few figures to remember.
	Keys []Key
	// Claims are shown with the verdicts that their values give.
	Claims   []Claim
	Sections []Section
	// Settings are the configuration of the run.
	Settings []Setting
	// Command reproduces the report.
	Command string
	// Versions name the software and the backend.
	Versions []Setting
}

// Key is one figure of the strip at the top: "Robust accuracy", "92.3%", "PGD-100, epsilon 0.3".
type Key struct{ Label, Value, Note string }

// Setting is a name with its value.
type Setting struct {
	Name  string
	Value any
}

// Section is a titled sequence of parts.
type Section struct {
	Title string
	Parts []Part
}

// Part is something that stands in a section: [Text], [Formula], a [*Table], [*Figure], [*Grid] or [*Animation].
type Part interface {
	html() (template.HTML, error)
}

// Check returns an error that says what the document lacks.
func (d *Document) Check() error {
	if strings.TrimSpace(d.Title) == "" {
		return errors.New("the document has no title: say what it reports")
	}
	if err := CheckClaims(d.Claims); err != nil {
		return err
	}
	for _, s := range d.Sections {
		if strings.TrimSpace(s.Title) == "" {
			return errors.New("a section of the document has no title")
		}
		for i, p := range s.Parts {
			if p == nil {
				return fmt.Errorf("section %q, part %d is nil", s.Title, i+1)
			}
		}
	}
	return nil
}

//go:embed document.html
var documentTemplate string

//go:embed document.css
var documentStyle string

var page = template.Must(template.New("document").Parse(documentTemplate))

// pageData is what the template shows, rendered already but for plain text.
type pageData struct {
	*Document
	Style    template.CSS
	Subtitle template.HTML
	Lead     template.HTML
	Counts   []verdictCount
	Claims   []claimRow
	Compared string // what all claims are compared with
	Sections []pageSection
	Settings [][2]string
	Versions [][2]string
}

type pageSection struct {
	ID, Title string
	Parts     []template.HTML
}

// HTML returns the document, the same bytes for the same document.
func (d *Document) HTML() ([]byte, error) {
	if err := d.Check(); err != nil {
		return nil, err
	}
	p := pageData{Document: d, Style: template.CSS(documentStyle), Subtitle: inline(string(d.Subtitle)),
		Lead: d.Lead.paragraphs(), Counts: countVerdicts(d.Claims), Settings: settingTexts(d.Settings), Versions: settingTexts(d.Versions)}
	if compared := shared(d.Claims, func(c Claim) string { return c.ComparedWith }); compared != nil {
		p.Compared = *compared
	}
	for _, c := range d.Claims {
		p.Claims = append(p.Claims, c.row(p.Compared != ""))
	}
	names := newNames("claims", "settings", "reproduce", "versions")
	for _, s := range d.Sections {
		ps := pageSection{ID: names.unique(s.Title), Title: s.Title}
		for _, part := range s.Parts {
			h, err := part.html()
			if err != nil {
				return nil, fmt.Errorf("section %q: %w", s.Title, err)
			}
			ps.Parts = append(ps.Parts, h)
		}
		p.Sections = append(p.Sections, ps)
	}
	var b bytes.Buffer
	if err := page.Execute(&b, p); err != nil {
		return nil, err
	}
	return []byte(plainText(b.String())), nil // HTML allows no control characters
}

// WriteFile writes the document to a file, whole or not at all.
func (d *Document) WriteFile(path string) error {
	data, err := d.HTML()
	if err != nil {
		return err
	}
	return renameio.WriteFile(path, data, 0o644)
}

func settingTexts(settings []Setting) [][2]string {
	var texts [][2]string
	for _, s := range settings {
		texts = append(texts, [2]string{s.Name, formatCell(s.Value, Column{})})
	}
	return texts
}

func (t *Table) html() (template.HTML, error) {
	if t == nil {
		return "", errors.New("a table is nil")
	}
	if err := t.Check(); err != nil {
		return "", err
	}
	return template.HTML(t.HTML()), nil // every text in it is escaped
}

func (f *Figure) html() (template.HTML, error) {
	if f == nil {
		return "", errors.New("a figure is nil")
	}
	return picture("picture", f.Caption, f.AltText(), f.PNG, nil)
}

func (g *Grid) html() (template.HTML, error) {
	if g == nil {
		return "", errors.New("a grid is nil")
	}
	return picture("picture images", g.Caption, g.AltText(), g.PNG, nil)
}

// picture embeds a PNG; its title is part of the picture. Where it moves, still is what stands for it on paper and with those
// who want less motion.
func picture(class, caption, alt string, draw, still func() ([]byte, error)) (template.HTML, error) {
	data, err := draw()
	if err != nil {
		return "", err
	}
	config, err := png.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "<figure class=\"%s\">\n", class)
	img := fmt.Sprintf("<img src=\"data:image/png;base64,%s\" alt=\"%s\" width=\"%d\" height=\"%d\">",
		base64.StdEncoding.EncodeToString(data), escapeHTML(oneLine(alt)), config.Width, config.Height)
	if still != nil {
		frame, err := still()
		if err != nil {
			return "", err
		}
		img = fmt.Sprintf("<picture><source media=\"(prefers-reduced-motion: reduce), print\" srcset=\"data:image/png;base64,%s\">%s</picture>",
			base64.StdEncoding.EncodeToString(frame), img)
	}
	b.WriteString(img + "\n")
	if caption != "" {
		fmt.Fprintf(&b, "<figcaption>%s</figcaption>\n", inline(caption))
	}
	b.WriteString("</figure>\n")
	return template.HTML(b.String()), nil
}
