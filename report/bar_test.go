package report

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// clock is a time that moves when the test says so.
type clock struct{ at time.Time }

func (c *clock) now() time.Time       { return c.at }
func (c *clock) pass(d time.Duration) { c.at = c.at.Add(d) }

func testBar(mode barMode, total float64) (*Bar, *bytes.Buffer, *clock) {
	out, c := &bytes.Buffer{}, &clock{time.Unix(1000, 0)}
	return &Bar{out: out, mode: mode, now: c.now, job: job{total: total}}, out, c
}

func TestBarLines(t *testing.T) {
	b, out, c := testBar(logLines, 0)
	var p Progress = b
	p.Begin("train\nseed 1", 0, 100)
	for range 100 {
		c.pass(300 * time.Millisecond)
		p.Advance(1)
	}
	p.End()
	p.Begin("evaluate", 5, 10)
	p.Advance(5)
	p.End()
	assert.Equal(t, strings.Join([]string{
		"train seed 1: started at 0/100",
		"train seed 1: 34/100, 20s left", // 66 steps of 0.3 s, after 10.2 s
		"train seed 1: 68/100, 9.6s left",
		"train seed 1: done, 100/100 in 30s",
		"evaluate: started at 5/10",
		"evaluate: done, 10/10 in 0.0s", ""}, "\n"), out.String())
}

// Time left is that of the whole job: from the weights, and from the rate of this run alone after a resume.
func TestJob(t *testing.T) {
	b, out, c := testBar(logLines, 10)
	b.Skip(2)                // finished by an earlier run
	b.Weigh(4)               // 4 of 10
	b.Begin("one", 50, 100)  // half of it by an earlier run too
	c.pass(20 * time.Second) // the other half takes 20 s: 10 s a unit of weight
	b.Advance(50)
	b.End()
	share, left, ok := b.whole()
	assert.True(t, ok)
	assert.InDelta(t, 0.6, share, 1e-12)
	assert.Equal(t, 40*time.Second, left)
	assert.Contains(t, out.String(), "one: done, 100/100 in 20s · job 60%, 40s left\n")
	b.Begin("two", 0, 10) // weight 1
	assert.Contains(t, b.left(), "job 60%")
	c.pass(10 * time.Second)
	b.Advance(10)
	b.End()
	b.Weigh(3)
	b.Begin("three", 0, 3)
	c.pass(30 * time.Second)
	b.Advance(3)
	b.End()
	assert.Contains(t, out.String(), "three: done, 3/3 in 30s · job 100%\n")
}

func TestBarInNotebookHasNoTimes(t *testing.T) {
	b, out, c := testBar(notebook, 2)
	b.Begin("train", 0, 2)
	c.pass(time.Minute)
	b.Advance(2)
	b.End()
	b.Begin("stopped", 0, 5)
	b.Advance(1)
	b.End()
	assert.Equal(t, "train: done, 2/2\nstopped: ended, 1/5\n", out.String())
}

func TestBarOnTerminal(t *testing.T) {
	b, out, c := testBar(terminal, 3)
	b.Begin("train", 0, 10)
	for range 10 {
		c.pass(2 * time.Second)
		b.Advance(1)
	}
	b.End()
	b.Begin("unknown length", 0, 0)
	c.pass(30 * time.Second)
	b.Advance(3)
	b.Begin("next", 2, 4) // ends the one before
	b.Advance(9)          // more than there is
	b.End()
	b.End()
	b.Advance(1)
	text := out.String()
	assert.Contains(t, text, "train: done, 10/10 in 20s · job 33%, 40s left\n")
	assert.Contains(t, text, "unknown length: done, 3 steps in 30s")
	assert.Contains(t, text, "next: done, 11/4")
	assert.Contains(t, text, "\r")
}

// A log of a long job stays short: lines at least 5% of the job and 10 seconds apart, the first task's start and the end.
func TestJobLogIsShort(t *testing.T) {
	b, out, c := testBar(logLines, 60)
	for range 60 {
		b.Begin("task", 0, 100)
		for range 100 {
			c.pass(100 * time.Millisecond)
			b.Advance(1)
		}
		b.End()
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	assert.LessOrEqual(t, len(lines), 22)
	assert.GreaterOrEqual(t, len(lines), 18)
	assert.Equal(t, "task: started at 0/100", lines[0])
	assert.Equal(t, "task: done, 100/100 in 10s · job 100%", lines[len(lines)-1])

	// A job of seconds has its start and its end; one of days shows that it lives.
	b, out, c = testBar(logLines, 2)
	for range 2 {
		b.Begin("short", 0, 1)
		c.pass(time.Second)
		b.Advance(1)
		b.End()
	}
	assert.Equal(t, 2, strings.Count(out.String(), "\n"))
	b, out, c = testBar(logLines, 1)
	b.Begin("long", 0, 1000)
	for range 10 {
		c.pass(time.Minute)
		b.Advance(1)
	}
	assert.Equal(t, 3, strings.Count(out.String(), "\n"))
}

func TestLogOfUnknownLength(t *testing.T) {
	b, out, c := testBar(logLines, 0)
	b.Begin("count", 0, 0)
	for range 25 {
		c.pass(time.Second)
		b.Advance(1)
	}
	b.End()
	assert.Equal(t, "count: started at 0 steps\ncount: 10 steps\ncount: 20 steps\ncount: done, 25 steps in 25s\n", out.String())
}

// A job that a resumed run finished with fewer tasks than foreseen ends at 100% all the same, and says so once.
func TestFinish(t *testing.T) {
	b, out, c := testBar(logLines, 3)
	b.Finish() // nothing has begun
	assert.Empty(t, out.String())
	b.Begin("measure", 0, 2)
	c.pass(time.Second)
	b.Advance(2)
	b.Finish()
	b.Finish()
	assert.Equal(t, "measure: started at 0/2\nall: done in 1.0s · job 100%\n", out.String())

	b, out, c = testBar(logLines, 1)
	b.Begin("measure", 0, 2)
	c.pass(time.Second)
	b.Advance(2)
	b.Finish()
	assert.Equal(t, "measure: started at 0/2\nmeasure: done, 2/2 in 1.0s · job 100%\n", out.String())
}
