package removal

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/support/exceptions"
	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/nets"
)

// units are what a dense layer reads: single values, or maps of values of one channel.
type units struct {
	weight string // of that layer, [values, outputs]
	stage  int    // that puts the values out, counted from 1
	count  int
	of     func(value int) int // the unit that a value belongs to
}

// unitsOf finds the units before a dense layer, counted from 1; 0: see FinePrune.Layer.
func unitsOf(e *engine.Engine, m *nets.Model, layer int) (*units, error) {
	dense, before := len(m.Dense), len(m.Stages())-len(m.Dense)
	switch {
	case dense == 0:
		return nil, errors.New("the network does not end in dense layers, whose inputs could be pruned")
	case layer == 0 && before == 0:
		layer = dense
	case layer == 0:
		layer = 1
	case layer < 1 || layer > dense:
		return nil, errors.Errorf("dense layer %d: there are 1 to %d", layer, dense)
	}
	u := &units{weight: m.Dense[layer-1].Weight, stage: before + layer - 1}
	if u.stage == 0 {
		return nil, errors.New("the dense layer reads the image itself: there are no units to prune before it")
	}
	values := m.Store.GetVariable(u.weight).Shape().Dimensions[0]
	u.count, u.of = values, func(value int) int { return value }
	if layer > 1 {
		return u, nil
	}
	maps, err := outputShape(e.Backend(), m, u.stage)
	if err != nil {
		return nil, err
	}
	if len(maps) != 3 || maps[0]*maps[1]*maps[2] != values {
		return u, nil
	}
	if channelsFirst(m, maps) {
		u.count, u.of = maps[0], func(value int) int { return value / (maps[1] * maps[2]) }
	} else {
		u.count, u.of = maps[2], func(value int) int { return value % maps[2] }
	}
	return u, nil
}

// channelsFirst tells whether maps are [channels, rows, columns], as the last kernel before them says: it is [channels,
// inputs, rows, columns] then, and [rows, columns, inputs, channels] otherwise. Where both may be, the image's layout tells.
func channelsFirst(m *nets.Model, maps []int) bool {
	for _, w := range slices.Backward(m.Weights()) {
		if d := w.Shape().Dimensions; len(d) == 4 {
			first, last := d[0] == maps[0], d[3] == maps[2]
			if first != last {
				return first
			}
			break
		}
	}
	layout, _ := nets.LayoutOf(m.InputShape)
	return layout.ChannelsFirst
}

// outputShape is the shape of what a stage, counted from 1, makes of one image.
func outputShape(backend compute.Backend, m *nets.Model, stage int) (dims []int, err error) {
	err = exceptions.TryCatch[error](func() {
		g := NewGraph(backend, "shape of a stage")
		defer g.Finalize()
		x := Parameter(g, "x", shapes.Make(dtypes.Float32, append([]int{1}, m.InputShape...)...))
		for _, s := range m.Stages()[:stage] {
			x = s.Graph(m.Store.RootScope(), x)
		}
		dims = slices.Clone(x.Shape().Dimensions[1:])
	})
	return dims, err
}

// activity is how active each unit is over images: the sum of its absolute values.
func (u *units) activity(ctx context.Context, e *engine.Engine, m *nets.Model, images *tensors.Tensor) ([]float64, error) {
	a, err := nets.NewActivations(e.Backend(), m, u.stage, 0)
	if err != nil {
		return nil, err
	}
	if err := m.CheckImages(images); err != nil {
		return nil, err
	}
	flat, err := tensors.CopyFlatData[float32](images)
	if err != nil {
		return nil, err
	}
	sums, n := make([]float64, u.count), images.Shape().Dimensions[0]
	size := len(flat) / n
	const at = 1024 // images, so that what hidden layers make of them fits into memory
	for from := 0; from < n; from += at {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		count := min(at, n-from)
		dims := append([]int{count}, m.InputShape...)
		rows, err := a.Of(tensors.FromFlatDataAndDimensions(slices.Clone(flat[from*size:(from+count)*size]), dims...))
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			for i, v := range row {
				sums[u.of(i)] += math.Abs(float64(v))
			}
		}
	}
	return sums, nil
}

// silence zeroes what the dense layer makes of the least active units, the nearest whole number to the share of them.
func (u *units) silence(ctx context.Context, e *engine.Engine, m *nets.Model, data fit.Data, share float64) error {
	activity, err := u.activity(ctx, e, m, data.Images)
	if err != nil {
		return err
	}
	order := make([]int, u.count)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(activity[a], activity[b]) })
	silent := make([]bool, u.count)
	for _, i := range order[:int(math.Round(share*float64(u.count)))] {
		silent[i] = true
	}
	w := m.Store.GetVariable(u.weight)
	return edit(w, func(values []float32) {
		outputs := w.Shape().Dimensions[1]
		for i := range w.Shape().Dimensions[0] {
			if silent[u.of(i)] {
				clear(values[i*outputs : (i+1)*outputs])
			}
		}
	})
}
