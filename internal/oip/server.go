// Package oip serves a classifier by the Open Inference Protocol, version 2, over REST, well or badly, so that tests of
// clients have something to ask that counts.
package oip

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Fault is what goes wrong with a request.
type Fault int

// What may go wrong.
const (
	None      Fault = iota
	Drop            // the connection closes instead of an answer
	Cut             // the connection closes inside the answer
	Slow            // the answer takes its time
	Hang            // the answer takes longer than clients wait
	Busy            // 429, with Retry-After: 0
	Down            // 503
	Broken          // 500
	Malformed       // half of the answer, and its end as if it were whole
	Short           // one row too few, of several
)

// Server is the handler. Its fields are set before it serves; counts are read by Counts.
type Server struct {
	Name, Input, Output string // "": "m", "x", "y"
	Datatype            string // "": FP32
	Shape               []int  // of one example
	Answers             string // labels, probabilities or logits
	Untold              bool   // the metadata tell no tensors
	Nested              bool   // answers in nested lists
	Authorization       string // that requests must have
	// Scores returns the logits of one example. It is called for one at a time.
	Scores func(pixels []float32) []float32
	// Trouble tells what goes wrong with inference request i, counted from 0; nil: nothing.
	Trouble func(i int) Fault

	mutex  sync.Mutex
	counts Counts
	rows   map[[32]byte]int
}

// Counts tell what a server was asked. Rows that it refused (429, 503) are not among Received.
type Counts struct{ Requests, Received, Answered, Twice int }

// Counts returns them; Twice are rows that were answered more than once.
func (s *Server) Counts() Counts {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	c := s.counts
	for _, n := range s.rows {
		c.Twice += n - 1
	}
	return c
}

type tensor struct {
	Name     string `json:"name"`
	Shape    []int  `json:"shape"`
	Datatype string `json:"datatype"`
	Data     any    `json:"data,omitempty"`
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := "/v2/models/" + or(s.Name, "m")
	switch {
	case s.Authorization != "" && r.Header.Get("Authorization") != s.Authorization:
		refuse(w, http.StatusUnauthorized, "not with "+r.Header.Get("Authorization"))
	case r.URL.Path == "/v2/health/ready" && r.Method == http.MethodGet:
		w.WriteHeader(http.StatusOK)
	case (r.URL.Path == path || r.URL.Path == path+"/versions/1") && r.Method == http.MethodGet:
		out := tensor{Name: or(s.Output, "y"), Shape: []int{-1, -1}, Datatype: "FP32"}
		if s.Answers == "labels" {
			out.Shape, out.Datatype = []int{-1}, "INT64"
		}
		told := map[string]any{"name": s.Name, "platform": "test"}
		if !s.Untold {
			told["inputs"] = []tensor{{Name: or(s.Input, "x"), Shape: append([]int{-1}, s.Shape...), Datatype: or(s.Datatype, "FP32")}}
			told["outputs"] = []tensor{out}
		}
		_ = json.NewEncoder(w).Encode(told)
	case (r.URL.Path == path+"/infer" || r.URL.Path == path+"/versions/1/infer") && r.Method == http.MethodPost:
		s.infer(w, r)
	default:
		refuse(w, http.StatusNotFound, "nothing at "+r.URL.Path)
	}
}

func refuse(w http.ResponseWriter, status int, why string) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": why})
}

// infer answers one request, or does to it what Trouble says.
func (s *Server) infer(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mutex.Lock()
	fault := None
	if s.Trouble != nil {
		fault = s.Trouble(s.counts.Requests)
	}
	s.counts.Requests++
	s.mutex.Unlock()
	switch fault {
	case Busy:
		w.Header().Set("Retry-After", "0")
		refuse(w, http.StatusTooManyRequests, "too many requests")
		return
	case Down:
		refuse(w, http.StatusServiceUnavailable, "not now")
		return
	}
	pixels, n, err := s.read(body)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	answer, usable := s.answer(pixels, n, fault), fault == None || fault == Slow || fault == Short && n == 1
	s.note(pixels, n, usable)
	switch fault {
	case Drop:
		panic(http.ErrAbortHandler)
	case Slow:
		time.Sleep(30 * time.Millisecond)
	case Hang:
		select {
		case <-time.After(10 * time.Second):
		case <-r.Context().Done():
		}
		return
	case Broken:
		refuse(w, http.StatusInternalServerError, "out of memory")
		return
	case Malformed:
		answer = answer[:len(answer)/2]
	case Cut:
		w.Header().Set("Content-Length", fmt.Sprint(len(answer)))
		_, _ = w.Write(answer[:len(answer)/2])
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(answer)
}

// note counts rows.
func (s *Server) note(pixels []float32, n int, usable bool) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.counts.Received += n
	if !usable {
		return
	}
	s.counts.Answered += n
	if s.rows == nil {
		s.rows = map[[32]byte]int{}
	}
	for row := range slices.Chunk(pixels, len(pixels)/n) {
		s.rows[sha256.Sum256(fmt.Append(nil, row))]++
	}
}

// read takes a request to pieces, and is strict about it.
func (s *Server) read(body []byte) (pixels []float32, n int, err error) {
	var asked struct {
		Inputs  []tensor `json:"inputs"`
		Outputs []tensor `json:"outputs"`
	}
	if err := json.Unmarshal(body, &asked); err != nil {
		return nil, 0, err
	}
	if len(asked.Inputs) != 1 {
		return nil, 0, fmt.Errorf("%d inputs", len(asked.Inputs))
	}
	in := asked.Inputs[0]
	if in.Name != or(s.Input, "x") && !s.Untold || in.Datatype != or(s.Datatype, "FP32") {
		return nil, 0, fmt.Errorf("input %s of type %s", in.Name, in.Datatype)
	}
	if len(in.Shape) != len(s.Shape)+1 || !slices.Equal(in.Shape[1:], s.Shape) || in.Shape[0] < 1 {
		return nil, 0, fmt.Errorf("shape %v", in.Shape)
	}
	size := in.Shape[0]
	for _, d := range s.Shape {
		size *= d
	}
	for _, o := range asked.Outputs {
		if o.Name != or(s.Output, "y") {
			return nil, 0, fmt.Errorf("no output %s", o.Name)
		}
	}
	if pixels, err = flat(in.Data, in.Shape, nil); err == nil && len(pixels) != size {
		err = fmt.Errorf("%d numbers for shape %v", len(pixels), in.Shape)
	}
	return pixels, in.Shape[0], err
}

// flat flattens lists; those that are nested must be nested as the shape says.
func flat(data any, shape []int, out []float32) ([]float32, error) {
	list, ok := data.([]any)
	if !ok || len(list) == 0 {
		return nil, fmt.Errorf("no list of numbers")
	}
	for _, v := range list {
		switch v := v.(type) {
		case float64:
			out = append(out, float32(v))
		default:
			if len(shape) < 2 || len(list) != shape[0] {
				return nil, fmt.Errorf("lists that are not nested as %v", shape)
			}
			var err error
			if out, err = flat(v, shape[1:], out); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// answer encodes what the model says.
func (s *Server) answer(pixels []float32, n int, fault Fault) []byte {
	out := tensor{Name: or(s.Output, "y"), Datatype: "FP32"}
	if fault == Short && n > 1 {
		pixels, n = pixels[len(pixels)/n:], n-1
	}
	var labels []int
	var rows [][]float32
	for i := range n {
		s.mutex.Lock()
		z := s.Scores(pixels[i*len(pixels)/n : (i+1)*len(pixels)/n])
		s.mutex.Unlock()
		labels = append(labels, slices.Index(z, slices.Max(z)))
		if s.Answers == "probabilities" {
			z = softmax(z)
		}
		rows = append(rows, z)
	}
	switch {
	case s.Answers == "labels":
		out.Datatype, out.Shape, out.Data = "INT64", []int{n}, labels
	case s.Nested:
		out.Shape, out.Data = []int{n, len(rows[0])}, rows
	default:
		all := slices.Concat(rows...)
		out.Shape, out.Data = []int{n, len(all) / n}, all
	}
	data, err := json.Marshal(map[string]any{"model_name": s.Name, "outputs": []tensor{out}})
	if err != nil {
		panic(err)
	}
	return data
}

func softmax(z []float32) []float32 {
	out, sum := make([]float32, len(z)), 0.0
	for _, v := range z {
		sum += math.Exp(float64(v - slices.Max(z)))
	}
	for i, v := range z {
		out[i] = float32(math.Exp(float64(v-slices.Max(z))) / sum)
	}
	return out
}

// Troubles makes a Trouble of a line of words, such as "none none busy drop", which it goes through again and again.
func Troubles(words string) func(i int) Fault {
	known := map[string]Fault{"none": None, "drop": Drop, "cut": Cut, "slow": Slow, "hang": Hang, "busy": Busy, "down": Down,
		"broken": Broken, "malformed": Malformed, "short": Short}
	var faults []Fault
	for _, w := range strings.Fields(words) {
		f, ok := known[w]
		if !ok {
			panic("no fault " + w)
		}
		faults = append(faults, f)
	}
	return func(i int) Fault { return faults[i%len(faults)] }
}
