package gradsigns

import (
	"context"
	"fmt"
	"math"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/attack"
	"github.com/trustbook/trustbook/study"
	"github.com/trustbook/trustbook/watermark"
)

// Measured are the numbers of one network.
type Measured struct {
	Mark          string  `json:"mark"`
	Seed          int64   `json:"seed"`
	Bits          int     `json:"bits"` // 0 without a mark
	Carriers      int     `json:"carriers"`
	Accuracy      float64 `json:"accuracy"`       // on test images
	ClassAccuracy float64 `json:"class_accuracy"` // on those of the target class
	// RobustClass and RobustOthers are accuracies under PGD in l2 of the target class and of the others; absent where it was not run.
	RobustClass  *float64 `json:"robust_class,omitempty"`
	RobustOthers *float64 `json:"robust_others,omitempty"`
	Length       float64  `json:"length"` // of the mean gradient that is signed
	// Own is what the network's gradient says of its key, or, without a mark, of the key of the main mark: over all test images of the
	// target class.
	Own Bits `json:"own"`
	// Few is the same over the first images alone; Samples says how many.
	Few []Few `json:"few"`
	// Wrong are keys that the network was not marked with; absent where none were tried.
	Wrong *Wrong `json:"wrong,omitempty"`
	// Forged is a key made up from the network's own gradient; absent but for the network without a mark.
	Forged *Forged `json:"forged,omitempty"`
}

// Bits is what was read of a key.
type Bits struct {
	Errors  int      `json:"errors"`
	Decided int      `json:"decided"`
	BER     *float64 `json:"ber,omitempty"` // absent where nothing was decided
	PValue  float64  `json:"p_value"`
}

func bitsOf(r *watermark.Reading) Bits { return Bits{r.Errors, r.Decided, r.BER, r.PValue} }

// proof is -log10 of the p-value: 9 is one in a billion.
func (b Bits) proof() float64 { return -math.Log10(b.PValue) }

// Few is what was read from few images.
type Few struct {
	Samples int `json:"samples"`
	Bits
}

// Wrong is what keys say that have nothing to do with the network.
type Wrong struct {
	Keys    int     `json:"keys"`
	Mean    float64 `json:"mean"` // errors
	SD      float64 `json:"sd"`
	Outside int     `json:"outside"` // keys with errors outside the binomial 99.9 % interval of one half
	Found   int     `json:"found"`   // keys that read as the network's, p < 1e-9
	// Histogram counts the keys with each number of errors, from 0.
	Histogram []int `json:"histogram"`
}

// Forged is a key that was made after the fact.
type Forged struct {
	Copied     Bits   `json:"copied"`  // bits read first, and called the signature
	Redrawn    Bits   `json:"redrawn"` // rows drawn until they fit a signature
	Asked      Bits   `json:"asked"`   // as the first, but read and verified through answers alone
	Result     string `json:"result"`  // of that verification
	Commitment string `json:"commitment"`
}

// few are the numbers of images that marks are read with.
func (c Config) few() []int { return []int{1, 5, 10, 50} }

// Measure trains a network with a mark, reads the mark from it and measures what it costs.
func (s *Study) Measure(ctx context.Context, m Mark, seed int64) (Measured, error) {
	c := s.Config
	r := Measured{Mark: m.Name, Seed: seed, Bits: m.Bits, Carriers: m.Carriers}
	net, err := s.Train(ctx, m, seed)
	if err != nil {
		return r, err
	}
	main := m
	if m.Bits == 0 {
		main = c.main()
	}
	key, err := s.Key(main, seed)
	if err != nil {
		return r, err
	}
	c.Progress.Begin("read "+study.Label(m.Name, seed), 0, 1)
	defer c.Progress.End()
	v, err := s.signed(ctx, net)
	if err != nil {
		return r, err
	}
	r.Own, r.Length = bitsOf(key.Read(v)), length(v)
	_, held := s.Held()
	for _, n := range c.few() {
		if n >= held.Shape().Dimensions[0] {
			break
		}
		reading, err := watermark.Extract(ctx, s.e, net, key, first(held, n), nil)
		if err != nil {
			return r, err
		}
		r.Few = append(r.Few, Few{n, bitsOf(reading)})
	}
	if r.Accuracy, r.ClassAccuracy, err = s.accuracies(net); err != nil {
		return r, err
	}
	if m.Name == Unmarked || m.Name == Marked || m.Name == Settled {
		if err := s.stand(ctx, net, seed, &r); err != nil {
			return r, err
		}
	}
	if m.Name == Unmarked || m.Name == Marked {
		if r.Wrong, err = s.wrongKeys(v, seed); err != nil {
			return r, err
		}
	}
	if m.Name == Unmarked {
		if r.Forged, err = s.Forge(ctx, net, seed); err != nil {
			return r, err
		}
	}
	c.Progress.Advance(1)
	return r, ctx.Err()
}

// signed is the mean gradient over all test images of the target class.
func (s *Study) signed(ctx context.Context, net *nets.Model) ([]float64, error) {
	_, held := s.Held()
	return watermark.InputGradient(ctx, s.e, net, s.Config.Target, held)
}

// accuracies are over all test images, and over those of the target class.
func (s *Study) accuracies(net *nets.Model) (all, class float64, err error) {
	p, err := nets.NewPredictor(s.e.Backend(), net, 200)
	if err != nil {
		return 0, 0, err
	}
	classes, err := p.Classes(s.Data.Images)
	if err != nil {
		return 0, 0, err
	}
	right, rightOf, of := 0, 0, 0
	for i, y := range s.Data.Test.Labels {
		if y == classes[i] {
			right++
		}
		if int(y) == s.Config.Target {
			of++
			if y == classes[i] {
				rightOf++
			}
		}
	}
	return float64(right) / float64(len(classes)), float64(rightOf) / float64(of), nil
}

// stand attacks test images of the target class and of others by PGD.
func (s *Study) stand(ctx context.Context, net *nets.Model, seed int64, r *Measured) error {
	c := s.Config
	var class, others []int
	for i, y := range s.Data.Test.Labels {
		if int(y) == c.Target && len(class) < c.Robust {
			class = append(class, i)
		} else if int(y) != c.Target && len(others) < c.Robust {
			others = append(others, i)
		}
	}
	victim, err := robust.NewVictim(s.e, net, 100)
	if err != nil {
		return err
	}
	for _, part := range []struct {
		to   **float64
		rows []int
	}{{&r.RobustClass, class}, {&r.RobustOthers, others}} {
		set := s.Data.Test.Subset(part.rows)
		images, _ := set.Tensors()
		o, err := robust.Evaluate(ctx, victim, attack.PGD{Steps: 20}, robust.Problem{Images: images,
			Goal: robust.Goal{Labels: set.Labels}, Threat: robust.Threat{Norm: robust.L2, Epsilon: c.Epsilon}, Seed: seed})
		if err != nil {
			return err
		}
		if err := o.Void(); err != nil {
			return err
		}
		*part.to = &o.RobustAccuracy
	}
	return nil
}

// wrongKeys reads a gradient by keys of other secrets.
func (s *Study) wrongKeys(v []float64, seed int64) (*Wrong, error) {
	c := s.Config
	low, high := watermark.Interval(c.Bits, 0.999)
	w := &Wrong{Keys: c.Keys, Histogram: make([]int, c.Bits+1)}
	square := 0.0
	for i := range c.Keys {
		key, err := watermark.NewKey(fmt.Appendf(nil, "gradsigns, seed %d, wrong key %d", seed, i), fmt.Sprint("nobody ", i),
			watermark.KeyOptions{Shape: s.Data.Pool.Shape, Target: c.Target, Bits: c.Bits, Carriers: c.Carriers})
		if err != nil {
			return nil, err
		}
		r := key.Read(v)
		w.Histogram[r.Errors]++
		w.Mean += float64(r.Errors) / float64(c.Keys)
		square += float64(r.Errors*r.Errors) / float64(c.Keys)
		if r.Errors < low || r.Errors > high {
			w.Outside++
		}
		if r.PValue < watermark.Level {
			w.Found++
		}
	}
	w.SD = math.Sqrt(max(0, square-w.Mean*w.Mean))
	return w, nil
}

// Removed is what an attack left of the main mark.
type Removed struct {
	Attack        string  `json:"attack"`
	Seed          int64   `json:"seed"`
	Accuracy      float64 `json:"accuracy"`
	ClassAccuracy float64 `json:"class_accuracy"`
	Length        float64 `json:"length"` // of the mean gradient
	Own           Bits    `json:"own"`    // read from the network itself, over all test images of the target class
}

// Remove attacks the main mark of a seed's network, and reads what is left.
func (s *Study) Remove(ctx context.Context, a Attack, seed int64) (Removed, error) {
	r := Removed{Attack: a.Name, Seed: seed}
	net, err := s.attacked(ctx, a, seed)
	if err != nil {
		return r, err
	}
	key, err := s.Key(s.Config.main(), seed)
	if err != nil {
		return r, err
	}
	v, err := s.signed(ctx, net)
	if err != nil {
		return r, err
	}
	r.Own, r.Length = bitsOf(key.Read(v)), length(v)
	r.Accuracy, r.ClassAccuracy, err = s.accuracies(net)
	return r, err
}

// attacked is the network that an attack makes of a marked one.
func (s *Study) attacked(ctx context.Context, a Attack, seed int64) (*nets.Model, error) {
	marked, err := s.Train(ctx, s.Config.main(), seed)
	if err != nil {
		return nil, err
	}
	z, err := s.sceneOf(seed)
	if err != nil {
		return nil, err
	}
	return a.Removal.Apply(ctx, s.e, marked, z.thief, s.options(study.Label(a.Name, seed)))
}

// Reads are what the questions of a seed brought.
type Reads struct {
	Seed     int64  `json:"seed"`
	Marked   []Read `json:"marked"`   // in the order of Config.Questions
	Unmarked []Read `json:"unmarked"` // asked by the key of the main mark
	Wrong    []Read `json:"wrong"`    // asked of the marked network by another key
	Curves   []Read `json:"curves"`
}

// Read is what a way of asking brought.
type Read struct {
	Question  string   `json:"question"`
	Estimator string   `json:"estimator"`
	Step      float64  `json:"step"`
	Samples   int      `json:"samples"`
	Queries   int      `json:"queries"`
	Ones      int      `json:"ones"` // of the bits that were read
	Result    string   `json:"result"`
	Accuracy  *float64 `json:"accuracy,omitempty"` // of what the endpoint answers; absent where it was not measured
	Bits
}

// is tells whether the reading is the question's.
func (r Read) is(q Question) bool {
	return r.Question == q.Name && r.Estimator == string(q.Estimator) && r.Step == q.Step && r.Samples == q.Samples
}

// Ask asks a seed's networks, marked and not, through endpoints that hide more and less.
func (s *Study) Ask(ctx context.Context, seed int64) (Reads, error) {
	c := s.Config
	r := Reads{Seed: seed}
	key, err := s.Key(c.main(), seed)
	if err != nil {
		return r, err
	}
	other, err := watermark.NewKey(fmt.Appendf(nil, "gradsigns, seed %d, wrong key", seed), "nobody", watermark.KeyOptions{
		Shape: key.Shape, Target: c.Target, Bits: c.Bits, Carriers: c.Carriers})
	if err != nil {
		return r, err
	}
	rows, _ := s.Held()
	images, worth := len(rows), map[string]*float64{}
	study.Weigh(c.Progress, c.tasksReads())
	c.Progress.Begin("ask "+study.Label("endpoints", seed), 0, len(c.Questions())+len(c.curves())+len(c.unmarkedQuestions())+1)
	defer c.Progress.End()
	for _, part := range []struct {
		to    *[]Read
		mark  Mark
		key   *watermark.Key
		ask   []Question
		worth bool
	}{{&r.Marked, c.main(), key, c.Questions(), true}, {&r.Curves, c.main(), key, c.curves(), false},
		{&r.Wrong, c.main(), other, c.unmarkedQuestions()[:1], false}, {&r.Unmarked, Mark{Name: Unmarked}, key, c.unmarkedQuestions(), false}} {
		net, err := s.Train(ctx, part.mark, seed)
		if err != nil {
			return r, err
		}
		for _, q := range part.ask {
			if q.Estimator == watermark.OneQuery && c.Bits*q.Samples > images {
				continue // it needs others for every bit
			}
			c.Progress.Advance(1)
			one, err := s.ask(ctx, net, part.key, q, seed)
			if err != nil {
				return r, err
			}
			if part.worth {
				if worth[q.Name] == nil {
					if worth[q.Name], err = s.worth(ctx, net, q); err != nil {
						return r, err
					}
				}
				one.Accuracy = worth[q.Name]
			}
			*part.to = append(*part.to, one)
		}
	}
	return r, nil
}

// endpoint is a network as a question finds it.
func (s *Study) endpoint(net *nets.Model, q Question) (watermark.Endpoint, error) {
	e, err := watermark.ModelEndpoint(s.e, net, 200)
	if err != nil || q.Hiding == nil {
		return e, err
	}
	return q.Hiding.Of(e)
}

func (s *Study) ask(ctx context.Context, net *nets.Model, key *watermark.Key, q Question, seed int64) (Read, error) {
	r := Read{Question: q.Name, Estimator: string(q.Estimator), Step: q.Step, Samples: q.Samples}
	e, err := s.endpoint(net, q)
	if err != nil {
		return r, err
	}
	_, held := s.Held()
	v := watermark.Verifier{Estimator: q.Estimator, Step: q.Step, Samples: min(q.Samples, held.Shape().Dimensions[0]), Seed: seed}
	verdict, err := v.Verify(ctx, e, key, held)
	if err != nil {
		return r, err
	}
	r.Queries, r.Bits, r.Result = verdict.Queries, bitsOf(&verdict.Reading), verdict.Result
	for _, bit := range verdict.Bits {
		if bit == 1 {
			r.Ones++
		}
	}
	return r, nil
}

// worth is the accuracy of what an endpoint answers.
func (s *Study) worth(ctx context.Context, net *nets.Model, q Question) (*float64, error) {
	e, err := s.endpoint(net, q)
	if err != nil {
		return nil, err
	}
	rows := make([]int, s.Config.Judged)
	for i := range rows {
		rows[i] = i
	}
	set := s.Data.Test.Subset(rows)
	images, _ := set.Tensors()
	answers, err := e.Probabilities(ctx, images)
	if err != nil {
		return nil, err
	}
	flat, err := tensors.CopyFlatData[float32](answers)
	if err != nil {
		return nil, err
	}
	right, classes := 0.0, len(flat)/len(rows)
	for i, y := range set.Labels {
		best := 0
		for k := range classes {
			if flat[i*classes+k] > flat[i*classes+best] {
				best = k
			}
		}
		if best == int(y) {
			right++
		}
	}
	right /= float64(len(rows))
	return &right, nil
}

// first are the first images.
func first(images *tensors.Tensor, n int) *tensors.Tensor {
	dims := append([]int{}, images.Shape().Dimensions...)
	flat := tensors.MustCopyFlatData[float32](images)
	size := len(flat) / dims[0]
	dims[0] = n
	return tensors.FromFlatDataAndDimensions(flat[:n*size], dims...)
}

func length(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x * x
	}
	return math.Sqrt(sum)
}
