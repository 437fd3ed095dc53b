package vit

import (
	"context"
	"strings"

	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/datasets"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
)

// The proxy for the paper's pre-training on larger data: as many rendered characters of four scripts as Config.Pretrain
// says, in the format of the data set. More classes and more examples, but of another kind, as ImageNet-21k is to the
// data sets that its networks end on.
var scripts = []string{"digits", "latin", "greek", "cyrillic"}

// pretrainingSet renders the characters of a seed, [height, width, channels] as the images that follow.
func pretrainingSet(shape []int, n int, seed int64) (*datasets.Set, error) {
	g, err := datasets.NewGlyphGenerator(seed, datasets.GlyphOptions{Scripts: scripts})
	if err != nil {
		return nil, err
	}
	drawn, err := g.Set("train", 0, (n+g.Classes()-1)/g.Classes())
	if err != nil {
		return nil, err
	}
	if drawn, err = drawn.Take(n, seed); err != nil {
		return nil, err
	}
	pixels := make([]uint8, 0, n*shape[0]*shape[1]*shape[2])
	for i := range n {
		pixels = append(pixels, centered(drawn.Bytes(i), drawn.Shape, shape)...)
	}
	return datasets.New("glyphs", "train", shape, pixels, drawn.Labels, drawn.Classes, drawn.ClassNames)
}

// centered puts a gray image in the middle of one of another shape, the same in each channel; what does not fit is cut.
func centered(from []uint8, shape, want []int) []uint8 {
	out := make([]uint8, want[0]*want[1]*want[2])
	top, left := (want[0]-shape[0])/2, (want[1]-shape[1])/2
	for y := range shape[0] {
		for x := range shape[1] {
			if r, c := y+top, x+left; r >= 0 && r < want[0] && c >= 0 && c < want[1] {
				for k := range want[2] {
					out[(r*want[1]+c)*want[2]+k] = from[y*shape[1]+x]
				}
			}
		}
	}
	return out
}

// pretrain trains a copy of each job's model with a head for the characters, then gives the model all of its weights but
// the head's, which keep their initial values.
func (s *Study) pretrain(ctx context.Context, m Model, jobs []fit.Job) error {
	wide := make([]fit.Job, len(jobs))
	for i, job := range jobs {
		seed := job.Config.Seed
		set, err := pretrainingSet(job.Model.InputShape, s.Config.Pretrain, seed)
		if err != nil {
			return err
		}
		net, err := m.build(s.Config, job.Model.InputShape, set.Classes, seed)
		if err != nil {
			return err
		}
		images, _ := set.Tensors()
		wide[i] = fit.Job{Model: net, Train: fit.Data{Images: images, Labels: set.Labels, Checksum: set.Checksum()},
			Config: s.Config.fitting(m.epochs(s.Config)/2, fit.CrossEntropy(), 0, seed), Options: fit.Options{Dir: s.Config.Dir}}
	}
	if err := s.trainAll(ctx, "pre-train", m, wide); err != nil {
		return err
	}
	for i, job := range jobs {
		if _, err := giveBody(job.Model, wide[i].Model); err != nil {
			return err
		}
	}
	return nil
}

// giveBody gives a network the weights of another with other classes, all but the head's. It returns the number of weight
// tensors given.
func giveBody(net, wide *nets.Model) (given int, err error) {
	for i, w := range net.Weights() {
		from := wide.Weights()[i]
		if !from.Shape().Equal(w.Shape()) { // the head
			continue
		}
		value, err := from.Value()
		if err != nil {
			return 0, err
		}
		if value, err = value.LocalClone(); err != nil {
			return 0, err
		}
		if err := w.SetValue(value); err != nil {
			return 0, err
		}
		given++
	}
	if given == len(net.Weights()) || given < len(net.Weights())-2 {
		return 0, errors.Errorf("%d of %d weights (%s) fit: want all but the head's", given, len(net.Weights()),
			strings.Join(net.WeightPaths, ", "))
	}
	return given, nil
}
