package watermark

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"
)

// question is an image with a change, or as it is.
type question struct {
	image int
	way   int // which direction; -1: none
	sign  float64
	key   askedKey
}

// interview is a verification on its way.
type interview struct {
	v      Verifier
	k      *Key
	e      Endpoint
	pixels []float32
	size   int
	ways   [][]float64 // unit vectors on the carriers
	plan   []question
	known  map[askedKey]float64 // c of each question that was answered; NaN: the target was not told
	diary  *journal
	used   map[askedKey]bool // by this verification
}

// answers are what became of the questions.
type answers struct {
	projections []float64 // NaN: not told
	queries     int
	notes       []string
}

// askedKey tells a question from all others.
type askedKey [16]byte

func (v Verifier) ask(ctx context.Context, e Endpoint, k *Key, images *tensors.Tensor) (_ *answers, err error) {
	pixels, err := tensors.CopyFlatData[float32](images)
	if err != nil {
		return nil, err
	}
	n := images.Shape().Dimensions[0]
	r := &interview{v: v, k: k, e: e, pixels: pixels, size: len(pixels) / n, known: map[askedKey]float64{}, used: map[askedKey]bool{}}
	rng := rand.New(rand.NewPCG(uint64(v.Seed), 0x766572696679)) // the stream "verify"
	r.directions(rng)
	r.order(rng, n)
	if v.Journal != "" {
		if r.diary, err = openJournal(v.Journal, endpointID(e, k.Target), r.known); err != nil {
			return nil, err
		}
		defer func() {
			if closing := r.diary.close(); err == nil {
				err = closing
			}
		}()
	}
	if err := r.askAll(ctx); err != nil {
		return nil, err
	}
	return r.evaluate()
}

// directions fills in what images are changed by.
func (r *interview) directions(rng *rand.Rand) {
	switch c := len(r.k.Carriers); r.v.Estimator {
	case Coordinate:
		for i := range c {
			way := make([]float64, c)
			way[i] = 1
			r.ways = append(r.ways, way)
		}
	case RandomDirections:
		for range r.v.Directions {
			way := make([]float64, c)
			for i := range way {
				way[i] = rng.NormFloat64()
			}
			r.ways = append(r.ways, scaled(way))
		}
	default:
		for _, row := range r.k.Matrix {
			r.ways = append(r.ways, scaled(row))
		}
	}
}

// scaled is a vector at length 1.
func scaled(v []float64) []float64 {
	length, out := norm(v), make([]float64, len(v))
	for i := range v {
		out[i] = v[i] / length
	}
	return out
}

// order plans the questions.
func (r *interview) order(rng *rand.Rand, images int) {
	own := rng.Perm(images) // of images that are asked about once
	paired := r.v.Estimator == Directional || r.v.Estimator == OneQuery
	if !paired {
		for i := range r.v.Samples {
			r.add(i, -1, 0)
		}
	}
	for _, way := range rng.Perm(len(r.ways)) {
		for i := range r.v.Samples {
			first := float64(1 - 2*rng.IntN(2))
			switch {
			case !paired:
				r.add(i, way, 1)
			case r.v.Estimator == Directional:
				r.add(i, way, first)
				r.add(i, way, -first)
			case i%2 == 0:
				r.add(own[way*r.v.Samples+i], way, first)
				r.add(own[way*r.v.Samples+i+1], way, -first)
			}
		}
	}
}

// add plans a question.
func (r *interview) add(image, way int, sign float64) {
	q := question{image: image, way: way, sign: sign}
	q.key = keyOf(r.input(q))
	r.plan = append(r.plan, q)
}

// input is the changed image.
func (r *interview) input(q question) []float32 {
	x := append([]float32{}, r.pixels[q.image*r.size:(q.image+1)*r.size]...)
	if q.way < 0 {
		return x
	}
	for i, c := range r.k.Carriers {
		x[c] = float32(float64(x[c]) + q.sign*r.v.Step*r.ways[q.way][i])
	}
	return x
}

func keyOf(x []float32) (key askedKey) {
	data := make([]byte, 0, 4*len(x))
	for _, p := range x {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(p))
	}
	sum := sha256.Sum256(data)
	return askedKey(sum[:])
}

// askAll asks what is not known yet, in batches.
func (r *interview) askAll(ctx context.Context) error {
	var rows []float32
	var keys []askedKey
	waiting, begun := map[askedKey]bool{}, 0
	for _, q := range r.plan {
		if _, ok := r.known[q.key]; ok && !r.used[q.key] {
			begun++
		}
		r.used[q.key] = true
	}
	r.v.Progress.Begin("verify", begun, len(r.used))
	defer r.v.Progress.End()
	flush := func() error {
		if len(keys) == 0 {
			return nil
		}
		err := r.askSome(ctx, rows, keys)
		r.v.Progress.Advance(len(keys))
		rows, keys = nil, nil
		clear(waiting)
		return err
	}
	for _, q := range r.plan {
		if _, ok := r.known[q.key]; ok || waiting[q.key] {
			continue
		}
		waiting[q.key] = true
		rows, keys = append(rows, r.input(q)...), append(keys, q.key)
		if len(keys) == r.v.Batch {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// grace is how long a batch may go on after the context is done, so that what was asked is answered and kept.
const grace = 30 * time.Second

// askSome asks one batch.
func (r *interview) askSome(ctx context.Context, rows []float32, keys []askedKey) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	going, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(grace):
			cancel()
		case <-going.Done():
		}
	})
	defer stop()
	n := len(keys)
	p, err := r.e.Probabilities(going, tensors.FromFlatDataAndDimensions(rows, append([]int{n}, r.k.Shape...)...))
	if err != nil {
		return err
	}
	if p.Rank() != 2 || p.Shape().Dimensions[0] != n {
		return errors.Errorf("the endpoint answered %d inputs with shape %v: want [%d, classes]", n, p.Shape().Dimensions, n)
	}
	values, err := tensors.CopyFlatData[float32](p)
	if err != nil {
		return err
	}
	classes, found := p.Shape().Dimensions[1], make([]float64, n)
	if r.k.Target >= classes {
		return errors.Errorf("the endpoint has classes 0 to %d, the key's target is %d", classes-1, r.k.Target)
	}
	for i := range n {
		if found[i], err = surprise(values[i*classes:(i+1)*classes], r.k.Target); err != nil {
			return errors.WithMessagef(err, "answer %d", len(r.known)+1)
		}
		r.known[keys[i]] = found[i]
	}
	if r.diary != nil {
		return r.diary.keep(keys, found)
	}
	return nil
}

// surprise is c = -ln clip(p_t/Σp, 1e-7, 1-1e-7) of one answer; NaN where the target is not among those told.
func surprise(p []float32, target int) (float64, error) {
	sum, zeros := 0.0, false
	for class, v := range p {
		if v-v != 0 || v > 2 || v < -2 {
			return 0, errors.Errorf("%g for class %d is no probability", v, class)
		}
		sum += float64(v)
		zeros = zeros || v == 0
	}
	share := float64(p[target])
	switch few := zeros && sum < 1-1e-3; {
	case few && p[target] == 0:
		return math.NaN(), nil
	case few: // the rest was told of nobody: nothing to scale by
	case !(sum >= 0.5 && sum <= 1+float64(len(p))/4):
		return 0, errors.Errorf("probabilities sum to %.4g, far from 1", sum)
	default:
		share /= sum
	}
	return -math.Log(math.Min(math.Max(share, 1e-7), 1-1e-7)), nil
}

// evaluate makes projections of answers.
func (r *interview) evaluate() (*answers, error) {
	told := func(q question) float64 { return r.known[q.key] }
	base := map[int]float64{}
	plus, minus := make([]mean, len(r.ways)), make([]mean, len(r.ways))
	missing := 0
	for at := 0; at < len(r.plan); at++ {
		q := r.plan[at]
		c := told(q)
		missing += count(c)
		switch {
		case q.way < 0:
			base[q.image] = c
		case r.v.Estimator == OneQuery:
			side := &plus[q.way]
			if q.sign < 0 {
				side = &minus[q.way]
			}
			side.add(c)
		case r.v.Estimator == Directional:
			at++
			other := told(r.plan[at])
			missing += count(other)
			plus[q.way].add(q.sign * (c - other) / 2)
		default:
			plus[q.way].add(c - base[q.image])
		}
	}
	slopes := make([]float64, len(r.ways))
	for i := range slopes {
		slopes[i] = plus[i].value() / r.v.Step
		if r.v.Estimator == OneQuery {
			slopes[i] = (plus[i].value() - minus[i].value()) / 2 / r.v.Step
		}
	}
	a := &answers{queries: len(r.used), projections: r.project(slopes)}
	if missing > 0 {
		a.notes = append(a.notes, fmt.Sprintf("target missing in %d of %d answers; erased", missing, len(r.plan)))
	}
	return a, nil
}

// project turns slopes along the ways into projections on the rows.
func (r *interview) project(slopes []float64) []float64 {
	y := make([]float64, len(r.k.Matrix))
	if r.v.Estimator != Coordinate && r.v.Estimator != RandomDirections {
		for j, row := range r.k.Matrix {
			y[j] = slopes[j] * norm(row)
		}
		return y
	}
	scale := 1.0
	if r.v.Estimator == RandomDirections {
		scale = float64(len(r.k.Carriers)) / float64(len(r.ways))
	}
	v := make([]float64, len(r.k.Carriers))
	for w, way := range r.ways {
		if math.IsNaN(slopes[w]) {
			continue // not told
		}
		for i := range v {
			v[i] += scale * slopes[w] * way[i]
		}
	}
	for j, row := range r.k.Matrix {
		for i := range v {
			y[j] += row[i] * v[i]
		}
	}
	return y
}

// count is 1 for what is missing.
func count(c float64) int {
	if math.IsNaN(c) {
		return 1
	}
	return 0
}

// mean is that of all values that are there.
type mean struct {
	sum float64
	n   int
}

func (m *mean) add(v float64) {
	if !math.IsNaN(v) {
		m.sum, m.n = m.sum+v, m.n+1
	}
}

// value is NaN of none.
func (m *mean) value() float64 { return m.sum / float64(m.n) }
