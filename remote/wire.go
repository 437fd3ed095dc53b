package remote

import (
	"encoding/json"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pkg/errors"
)

// metadata is what a server tells of a model.
type metadata struct {
	Inputs  []spec `json:"inputs"`
	Outputs []spec `json:"outputs"`
}

// spec describes a tensor; -1 is any size.
type spec struct {
	Name     string `json:"name"`
	Datatype string `json:"datatype"`
	Shape    []int  `json:"shape"`
}

// response is a server's answer.
type response struct {
	Error   string   `json:"error"`
	Outputs []tensor `json:"outputs"`
}

type tensor struct {
	spec
	Data json.RawMessage `json:"data"`
}

// names lists tensors for errors.
func names(specs []spec) string {
	all := make([]string, len(specs))
	for i, s := range specs {
		all[i] = s.Name
	}
	return strings.Join(all, ", ")
}

// request encodes rows of pixels. Numbers are the shortest that read as the same float32 or, for FP64, float64.
func (c *Client) request(pixels []float32, n int) ([]byte, error) {
	bits := 32
	if c.input.Datatype == "FP64" {
		bits = 64
	}
	shape := append([]int{n}, c.input.Shape...)
	out := make([]byte, 0, 200+12*len(pixels))
	out = append(out, `{"inputs":[{"name":`...)
	out = quoted(out, c.input.Name)
	out = append(out, `,"shape":[`...)
	for i, d := range shape {
		if i > 0 {
			out = append(out, ',')
		}
		out = strconv.AppendInt(out, int64(d), 10)
	}
	out = append(out, `],"datatype":`...)
	out = quoted(out, c.input.Datatype)
	out = append(out, `,"data":`...)
	if !c.cfg.Nested {
		shape = []int{len(pixels)}
	}
	for i, p := range pixels {
		if v := float64(p); math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, errors.Errorf("remote: row %d holds NaN or infinite values", i/(len(pixels)/n))
		}
		out = opening(out, shape, i)
		out = strconv.AppendFloat(out, float64(p), 'g', -1, bits)
		out = closing(out, shape, i)
	}
	out = append(out, `}]`...)
	if c.cfg.Output != "" {
		out = quoted(append(out, `,"outputs":[{"name":`...), c.cfg.Output)
		out = append(out, `}]`...)
	}
	return append(out, '}'), nil
}

func quoted(out []byte, text string) []byte {
	encoded, _ := json.Marshal(text) // of a string: cannot fail
	return append(out, encoded...)
}

// opening writes what stands before value i of a tensor in nested lists, closing what stands behind it.
func opening(out []byte, shape []int, i int) []byte {
	if i > 0 {
		out = append(out, ',')
	}
	for inner, k := 1, len(shape)-1; k >= 0; k-- {
		if inner *= shape[k]; i%inner != 0 {
			break
		}
		out = append(out, '[')
	}
	return out
}

func closing(out []byte, shape []int, i int) []byte {
	for inner, k := 1, len(shape)-1; k >= 0; k-- {
		if inner *= shape[k]; (i+1)%inner != 0 {
			break
		}
		out = append(out, ']')
	}
	return out
}

// answer is what the model says of one row: words of 32 bits, a class or the bits of float32 scores.
type answer struct {
	label bool
	words []uint32
}

// badToken finds what Python's encoders write and JSON does not have.
var badToken = regexp.MustCompile(`[\[,:]\s*-?(NaN|Infinity|inf|nan)\b`)

// garbled is a fault of one answer, perhaps on its way: asking again may help.
type garbled struct{ error }

// decode reads the answers for n rows.
func (c *Client) decode(body []byte, n int) ([]answer, error) {
	var r response
	if err := json.Unmarshal(body, &r); err != nil {
		if found := badToken.FindSubmatch(body); found != nil {
			return nil, errors.Errorf("the answer holds %s: look at the model and at what it was asked", found[1])
		}
		return nil, garbled{errors.Errorf("the answer is no JSON of the protocol: %v", err)}
	}
	if r.Error != "" {
		return nil, errors.Errorf("the server says: %s", c.clean(r.Error))
	}
	if len(r.Outputs) == 0 {
		return nil, garbled{errors.New("the answer has no outputs")}
	}
	at := 0
	if c.cfg.Output != "" {
		at = slices.IndexFunc(r.Outputs, func(o tensor) bool { return o.Name == c.cfg.Output })
	}
	if at < 0 || c.cfg.Output == "" && len(r.Outputs) > 1 {
		var all []spec
		for _, o := range r.Outputs {
			all = append(all, o.spec)
		}
		return nil, wrongOutput(c.cfg.Output, all)
	}
	out := r.Outputs[at]
	if out.Datatype == "BYTES" {
		return nil, errors.Errorf("output %s is of texts (BYTES): classes and scores must be numbers", out.Name)
	}
	values, outer, err := numbers(out.Data)
	if err != nil {
		return nil, errors.WithMessagef(err, "output %s", out.Name)
	}
	if len(out.Shape) > 0 {
		if slices.Min(out.Shape) < 0 || size(out.Shape) != len(values) {
			return nil, garbled{errors.Errorf("output %s holds %d numbers, which is not its shape %v", out.Name, len(values), out.Shape)}
		}
		outer = out.Shape[0]
	} else if outer == len(values) && len(values)%n == 0 { // a flat list without a shape
		outer = n
	}
	if outer != n || len(values) == 0 {
		return nil, garbled{errors.Errorf("%s returned %d %s for %d inputs", c.cfg.Model, outer, c.what(), n)}
	}
	return c.rows(out.spec, values, n)
}

func wrongOutput(want string, all []spec) error {
	if want == "" {
		return errors.Errorf("the model gives several outputs: name one of %s", names(all))
	}
	return errors.Errorf("the model gives no output %s, but %s", want, names(all))
}

// rows cuts values into answers, and finds out what they are if that is not known yet.
func (c *Client) rows(out spec, values []float64, n int) ([]answer, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	width := len(values) / n
	if err := c.settle(whole(out.Datatype), values, width); err != nil {
		return nil, err
	}
	found := make([]answer, n)
	for i := range found {
		found[i] = answer{label: c.kind == Labels, words: make([]uint32, width)}
		for k, v := range values[i*width : (i+1)*width] {
			word, err := c.word(v)
			if err != nil {
				return nil, err
			}
			found[i].words[k] = word
		}
	}
	return found, nil
}

// whole tells whether a datatype is of integers.
func whole(datatype string) bool {
	return strings.HasPrefix(datatype, "INT") || strings.HasPrefix(datatype, "UINT") || datatype == "BOOL"
}

// word checks one number and encodes it.
func (c *Client) word(v float64) (uint32, error) {
	switch {
	case c.kind != Labels && math.Abs(v) > math.MaxFloat32:
		return 0, errors.Errorf("%s returned the score %g, which float32 does not hold", c.cfg.Model, v)
	case c.kind == Probabilities && !(v >= -1e-6 && v <= 1+1e-6):
		return 0, errors.Errorf("%s returned %g, which is no probability: its answers may be logits", c.cfg.Model, v)
	case c.kind != Labels:
		return math.Float32bits(float32(v)), nil
	case v != math.Trunc(v) || v < 0 || v > math.MaxInt32:
		return 0, errors.Errorf("%s returned the label %g: want whole numbers from 0 on; its answers may be scores", c.cfg.Model, v)
	case c.cfg.Classes > 0 && int(v) >= c.cfg.Classes:
		return 0, errors.Errorf("%s returned the label %g, but there are %d classes: say how many", c.cfg.Model, v, c.cfg.Classes)
	}
	return uint32(v), nil
}
