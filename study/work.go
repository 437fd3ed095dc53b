package study

import (
	"fmt"

	"github.com/pkg/errors"

	"github.com/trustbook/trustbook/fit"
	"github.com/trustbook/trustbook/report"
)

// Shard is what a run does of a study's work. The zero value is all of it.
type Shard struct {
	Index, Of int  // the Index-th, from 1, of Of parts; Of 0: all
	Merge     bool // none: everything must be kept already
}

// ErrShard ends the run of a shard that went well: its pieces are kept, and the result is there when all shards have run
// and their folders' files are in one.
var ErrShard = errors.New("this was a shard: run the others, then merge them")

// Validate reports a shard that cannot be, or has no folder to keep its pieces in.
func (s Shard) Validate(dir string) error {
	switch {
	case s == Shard{} || s == Shard{Merge: true}:
		return nil
	case s.Merge || s.Of < 1 || s.Index < 1 || s.Index > s.Of:
		return errors.Errorf("shard %d of %d: want 1 to the number of shards", s.Index, s.Of)
	case dir == "":
		return errors.New("a shard needs a folder to keep its results in")
	}
	return nil
}

func (s Shard) has(group int) bool { return !s.Merge && (s.Of == 0 || group%s.Of == s.Index-1) }

// Work hands out the pieces of a study: those that are kept are read, those of the shard are done and kept, the others
// are left to the other shards.
type Work struct {
	dir      string
	shard    Shard
	progress report.Progress
	pieces   int
	missing  []string // names of pieces, with Shard.Merge
}

// NewWork opens the folder that finished pieces are kept in; "": nowhere. The progress (nil shows nothing) is told of
// the tasks that need no work, if it has a method Skip(tasks float64).
func NewWork(dir string, shard Shard, progress report.Progress) (*Work, error) {
	if err := shard.Validate(dir); err != nil {
		return nil, err
	}
	return &Work{dir: dir, shard: shard, progress: progress}, nil
}

// Piece is a part of a study's work that is done as a whole and kept under a key: most often one network, trained and
// measured.
type Piece[T any] struct {
	// Name tells the piece in errors: "Standard, seed 3".
	Name string
	// Key is the name of the piece's file, without ".json": the paper's name and a hash of all that the result depends on.
	Key string
	// Group says which pieces belong into one shard, such as those that need the same network: groups are dealt out in
	// turn, from 0.
	Group int
	// Tasks is how many tasks Do reports to the progress.
	Tasks float64
	Do    func() (T, error)
}

// Do does one piece, or finds it, and appends it to the list; nothing where the piece is another shard's.
func Do[T any](w *Work, to *[]T, p Piece[T]) error { return DoAll(w, to, []Piece[T]{p}, nil) }

// DoAll is Do of several pieces in their order. Before those that are not kept are done, prepare (if not nil) gets their
// indices: to train all their networks at once, for example.
func DoAll[T any](w *Work, to *[]T, pieces []Piece[T], prepare func(missing []int) error) error {
	found, kept := make([]T, len(pieces)), make([]bool, len(pieces))
	var missing []int
	for i, p := range pieces {
		w.pieces++
		found[i], kept[i] = fit.Recall[T](w.dir, p.Key)
		switch {
		case kept[i]:
			w.skip(p.Tasks)
		case w.shard.has(p.Group):
			missing = append(missing, i)
		default:
			w.skip(p.Tasks)
			w.missing = append(w.missing, p.Name)
		}
	}
	if len(missing) > 0 && prepare != nil {
		if err := prepare(missing); err != nil {
			return err
		}
	}
	for _, i := range missing {
		p := pieces[i]
		var err error
		if found[i], err = fit.Remember(w.dir, p.Key, p.Do); err != nil {
			return errors.WithMessage(err, p.Name)
		}
		kept[i] = true
	}
	for i, v := range found {
		if kept[i] {
			*to = append(*to, v)
		}
	}
	return nil
}

// Finish says whether the whole result is there: [ErrShard] after a shard, an error that names a missing piece where all
// should have been there.
func (w *Work) Finish() error {
	switch {
	case w.shard.Merge && len(w.missing) > 0:
		return errors.Errorf("%d of %d pieces of work are not there, such as %s: has every shard run?", len(w.missing), w.pieces, w.missing[0])
	case w.shard.Of > 0:
		return ErrShard
	}
	return nil
}

// skip tells the display that so many tasks need no work.
func (w *Work) skip(tasks float64) {
	if s, ok := w.progress.(interface{ Skip(float64) }); ok && tasks > 0 {
		s.Skip(tasks)
	}
}

// Weigh tells the display how much of the tasks that a configuration counts the next task stands for, if it is not one: for
// work that pieces share, such as training those that are missing together. It needs a method Weigh(weight float64).
func Weigh(p report.Progress, tasks float64) {
	if d, ok := p.(interface{ Weigh(float64) }); ok {
		d.Weigh(tasks)
	}
}

// Label tells a piece that is one method and seed.
func Label(method string, seed int64) string { return fmt.Sprintf("%s, seed %d", method, seed) }
