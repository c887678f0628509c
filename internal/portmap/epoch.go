package portmap

import (
	"sync"
	"time"
)

// epoch follows the clock by which a router says how long it has known what it knows. A router that has forgotten its
// mappings starts it anew.
type epoch struct {
	mu     sync.Mutex
	known  bool
	server uint32 // seconds
	at     time.Time
}

// heard notes the router's clock, and reports whether the router has forgotten. The rule is RFC 6887's (§8.5), which
// allows the two clocks a sixteenth of drift and two seconds of delay; that of NAT-PMP (RFC 6886 §3.6) allows an eighth,
// and a needless renewal does no harm.
func (e *epoch) heard(seconds uint32, now time.Time) (forgot bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.known {
		client := int64(now.Sub(e.at) / time.Second)
		server := int64(seconds) - int64(e.server)
		forgot = server < -1 || client+2 < server-server/16 || server+2 < client-client/16
	}
	e.known, e.server, e.at = true, seconds, now
	return forgot
}
