package robust

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/fit"
)

// Stage is what one member of an ensemble of attacks did on the examples that those before it had left standing.
type Stage struct {
	Attack   string        `json:"attack"`
	Access   Access        `json:"access"`
	Attacked int           `json:"attacked"` // examples that it was run on
	Fell     int           `json:"fell"`     // of them, those on which the goal was met inside budget and bounds
	Elapsed  time.Duration `json:"elapsed_ns"`
}

// Delegated is what a member of an ensemble found on the rows that it was given.
type Delegated struct {
	Pixels []float32 // of the perturbed rows, one after the other
	Met    []bool    // whether the goal is met inside budget and bounds
}

// delegated is what is kept of it on disk.
type delegated struct {
	Pixels              []byte // of float32, little-endian
	Met                 []bool
	Forwards, Backwards []int64
}

// Delegate runs another attack, a member of an ensemble, on some rows of the problem, and judges it by one more forward
// pass an example. The member has its own access and no more; what it costs is booked on the rows. Member and rows see a
// problem of these examples alone.
//
// With a folder, the result is kept there in one piece, under a key made of the model's weights, the examples, the threat,
// the attack's settings and the seed, and found again by the next run: results and bookings are the same.
func (v *Victim) Delegate(ctx context.Context, a Attack, p Problem, rows []int, dir string) (*Delegated, error) {
	if len(rows) == 0 {
		return &Delegated{}, nil
	}
	if a = For(a, v.Model); a.Access() > v.access {
		return nil, errors.Errorf("%s asks for %s, the ensemble for %s only", a.Name(), a.Access(), v.access)
	}
	p, err := p.at(v, rows)
	if err != nil {
		return nil, err
	}
	key, size := "", v.exampleSize()
	if dir != "" && v.remote != nil {
		return nil, errors.Errorf("%s is elsewhere: results cannot be kept in %s, since nothing tells whether its weights are the same",
			v.Model.Name, dir)
	}
	if dir != "" {
		data := fit.Data{Images: p.Images, Labels: p.Goal.Labels}
		if key, err = fit.Key(v.Model, v.Engine.Name(), data, fit.Config{}); err != nil {
			return nil, err
		}
		key = fit.Hash(key, a.Name(), fmt.Sprintf("%#v", a), p.Goal, p.Threat, p.Seed, v.Batch)
		if p.Starts != nil {
			starts, err := tensors.CopyFlatData[float32](p.Starts)
			if err != nil {
				return nil, err
			}
			key = fit.Hash(key, starts)
		}
	}
	found, err := fit.Remember(dir, key, func() (delegated, error) { return v.delegate(ctx, a, p, len(rows)) })
	if err != nil {
		return nil, err
	}
	if n := len(rows); len(found.Pixels) != 4*n*size || len(found.Met) != n || len(found.Forwards) != n || len(found.Backwards) != n {
		return nil, errors.Errorf("what is kept in %s under %s is not of this problem: delete it", dir, key)
	}
	if v.attacked {
		for i, r := range rows {
			v.forwards[r] += found.Forwards[i]
			v.backwards[r] += found.Backwards[i]
		}
	}
	result := &Delegated{Pixels: make([]float32, len(rows)*size), Met: found.Met}
	_, err = binary.Decode(found.Pixels, binary.LittleEndian, result.Pixels)
	return result, err
}

// delegate runs the member with books of its own.
func (v *Victim) delegate(ctx context.Context, a Attack, p Problem, n int) (d delegated, err error) {
	attacked, access, forwards, backwards := v.attacked, v.access, v.forwards, v.backwards
	defer func() { v.attacked, v.access, v.forwards, v.backwards = attacked, access, forwards, backwards }()
	v.begin(n, a.Access())
	found, err := a.Perturb(ctx, v, p)
	if err != nil {
		return d, errors.WithMessage(err, a.Name())
	}
	if found == nil || found.Weights != nil {
		return d, errors.Errorf("%s: a member of an ensemble must return perturbed images and nothing else", a.Name())
	}
	images := found.Images
	if images == nil {
		images = p.Images
	}
	if d.Met, err = v.judged(ctx, p, images); err != nil {
		return d, err
	}
	d.Forwards, d.Backwards = v.forwards, v.backwards
	pixels, err := tensors.CopyFlatData[float32](images)
	if err != nil {
		return d, err
	}
	d.Pixels, err = binary.Append(nil, binary.LittleEndian, pixels)
	return d, err
}

// judged tells on which examples the goal is met inside budget and bounds, for one query each.
func (v *Victim) judged(ctx context.Context, p Problem, images *tensors.Tensor) ([]bool, error) {
	inputs, err := v.measure(ctx, p.Threat.Norm, p.Images, images)
	if err != nil {
		return nil, err
	}
	if images, err = v.finiteOnly(inputs, p.Images, images); err != nil {
		return nil, err
	}
	flat, err := tensors.CopyFlatData[float32](images)
	if err != nil {
		return nil, err
	}
	found, err := v.Query(ctx, Rows(len(inputs)), flat)
	if err != nil {
		return nil, err
	}
	var legal tally
	met := make([]bool, len(inputs))
	for r, c := range found.Classes {
		met[r] = legal.add(inputs[r], p.Threat.Epsilon) && p.Goal.Met(r, c)
	}
	return met, nil
}
