package remote

import (
	"fmt"
	"math"

	"github.com/pkg/errors"
)

// what names the answers in errors.
func (c *Client) what() string {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.kind == Labels {
		return "labels"
	}
	return "answers"
}

// settle takes note of what the answers are, at the first of them, and reports others that are not like them. Values are rows
// of the given width; integers tells whether the tensor is of integers. The caller holds the mutex.
func (c *Client) settle(integers bool, values []float64, width int) error {
	kind, why := c.kind, c.why
	if kind == Guess {
		switch {
		case width == 1 && integers:
			kind, why = Labels, "one whole number a row"
		case width == 1:
			return errors.Errorf("%s answers one number a row that is no integer: say whether it is a label, a probability or a logit", c.cfg.Model)
		case distributions(values, width):
			kind, why = Probabilities, "its rows lie in [0, 1] and sum to 1"
		default:
			kind, why = Logits, "its rows do not lie in [0, 1] or do not sum to 1"
		}
	}
	classes := max(2, width)
	if kind == Labels {
		if classes = c.cfg.Classes; classes == 0 {
			return errors.Errorf("%s answers labels, which do not tell how many classes there are: say it", c.cfg.Model)
		}
	}
	if c.width > 0 && width != c.width || kind == Labels && width != 1 {
		return garbled{errors.Errorf("%s returned %d numbers a row, not %d", c.cfg.Model, width, max(1, c.width))}
	}
	c.kind, c.why, c.width, c.classes = kind, why, width, classes
	return nil
}

// distributions tells whether every row is one of probabilities.
func distributions(values []float64, width int) bool {
	sum := 0.0
	for i, v := range values {
		if !(v >= 0 && v <= 1) {
			return false
		}
		if sum += v; i%width == width-1 {
			if math.Abs(sum-1) > 1e-3 {
				return false
			}
			sum = 0
		}
	}
	return true
}

// Name tells the model and where it is.
func (c *Client) Name() string { return c.cfg.Model + " at " + c.base.String() }

// Answers is what the model answers; Guess before that is known.
func (c *Client) Answers() Answers {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.kind
}

// Classes is the number of classes; 0 before it is known.
func (c *Client) Classes() int {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.classes
}

// Scores tells whether the answers are scores, and not labels alone.
func (c *Client) Scores() bool { return c.Answers() > Labels }

// Notes say what the answers were taken for, and what became of the answer log.
func (c *Client) Notes() []string {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	var notes []string
	if c.classes > 0 {
		notes = append(notes, fmt.Sprintf("answers of %s are taken for %s of %d classes: %s", c.cfg.Model, c.kind, c.classes, c.why))
	}
	if c.log != nil && c.log.dropped > 0 {
		notes = append(notes, fmt.Sprintf("the answer log %s was damaged: %d bytes at its end were dropped", c.cfg.Log, c.log.dropped))
	}
	return notes
}

// floor stands for probabilities that are 0 or were rounded to it: float32's smallest normal number.
const floor = 0x1p-126

// decided turns answers into logits, nil if they are labels, and predicted classes. The logits of probabilities are their
// logarithms, which differ by as much as those that they were made of.
func (c *Client) decided(found []answer) (logits []float32, classes []int32) {
	c.mutex.Lock()
	kind, width, k := c.kind, c.width, c.classes
	c.mutex.Unlock()
	classes = make([]int32, len(found))
	if kind == Labels {
		for i, a := range found {
			classes[i] = int32(a.words[0])
		}
		return nil, classes
	}
	logits = make([]float32, 0, len(found)*k)
	for i, a := range found {
		row := make([]float64, width, max(2, width))
		for j, word := range a.words {
			row[j] = float64(math.Float32frombits(word))
		}
		switch {
		case width == 1 && kind == Probabilities:
			row = []float64{1 - row[0], row[0]}
		case width == 1:
			row = []float64{0, row[0]}
		}
		for j, v := range row {
			if kind == Probabilities {
				v = math.Log(max(v, floor))
			}
			if logits = append(logits, float32(v)); v > float64(logits[i*k+int(classes[i])]) {
				classes[i] = int32(j)
			}
		}
	}
	return logits, classes
}
