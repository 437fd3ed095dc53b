package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"

	"github.com/google/renameio/v2"
)

// claimJSON is a claim as it stands in claims.json. Verdict, note, measured, interval and the outcomes of
// the tests are written for readers and ignored on loading: they follow from the values.
type claimJSON struct {
	ID           string     `json:"id"`
	Sentence     string     `json:"sentence"`
	Verdict      Verdict    `json:"verdict"`
	Note         string     `json:"note"`
	Quantity     string     `json:"quantity"`
	Measured     *float     `json:"measured"`
	Interval     *[2]float  `json:"interval"`
	ComparedWith string     `json:"compared_with"`
	Seeds        []int64    `json:"seeds"`
	Scale        string     `json:"scale"`
	Dataset      string     `json:"dataset"`
	N            int        `json:"n"`
	Reason       string     `json:"reason,omitempty"`
	Tests        []testJSON `json:"tests"`
}

type testJSON struct {
	What      string    `json:"what"`
	Relation  Relation  `json:"relation"`
	Threshold float64   `json:"threshold"`
	Percent   bool      `json:"percent,omitempty"`
	Values    []float   `json:"values"`
	Estimate  *float    `json:"estimate"`
	Interval  *[2]float `json:"interval"`
	Holds     bool      `json:"holds"`
	Note      string    `json:"note,omitempty"`
}

// float is a float64 whose NaN and infinities stand in JSON as strings, so that the numbers of a training
// that diverged are kept.
type float float64

// MarshalJSON implements json.Marshaler.
func (f float) MarshalJSON() ([]byte, error) {
	x := float64(f)
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return []byte(strconv.Quote(strconv.FormatFloat(x, 'g', -1, 64))), nil
	}
	return json.Marshal(x)
}

// UnmarshalJSON implements json.Unmarshaler.
func (f *float) UnmarshalJSON(data []byte) error {
	switch string(data) {
	case `"NaN"`:
		*f = float(math.NaN())
	case `"+Inf"`:
		*f = float(math.Inf(1))
	case `"-Inf"`:
		*f = float(math.Inf(-1))
	case "null":
		return errors.New("null stands where a number is expected")
	default:
		return json.Unmarshal(data, (*float64)(f))
	}
	return nil
}

// MarshalJSON implements json.Marshaler: the claim with the verdict that its values give.
func (c Claim) MarshalJSON() ([]byte, error) {
	d := c.Decide()
	j := claimJSON{ID: c.ID, Sentence: c.Sentence, Verdict: d.Verdict, Note: d.Note, Quantity: c.what(),
		ComparedWith: c.comparedWith(), Seeds: c.Seeds, Scale: c.Scale, Dataset: c.Dataset, N: c.N, Reason: c.Reason,
		Tests: []testJSON{}}
	if j.Seeds == nil {
		j.Seeds = []int64{}
	}
	j.Measured, j.Interval = d.Headline.Estimate.json()
	for i, t := range c.Tests {
		o := d.Tests[i]
		tj := testJSON{What: t.What, Relation: t.Relation, Threshold: t.Threshold, Percent: t.Percent,
			Values: make([]float, len(t.Values)), Holds: o.Holds, Note: o.Note}
		for k, v := range t.Values {
			tj.Values[k] = float(v)
		}
		tj.Estimate, tj.Interval = o.Estimate.json()
		j.Tests = append(j.Tests, tj)
	}
	return marshalPlain(j)
}

// json returns the mean and the interval, nil where there is none.
func (e Estimate) json() (mean *float, interval *[2]float) {
	if e.N > 0 {
		m := float(e.Mean)
		mean = &m
	}
	if e.N > 1 {
		interval = &[2]float{float(e.Low), float(e.High)}
	}
	return mean, interval
}

// UnmarshalJSON implements json.Unmarshaler. A verdict that stands in the data is ignored.
func (c *Claim) UnmarshalJSON(data []byte) error {
	var j struct { // what is not read here may hold anything
		ID           string  `json:"id"`
		Sentence     string  `json:"sentence"`
		Quantity     string  `json:"quantity"`
		ComparedWith string  `json:"compared_with"`
		Seeds        []int64 `json:"seeds"`
		Scale        string  `json:"scale"`
		Dataset      string  `json:"dataset"`
		N            int     `json:"n"`
		Reason       string  `json:"reason"`
		Tests        []struct {
			What      string   `json:"what"`
			Relation  Relation `json:"relation"`
			Threshold float64  `json:"threshold"`
			Percent   bool     `json:"percent"`
			Values    []float  `json:"values"`
		} `json:"tests"`
	}
	if err := json.Unmarshal(data, &j); err != nil {
		return err
	}
	*c = Claim{ID: j.ID, Sentence: j.Sentence, Reason: j.Reason, Scale: j.Scale, Dataset: j.Dataset, N: j.N}
	if len(j.Seeds) > 0 {
		c.Seeds = j.Seeds
	}
	for _, tj := range j.Tests {
		t := Test{What: tj.What, Relation: tj.Relation, Threshold: tj.Threshold, Percent: tj.Percent}
		for _, v := range tj.Values {
			t.Values = append(t.Values, float64(v))
		}
		c.Tests = append(c.Tests, t)
	}
	// What follows from the tests stays derived from them.
	if j.Quantity != c.what() {
		c.What = j.Quantity
	}
	if j.ComparedWith != c.comparedWith() {
		c.ComparedWith = j.ComparedWith
	}
	return nil
}

// ParseClaims reads claims.json. Verdicts are decided again from the values.
func ParseClaims(data []byte) ([]Claim, error) {
	var claims []Claim
	if err := json.Unmarshal(data, &claims); err != nil {
		return nil, fmt.Errorf("the claims are not valid JSON (a list of claims is expected): %w", err)
	}
	if err := CheckClaims(claims); err != nil {
		return nil, err
	}
	return claims, nil
}

// FormatClaims returns claims as claims.json holds them, the same bytes for the same claims.
func FormatClaims(claims []Claim) ([]byte, error) {
	if err := CheckClaims(claims); err != nil {
		return nil, err
	}
	if claims == nil {
		claims = []Claim{}
	}
	data, err := marshalPlain(claims)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, data, "", "  "); err != nil {
		return nil, err
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

// LoadClaims reads a claims.json file.
func LoadClaims(path string) ([]Claim, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	claims, err := ParseClaims(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return claims, nil
}

// SaveClaims writes a claims.json file, whole or not at all.
func SaveClaims(path string, claims []Claim) error {
	data, err := FormatClaims(claims)
	if err != nil {
		return err
	}
	return renameio.WriteFile(path, data, 0o644)
}

// marshalPlain is json.Marshal that leaves <, > and & as they are.
func marshalPlain(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}
