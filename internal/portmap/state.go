package portmap

import (
	"fmt"
	"net/netip"
	"time"
)

// State is what the owner sees of the port mapping.
type State struct {
	On       bool           `json:"on"`                 // the owner has switched it on
	Open     bool           `json:"open"`               // the port is open now
	Protocol string         `json:"protocol,omitempty"` // "UPnP IGD 2", "UPnP IGD 1", "UPnP PPP 1", "NAT-PMP", "PCP"
	Router   string         `json:"router,omitempty"`   // what it calls itself, or its address at home
	External netip.AddrPort `json:"external,omitzero"`  // where the port can be reached
	Since    time.Time      `json:"since,omitzero"`     // of Open, at this External
	Until    time.Time      `json:"until,omitzero"`     // the end of the lease, unless it is renewed; zero while Open: it has none
	Why      Problem        `json:"why,omitempty"`      // not open, or of doubtful use: a stable name
	Problem  string         `json:"problem,omitempty"`  // Why in words
	Remedy   string         `json:"remedy,omitempty"`   // what the owner can do about it
}

// Elsewhere says that relays see this home at another address than the router's own: behind it is one more router.
const Elsewhere Problem = "elsewhere"

// String is the state in one line for a terminal.
func (s State) String() string {
	switch {
	case !s.On:
		return "off"
	case s.Open && s.Problem != "":
		return fmt.Sprintf("open at %s by %s, but %s. %s", s.External, s.Protocol, s.Problem, s.Remedy)
	case s.Open:
		return fmt.Sprintf("open at %s by %s on %s", s.External, s.Protocol, s.Router)
	case s.Problem != "":
		return fmt.Sprintf("not open: %s. %s", s.Problem, s.Remedy)
	}
	return "looking for the router"
}

// State is how it stands.
func (m *Mapper) State() State {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.state
	s.On = m.on // Run may not have noticed yet
	return s
}

// External is where the mapped port can be reached; ok is false while it is not
// mapped.
func (m *Mapper) External() (_ netip.AddrPort, ok bool) {
	s := m.State()
	return s.External, s.Open
}

// report makes the state of what pass came to, and logs what has changed in it.
func (m *Mapper) report(err error) {
	s, now, before := State{}, time.Now(), m.State()
	if err != nil {
		s.Why = problemOf(err)
		s.Problem, s.Remedy = s.Why.Error(), s.Why.Remedy()
		if before.Why != s.Why || before.Open {
			m.cfg.Log.Warn("port cannot be opened on the router", "port", m.cfg.Port, "err", err)
		}
		m.set(s)
		return
	}
	s.Open, s.External, s.Since = true, m.got.external, now
	s.Protocol, s.Router = m.gateway.protocol(), m.gateway.router()
	if m.got.lease > 0 {
		s.Until = now.Add(m.got.lease)
	}
	if before.Open && before.External == s.External {
		s.Since = before.Since
	} else {
		m.cfg.Log.Info("port is open on the router", "port", m.cfg.Port, "external", s.External.Port(), "protocol", s.Protocol)
	}
	if seen := m.observed(); seen.Is4() && seen != s.External.Addr() {
		s.Why = Elsewhere
		s.Problem, s.Remedy = s.Why.Error(), s.Why.Remedy()
	}
	m.set(s)
}

func (m *Mapper) set(s State) {
	m.mu.Lock()
	m.state = s
	m.mu.Unlock()
	if m.cfg.changed != nil {
		m.cfg.changed()
	}
}
