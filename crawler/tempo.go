package crawler

import (
	"net/http"
	"time"

	"sward/internal/wire"
)

// How fast a host is asked adapts to how it answers.
const (
	maxStrain    = 8  // doublings of the delay: of a second to four minutes
	maxPaceTimes = 30 // the answers' times ask for at most so many delays, so that one slow page does not park a host
)

// tempo is what one batch shows of its host's breath.
type tempo struct {
	answers int
	took    time.Duration // all of them together
	busy    bool          // one asked for patience
}

// note takes one answer.
func (m *tempo) note(a arrival) {
	if a.Code == wire.OK || a.Code == wire.FetchTimeout {
		m.answers++
		m.took += a.Took
	}
	switch a.Status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		m.busy = true
	}
}

// conclude has the lease remember it: a host that asks for patience gets twice the delay each time, and half of it back
// with each batch that it answers in peace.
func (m *tempo) conclude(l *lease, c Config) {
	if m.answers == 0 {
		return
	}
	l.pace = (l.pace + time.Duration(c.DelayFactor*float64(m.took)/float64(m.answers))) / 2
	if m.busy {
		l.strain = min(l.strain+1, maxStrain)
	} else {
		l.strain = max(l.strain-1, 0)
	}
}

// spacing is the time between two requests to the lease's host.
func (l *lease) spacing(c Config) time.Duration {
	d := max(c.Delay, l.crawlDelay, min(l.pace, maxPaceTimes*c.Delay, longestDelay))
	return min(d<<l.strain, max(maxBackoff, d))
}
