package remote

import (
	"cmp"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/pkg/errors"
)

// Answers is what a model answers.
type Answers int

// What a model may answer.
const (
	Guess         Answers = iota // not known: metadata and the first answers decide
	Labels                       // the predicted class, one whole number a row
	Probabilities                // one a class; a single one is that of the second of two classes
	Logits                       // one a class; a single one is the second's, beside 0 for the first
)

var answersNames = []string{"guess", "labels", "probabilities", "logits"}

// String names the answers.
func (a Answers) String() string { return answersNames[a] }

// ParseAnswers reads a name as String writes it.
func ParseAnswers(name string) (Answers, error) {
	if i := slices.Index(answersNames, strings.ToLower(name)); i >= 0 {
		return Answers(i), nil
	}
	return 0, errors.Errorf("remote: answers %q: want %s", name, strings.Join(answersNames[1:], ", "))
}

// Config says where a model is and how it is asked. URL, Model and Shape must be given.
type Config struct {
	URL     string // of the server, up to /v2: "http://localhost:8080"
	Model   string // its name there
	Version string // "": the server chooses
	Shape   []int  // of one example, as callers have it

	Answers Answers // what the model answers
	Classes int     // of a model that answers labels; scores tell by themselves how many there are

	Input      string // name of the input tensor; "": that of the metadata
	Datatype   string // of the input: FP64, FP32, FP16 or BF16; "": that of the metadata, else FP32
	InputShape []int  // of one example in the input tensor; nil: that of the metadata, else Shape
	Output     string // name of the output tensor; "": the only one
	Nested     bool   // send data as nested lists, not as one flat list

	Batch             int           // most rows a request; zero: 128
	Timeout           time.Duration // for one request; zero: 10 s
	Retries           int           // how often a request that failed is sent again; zero: 5; negative: never
	Backoff           time.Duration // before the first retry, doubled for each, up to 30 s, and shortened at random; zero: 200 ms
	Rate              float64       // most requests a second, retries among them; zero: any number
	Concurrency       int           // most requests at once; zero: 4
	AuthorizationFrom string        // environment variable with the value of the header Authorization; "": no such header
	Budget            int64         // most rows that the server may have answered; zero: any number

	Log       string            // file that keeps answers; "": none
	Transport http.RoundTripper // nil: Go's own, with proxies from the environment
}

func (c Config) withDefaults() Config {
	c.Batch, c.Timeout, c.Retries = cmp.Or(c.Batch, 128), cmp.Or(c.Timeout, 10*time.Second), cmp.Or(c.Retries, 5)
	c.Backoff, c.Concurrency = cmp.Or(c.Backoff, 200*time.Millisecond), cmp.Or(c.Concurrency, 4)
	return c
}

// Validate reports what cannot be, without asking any server.
func (c Config) Validate() error {
	_, err := c.withDefaults().validate()
	if err == nil {
		_, err = c.authorization()
	}
	return errors.WithMessage(err, "remote")
}

// validate reports what cannot be, and returns the server's address without the path of the protocol.
func (c Config) validate() (*url.URL, error) {
	base, err := url.Parse(c.URL)
	switch {
	case err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "":
		return nil, errors.New("URL: want http://HOST:PORT or https://HOST:PORT, with the path up to /v2 if there is one")
	case base.User != nil:
		return nil, errors.New("URL: holds a password or a user: leave it out, and name an environment variable with the header Authorization")
	case base.RawQuery != "" || base.Fragment != "":
		return nil, errors.Errorf("URL %s: leave out what follows the path", base.Redacted())
	case c.Model == "":
		return nil, errors.New("no name of a model: give Model")
	case len(c.Shape) == 0 || slices.Min(c.Shape) < 1:
		return nil, errors.Errorf("Shape %v: want that of one example, such as [1 28 28]", c.Shape)
	case c.InputShape != nil && size(c.InputShape) != size(c.Shape):
		return nil, errors.Errorf("InputShape %v has %d values, an example of shape %v has %d",
			c.InputShape, size(c.InputShape), c.Shape, size(c.Shape))
	case c.Answers < Guess || c.Answers > Logits:
		return nil, errors.Errorf("Answers = %d: want one of the constants", int(c.Answers))
	case c.Classes < 0 || c.Classes == 1:
		return nil, errors.Errorf("Classes = %d: want at least 2, or 0 of a model that answers scores", c.Classes)
	case c.Batch < 0, c.Timeout < 0, c.Backoff < 0, c.Concurrency < 0, c.Budget < 0, !(c.Rate >= 0):
		return nil, errors.New("Batch, Timeout, Backoff, Concurrency, Budget and Rate must not be negative")
	}
	base.Path = strings.TrimSuffix(strings.TrimRight(base.Path, "/"), "/v2")
	return base, nil
}

// authorization is the value of the header, "" for none.
func (c Config) authorization() (string, error) {
	if c.AuthorizationFrom == "" {
		return "", nil
	}
	value := strings.TrimSpace(os.Getenv(c.AuthorizationFrom))
	if value == "" {
		return "", errors.Errorf("the environment variable %s is not set: it must hold the header's value, such as Bearer and a token",
			c.AuthorizationFrom)
	}
	if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", errors.Errorf("the environment variable %s holds characters that no header may", c.AuthorizationFrom)
	}
	return value, nil
}

func size(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}
