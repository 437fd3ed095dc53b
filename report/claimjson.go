package report

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/google/renameio/v2"
)

// claimJSON is a claim as it stands in claims.json. Verdict, note, measured, interval and the outcomes of
// the parts are written for readers and ignored on loading: they follow from the values.
type claimJSON struct {
	ID           string     `json:"id"`
	Sentence     string     `json:"sentence"`
	Verdict      Verdict    `json:"verdict"`
	ReplicatedOf [2]int     `json:"replicated_of"` // parts that are replicated, and all
	Note         string     `json:"note"`
	Quantity     string     `json:"quantity"`
	Measured     *float     `json:"measured"`
	Interval     *[2]float  `json:"interval"`
	Reported     string     `json:"reported,omitempty"`
	ComparedWith string     `json:"compared_with"`
	Seeds        []int64    `json:"seeds"`
	Scale        string     `json:"scale"`
	Dataset      string     `json:"dataset"`
	N            int        `json:"n"`
	Reason       string     `json:"reason,omitempty"`
	Parts        []partJSON `json:"parts"`
}

type partJSON struct {
	Statement string  `json:"statement"`
	Verdict   Verdict `json:"verdict"`
	Note      string  `json:"note,omitempty"`
	testJSON
	Ours     string     `json:"ours,omitempty"`
	Controls []testJSON `json:"controls,omitempty"`
	Beside   []testJSON `json:"beside,omitempty"`
}

type testJSON struct {
	What      string    `json:"what"`
	Relation  Relation  `json:"relation"`
	Threshold float64   `json:"threshold"`
	Percent   bool      `json:"percent,omitempty"`
	Values    []float   `json:"values"`
	Estimate  *float    `json:"estimate"`
	Interval  *[2]float `json:"interval"`
	Holds     *bool     `json:"holds,omitempty"` // of controls
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
	j := claimJSON{ID: c.ID, Sentence: c.Sentence, Verdict: d.Verdict, ReplicatedOf: [2]int{d.K, d.N}, Note: d.Note, Quantity: c.what(),
		Reported: c.Reported, ComparedWith: c.comparedWith(), Seeds: c.Seeds, Scale: c.Scale, Dataset: c.Dataset, N: c.N, Reason: c.Reason,
		Parts: []partJSON{}}
	if j.Seeds == nil {
		j.Seeds = []int64{}
	}
	for i, p := range c.Parts {
		pj := partJSON{Statement: p.Statement, Verdict: d.Parts[i].Verdict, Note: d.Parts[i].Note, testJSON: p.json(), Ours: p.Ours}
		for _, t := range p.Controls {
			tj, met := t.json(), t.met()
			tj.Holds = &met
			pj.Controls = append(pj.Controls, tj)
		}
		for _, t := range p.Beside {
			pj.Beside = append(pj.Beside, t.json())
		}
		if i == 0 {
			j.Measured, j.Interval = pj.Estimate, pj.Interval
		}
		j.Parts = append(j.Parts, pj)
	}
	return marshalPlain(j)
}

// json returns the test with its mean and interval, nil where there is none.
func (t Test) json() testJSON {
	j := testJSON{What: t.What, Relation: t.Relation, Threshold: t.Threshold, Percent: t.Percent, Values: make([]float, len(t.Values))}
	for k, v := range t.Values {
		j.Values[k] = float(v)
	}
	e := Interval(t.Values)
	if e.N > 0 {
		m := float(e.Mean)
		j.Estimate = &m
	}
	if e.N > 1 {
		j.Interval = &[2]float{float(e.Low), float(e.High)}
	}
	return j
}

// testRead and claimRead are what is read of claims.json; what they leave out may hold anything.
type testRead struct {
	What      string   `json:"what"`
	Relation  Relation `json:"relation"`
	Threshold float64  `json:"threshold"`
	Percent   bool     `json:"percent"`
	Values    []float  `json:"values"`
}

type claimRead struct {
	ID           string  `json:"id"`
	Sentence     string  `json:"sentence"`
	Quantity     string  `json:"quantity"`
	Reported     string  `json:"reported"`
	ComparedWith string  `json:"compared_with"`
	Seeds        []int64 `json:"seeds"`
	Scale        string  `json:"scale"`
	Dataset      string  `json:"dataset"`
	N            int     `json:"n"`
	Reason       string  `json:"reason"`
	Parts        []struct {
		Statement string `json:"statement"`
		testRead
		Ours     string     `json:"ours"`
		Controls []testRead `json:"controls"`
		Beside   []testRead `json:"beside"`
	} `json:"parts"`
	Tests []testRead `json:"tests"` // of files made before claims had parts
}

// UnmarshalJSON implements json.Unmarshaler. A verdict that stands in the data is ignored. In a file made before claims had
// parts, each test becomes a part that states what the test measures.
func (c *Claim) UnmarshalJSON(data []byte) error {
	var j claimRead
	if err := json.Unmarshal(data, &j); err != nil {
		return err
	}
	*c = Claim{ID: j.ID, Sentence: j.Sentence, Reported: j.Reported, Reason: j.Reason, Scale: j.Scale, Dataset: j.Dataset, N: j.N}
	if len(j.Seeds) > 0 {
		c.Seeds = j.Seeds
	}
	for _, p := range j.Parts {
		part := ClaimPart{Statement: p.Statement, Test: p.test(), Ours: p.Ours}
		for _, t := range p.Controls {
			part.Controls = append(part.Controls, t.test())
		}
		for _, t := range p.Beside {
			part.Beside = append(part.Beside, t.test())
		}
		c.Parts = append(c.Parts, part)
	}
	if len(j.Parts) == 0 {
		for _, t := range j.Tests {
			c.Parts = append(c.Parts, ClaimPart{Statement: cmp.Or(strings.TrimSpace(t.What), j.Sentence), Test: t.test()})
		}
	}
	// What follows from the parts stays derived from them.
	if j.Quantity != c.what() {
		c.What = j.Quantity
	}
	if j.ComparedWith != c.comparedWith() {
		c.ComparedWith = j.ComparedWith
	}
	return nil
}

func (t testRead) test() Test {
	read := Test{What: t.What, Relation: t.Relation, Threshold: t.Threshold, Percent: t.Percent}
	for _, v := range t.Values {
		read.Values = append(read.Values, float64(v))
	}
	return read
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
