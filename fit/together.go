package fit

import (
	"context"
	"errors"
	"runtime"
	"sync"

	"github.com/trustbook/trustbook/engine"
	"github.com/trustbook/trustbook/nets"
	"github.com/trustbook/trustbook/report"
)

// Job is one training among several. Each has a model of its own.
type Job struct {
	Model   *nets.Model
	Train   Data
	Config  Config
	Options Options // its Progress and Label are ignored
}

// mostTogether bounds how many trainings share the machine, for the sake of memory.
const mostTogether = 4

// TrainAll is TrainOrLoad of several models, as many at a time as there are processor cores (at most four): small
// networks, and the compilation of any, leave all cores but one idle most of the time. Every model ends with the same
// weights as if trained alone. Progress shows the jobs as one task. After an error, which is that of the first job that
// had one, the other jobs are stopped as if ctx were done, and can go on from their checkpoints.
func TrainAll(ctx context.Context, e *engine.Engine, jobs []Job, p report.Progress, label string) ([]*History, error) {
	if p == nil {
		p = report.Silent{}
	}
	total := &together{p: p}
	sizes := make([]int, len(jobs))
	for i, j := range jobs {
		c := j.Config.withDefaults()
		if c.BatchSize > 0 {
			for _, phase := range c.Phases {
				sizes[i] += phase.Epochs * (len(j.Train.Labels) / c.BatchSize)
			}
		}
		total.steps += sizes[i]
	}
	p.Begin(label, 0, total.steps)
	defer p.End()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	histories, failures := make([]*History, len(jobs)), make([]error, len(jobs))
	free := make(chan struct{}, min(mostTogether, runtime.GOMAXPROCS(0)))
	var running sync.WaitGroup
	for i, j := range jobs {
		free <- struct{}{}
		running.Go(func() {
			defer func() { <-free }()
			share := &sharedProgress{all: total}
			o := j.Options
			o.Progress = share
			if histories[i], failures[i] = TrainOrLoad(ctx, e, j.Model, j.Train, j.Config, o); failures[i] != nil {
				cancel()
				return
			}
			share.moveTo(sizes[i]) // what was found on disk took no steps
		})
	}
	running.Wait()
	stopped := error(nil)
	for _, err := range failures {
		if err != nil && !errors.Is(err, context.Canceled) {
			return nil, err
		}
		if stopped == nil {
			stopped = err
		}
	}
	if stopped != nil {
		return nil, stopped
	}
	return histories, nil
}

// together is one display for all jobs.
type together struct {
	mutex sync.Mutex
	p     report.Progress
	steps int
}

// sharedProgress passes one job's steps on.
type sharedProgress struct {
	all          *together
	before, size int // steps of the phases before this one, and of this one
	at           int // steps told
}

func (s *sharedProgress) Begin(_ string, done, total int) {
	s.before, s.size = s.before+s.size, total
	s.moveTo(s.before + done)
}

func (s *sharedProgress) Advance(n int) { s.moveTo(s.at + n) }

func (s *sharedProgress) End() {}

func (s *sharedProgress) moveTo(step int) {
	s.all.mutex.Lock()
	defer s.all.mutex.Unlock()
	if step > s.at {
		s.all.p.Advance(step - s.at)
		s.at = step
	}
}
