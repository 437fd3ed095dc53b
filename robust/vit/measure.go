package vit

import (
	"context"
	"fmt"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/pkg/errors"
	"gonum.org/v1/gonum/mat"

	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/robust"
	"github.com/trustbook/trustbook/robust/attack"
)

// gaugeBatch divides the numbers of images at quick scale, so that no batch is padded.
const gaugeBatch = 100

// highMask is the mask by which sensitivity to high frequencies is judged.
const highMask = "high"

// gauge measures networks of one architecture. It has a network of its own, whose graphs are compiled once and which
// takes the weights of one measured network after the other.
type gauge struct {
	net    *nets.Model
	victim *robust.Victim

	inspect    *model.Exec // of every block's output, once asked for
	blockNames []string
}

// gauge returns the one of a model's architecture with the weights of net.
func (s *study) gauge(m Model, net *nets.Model) (*gauge, error) {
	g := s.gauges[m.architecture()]
	if g == nil {
		own, err := net.Clone()
		if err != nil {
			return nil, err
		}
		v, err := robust.NewVictim(s.e, own, min(gaugeBatch, len(s.labels)))
		if err != nil {
			return nil, err
		}
		g = &gauge{net: own, victim: v}
		s.gauges[m.architecture()] = g
	}
	return g, g.net.CopyWeights(net)
}

// measure attacks one network.
func (g *gauge) measure(ctx context.Context, s *study, name string, net *nets.Model, seed int64) (Measured, error) {
	c := s.c
	r := Measured{Model: name, Seed: seed, Parameters: net.NumParameters()}
	masks := masks(side(net))
	c.Progress.Begin(label("attack", name, seed), 0, 2*len(c.Epsilon)+3)
	defer c.Progress.End()
	p := robust.Problem{Images: s.images, Goal: robust.Goal{Labels: s.labels}, Seed: seed}
	evaluate := func(a robust.Attack, p robust.Problem) (*robust.Outcome, error) {
		o, err := robust.Evaluate(ctx, g.victim, a, p)
		if err == nil {
			err = broken(o)
		}
		if err != nil {
			return nil, errors.WithMessagef(err, "%s at %g", a.Name(), p.Threat.Epsilon)
		}
		c.Progress.Advance(1)
		return o, nil
	}
	var found *robust.Outcome // of PGD at Reference
	var err error
	for _, epsilon := range c.Epsilon {
		p.Threat = robust.Threat{Norm: robust.Linf, Epsilon: epsilon}
		o, err := evaluate(attack.FGSM{}, p)
		if err != nil {
			return r, err
		}
		r.Clean, r.FGSM = o.CleanAccuracy, append(r.FGSM, o.RobustAccuracy)
		if o, err = evaluate(c.pgd(epsilon), p); err != nil {
			return r, err
		}
		r.PGD = append(r.PGD, o.RobustAccuracy)
		if epsilon == c.Reference {
			found = o
		}
	}
	if r.Filtered, err = g.filtered(ctx, s, found.Perturbed, masks); err != nil {
		return r, err
	}
	if r.Energy, err = s.energy(found.Perturbed); err != nil {
		return r, err
	}
	c.Progress.Advance(1)
	strong := p
	strong.Threat.Epsilon = c.Reference
	if strong.Images, strong.Goal.Labels, err = s.sample(c.StrongImages); err != nil {
		return r, err
	}
	o, err := evaluate(c.strong(g.net.Classes), strong)
	if err != nil {
		return r, err
	}
	r.Strong = o.RobustAccuracy
	if net.Inspect == nil {
		return r, nil
	}
	if r.Blocks, err = g.blocks(s); err != nil {
		return r, err
	}
	c.Progress.Advance(1)
	return r, nil
}

// filtered measures what is left of an attack's success when each mask filters its perturbations. What is left may move a
// pixel further than the radius, which the referee would not allow: the norms are reported instead.
func (g *gauge) filtered(ctx context.Context, s *study, perturbed *tensors.Tensor, masks []mask) ([]Filtered, error) {
	v, box := g.victim, g.net
	step, err := v.Compile("filtered", func(o *robust.Oracle, args []*Node) []*Node { // one graph for all masks
		x, delta, keep := args[0], Sub(args[1], args[0]), args[2]
		y := Clip(Add(x, attack.IDCT2(Mul(attack.DCT2(delta), keep))), Scalar(x.Graph(), x.DType(), box.Lower), Scalar(x.Graph(), x.DType(), box.Upper))
		return []*Node{o.Predict(x), o.Predict(y), ReduceMax(Reshape(Abs(Sub(y, x)), x.Shape().Dimensions[0], -1), -1)}
	})
	if err != nil {
		return nil, err
	}
	clean, err := tensors.CopyFlatData[float32](s.images)
	if err != nil {
		return nil, err
	}
	moved, err := tensors.CopyFlatData[float32](perturbed)
	if err != nil {
		return nil, err
	}
	all := make([]Filtered, len(masks))
	for rows := range v.Batches(robust.Rows(len(s.labels))) {
		for k, m := range masks {
			out, err := step.Call(ctx, rows, v.Images(clean, rows), v.Images(moved, rows), m.plane(s.images.Shape().Dimensions[1:]))
			if err != nil {
				return nil, err
			}
			f := &all[k]
			f.Mask, f.Size = m.mask.String(), m.size
			before, after, norms := tensors.MustCopyFlatData[int32](out[0]), tensors.MustCopyFlatData[int32](out[1]), tensors.MustCopyFlatData[float32](out[2])
			for i, row := range rows {
				if y := s.labels[row]; before[i] == y && after[i] == y {
					f.Accuracy += 1 / float64(len(s.labels))
				}
				f.Norm = max(f.Norm, float64(norms[i]))
			}
		}
	}
	return all, nil
}

// pgd is the paper's PGD: steps of a tenth of the radius.
func (c Config) pgd(epsilon float64) attack.PGD {
	return attack.PGD{Steps: c.Steps, StepSize: epsilon / 10}
}

// strong is APGD with cross-entropy, then, on what still stands, towards the nearest other classes.
func (c Config) strong(classes int) robust.Attack {
	members := []robust.Attack{attack.APGD{Steps: c.StrongSteps}}
	if classes >= 4 {
		members = append(members, attack.APGD{Steps: c.StrongSteps, Loss: robust.DLR, Targets: min(9, classes-1)})
	}
	return attack.AutoAttack{Members: members}
}

// broken reports a check which says that the numbers cannot be believed.
func broken(o *robust.Outcome) error {
	for _, check := range o.Checks {
		switch check.Name {
		case "budget", "bounds", "finite", "randomized":
			if check.Raised {
				return errors.Errorf("check %s: %s", check.Name, check.Meaning)
			}
		}
	}
	return nil
}

type mask struct {
	mask attack.Mask
	size int
}

// plane is 1 at the coefficients that the mask keeps and 0 elsewhere, of a rank that multiplies images of the shape.
func (m mask) plane(shape []int) *tensors.Tensor {
	height, width := sides(shape)
	values := make([]float32, height*width)
	for i := range values {
		if m.mask.Keeps(i/width, i%width, m.size) {
			values[i] = 1
		}
	}
	switch {
	case len(shape) == 2:
		return tensors.FromFlatDataAndDimensions(values, 1, height, width)
	case shape[0] < shape[2]:
		return tensors.FromFlatDataAndDimensions(values, 1, 1, height, width)
	}
	return tensors.FromFlatDataAndDimensions(values, 1, height, width, 1)
}

// masks are the frequency masks of the study: low, high and all but low, at an eighth, a quarter and a half of the side.
func masks(side int) (all []mask) {
	for _, share := range []int{8, 4, 2} {
		for _, m := range []attack.Mask{attack.Low, attack.High, attack.Complement} {
			all = append(all, mask{m, max(1, side/share)})
		}
	}
	return all
}

// side is the shorter side of a network's images, whichever axis holds the channels.
func side(net *nets.Model) int {
	sorted := slices.Sorted(slices.Values(net.InputShape))
	return sorted[max(0, len(sorted)-2)]
}

// blocks reads the image's high frequencies out of every block.
func (g *gauge) blocks(s *study) ([]BlockRead, error) {
	images, _, err := s.sample(s.c.InspectImages)
	if err != nil {
		return nil, err
	}
	if g.inspect == nil {
		if g.inspect, err = model.NewExec(s.e.Backend(), g.net.Store, func(scope *model.Scope, x *Node) []*Node {
			n := x.Shape().Dimensions[0]
			out := []*Node{Reshape(Sub(x, attack.Filter(x, attack.Low, side(g.net)/4)), n, -1)}
			g.blockNames = nil
			for _, f := range g.net.Inspect(scope, x) {
				if f.Kind != nets.Attention {
					g.blockNames, out = append(g.blockNames, f.Name), append(out, Reshape(f.Node, n, -1))
				}
			}
			return out
		}); err != nil {
			return nil, err
		}
	}
	out, err := g.inspect.Call(images)
	if err != nil {
		return nil, err
	}
	target, err := matrix(out[0])
	if err != nil {
		return nil, err
	}
	var found []BlockRead
	for i, t := range out[1:] {
		features, err := matrix(t)
		if err != nil {
			return nil, err
		}
		r2, err := readout(features, target)
		if err != nil {
			return nil, errors.WithMessagef(err, "block %s", g.blockNames[i])
		}
		found = append(found, BlockRead{Block: g.blockNames[i], R2: r2})
	}
	return found, nil
}

// matrix copies a float32 tensor [n, p].
func matrix(t *tensors.Tensor) (*mat.Dense, error) {
	values, err := tensors.CopyFlatData[float32](t)
	if err != nil {
		return nil, err
	}
	d := t.Shape().Dimensions
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = float64(v)
	}
	return mat.NewDense(d[0], d[1], out), nil
}

// transfer crafts on every network of a seed and tries the result on all of them.
func (s *study) transfer(ctx context.Context, models []Model, seed int64) (Transfer, error) {
	t := Transfer{Seed: seed}
	s.c.Progress.Begin(fmt.Sprintf("transfer, seed %d", seed), 0, len(models))
	defer s.c.Progress.End()
	var victims []*robust.Victim
	for _, m := range models {
		net, err := s.network(ctx, m, seed)
		if err != nil {
			return t, err
		}
		g, err := s.gauge(m, net)
		if err != nil {
			return t, err
		}
		t.Models, victims = append(t.Models, m.Name), append(victims, g.victim)
	}
	p := robust.Problem{Images: s.images, Goal: robust.Goal{Labels: s.labels}, Seed: seed,
		Threat: robust.Threat{Norm: robust.Linf, Epsilon: s.c.Reference}}
	m, err := robust.Transfer(ctx, victims, victims, attack.FGSM{}, p)
	if err != nil {
		return t, err
	}
	s.c.Progress.Advance(len(models))
	t.Rate, t.Both = m.Rate, m.Both
	return t, nil
}

// middleSize is the r of the masks that figures and claims look at.
func (r *Result) middleSize() int {
	if len(r.Networks) == 0 {
		return 0
	}
	f := r.Networks[0].Filtered
	return f[len(f)/2].Size
}
