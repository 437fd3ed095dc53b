package report

// Progress is told how far a long job is. Implementations need not be safe for concurrent use.
type Progress interface {
	// Begin starts a task of total steps, of which done are finished already (after a resume).
	Begin(task string, done, total int)
	// Advance reports n more finished steps.
	Advance(n int)
	// End finishes the task.
	End()
}

// Silent is a Progress that shows nothing.
type Silent struct{}

// Begin implements Progress.
func (Silent) Begin(string, int, int) {}

// Advance implements Progress.
func (Silent) Advance(int) {}

// End implements Progress.
func (Silent) End() {}
