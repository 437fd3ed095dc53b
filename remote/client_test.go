package remote_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trustbook/trustbook/internal/oip"
	"github.com/trustbook/trustbook/internal/oracle"
	"github.com/trustbook/trustbook/remote"
)

// linear is what the servers of these tests serve: examples [2, 3] of five classes.
var linear = oracle.RandomLinear(6, 5, 4)

func scores(x []float32) []float32 {
	z := make([]float32, len(linear.B))
	for k := range z {
		sum := float64(linear.B[k])
		for j, w := range linear.W {
			sum += float64(w[k]) * float64(x[j])
		}
		z[k] = float32(sum)
	}
	return z
}

// examples are n rows, all different.
func examples(n int) []float32 {
	out := make([]float32, n*6)
	for i := range out {
		out[i] = float32(math.Mod(float64(i)*0.618034, 1))
	}
	return out
}

func serve(t *testing.T, h http.Handler) remote.Config {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = nil
	server.Start()
	t.Cleanup(server.Close)
	return remote.Config{URL: server.URL, Model: "m", Shape: []int{2, 3}, Batch: 7, Backoff: time.Millisecond, Timeout: 5 * time.Second}
}

func open(t *testing.T, cfg remote.Config) *remote.Client {
	t.Helper()
	c, err := remote.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// Whatever a model answers, and however it is asked, predictions are the model's own, and logits are too, up to a constant a row.
func TestAsk(t *testing.T) {
	const n = 40
	x := examples(n)
	for _, c := range []struct {
		answers string
		set     func(s *oip.Server, c *remote.Config)
		kind    remote.Answers
	}{
		{"logits", nil, remote.Logits},
		{"probabilities", nil, remote.Probabilities},
		{"labels", func(_ *oip.Server, c *remote.Config) { c.Classes = 5 }, remote.Labels},
		{"logits", func(s *oip.Server, c *remote.Config) { s.Nested, c.Nested = true, true }, remote.Logits},
		{"logits", func(s *oip.Server, c *remote.Config) { s.Shape = []int{6} }, remote.Logits}, // the metadata's shape
		{"logits", func(s *oip.Server, c *remote.Config) { s.Untold, c.Version = true, "1" }, remote.Logits},
		{"labels", func(s *oip.Server, c *remote.Config) { s.Untold, c.Classes = true, 5 }, remote.Labels},
		{"logits", func(s *oip.Server, c *remote.Config) {
			s.Untold, s.Shape, c.InputShape, c.Input = true, []int{3, 2}, []int{3, 2}, "pixels"
		}, remote.Logits},
		{"logits", func(s *oip.Server, c *remote.Config) { s.Datatype = "FP64" }, remote.Logits},
		{"logits", func(s *oip.Server, c *remote.Config) {
			s.Output, c.Output, c.Answers = "scores", "scores", remote.Logits
		}, remote.Logits},
		{"logits", func(_ *oip.Server, c *remote.Config) { c.URL += "/v2/"; c.Rate = 1e6 }, remote.Logits},
	} {
		server := &oip.Server{Shape: []int{2, 3}, Answers: c.answers, Scores: scores}
		cfg := serve(t, server)
		if c.set != nil {
			c.set(server, &cfg)
		}
		client := open(t, cfg)
		require.NoError(t, client.Look(t.Context(), x, n))
		looked := client.Stats().Rows
		logits, classes, err := client.Ask(t.Context(), x, n)
		require.NoError(t, err)
		require.Equal(t, c.kind, client.Answers())
		require.Equal(t, 5, client.Classes())
		require.Equal(t, c.kind != remote.Labels, client.Scores())
		require.Contains(t, client.Notes()[0], "are taken for "+c.kind.String()+" of 5 classes")
		require.Equal(t, "m at "+strings.TrimSuffix(cfg.URL, "/v2/"), client.Name())
		require.EqualValues(t, looked+n, client.Stats().Rows)
		require.EqualValues(t, looked+n, server.Counts().Answered)
		if !client.Scores() {
			require.Nil(t, logits)
		}
		for i := range n {
			want := scores(x[i*6 : (i+1)*6])
			require.Equal(t, linear.Predict(x[i*6:(i+1)*6]), classes[i])
			for k := range logits[:min(5, len(logits))] {
				got := logits[i*5+k]
				if c.kind == remote.Logits {
					require.Equal(t, want[k], got, "not the same float32")
				} else {
					require.InDelta(t, want[k]-want[0], got-logits[i*5], 1e-5)
				}
			}
		}
	}
}

// canned serves given answers to inference, and no metadata but the input's name.
func canned(t *testing.T, status int, body string, header ...string) remote.Config {
	t.Helper()
	cfg := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.Method == http.MethodGet {
			fmt.Fprint(w, `{"inputs":[{"name":"x","datatype":"FP32","shape":[-1,2,3]}]}`)
			return
		}
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	cfg.Retries = 1
	return cfg
}

// Two examples, and answers that are read or refused with a reason.
func TestAnswers(t *testing.T) {
	output := func(rest string) string { return `{"outputs":[{"name":"y",` + rest + `}]}` }
	for _, c := range []struct {
		answers remote.Answers
		classes int
		body    string
		want    []int32
		err     string
	}{
		{body: output(`"datatype":"FP32","shape":[2,3],"data":[0.5,0.25,0.25,0,0,1]`), want: []int32{0, 2}},
		{body: output(`"datatype":"FP32","data":[[1,5,2],[9,0,1]]`), want: []int32{1, 0}},
		{body: output(`"datatype":"FP32","data":[1,5,2,9,0,1]`), want: []int32{1, 0}},
		{body: output(`"datatype":"FP32","shape":[2,3,1,1],"data":[[[[1]],[[5]],[[2]]],[[[9]],[[0]],[[1]]]]`), want: []int32{1, 0}},
		{body: output(`"datatype":"INT64","shape":[2,1],"data":[3,1]`), classes: 4, want: []int32{3, 1}},
		{body: output(`"datatype":"BOOL","shape":[2],"data":[true,false]`), classes: 2, want: []int32{1, 0}},
		{body: output(`"datatype":"FP64","shape":[2],"data":[3.0,1.0]`), answers: remote.Labels, classes: 4, want: []int32{3, 1}},
		{body: output(`"datatype":"FP32","shape":[2,1],"data":[0.7,0.2]`), answers: remote.Probabilities, want: []int32{1, 0}},
		{body: output(`"datatype":"FP32","shape":[2,1],"data":[0.3,-0.2]`), answers: remote.Logits, want: []int32{1, 0}},

		{body: output(`"datatype":"FP32","shape":[2],"data":[0.7,0.2]`), err: "one number a row that is no integer: say whether"},
		{body: output(`"datatype":"INT64","shape":[2],"data":[7,2]`), err: "labels, which do not tell how many classes"},
		{body: output(`"datatype":"INT64","shape":[2],"data":[7,2]`), classes: 5, err: "the label 7, but there are 5 classes"},
		{body: output(`"datatype":"INT64","shape":[2],"data":[-1,2]`), classes: 5, err: "the label -1: want whole numbers"},
		{body: output(`"datatype":"FP32","shape":[2],"data":[1.5,2]`), answers: remote.Labels, classes: 5, err: "the label 1.5"},
		{body: output(`"datatype":"INT64","shape":[1],"data":[1]`), answers: remote.Labels, classes: 5, err: "m returned 1 labels for 2 inputs"},
		{body: output(`"datatype":"FP32","shape":[3,2],"data":[1,2,3,4,5,6]`), err: "m returned 3 answers for 2 inputs"},
		{body: output(`"datatype":"FP32","shape":[2,3],"data":[1,2,3,4,5]`), err: "holds 5 numbers, which is not its shape [2 3]"},
		{body: output(`"datatype":"INT64","shape":[2,2],"data":[1,2,3,4]`), answers: remote.Labels, classes: 5, err: "2 numbers a row, not 1"},
		{body: output(`"datatype":"FP32","shape":[2,2],"data":[[1,2,3],[4]]`), err: "ragged"},
		{body: output(`"datatype":"FP32","shape":[2,2],"data":[1,NaN,3,4]`), err: "the answer holds NaN"},
		{body: output(`"datatype":"FP32","shape":[2,2],"data":[1,-Infinity,3,4]`), err: "the answer holds Infinity"},
		{body: output(`"datatype":"FP32","shape":[2,2],"data":[1,null,3,4]`), err: "null, which stands for NaN"},
		{body: output(`"datatype":"FP32","shape":[2,2],"data":[1,1e999,3,4]`), err: "1e999, which is infinite"},
		{body: output(`"datatype":"FP64","shape":[2,2],"data":[1,1e300,3,4]`), err: "1e+300, which float32 does not hold"},
		{body: output(`"datatype":"FP32","shape":[2,2],"data":[1,"cat",3,4]`), err: "texts"},
		{body: output(`"datatype":"BYTES","shape":[2],"data":["cat","dog"]`), err: "of texts (BYTES)"},
		{body: output(`"datatype":"FP32","shape":[2,2],"data":{"a":1}`), err: "no list of numbers"},
		{body: output(`"datatype":"FP32","shape":[2,2],"data":[1.5,2,3,4]`), answers: remote.Probabilities, err: "1.5, which is no probability"},
		{body: `{"outputs":[{"name":"a","data":[1]},{"name":"b","data":[1]}]}`, err: "several outputs: name one of a, b"},
		{body: `{"outputs":[]}`, err: "the answer has no outputs"},
		{body: `{"error":"model exploded"}`, err: "the server says: model exploded"},
		{body: `<html>`, err: "no JSON of the protocol"},
		{body: ``, err: "no JSON of the protocol"},
	} {
		cfg := canned(t, 200, c.body)
		cfg.Answers, cfg.Classes = c.answers, c.classes
		_, classes, err := open(t, cfg).Ask(t.Context(), examples(2), 2)
		if c.err != "" {
			require.ErrorContains(t, err, c.err, "%s", c.body)
			require.NotContains(t, err.Error(), "\n")
			require.ErrorContains(t, err, "/v2/models/m: ")
			continue
		}
		require.NoError(t, err, "%s", c.body)
		require.Equal(t, c.want, classes, "%s", c.body)
	}
}

// What a server refuses for good is not asked again; its words are one line, without the authorization.
func TestRefusals(t *testing.T) {
	t.Setenv("SECRET_OF_TEST", "Bearer abc123")
	for _, c := range []struct {
		status int
		body   string
		header []string
		err    string
	}{
		{400, `{"error":"shape\n  is wrong"}`, nil, "status 400 Bad Request: shape is wrong"},
		{401, `{"error":"token abc123 is old: Bearer abc123"}`, nil, "status 401 Unauthorized: token … is old: …"},
		{404, ``, nil, "status 404 Not Found"},
		{422, `{"detail":[{"msg":"no"}]}`, nil, "status 422 Unprocessable Entity: [map[msg:no]]"},
		{307, ``, []string{"Location", "http://elsewhere/"}, "it points to http://elsewhere/: give that as the URL"},
		{503, `{"error":"loading"}`, []string{"Retry-After", "7200"},
			"the server asks to come back in 2h0m0s: status 503 Service Unavailable: loading"},
		{500, strings.Repeat("x", 1000), nil, "gave up after 2 tries: status 500 Internal Server Error: " + strings.Repeat("x", 200)},
	} {
		cfg := canned(t, c.status, c.body, c.header...)
		cfg.AuthorizationFrom = "SECRET_OF_TEST"
		client := open(t, cfg)
		_, _, err := client.Ask(t.Context(), examples(2), 2)
		require.ErrorContains(t, err, c.err)
		require.NotContains(t, err.Error(), "abc123")
		require.NotContains(t, err.Error(), "\n")
		if c.status < 500 {
			require.EqualValues(t, 1, client.Stats().Requests)
			require.Zero(t, client.Stats().Lost)
		}
	}
}

// Configurations and servers that cannot be used are refused when the client is opened.
func TestOpenRefuses(t *testing.T) {
	t.Setenv("EMPTY_OF_TEST", " ")
	t.Setenv("LINES_OF_TEST", "a\nb")
	good := &oip.Server{Shape: []int{2, 3}, Scores: scores, Authorization: "Bearer x"}
	dead := httptest.NewServer(good)
	dead.Close()
	for _, c := range []struct {
		set func(c *remote.Config)
		err string
	}{
		{func(c *remote.Config) { c.URL = "localhost:8080" }, "want http://HOST:PORT"},
		{func(c *remote.Config) { c.URL = "ftp://localhost" }, "want http://HOST:PORT"},
		{func(c *remote.Config) { c.URL = "http://me:secret@localhost" }, "holds a password or a user"},
		{func(c *remote.Config) { c.URL += "?a=b" }, "leave out what follows the path"},
		{func(c *remote.Config) { c.Model = "" }, "no name of a model"},
		{func(c *remote.Config) { c.Model = "n" }, "the server knows no such model"},
		{func(c *remote.Config) { c.Shape = nil }, "Shape []"},
		{func(c *remote.Config) { c.Shape = []int{4, 4} }, "takes inputs of shape [-1 2 3], not examples of shape [4 4]"},
		{func(c *remote.Config) { c.InputShape = []int{5} }, "InputShape [5] has 5 values"},
		{func(c *remote.Config) { c.Classes = 1 }, "Classes = 1"},
		{func(c *remote.Config) { c.Rate = math.NaN() }, "must not be negative"},
		{func(c *remote.Config) { c.Input = "z" }, "takes no input z, but x"},
		{func(c *remote.Config) { c.Output = "z" }, "gives no output z, but y"},
		{func(c *remote.Config) { c.Datatype = "UINT8" }, "is of type UINT8: want FP32"},
		{func(c *remote.Config) { c.AuthorizationFrom = "" }, "status 401 Unauthorized"},
		{func(c *remote.Config) { c.AuthorizationFrom = "NOT_SET_IN_TEST" }, "NOT_SET_IN_TEST is not set"},
		{func(c *remote.Config) { c.AuthorizationFrom = "EMPTY_OF_TEST" }, "EMPTY_OF_TEST is not set"},
		{func(c *remote.Config) { c.AuthorizationFrom = "LINES_OF_TEST" }, "characters that no header may"},
		{func(c *remote.Config) { c.URL = dead.URL }, "gave up after 2 tries: dial tcp"},
		{func(c *remote.Config) { c.Log = filepath.Join("no", "folder", "log") }, "no such file"},
	} {
		t.Setenv("GOOD_OF_TEST", "Bearer x")
		cfg := serve(t, good)
		cfg.AuthorizationFrom, cfg.Retries = "GOOD_OF_TEST", 1
		c.set(&cfg)
		_, err := remote.Open(t.Context(), cfg)
		require.ErrorContains(t, err, c.err)
		require.NotContains(t, err.Error(), "secret")
		require.NotContains(t, err.Error(), "\n")
	}
	cfg := serve(t, good)
	cfg.AuthorizationFrom = "GOOD_OF_TEST"
	_, _, err := open(t, cfg).Ask(t.Context(), examples(2), 3)
	require.ErrorContains(t, err, "12 pixels for 3 examples of shape [2 3]")
	_, _, err = open(t, cfg).Ask(t.Context(), append(examples(1), 0, 0, float32(math.NaN()), 0, 0, 0), 2)
	require.ErrorContains(t, err, "row 1 holds NaN")
}

// Against servers with every trouble but for good, the answers are the same as a good one's, and no budget is passed.
func TestTroubles(t *testing.T) {
	const n = 100
	x := examples(n)
	good := &oip.Server{Shape: []int{2, 3}, Scores: scores}
	want, _, err := open(t, serve(t, good)).Ask(t.Context(), x, n)
	require.NoError(t, err)
	for _, words := range []string{"none none none none none none none none none drop", "slow none", "busy none none", "none down",
		"none cut none", "malformed none none", "none short none", "broken none none", "hang none none none none none none none"} {
		server := &oip.Server{Shape: []int{2, 3}, Scores: scores, Trouble: oip.Troubles(words)}
		cfg := serve(t, server)
		if cfg.Retries, cfg.Budget = 30, 1000; strings.Contains(words, "hang") {
			cfg.Timeout = time.Second
		}
		client := open(t, cfg)
		got, _, err := client.Ask(t.Context(), x, n)
		require.NoError(t, err, words)
		require.Equal(t, want, got, words)
		s, counts := client.Stats(), server.Counts()
		require.EqualValues(t, n, s.Rows, words)
		require.EqualValues(t, counts.Received, s.Rows+s.Lost, words)
		require.EqualValues(t, counts.Requests, s.Requests, words)
		require.Equal(t, n, counts.Answered)
		require.Zero(t, counts.Twice)
		require.Equal(t, words != "slow none", s.Retries > 0, words)
	}
	for words, reason := range map[string]string{"drop": "EOF", "busy": "status 429", "down": "status 503", "cut": "EOF",
		"malformed": "no JSON", "short": "m returned 6 answers for 7 inputs", "broken": "out of memory", "hang": "no answer within 50ms"} {
		server := &oip.Server{Shape: []int{2, 3}, Scores: scores, Trouble: oip.Troubles(words)}
		cfg := serve(t, server)
		if cfg.Retries = 2; words == "hang" {
			cfg.Timeout = 50 * time.Millisecond
		}
		client := open(t, cfg)
		_, _, err := client.Ask(t.Context(), x, n)
		require.ErrorContains(t, err, "gave up after 3 tries: ", words)
		require.ErrorContains(t, err, reason, words)
		require.Zero(t, client.Stats().Rows)
		if words != "hang" { // the server may not have come to count what was given up
			require.EqualValues(t, server.Counts().Received, client.Stats().Lost, words)
		}
	}
}

// The budget is exact: what does not fit is not asked at all, and retries that would pass it are an error.
func TestBudget(t *testing.T) {
	server := &oip.Server{Shape: []int{2, 3}, Scores: scores}
	cfg := serve(t, server)
	cfg.Budget = 20
	client := open(t, cfg)
	_, _, err := client.Ask(t.Context(), examples(21), 21)
	require.ErrorIs(t, err, remote.ErrBudget)
	require.ErrorContains(t, err, "21 more rows wanted, 0 of 20 asked")
	require.Zero(t, server.Counts().Received)
	_, _, err = client.Ask(t.Context(), examples(20), 20)
	require.NoError(t, err)
	_, _, err = client.Ask(t.Context(), examples(1), 1)
	require.ErrorContains(t, err, "1 more rows wanted, 20 of 20 asked, 0 of them lost on the way")
	require.Equal(t, 20, server.Counts().Received)

	server = &oip.Server{Shape: []int{2, 3}, Scores: scores, Trouble: oip.Troubles("drop none")}
	cfg = serve(t, server)
	cfg.Budget, cfg.Concurrency = 20, 1
	_, _, err = open(t, cfg).Ask(t.Context(), examples(20), 20)
	require.ErrorIs(t, err, remote.ErrBudget)
	require.LessOrEqual(t, server.Counts().Received, 20)
}

// Requests go out no faster than the rate, and no more of them at once than the concurrency.
func TestRateAndConcurrency(t *testing.T) {
	var under, most atomic.Int32
	server := &oip.Server{Shape: []int{2, 3}, Scores: scores, Trouble: oip.Troubles("slow")}
	cfg := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := under.Add(1)
		for before := most.Load(); now > before && !most.CompareAndSwap(before, now); before = most.Load() {
		}
		defer under.Add(-1)
		server.ServeHTTP(w, r)
	}))
	cfg.Answers, cfg.Batch, cfg.Concurrency, cfg.Rate = remote.Logits, 2, 3, 100
	client := open(t, cfg)
	begin := time.Now()
	_, _, err := client.Ask(t.Context(), examples(40), 40)
	require.NoError(t, err)
	require.GreaterOrEqual(t, time.Since(begin), 190*time.Millisecond)
	require.LessOrEqual(t, most.Load(), int32(3))
	require.Greater(t, most.Load(), int32(1))
	require.EqualValues(t, 20, client.Stats().Requests)
}

// With a log nothing is asked twice: within a call, by the next call, by the next process, after a stop; and the answers are
// the same.
func TestLog(t *testing.T) {
	for _, answers := range []string{"probabilities", "labels"} {
		const n = 60
		x := examples(n)
		ctx, stop := context.WithCancel(t.Context())
		server := &oip.Server{Shape: []int{2, 3}, Scores: scores, Answers: answers, Trouble: func(i int) oip.Fault {
			if i == 3 {
				stop()
			}
			return oip.Slow
		}}
		cfg := serve(t, server)
		cfg.Log, cfg.Classes, cfg.Concurrency = filepath.Join(t.TempDir(), "answers"), 5, 2
		client, err := remote.Open(t.Context(), cfg)
		require.NoError(t, err)
		_, err = remote.Open(t.Context(), cfg)
		require.ErrorContains(t, err, "in use by another process")

		_, _, err = client.Ask(ctx, x, n)
		require.ErrorIs(t, err, context.Canceled)
		require.NoError(t, client.Close())
		asked := server.Counts().Answered
		require.Positive(t, asked)
		require.Less(t, asked, n)

		client = open(t, cfg)
		logits, classes, err := client.Ask(t.Context(), x, n)
		require.NoError(t, err)
		again, _, err := client.Ask(t.Context(), append(x[:60:60], x...), n+10)
		require.NoError(t, err)
		require.Equal(t, oip.Counts{Requests: server.Counts().Requests, Received: n, Answered: n}, server.Counts())
		s := client.Stats()
		require.EqualValues(t, n-asked, s.Rows)
		require.EqualValues(t, asked+n+10, s.Logged)
		if answers == "labels" {
			require.Nil(t, again)
		} else {
			require.Equal(t, logits, again[50:])
		}
		require.NoError(t, client.Close())

		cfg.Log = ""
		fresh, plain, err := open(t, cfg).Ask(t.Context(), x, n)
		require.NoError(t, err)
		require.Equal(t, plain, classes)
		require.Equal(t, fresh, logits)
	}
}

// A log with a damaged end loses that and says so; what is no log is left alone.
func TestDamagedLog(t *testing.T) {
	server := &oip.Server{Shape: []int{2, 3}, Scores: scores}
	cfg := serve(t, server)
	cfg.Log = filepath.Join(t.TempDir(), "answers")
	x := examples(10)
	client := open(t, cfg)
	_, _, err := client.Ask(t.Context(), x, 10)
	require.NoError(t, err)
	require.NoError(t, client.Close())
	whole, err := os.ReadFile(cfg.Log)
	require.NoError(t, err)
	each := (len(whole) - 8) / 10
	for damage, lost := range map[int]int{len(whole) - 1: 1, len(whole) - 3*each - 2: 4, 8 + each: 9, 9: 10, 3: 10} {
		for _, cut := range []bool{true, false} {
			if damage == 3 && !cut {
				continue
			}
			data := append([]byte{}, whole...)
			if cut {
				data = data[:damage]
			} else {
				data[damage] ^= 4
			}
			require.NoError(t, os.WriteFile(cfg.Log, data, 0o600))
			client := open(t, cfg)
			_, _, err := client.Ask(t.Context(), x, 10)
			require.NoError(t, err)
			if cut && damage == 8+each { // between two records: nothing is damaged
				lost = 9
			} else if damage != 8+each {
				require.Contains(t, client.Notes()[1], "bytes at its end were dropped")
			}
			require.EqualValues(t, lost, client.Stats().Rows, "%d %t", damage, cut)
			require.NoError(t, client.Close())
			after, err := os.ReadFile(cfg.Log)
			require.NoError(t, err)
			require.Equal(t, len(whole), len(after))
		}
	}
	for _, text := range []string{"hello", "a file that is something else"} {
		require.NoError(t, os.WriteFile(cfg.Log, []byte(text), 0o600))
		_, err = remote.Open(t.Context(), cfg)
		require.ErrorContains(t, err, "is no answer log")
		kept, err := os.ReadFile(cfg.Log)
		require.NoError(t, err)
		require.Equal(t, text, string(kept))
	}
}

// The same row asked of another model, version or output is another question; an answer of another kind is none.
func TestLogKeys(t *testing.T) {
	server := &oip.Server{Shape: []int{2, 3}, Scores: scores}
	cfg := serve(t, server)
	cfg.Log = filepath.Join(t.TempDir(), "answers")
	ask := func(set func(c *remote.Config)) int64 {
		own := cfg
		set(&own)
		client, err := remote.Open(t.Context(), own)
		require.NoError(t, err)
		defer client.Close()
		_, _, err = client.Ask(t.Context(), examples(4), 4)
		require.NoError(t, err)
		return client.Stats().Rows
	}
	require.EqualValues(t, 4, ask(func(*remote.Config) {}))
	require.EqualValues(t, 0, ask(func(*remote.Config) {}))
	require.EqualValues(t, 0, ask(func(c *remote.Config) { c.Answers, c.Nested, c.Batch = remote.Logits, true, 1 }))
	require.EqualValues(t, 4, ask(func(c *remote.Config) { c.Version = "1" }))
	require.EqualValues(t, 4, ask(func(c *remote.Config) { c.Output = "y" }))
	server.Answers = "labels"
	require.EqualValues(t, 4, ask(func(c *remote.Config) { c.Answers, c.Classes = remote.Labels, 5 }))
	require.EqualValues(t, 0, ask(func(c *remote.Config) { c.Answers, c.Classes = remote.Labels, 5 }))
}

// What is asked is the protocol's: names, shape, datatype and data as they should be.
func TestRequest(t *testing.T) {
	var got string
	cfg := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			data, _ := io.ReadAll(r.Body)
			got = r.URL.Path + " " + r.Header.Get("Content-Type") + " " + string(data)
		}
		fmt.Fprint(w, `{"inputs":[{"name":"a \"b\"","datatype":"FP64","shape":[-1,3,2]}],"outputs":[{"name":"y","data":[[1,2]]}]}`)
	}))
	cfg.Model, cfg.Version, cfg.Nested, cfg.Output = "a/b", "3 4", true, "y"
	_, _, err := open(t, cfg).Ask(t.Context(), []float32{0.1, 1, 0, 1e-9, -2, 3}, 1)
	require.NoError(t, err)
	path, body, _ := strings.Cut(got, " application/json ")
	require.Equal(t, "/v2/models/a/b/versions/3 4/infer", path)
	require.True(t, json.Valid([]byte(body)), body)
	require.Equal(t, `{"inputs":[{"name":"a \"b\"","shape":[1,3,2],"datatype":"FP64","data":[[[0.10000000149011612,1],`+
		`[0,9.999999717180685e-10],[-2,3]]]}],"outputs":[{"name":"y"}]}`, body)
}
