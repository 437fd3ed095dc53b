package fit

import (
	"encoding/json"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/nets"
)

// alternationNotes are what checkpoints of an alternation hold beside the store.
type alternationNotes struct {
	Losses Losses
	Seen   []Variable
}

// MarshalJSON writes losses alone where nothing was watched, as files had them before there were watches.
func (n alternationNotes) MarshalJSON() ([]byte, error) {
	if len(n.Seen) == 0 {
		return json.Marshal(n.Losses)
	}
	type plain alternationNotes
	return json.Marshal(plain(n))
}

// UnmarshalJSON reads both.
func (n *alternationNotes) UnmarshalJSON(data []byte) error {
	if json.Unmarshal(data, &n.Losses) == nil {
		return nil
	}
	type plain alternationNotes
	*n = alternationNotes{}
	return json.Unmarshal(data, (*plain)(n))
}

// seen are the tensors that were watched.
func (n alternationNotes) seen() (all []*tensors.Tensor, err error) {
	for _, v := range n.Seen {
		if err := v.check(); err != nil {
			return nil, err
		}
		t, err := v.Tensor()
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, nil
}

// beginWatch makes the graph that is watched ready.
func (r *alternating) beginWatch(e *engine.Engine) (err error) {
	if r.a.Watch == nil {
		return nil
	}
	r.watch, err = model.NewExec(e.Backend(), r.store, func(scope *model.Scope, input *Node) (seen *Node) {
		nets.Evaluating(scope, input.Graph(), func() { seen = r.a.Watch.Build(scope, input.Graph()) })
		return seen
	})
	return err
}

// look keeps what is watched as it is now.
func (r *alternating) look() error {
	if r.watch == nil {
		return nil
	}
	seen, err := r.watch.Call(int32(0))
	if err != nil {
		return err
	}
	kept, err := Keep("seen", seen[0], false)
	r.notes.Seen = append(r.notes.Seen, kept)
	return err
}
