package report

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"fmt"
	"math"
	"reflect"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// Table is a titled table of numbers and words. Cells may be strings, integers, floats, bools, an
// [Estimate], a [Verdict], a [Decision] or a fmt.Stringer; nil is an empty cell.
type Table struct {
	// Title names the table; it also names its file in [Save].
	Title string
	// Caption says what to see in it.
	Caption string
	Columns []Column
	// Rows holds one cell a column; a short row is filled with empty cells.
	Rows [][]any
}

// Column describes how the cells of a column are shown. The zero value is fine for words and numbers alike.
type Column struct {
	Name string
	// Format is a fmt verb for floats, such as "%.2f". Empty: four significant digits.
	Format string
	// Percent shows fractions as percentages, with one decimal unless Format says otherwise.
	Percent bool
	// Best emphasizes the best number of the column.
	Best Best
}

// strong is a cell of words that are emphasized where emphasis has no mark of its own.
type strong string

// Best tells which number of a column is best.
type Best int

// The kinds of best number. NoBest, the zero value, emphasizes nothing.
const (
	NoBest Best = iota
	Highest
	Lowest
)

// Estimate is a mean over N runs with a confidence interval; Low and High are NaN where there is none. In
// a table it shows as "0.93 [0.91, 0.95]", in CSV as three columns.
type Estimate struct {
	Mean, Low, High float64
	N               int
}

// Check returns an error where a row has more cells than there are columns, or the table has no columns.
func (t *Table) Check() error {
	if len(t.Columns) == 0 {
		return fmt.Errorf("table %q has no columns: describe them in Columns", t.Title)
	}
	for i, row := range t.Rows {
		if len(row) > len(t.Columns) {
			return fmt.Errorf("table %q, row %d: %d cells for %d columns", t.Title, i+1, len(row), len(t.Columns))
		}
		for j, cell := range row {
			if k := reflect.ValueOf(cell).Kind(); k == reflect.Func || k == reflect.Chan { // a mistake that would show as an address
				return fmt.Errorf("table %q, row %d, column %q holds a %T: want a number or a text", t.Title, i+1, t.Columns[j].Name, cell)
			}
		}
	}
	return nil
}

// HTML returns the table as an HTML fragment without styles or scripts; every text in it is escaped.
func (t *Table) HTML() string {
	w := t.writer(htmlCell, escapeHTML, "<strong>", "</strong>")
	w.Style().HTML.CSSClass = "tb-table"
	w.Style().HTML.EscapeText = false // the cells are escaped above, before emphasis is added
	var b strings.Builder
	b.WriteString("<figure class=\"tb\">\n")
	if t.Title != "" {
		fmt.Fprintf(&b, "<div class=\"tb-title\"><b>%s</b></div>\n", escapeHTML(t.Title))
	}
	// Notebooks' style sheets override the align attribute; what looks like a tag in a cell's text is escaped.
	rendered := strings.NewReplacer(`<td align="left"`, `<td style="text-align:left"`,
		`<th align="left"`, `<th style="text-align:left"`).Replace(w.RenderHTML())
	// The style stands here too because a notebook knows no style sheet of ours; the region can be scrolled by key.
	fmt.Fprintf(&b, "<div class=\"tb-scroll\" style=\"overflow-x:auto\" role=\"region\" aria-label=\"%s\" tabindex=\"0\">%s</div>\n",
		escapeHTML(cmp.Or(t.Title, "Table")), rendered)
	if t.Caption != "" {
		fmt.Fprintf(&b, "<figcaption>%s</figcaption>\n", escapeHTML(t.Caption))
	}
	b.WriteString("</figure>\n")
	return b.String()
}

// Markdown returns the table in GitHub's Markdown.
func (t *Table) Markdown() string {
	var b strings.Builder
	if t.Title != "" {
		fmt.Fprintf(&b, "**%s**\n\n", escapeMarkdown(t.Title))
	}
	b.WriteString(t.writer(nil, escapeMarkdown, "**", "**").RenderMarkdown())
	b.WriteString("\n")
	if t.Caption != "" {
		fmt.Fprintf(&b, "\n*%s*\n", escapeMarkdown(t.Caption))
	}
	return b.String()
}

// Text returns the table for a log, its best cells marked with *: tables wider than 140 characters wrap at 120.
func (t *Table) Text() string {
	if t.naturalWidth() <= 140 {
		return t.text(math.MaxInt)
	}
	return t.text(120)
}

// TextWithin returns the table for a terminal of that many columns, its best cells marked with *. Words wrap where
// they must; numbers never do, so that a table of many numbers may be wider.
func (t *Table) TextWithin(columns int) string { return t.text(columns) }

func (t *Table) text(page int) string {
	w := t.writer(nil, plainText, "", "*")
	configs := t.alignment()
	wrapped := false
	for j, widest := range t.textWidths(page) {
		if widest > 0 {
			configs[j].WidthMax, configs[j].WidthMaxEnforcer = widest, text.WrapSoft
			wrapped = wrapped || !t.numeric(j)
		}
	}
	w.Style().Options.SeparateRows = wrapped // rows of several lines
	w.SetColumnConfigs(configs)
	var b strings.Builder
	if t.Title != "" {
		fmt.Fprintf(&b, "%s\n", wrapText(plainText(t.Title), page))
	}
	b.WriteString(w.Render())
	b.WriteString("\n")
	if t.Caption != "" {
		fmt.Fprintf(&b, "%s\n", wrapText(plainText(t.Caption), page))
	}
	return b.String()
}

// wrapText breaks a text at spaces into lines of at most width characters.
func wrapText(s string, width int) string {
	if text.LongestLineLen(s) <= width {
		return s
	}
	lines := strings.Split(text.WrapSoft(s, width), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " ")
	}
	return strings.Join(lines, "\n")
}

// naturalWidth is the width of the table's text where nothing wraps.
func (t *Table) naturalWidth() int {
	width := 1
	for j := range t.Columns {
		natural, _ := t.columnWidths(j)
		width += natural + 3 // a border and two spaces
	}
	return width
}

// columnWidths returns the width of a column where nothing wraps, and the least to which it may shrink: 12
// for words, for numbers that of the widest number and the longest word of the name.
func (t *Table) columnWidths(j int) (natural, least int) {
	for _, row := range t.Rows {
		natural = max(natural, text.LongestLineLen(plainText(formatCell(t.cell(row, j), t.Columns[j]))))
	}
	if t.Columns[j].Best != NoBest {
		natural++ // its mark
	}
	least = 12
	if t.numeric(j) {
		least = natural
		for _, word := range strings.Fields(plainText(t.Columns[j].Name)) {
			least = max(least, text.LongestLineLen(word))
		}
	}
	return max(natural, text.LongestLineLen(plainText(t.Columns[j].Name))), least
}

// textWidths returns the widths at which columns wrap so that the text is at most page characters wide, where
// that can be; 0 where a column need not wrap.
func (t *Table) textWidths(page int) []int {
	widths, least, limit := make([]int, len(t.Columns)), make([]int, len(t.Columns)), make([]int, len(t.Columns))
	excess := t.naturalWidth() - page
	for j := range t.Columns {
		widths[j], least[j] = t.columnWidths(j)
	}
	for ; excess > 0; excess-- { // take from the widest column that can give
		widest := -1
		for j := range widths {
			if widths[j] > least[j] && (widest < 0 || widths[j] > widths[widest]) {
				widest = j
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
		limit[widest] = widths[widest]
	}
	return limit
}

// CSV returns the cells as RFC 4180 CSV with a header row, floats at full precision. A column that holds
// an [Estimate] becomes three: NAME, NAME_low and NAME_high.
func (t *Table) CSV() string {
	estimates := make([]bool, len(t.Columns))
	for j := range t.Columns {
		for _, row := range t.Rows {
			if j < len(row) {
				_, ok := row[j].(Estimate)
				estimates[j] = estimates[j] || ok
			}
		}
	}
	records := make([][]string, 1, len(t.Rows)+1)
	for j, c := range t.Columns {
		records[0] = append(records[0], c.Name)
		if estimates[j] {
			records[0] = append(records[0], c.Name+"_low", c.Name+"_high")
		}
	}
	for _, row := range t.Rows {
		var record []string
		for j := range t.Columns {
			cell := t.cell(row, j)
			e, isEstimate := cell.(Estimate)
			switch {
			case isEstimate:
				record = append(record, exactNumber(e.Mean), exactNumber(e.Low), exactNumber(e.High))
			case estimates[j]:
				record = append(record, exactCell(cell), "", "")
			default:
				record = append(record, exactCell(cell))
			}
		}
		records = append(records, record)
	}
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	_ = w.WriteAll(records) // a bytes.Buffer never fails
	return b.String()
}

// htmlCell keeps a mean and its interval each on one line, so that a narrow column breaks between them.
func htmlCell(cell any, c Column) (shown, more string) {
	e, ok := cell.(Estimate)
	if !ok || e.N == 0 {
		return escapeHTML(formatCell(cell, c)), ""
	}
	mean, interval := e.format(c)
	if interval != "" {
		more = ` <span class="ci" style="opacity:.7;font-size:88%">` + escapeHTML(interval) + "</span>"
	}
	return escapeHTML(mean), more
}

// writer fills go-pretty's table with formatted cells: format returns a safe text with what follows it
// without emphasis (nil: escape makes the plain form safe), open and end surround the best cells.
func (t *Table) writer(format func(any, Column) (string, string), escape func(string) string, open, end string) table.Writer {
	w := table.NewWriter()
	w.SetStyle(table.StyleRounded)
	w.Style().Format = table.FormatOptions{}
	header := make(table.Row, len(t.Columns))
	for j, c := range t.Columns {
		header[j] = escape(c.Name)
	}
	w.AppendHeader(header)
	w.SetColumnConfigs(t.alignment())
	best := t.best()
	for _, row := range t.Rows {
		cells := make(table.Row, len(t.Columns))
		for j, c := range t.Columns {
			cell := t.cell(row, j)
			var s, more string
			if format != nil {
				s, more = format(cell, c)
			} else {
				s = escape(formatCell(cell, c))
			}
			if x, ok := number(cell); ok && c.Best != NoBest && x == best[j] {
				s = open + s + end
			}
			if _, ok := cell.(strong); ok && open != "" {
				s = open + s + end
			}
			cells[j] = s + more
		}
		w.AppendRow(cells)
	}
	return w
}

// alignment puts numbers to the right.
func (t *Table) alignment() []table.ColumnConfig {
	configs := make([]table.ColumnConfig, len(t.Columns))
	for j := range t.Columns {
		align := text.AlignLeft
		if t.numeric(j) {
			align = text.AlignRight
		}
		configs[j] = table.ColumnConfig{Number: j + 1, Align: align, AlignHeader: align}
	}
	return configs
}

func (t *Table) cell(row []any, j int) any {
	if j < len(row) {
		return row[j]
	}
	return nil
}

// numeric tells whether a column holds numbers alone, so that it is aligned to the right.
func (t *Table) numeric(j int) bool {
	found := false
	for _, row := range t.Rows {
		cell := t.cell(row, j)
		if cell == nil {
			continue
		}
		if _, ok := number(cell); !ok {
			return false
		}
		found = true
	}
	return found
}

// best returns the best number of each column, NaN where none is asked for.
func (t *Table) best() []float64 {
	best := make([]float64, len(t.Columns))
	for j, c := range t.Columns {
		best[j] = math.NaN()
		for _, row := range t.Rows {
			x, ok := number(t.cell(row, j))
			if !ok || c.Best == NoBest || math.IsNaN(x) {
				continue
			}
			if math.IsNaN(best[j]) || c.Best == Highest && x > best[j] || c.Best == Lowest && x < best[j] {
				best[j] = x
			}
		}
	}
	return best
}
