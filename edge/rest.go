package edge

import "time"

// restAfter is how long nothing must have run before the edge gives back what it does not need at rest. It is the most
// often that this happens, too.
const restAfter = 30 * time.Second

// rest notices that the edge has nothing to do. It belongs to keepBooks.
type rest struct {
	since time.Time // nothing runs; zero: something does
	taken bool
}

// look tells whether to rest now, once for each time that the streams have ended.
func (r *rest) look(now time.Time, streams int) bool {
	if streams > 0 {
		*r = rest{}
		return false
	}
	if r.since.IsZero() {
		r.since = now
	}
	if r.taken || now.Sub(r.since) < restAfter {
		return false
	}
	r.taken = true
	return true
}
