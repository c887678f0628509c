package edge

import "time"

const (
	// restAfter is how long nothing must have run before the edge gives back what it does not need at rest.
	restAfter = 30 * time.Second
	// restAgain is how often it does so in a long silence: the owner has looked at the dashboard, a lease on the router
	// was renewed. It costs some milliseconds.
	restAgain = 10 * time.Minute
)

// rest notices that the edge has nothing to do. It belongs to keepBooks.
type rest struct {
	since time.Time // nothing runs
	begun uint64    // streams until then
	last  time.Time // rested; zero: not since the last stream
}

// look tells whether to rest now. A stream that began and ended between two looks has been at work, too.
func (r *rest) look(now time.Time, activity func() (running int, begun uint64)) bool {
	running, begun := activity()
	if running > 0 || begun != r.begun || r.since.IsZero() {
		*r = rest{since: now, begun: begun}
		return false
	}
	if now.Sub(r.since) < restAfter || !r.last.IsZero() && now.Sub(r.last) < restAgain {
		return false
	}
	r.last = now
	return true
}
