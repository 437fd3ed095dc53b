package report

import (
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"github.com/janpfeifer/gonb/gonbui"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// Bar is a [Progress] that shows how far a job is and how long it still takes: a moving bar on a terminal, above
// it a line at the end of each task; where standard error is no terminal, a line at the start and end of each
// task, and in between. Lines in between, and all lines of a whole job, are at least 5% and 10 seconds apart, or
// 5 minutes; one line at the end of each task, without times, in a notebook. Tasks follow one another.
type Bar struct {
	out     io.Writer
	mode    barMode
	now     func() time.Time
	bar     *progressbar.ProgressBar
	task    string
	done    int // steps of the present task
	total   int
	start   time.Time // of the present task
	resumed int       // steps of the present task that were finished before it began
	last    time.Time // when the last line was shown
	shown   float64   // share of the task, or of the whole job, in the last line
	redrawn time.Time // when the moving bar's description was last shown
	job     job
}

// job is the progress over several weighted tasks.
type job struct {
	total    float64 // sum of all weights; 0: no view of the whole job
	finished float64 // weight of the tasks that ended
	weight   float64 // of the present task
	skipped  float64 // weight that was finished before this run
	start    time.Time
}

type barMode int

const (
	terminal barMode = iota
	logLines
	notebook
)

// Lines come no closer than this in time and in the share of the work, unless nothing came for long.
const (
	lineEvery = 10 * time.Second
	lineShare = 0.05
	lineAfter = 5 * time.Minute
)

// NewBar returns a Bar that shows each task by itself.
func NewBar() *Bar {
	b := &Bar{out: os.Stderr, now: time.Now, mode: logLines}
	switch {
	case gonbui.IsNotebook:
		b.out, b.mode = os.Stdout, notebook // a notebook shows standard error as if it were an error
	case term.IsTerminal(int(os.Stderr.Fd())):
		b.mode = terminal
	}
	return b
}

// NewJob returns a Bar whose time left is that of a whole job: its tasks have weights, 1 unless [Bar.Weigh]
// says otherwise, that add up to total.
func NewJob(total float64) *Bar {
	b := NewBar()
	b.job.total = total
	return b
}

// Weigh sets the weight of the next task: the share of the whole job's time that it is expected to take.
func (b *Bar) Weigh(weight float64) {
	if weight >= 0 && !math.IsInf(weight, 0) {
		b.job.weight = weight
	}
}

// Skip counts work of the given weight as done without any task: what an earlier run finished.
func (b *Bar) Skip(weight float64) {
	if weight > 0 && !math.IsInf(weight, 0) {
		b.job.finished += weight
		b.job.skipped += weight
	}
}

// Begin implements Progress.
func (b *Bar) Begin(task string, done, total int) {
	if b.task != "" { // a task that was stopped half-way
		b.End()
	}
	b.task, b.done, b.total, b.resumed = oneLine(task), max(done, 0), total, max(done, 0)
	if b.task == "" {
		b.task = "working"
	}
	b.start = b.now()
	if b.job.start.IsZero() {
		b.job.start = b.start
	}
	if b.job.weight == 0 {
		b.job.weight = 1
	}
	if total > 0 {
		b.job.skipped += b.job.weight * math.Min(1, float64(b.resumed)/float64(total))
	}
	switch b.mode {
	case logLines:
		if b.job.total == 0 || b.last.IsZero() { // of a whole job, the first task only
			b.line("started at " + b.count())
		}
	case terminal:
		b.redrawn = b.start
		n := int64(total)
		if total <= 0 {
			n = -1 // unknown
		}
		b.bar = progressbar.NewOptions64(n, progressbar.OptionSetWriter(b.out), progressbar.OptionSetDescription(b.describe()),
			progressbar.OptionShowCount(), progressbar.OptionSetWidth(24), progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionSetPredictTime(b.job.total == 0), progressbar.OptionSetElapsedTime(b.job.total == 0),
			progressbar.OptionUseANSICodes(true), progressbar.OptionClearOnFinish(),
			progressbar.OptionSetTheme(progressbar.Theme{Saucer: "█", SaucerPadding: "░", BarStart: "", BarEnd: ""}))
		if b.done > 0 {
			_ = b.bar.Set(min(b.done, max(total-1, 0)))
		}
	}
}

// Advance implements Progress.
func (b *Bar) Advance(n int) {
	if b.task == "" || n <= 0 {
		return
	}
	b.done += n
	now := b.now()
	switch b.mode {
	case terminal:
		if b.job.total > 0 && now.Sub(b.redrawn) >= time.Second {
			b.redrawn = now
			b.bar.Describe(b.describe())
		}
		if b.total <= 0 || b.done < b.total { // the last step is shown by End
			_ = b.bar.Add(n)
		}
	case logLines:
		if b.lineDue() && (b.total <= 0 || b.done < b.total) {
			b.line(b.count() + b.left())
		}
	}
}

// End implements Progress.
func (b *Bar) End() {
	if b.task == "" {
		return
	}
	what := "done"
	if b.total > 0 && b.done < b.total {
		what = "ended" // it was stopped
	}
	what += ", " + b.count()
	timed := what + " in " + short(b.now().Sub(b.start))
	b.job.finished += b.job.weight
	b.job.weight = 0
	if b.job.total > 0 {
		timed += b.left()
	}
	if b.mode == terminal {
		_ = b.bar.Finish() // clears its line
	}
	switch {
	case b.mode == notebook:
		b.line(what)
	case b.job.total == 0 || b.lineDue() || b.share() >= 1:
		b.line(timed)
	}
	b.task, b.done, b.total = "", 0, 0
}

// Finish ends a whole job. Where a resumed run had less to do than its weights said, a last line tells of the end.
func (b *Bar) Finish() {
	b.End()
	if b.job.total == 0 || b.job.start.IsZero() || b.share() >= 1 {
		return
	}
	b.job.finished = b.job.total
	if b.mode != notebook {
		b.task = "all"
		b.line("done in " + short(b.now().Sub(b.job.start)) + b.left())
		b.task = ""
	}
}

// line prints a line about the present task.
func (b *Bar) line(what string) {
	b.last, b.shown = b.now(), b.share()
	fmt.Fprintf(b.out, "%s: %s\n", b.task, what)
}

// lineDue says whether another line may come.
func (b *Bar) lineDue() bool {
	since := b.now().Sub(b.last)
	unknown := b.job.total == 0 && b.total <= 0
	return since >= lineAfter || since >= lineEvery && (unknown || b.share()-b.shown >= lineShare)
}

// share is the finished share of the whole job, or else of the present task; 0 where that is not known.
func (b *Bar) share() float64 {
	if b.job.total > 0 {
		share, _, _ := b.whole()
		return share
	}
	if b.total <= 0 {
		return 0
	}
	return float64(b.done) / float64(b.total)
}

// count says how far the present task is: "30/300".
func (b *Bar) count() string {
	if b.total <= 0 {
		return fmt.Sprintf("%d steps", b.done)
	}
	return fmt.Sprintf("%d/%d", b.done, b.total)
}

// describe names the present task, and says how far the whole job is where that is known.
func (b *Bar) describe() string { return b.task + b.left() }

// left says how long the job, or else the present task, still takes.
func (b *Bar) left() string {
	if b.job.total > 0 {
		share, left, ok := b.whole()
		s := fmt.Sprintf(" · job %.0f%%", math.Floor(100*share))
		if ok && share < 1 {
			s += ", " + short(left) + " left"
		}
		return s
	}
	if b.task == "" || b.total <= 0 || b.done <= b.resumed || b.done >= b.total {
		return ""
	}
	spent := b.now().Sub(b.start)
	return fmt.Sprintf(", %s left", short(time.Duration(float64(spent)*float64(b.total-b.done)/float64(b.done-b.resumed))))
}

// whole returns the finished share of the whole job, and the time left from the rate of this run alone.
func (b *Bar) whole() (share float64, left time.Duration, ok bool) {
	finished := b.job.finished
	if b.task != "" && b.total > 0 {
		finished += b.job.weight * math.Min(1, float64(b.done)/float64(b.total))
	}
	finished = math.Min(finished, b.job.total)
	share = finished / b.job.total
	worked := finished - b.job.skipped
	spent := b.now().Sub(b.job.start)
	if worked <= 0 || spent <= 0 {
		return share, 0, false
	}
	seconds := spent.Seconds() * (b.job.total - finished) / worked
	return share, time.Duration(math.Min(seconds, 1e9) * float64(time.Second)), true
}

// short rounds a duration for people: "3m10s", "45s", "0.4s".
func short(d time.Duration) string {
	switch {
	case d >= time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d >= 10*time.Second:
		return fmt.Sprintf("%.0fs", d.Seconds())
	}
	return fmt.Sprintf("%.1fs", d.Seconds())
}
