package remote

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"sync"

	"github.com/pkg/errors"
	"golang.org/x/time/rate"
)

// Client asks one model. It is safe for concurrent use.
type Client struct {
	cfg           Config
	base          *url.URL
	path          string // of the model
	authorization string
	http          *http.Client
	limiter       *rate.Limiter
	slots         chan struct{} // one a request under way
	input         spec
	log           *answerLog // nil: none
	endpoint      string     // what all keys of the log begin with

	mutex          sync.Mutex
	kind           Answers
	why            string
	width, classes int // numbers a row; classes
	stats          Stats
}

// Stats count what a client asked.
type Stats struct {
	Rows   int64 `json:"rows"`   // that the server answered
	Logged int64 `json:"logged"` // that the answer log answered
	// Lost are rows of requests that were sent and gave no answer of use. The server may have answered and counted them; those
	// that it refused (429, 503) are not among them.
	Lost     int64 `json:"lost"`
	Requests int64 `json:"requests"` // for answers, retries among them
	Retries  int64 `json:"retries"`
}

// ErrBudget is behind errors of a budget that would not do.
var ErrBudget = errors.New("the budget of rows is used up")

// Open finds the model: the server must be ready, and tell of it. Shapes are those of Config.
func Open(ctx context.Context, cfg Config) (_ *Client, err error) {
	defer func() {
		if err != nil && ctx.Err() == nil {
			err = errors.WithMessage(err, "remote")
		}
	}()
	cfg = cfg.withDefaults()
	base, err := cfg.validate()
	if err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg, base: base, kind: cfg.Answers, slots: make(chan struct{}, cfg.Concurrency)}
	if c.kind != Guess {
		c.why = "as told"
	}
	if c.authorization, err = cfg.authorization(); err != nil {
		return nil, err
	}
	c.path = "/v2/models/" + url.PathEscape(cfg.Model)
	if cfg.Version != "" {
		c.path += "/versions/" + url.PathEscape(cfg.Version)
	}
	limit := rate.Inf
	if cfg.Rate > 0 {
		limit = rate.Limit(cfg.Rate)
	}
	c.limiter = rate.NewLimiter(limit, 1)
	transport := cfg.Transport
	if transport == nil {
		own := http.DefaultTransport.(*http.Transport).Clone()
		own.MaxIdleConnsPerHost = cfg.Concurrency
		transport = own
	}
	c.http = &http.Client{Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if err := c.describe(ctx); err != nil {
		return nil, err
	}
	if cfg.Log != "" {
		if c.log, err = openLog(cfg.Log); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Close frees the answer log and the connections.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	if c.log != nil {
		return c.log.close()
	}
	return nil
}

// get reads one of the server's descriptions. A server that has none gives nil.
func (c *Client) get(ctx context.Context, path string) (data []byte, err error) {
	err = c.persist(ctx, func() (f *failure) {
		data, f = c.do(ctx, http.MethodGet, path, nil)
		return f
	})
	var f *failure
	if errors.As(err, &f) && (f.status == http.StatusNotFound || f.status == http.StatusMethodNotAllowed) {
		return nil, nil
	}
	if err != nil && ctx.Err() == nil {
		err = errors.WithMessage(err, c.base.String()+path)
	}
	return data, err
}

// describe asks whether the server is ready and what the model takes.
func (c *Client) describe(ctx context.Context) error {
	if _, err := c.get(ctx, "/v2/health/ready"); err != nil {
		return err
	}
	data, err := c.get(ctx, c.path)
	if err != nil {
		return err
	}
	var m metadata
	if data == nil && c.cfg.Input == "" {
		return errors.Errorf("%s%s: the server knows no such model; if it only tells nothing of it, name its input", c.base, c.path)
	}
	if data != nil {
		if err := json.Unmarshal(data, &m); err != nil {
			return errors.Errorf("%s%s: is no metadata of the protocol: %v", c.base, c.path, err)
		}
	}
	if c.input, err = c.takes(m.Inputs); err != nil {
		return err
	}
	c.endpoint = fmt.Sprintf("%s %q %q %v %s", c.base.String()+c.path, c.input.Name, c.cfg.Output, c.input.Shape, c.input.Datatype)
	return c.gives(m.Outputs)
}

// takes finds the input tensor; the shape is that of one example.
func (c *Client) takes(inputs []spec) (spec, error) {
	in := spec{Name: c.cfg.Input, Datatype: c.cfg.Datatype}
	var told spec
	switch at := slices.IndexFunc(inputs, func(s spec) bool { return s.Name == in.Name }); {
	case at >= 0:
		told = inputs[at]
	case in.Name == "" && len(inputs) == 1:
		told = inputs[0]
	case in.Name == "" && len(inputs) > 1:
		return in, errors.Errorf("%s takes several inputs: name one of %s", c.cfg.Model, names(inputs))
	case in.Name == "":
		told.Name = "input-0" // what servers that tell of none take any name for
	case len(inputs) > 0:
		return in, errors.Errorf("%s takes no input %s, but %s", c.cfg.Model, in.Name, names(inputs))
	default:
		told.Name = in.Name
	}
	in.Name = told.Name
	if in.Datatype == "" {
		in.Datatype = told.Datatype
	}
	switch in.Datatype {
	case "":
		in.Datatype = "FP32"
	case "FP32", "FP64", "FP16", "BF16":
	default:
		return in, errors.Errorf("input %s of %s is of type %s: want FP32, FP64, FP16 or BF16, since pixels are no whole numbers",
			in.Name, c.cfg.Model, in.Datatype)
	}
	if in.Shape = c.cfg.InputShape; in.Shape != nil {
		return in, nil
	}
	in.Shape = c.cfg.Shape
	if len(told.Shape) < 2 || slices.Min(told.Shape[1:]) < 1 {
		return in, nil // any size, which the server is left to judge
	}
	if size(told.Shape[1:]) != size(c.cfg.Shape) {
		return in, errors.Errorf("%s takes inputs of shape %v, not examples of shape %v", c.cfg.Model, told.Shape, c.cfg.Shape)
	}
	if in.Shape = told.Shape[1:]; told.Shape[0] > 0 {
		c.cfg.Batch = min(c.cfg.Batch, told.Shape[0])
	}
	return in, nil
}

// gives looks at what the metadata tell of the outputs.
func (c *Client) gives(outputs []spec) error {
	if len(outputs) == 0 {
		return nil
	}
	at := 0
	if c.cfg.Output != "" {
		at = slices.IndexFunc(outputs, func(s spec) bool { return s.Name == c.cfg.Output })
	}
	if at < 0 || c.cfg.Output == "" && len(outputs) > 1 {
		return wrongOutput(c.cfg.Output, outputs)
	}
	out := outputs[at]
	if c.kind == Guess && whole(out.Datatype) && (len(out.Shape) == 1 || len(out.Shape) == 2 && out.Shape[1] == 1) {
		c.kind, c.why = Labels, fmt.Sprintf("its output is one %s a row", out.Datatype)
	}
	if c.kind == Labels && c.cfg.Classes > 0 {
		c.width, c.classes = 1, c.cfg.Classes
	}
	return nil
}

// Look asks about the first of n examples, at most 8, if it is not known yet what the answers are.
func (c *Client) Look(ctx context.Context, pixels []float32, n int) error {
	if c.Answers() != Guess && c.Classes() > 0 {
		return nil
	}
	some := min(n, 8)
	_, _, err := c.Ask(ctx, pixels[:min(len(pixels), some*size(c.cfg.Shape))], some)
	return err
}

// Ask returns the answers for n examples, whose pixels stand one after the other: logits [n, classes], nil if the model answers
// labels, and the predicted classes. Logits made of probabilities are their logarithms. Answers in the log are not asked for
// again; others are kept there as they come, those of requests that were under way when ctx was done included.
func (c *Client) Ask(ctx context.Context, pixels []float32, n int) (logits []float32, classes []int32, err error) {
	each := size(c.cfg.Shape)
	if n < 1 || len(pixels) != n*each {
		return nil, nil, errors.Errorf("remote: %d pixels for %d examples of shape %v", len(pixels), n, c.cfg.Shape)
	}
	found, err := c.answers(ctx, pixels, n, each)
	if err != nil {
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		return nil, nil, errors.WithMessagef(err, "remote: %s%s", c.base, c.path)
	}
	logits, classes = c.decided(found)
	return logits, classes, nil
}

// answers finds answers in the log and asks for the others.
func (c *Client) answers(ctx context.Context, pixels []float32, n, each int) ([]answer, error) {
	found := make([]answer, n)
	var keys []key
	open, first := make([]int, 0, n), map[key]int{} // rows to ask about, and where each question stands first
	for i := range n {
		if c.log == nil {
			open = append(open, i)
			continue
		}
		k := c.key(pixels[i*each : (i+1)*each])
		keys = append(keys, k)
		kept, ok, err := c.recall(k)
		if err != nil {
			return nil, err
		}
		if _, asked := first[k]; ok {
			found[i] = kept
		} else if !asked {
			first[k] = i
			open = append(open, i)
		}
	}
	if err := c.affords(int64(len(open))); err != nil {
		return nil, err
	}
	if err := c.askAll(ctx, pixels, each, open, keys, found); err != nil {
		return nil, err
	}
	for i, k := range keys {
		if found[i].words == nil {
			found[i] = found[first[k]]
		}
	}
	c.count(func(s *Stats) { s.Logged += int64(n - len(open)) })
	return found, nil
}

// recall looks into the log. An answer of another kind than what is asked for does not count.
func (c *Client) recall(k key) (a answer, ok bool, err error) {
	if a, ok, err = c.log.find(k); err != nil || !ok {
		return a, false, err
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if a.label != (c.kind == Labels) && c.kind != Guess || c.width > 0 && len(a.words) != c.width {
		return a, false, nil
	}
	values := make([]float64, len(a.words))
	for i, w := range a.words {
		if values[i] = float64(math.Float32frombits(w)); a.label {
			values[i] = float64(w)
		}
	}
	if err := c.settle(a.label, values, len(values)); err != nil {
		return a, false, err
	}
	return a, true, nil
}

// askAll asks about the open rows, in requests of at most Batch rows, several at a time. The first error keeps others from being
// sent; those under way end, and their answers are kept.
func (c *Client) askAll(ctx context.Context, pixels []float32, each int, open []int, keys []key, found []answer) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var all sync.WaitGroup
	for rows := range slices.Chunk(open, c.cfg.Batch) {
		select {
		case <-ctx.Done():
		case c.slots <- struct{}{}:
		}
		if ctx.Err() != nil {
			break
		}
		ask := func() {
			defer func() { <-c.slots }()
			if err := c.askSome(ctx, pixels, each, rows, keys, found); err != nil {
				fail(err)
			}
		}
		if c.Answers() == Guess {
			ask() // alone: what the answers are is to be told by the same rows every time
		} else {
			all.Go(ask)
		}
	}
	all.Wait()
	return context.Cause(ctx)
}

// askSome makes one request, again and again if need be.
func (c *Client) askSome(ctx context.Context, pixels []float32, each int, rows []int, keys []key, found []answer) error {
	asked := make([]float32, 0, len(rows)*each)
	for _, r := range rows {
		asked = append(asked, pixels[r*each:(r+1)*each]...)
	}
	body, err := c.request(asked, len(rows))
	if err != nil {
		return err
	}
	n := int64(len(rows))
	var got []answer
	retries := int64(-1)
	err = c.persist(ctx, func() *failure {
		if err := c.spend(n); err != nil {
			return &failure{error: err}
		}
		retries++
		data, f := c.do(ctx, http.MethodPost, c.path+"/infer", body)
		if f == nil {
			if got, err = c.decode(data, len(rows)); err != nil {
				f = &failure{error: err, again: errors.As(err, new(garbled))}
			}
		}
		c.count(func(s *Stats) {
			switch { // what spend booked as lost was not
			case f == nil:
				s.Lost, s.Rows = s.Lost-n, s.Rows+n
			case f.refused:
				s.Lost -= n
			}
		})
		return f
	})
	c.count(func(s *Stats) { s.Retries += max(0, retries) })
	if err != nil {
		return err
	}
	if c.log != nil {
		own := make([]key, len(rows))
		for i, r := range rows {
			own[i] = keys[r]
		}
		if err := c.log.keep(own, got); err != nil {
			return err
		}
	}
	for i, r := range rows {
		found[r] = got[i]
	}
	return nil
}

// affords refuses questions that the budget cannot pay, before any of them is asked.
func (c *Client) affords(rows int64) error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.within(rows)
}

// spend takes rows out of the budget, as lost until they are answered.
func (c *Client) spend(rows int64) error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if err := c.within(rows); err != nil {
		return err
	}
	c.stats.Lost += rows
	c.stats.Requests++
	return nil
}

func (c *Client) within(rows int64) error {
	spent := c.stats.Rows + c.stats.Lost
	if c.cfg.Budget > 0 && spent+rows > c.cfg.Budget {
		return errors.WithMessagef(ErrBudget, "%d more rows wanted, %d of %d asked, %d of them lost on the way",
			rows, spent, c.cfg.Budget, c.stats.Lost)
	}
	return nil
}

// Stats tells what was asked so far.
func (c *Client) Stats() Stats {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.stats
}

func (c *Client) count(change func(s *Stats)) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	change(&c.stats)
}

// key hashes the endpoint and a row.
func (c *Client) key(row []float32) (k key) {
	h := sha256.New()
	h.Write([]byte(c.endpoint))
	data := make([]byte, 0, 4*len(row)+1)
	data = append(data, 0)
	for _, p := range row {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(p))
	}
	h.Write(data)
	copy(k[:], h.Sum(nil))
	return k
}
