package report

import (
	"fmt"
	"html"
	"math"
	"reflect"
	"strconv"
	"strings"
	"unicode"
)

// number returns the numeric value of a cell, the mean for an Estimate.
func number(cell any) (float64, bool) {
	if e, ok := cell.(Estimate); ok {
		return e.Mean, true
	}
	v := reflect.ValueOf(cell)
	switch {
	case !v.IsValid():
		return 0, false
	case v.CanInt():
		return float64(v.Int()), true
	case v.CanUint():
		return float64(v.Uint()), true
	case v.CanFloat():
		return v.Float(), true
	}
	return 0, false
}

// formatCell returns a cell as people read it.
func formatCell(cell any, c Column) string {
	switch x := cell.(type) {
	case nil:
		return ""
	case Verdict:
		return x.Mark() + " " + string(x)
	case Decision:
		return x.Verdict.Mark() + " " + x.String()
	case fmt.Stringer:
		return x.String()
	case error:
		return x.Error()
	case bool:
		if x {
			return "yes"
		}
		return "no"
	case Estimate:
		if x.N == 0 {
			return "–"
		}
		mean, interval := x.format(c)
		return joinNonEmpty(" ", mean, interval)
	}
	v := reflect.ValueOf(cell)
	if v.CanFloat() || c.Percent && (v.CanInt() || v.CanUint()) {
		x, _ := number(cell)
		return formatNumber(x, c)
	}
	return fmt.Sprint(cell)
}

// format returns the mean and the interval; where the column has no format, with as many decimals as two
// digits of half the interval's width need.
func (e Estimate) format(c Column) (mean, interval string) {
	if math.IsNaN(e.Low) || math.IsNaN(e.High) {
		return formatNumber(e.Mean, c), ""
	}
	if half := (e.High - e.Low) / 2; c.Format == "" && half > 0 && !math.IsInf(half, 0) {
		if c.Percent {
			half *= 100
		}
		decimals := 1 - int(math.Floor(math.Log10(half)))
		if c.Percent {
			decimals = 1
		}
		if decimals <= 6 && math.Abs(e.Mean) < 1e7 {
			c.Format = fmt.Sprintf("%%.%df", max(decimals, 0))
		}
	}
	return formatNumber(e.Mean, c), "[" + formatNumber(e.Low, c) + ", " + formatNumber(e.High, c) + "]"
}

// formatNumber formats a float as its column asks.
func formatNumber(x float64, c Column) string {
	switch {
	case math.IsNaN(x):
		return "–"
	case c.Percent && math.IsInf(x, 0):
		return shortNumber(x)
	case c.Percent && c.Format == "":
		return unsignedZero(strconv.FormatFloat(100*x, 'f', 1, 64)) + "%"
	case c.Percent:
		return unsignedZero(fmt.Sprintf(c.Format, 100*x)) + "%"
	case c.Format != "":
		return unsignedZero(fmt.Sprintf(c.Format, x))
	}
	return shortNumber(x)
}

// unsignedZero removes the sign of a number that was rounded to zero.
func unsignedZero(s string) string {
	if strings.HasPrefix(s, "-0") && strings.Trim(s, "-0.") == "" {
		return s[1:]
	}
	return s
}

// shortNumber formats a number with four significant digits, and an integer whole.
func shortNumber(x float64) string {
	switch {
	case math.IsNaN(x):
		return "–"
	case math.IsInf(x, 1):
		return "∞"
	case math.IsInf(x, -1):
		return "-∞"
	case x == math.Trunc(x) && math.Abs(x) < 1e7:
		return strconv.FormatFloat(x+0, 'f', 0, 64)
	case math.Abs(x) >= 1e-4 && math.Abs(x) < 1e6:
		decimals := max(0, 3-int(math.Floor(math.Log10(math.Abs(x)))))
		s := strconv.FormatFloat(x, 'f', decimals, 64)
		if strings.Contains(s, ".") {
			s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
		}
		return s
	}
	return strconv.FormatFloat(x, 'g', 4, 64)
}

// exactNumber formats a float so that reading it back gives the same float.
func exactNumber(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }

// exactCell returns a cell for CSV.
func exactCell(cell any) string {
	switch x := cell.(type) {
	case nil:
		return ""
	case float64:
		return exactNumber(x)
	case float32:
		return strconv.FormatFloat(float64(x), 'g', -1, 32)
	case bool:
		return strconv.FormatBool(x)
	}
	return fmt.Sprint(cell)
}

// plainText replaces control characters, which could rewrite a terminal, by spaces; newlines stay.
func plainText(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}

var markdownEscapes = strings.NewReplacer(`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "](", `]\(`,
	"$", `\$`, "~", `\~`, "#", `\#`, "&", "&amp;", "<", "&lt;", ">", "&gt;", "\r", " ")

// escapeMarkdown makes a text that shows as it is in Markdown and its embedded HTML and formulas.
func escapeMarkdown(s string) string { return markdownEscapes.Replace(plainText(s)) }

// escapeHTML makes a text safe in HTML, in elements as in attributes.
func escapeHTML(s string) string { return html.EscapeString(plainText(s)) }

// slug returns a short file name for a title: lower-case letters, digits and hyphens.
func slug(title string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(title) {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
		if b.Len() >= 60 {
			break
		}
	}
	s := strings.Trim(b.String(), "-")
	if s == "" {
		return "untitled"
	}
	return s
}
