package fit

import (
	"cmp"
	"context"
	"encoding/json"
	"path/filepath"
	"reflect"
	"time"

	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/report"
)

// Loop is a training of any kind: a row of steps that change a state. It knows files, checkpoints, resumption,
// cancellation and progress, so that the step need not; [TrainOrLoad], [Alternation] and meta-learning are made of it.
//
// Steps must repeat: what step i does is a function of i, the state and the notes alone.
type Loop struct {
	Kind string // the file is KIND-KEY.bin, and errors begin with it
	Name string // of what is trained, in errors; and of the progress, where Options has no label
	Key  string // the same key means the same training; see [Hash]

	Stretches []Stretch // one after the other, each with a progress of its own
	State     State
	Notes     any // points to what is kept along with the state as JSON, such as a history; nil: nothing

	// Step makes step i, counted from 0 over all stretches. After an error the state may be anything.
	Step func(ctx context.Context, i int) error
	// Check looks for what is not finite, where Step does not at once; it is called before the state is kept. nil: the
	// state's weights are all that is checked.
	Check func() error
	// Finish reduces the state to the result after the last step; nil: it is the result as it is.
	Finish func() error

	next int // the step that comes next
	file string
	last time.Time     // when the last checkpoint was
	cost time.Duration // of writing it
}

// Stretch is so many steps of a training.
type Stretch struct {
	Name  string // behind the training's name; "": nothing
	Steps int
}

// SkipTo has step i come next instead of the one after the current step, which calls it.
func (l *Loop) SkipTo(i int) { l.next = max(l.next, i) }

// Run trains, goes on from a checkpoint of the same training, or loads its result, to the same state.
//
// When ctx is done, it saves a checkpoint and returns an error that wraps ctx's. A weight that is not finite ends the
// training with an error that names the step. A file that is damaged or of another training is ignored and replaced.
// Trainings with the same key may not write to one folder at the same time.
func (l *Loop) Run(ctx context.Context, o Options) error {
	return errors.WithMessagef(l.run(ctx, o.withDefaults()), "%s: %s", l.Kind, l.Name)
}

func (l *Loop) run(ctx context.Context, o Options) error {
	if o.Dir != "" {
		l.file = filepath.Join(o.Dir, l.Kind+"-"+l.Key+".bin")
		done, err := l.resume()
		if err != nil || done {
			return err
		}
		removeLeftovers(l.file)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	l.last = time.Now()
	begin := 0
	for _, s := range l.Stretches {
		end := begin + s.Steps
		if l.next < end {
			label := cmp.Or(o.Label, l.Name)
			if s.Name != "" {
				label += ", " + s.Name
			}
			o.Progress.Begin(label, l.next-begin, s.Steps)
			err := l.stretch(ctx, end, o)
			o.Progress.End()
			if err != nil {
				return err
			}
		}
		begin = end
	}
	if l.Check != nil {
		if err := l.Check(); err != nil {
			return err
		}
	}
	if l.Finish != nil {
		if err := l.Finish(); err != nil {
			return err
		}
	}
	return l.keep(true)
}

// stretch makes the steps before end.
func (l *Loop) stretch(ctx context.Context, end int, o Options) error {
	for l.next < end {
		if err := ctx.Err(); err != nil {
			if saveErr := l.save(); saveErr != nil {
				return saveErr
			}
			return err
		}
		i := l.next
		l.next++
		if err := l.Step(ctx, i); err != nil {
			return err
		}
		o.Progress.Advance(l.next - i)
		if every := o.CheckpointEvery; every < 0 || time.Since(l.last) >= max(every, 10*l.cost) {
			if err := l.save(); err != nil {
				return err
			}
		}
	}
	return nil
}

// resume takes up what the file holds, and tells whether that is the result.
func (l *Loop) resume() (done bool, err error) {
	c, err := readCheckpoint(l.file, l.Key)
	if err != nil || c == nil {
		return false, err
	}
	total := 0
	for _, s := range l.Stretches {
		total += s.Steps
	}
	if c.Step > total {
		return false, nil
	}
	if l.Notes != nil {
		notes := reflect.New(reflect.TypeOf(l.Notes).Elem())
		if json.Unmarshal(c.Notes, notes.Interface()) != nil {
			return false, nil //nolint:nilerr // what cannot be used is as good as absent
		}
		reflect.ValueOf(l.Notes).Elem().Set(notes.Elem())
	}
	l.next = c.Step
	return c.Done, l.State.Restore(c.Variables)
}

// save writes a checkpoint, of finite weights only.
func (l *Loop) save() error {
	if l.file == "" {
		return nil
	}
	begun := time.Now()
	if l.Check != nil {
		if err := l.Check(); err != nil {
			return err
		}
	}
	if err := l.keep(false); err != nil {
		return err
	}
	l.last = time.Now()
	l.cost = l.last.Sub(begun)
	return nil
}

// keep checks the state and writes it, where it is to be written.
func (l *Loop) keep(done bool) error {
	variables, err := l.State.Collect()
	if err != nil {
		return err
	}
	for _, v := range variables {
		if v.Trainable && !v.finite() {
			return errors.Errorf("weight %s is not finite after step %d: lower the learning rate, or look at the loss", v.Path, l.next)
		}
	}
	if l.file == "" {
		return nil
	}
	c := checkpoint{Key: l.Key, Done: done, Step: l.next, Variables: variables}
	if l.Notes != nil {
		if c.Notes, err = json.Marshal(l.Notes); err != nil {
			return errors.Wrap(err, "notes for the checkpoint")
		}
	}
	return c.write(l.file)
}

// Options are what does not change the result.
type Options struct {
	Dir      string          // where checkpoints and results are kept; "": nowhere
	Progress report.Progress // nil shows nothing; it counts steps
	Label    string          // of the progress; "": the training's own
	// CheckpointEvery is the time between checkpoints, which fall between steps; zero: 2 s, negative: after every step.
	// Where writing one takes long, the time grows so that no more than a tenth goes into it.
	CheckpointEvery time.Duration
}

func (o Options) withDefaults() Options {
	if o.Progress == nil {
		o.Progress = report.Silent{}
	}
	if o.CheckpointEvery == 0 {
		o.CheckpointEvery = 2 * time.Second
	}
	return o
}
