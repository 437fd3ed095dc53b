package fewshot

import (
	"cmp"
	"fmt"
	"math/rand/v2"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"
)

// Batch is a batch of tasks. The first axis of every tensor is the task. In support, query and unlabeled images the
// classes follow one another: all images of class 0, then those of class 1 and so on.
type Batch struct {
	Support       *tensors.Tensor // float32 [tasks, ways·shots, height, width, channels]; of a Sinusoid [tasks, shots, 1]
	SupportLabels *tensors.Tensor // int32 [tasks, ways·shots], in [0, ways); of a Sinusoid float32 [tasks, shots, 1]
	Query         *tensors.Tensor // as Support, with queries in place of shots
	QueryLabels   *tensors.Tensor
	Unlabeled     *tensors.Tensor // more images of the same classes, [tasks, ways·unlabeled, ...]; nil if none were asked for
	// Views are two random views of each image of support and query, [tasks, 2·(support+query), ...]: all first views,
	// then all second ones; nil if none were asked for.
	Views *tensors.Tensor

	Classes [][]string // names of the classes of each task; nil for a Sinusoid
}

// Finalize frees the tensors.
func (b *Batch) Finalize() {
	for _, t := range []*tensors.Tensor{b.Support, b.SupportLabels, b.Query, b.QueryLabels, b.Unlabeled, b.Views} {
		if t != nil {
			t.FinalizeAll()
		}
	}
}

// Source yields batches of tasks.
type Source interface {
	// Batch returns batch i >= 0. The same i gives the same batch, whatever was asked for before.
	Batch(i int) (*Batch, error)
	// Key identifies everything that the batches depend on.
	Key() string
}

// Episodes are the settings of a [Sampler].
type Episodes struct {
	Ways      int   `json:"ways"`      // classes in a task; zero: 5
	Shots     int   `json:"shots"`     // labeled images of each class; zero: 1
	Queries   int   `json:"queries"`   // images of each class to be judged on; zero: 5
	Tasks     int   `json:"tasks"`     // tasks in a batch; zero: 4
	Unlabeled int   `json:"unlabeled"` // further images of each class, without labels; zero: none
	Rotations bool  `json:"rotations"` // each class turned by 90, 180 and 270 degrees is another class
	Views     bool  `json:"views"`     // two random views of each image of support and query
	Shift     int   `json:"shift"`     // most pixels by which a view is moved, either way; zero: 3
	Seed      int64 `json:"seed"`
}

func (e Episodes) withDefaults() Episodes {
	e.Ways, e.Shots, e.Queries, e.Tasks, e.Shift = cmp.Or(e.Ways, 5), cmp.Or(e.Shots, 1), cmp.Or(e.Queries, 5), cmp.Or(e.Tasks, 4),
		cmp.Or(e.Shift, 3)
	return e
}

// each is how many images of a class an episode takes.
func (e Episodes) each() int { return e.Shots + e.Queries + e.Unlabeled }

// Sampler draws episodes from a class set. It may be used concurrently.
type Sampler struct {
	set *ClassSet
	e   Episodes
}

// NewSampler checks that the set has what the episodes need.
func NewSampler(s *ClassSet, e Episodes) (*Sampler, error) {
	if err := e.Check(s); err != nil {
		return nil, errors.WithMessage(err, "fewshot")
	}
	return &Sampler{set: s, e: e.withDefaults()}, nil
}

// Check reports settings that cannot be, and what a class set lacks for them. Its errors are without the package's name,
// for callers that have more to say.
func (e Episodes) Check(s *ClassSet) error {
	e = e.withDefaults()
	for _, n := range []struct {
		name  string
		value int
		least int
	}{{"ways", e.Ways, 2}, {"shots", e.Shots, 1}, {"queries", e.Queries, 1}, {"tasks", e.Tasks, 1},
		{"unlabeled", e.Unlabeled, 0}, {"shift", e.Shift, 0}} {
		if n.value < n.least {
			return errors.Errorf("%s = %d: must be at least %d", n.name, n.value, n.least)
		}
	}
	if s == nil {
		return errors.New("no class set given")
	}
	if e.Rotations && s.Shape[0] != s.Shape[1] {
		return errors.Errorf("rotations of images of %d by %d pixels: want square ones", s.Shape[0], s.Shape[1])
	}
	if have := len(s.Classes) * e.turns(); have < e.Ways {
		return errors.Errorf("%d-way episodes need %d classes, %s has %d", e.Ways, e.Ways, s.Name, have)
	}
	for _, c := range s.Classes {
		if len(c.Images) < e.each() {
			return errors.Errorf("class %s has %d images, an episode needs shots + queries + unlabeled = %d", c.Name, len(c.Images), e.each())
		}
	}
	return nil
}

func (e Episodes) turns() int {
	if e.Rotations {
		return 4
	}
	return 1
}

// Episodes are the settings, with defaults filled in.
func (s *Sampler) Episodes() Episodes { return s.e }

// Key implements [Source].
func (s *Sampler) Key() string { return fmt.Sprintf("episodes 1, %s, %+v", s.set.sum, s.e) }

// Batch implements [Source].
func (s *Sampler) Batch(i int) (*Batch, error) {
	if i < 0 {
		return nil, errors.Errorf("fewshot: batch %d: want 0 or more", i)
	}
	e := s.e
	rng := rand.New(rand.NewPCG(uint64(e.Seed), uint64(i)))
	var support, query, unlabeled, views []float32
	b := &Batch{}
	for range e.Tasks {
		var names []string
		var own [][]float32 // images of support and query
		var queries [][]float32
		for _, class := range choose(rng, len(s.set.Classes)*e.turns(), e.Ways) {
			c, turn := s.set.Classes[class/e.turns()], class%e.turns()
			names = append(names, name(c.Name, turn))
			for k, row := range choose(rng, len(c.Images), e.each()) {
				pixels := rotate(c.Images[row], s.set.Shape, turn)
				switch {
				case k < e.Shots:
					support, own = append(support, pixels...), append(own, pixels)
				case k < e.Shots+e.Queries:
					query, queries = append(query, pixels...), append(queries, pixels)
				default:
					unlabeled = append(unlabeled, pixels...)
				}
			}
		}
		b.Classes = append(b.Classes, names)
		if e.Views {
			own = append(own, queries...)
			for range 2 {
				for _, pixels := range own {
					views = append(views, view(rng, pixels, s.set.Shape, e.Shift)...)
				}
			}
		}
	}
	b.Support, b.SupportLabels = s.tensor(support), s.labels(e.Shots)
	b.Query, b.QueryLabels = s.tensor(query), s.labels(e.Queries)
	if e.Unlabeled > 0 {
		b.Unlabeled = s.tensor(unlabeled)
	}
	if e.Views {
		b.Views = s.tensor(views)
	}
	return b, nil
}

func name(class string, turn int) string {
	if turn == 0 {
		return class
	}
	return fmt.Sprintf("%s, turned %d°", class, 90*turn)
}

// tensor shapes the images of all tasks.
func (s *Sampler) tensor(pixels []float32) *tensors.Tensor {
	h, w, c := s.set.Shape[0], s.set.Shape[1], s.set.Shape[2]
	return tensors.FromFlatDataAndDimensions(pixels, s.e.Tasks, len(pixels)/(s.e.Tasks*h*w*c), h, w, c)
}

func (s *Sampler) labels(each int) *tensors.Tensor {
	labels := make([]int32, 0, s.e.Tasks*s.e.Ways*each)
	for range s.e.Tasks {
		for way := range s.e.Ways {
			for range each {
				labels = append(labels, int32(way))
			}
		}
	}
	return tensors.FromFlatDataAndDimensions(labels, s.e.Tasks, s.e.Ways*each)
}

// choose draws k of n numbers without replacement, in random order.
func choose(rng *rand.Rand, n, k int) []int {
	moved := map[int]int{} // where a partial shuffle differs from the identity
	at := func(i int) int {
		if v, ok := moved[i]; ok {
			return v
		}
		return i
	}
	out := make([]int, k)
	for i := range k {
		j := i + rng.IntN(n-i)
		out[i] = at(j)
		moved[j] = at(i)
	}
	return out
}

// rotate turns a square image counterclockwise by so many right angles.
func rotate(pixels []float32, shape []int, turns int) []float32 {
	side, channels := shape[0], shape[2]
	for range turns {
		turned := make([]float32, len(pixels))
		for y := range side {
			for x := range side {
				copy(turned[((side-1-x)*side+y)*channels:][:channels], pixels[(y*side+x)*channels:][:channels])
			}
		}
		pixels = turned
	}
	return pixels
}

// view moves an image by up to shift pixels along either axis, with 0 where nothing was, and scales it by 0.6 to 1.
func view(rng *rand.Rand, pixels []float32, shape []int, shift int) []float32 {
	h, w, c := shape[0], shape[1], shape[2]
	dy, dx, gain := rng.IntN(2*shift+1)-shift, rng.IntN(2*shift+1)-shift, float32(0.6+0.4*rng.Float64())
	out := make([]float32, len(pixels))
	for y := max(0, dy); y < min(h, h+dy); y++ {
		for x := max(0, dx); x < min(w, w+dx); x++ {
			for k := range c {
				out[(y*w+x)*c+k] = gain * pixels[((y-dy)*w+x-dx)*c+k]
			}
		}
	}
	return out
}
