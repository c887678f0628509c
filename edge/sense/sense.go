// Package sense tells whether the machine that lends its line, or the line itself, is needed otherwise: it runs on its
// battery, the connection is billed by volume, traffic would leave through a VPN, or other programs use the line. For each
// the owner has a switch; while one is true and switched on, the edge is held.
//
// Every look asks the system anew, which costs a fraction of a millisecond. A fact that the system does not tell is Unknown
// and says why; it is never guessed. Some things no program can see, and the owner should know them: a VPN on the router,
// an IPsec policy without an interface, and what other devices of the house do with the line.
package sense

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Names of the facts, which are those of the holds.
const (
	Battery = "battery"
	Metered = "metered"
	VPN     = "vpn"
	Busy    = "busy"
)

// State is what is known of a fact.
type State string

// The states.
const (
	Yes     State = "yes"
	No      State = "no"
	Unknown State = "unknown" // the text says why
)

// Fact is one answer of the system.
type Fact struct {
	Name  string `json:"name"`
	State State  `json:"state"`
	Text  string `json:"text"` // one sentence for the owner
}

const (
	lookEvery = 4 * time.Second // two looks fit into the ten seconds within which an edge gives way

	// leaveAfter is how long a fact must be over before its hold ends: a plug that is moved or a link that comes and goes
	// does not make the edge come and go with it.
	leaveAfter = 30 * time.Second
)

// patience is how many looks in a row must say yes. Programs fetch something for a second all the time; a battery is not
// in use by accident.
var patience = map[string]int{Battery: 1, Metered: 1, VPN: 1, Busy: 2}

// Switches are the facts that the owner gives way to.
type Switches struct{ Metered, Battery, VPN, Busy bool }

func (s Switches) on(name string) bool {
	return name == Metered && s.Metered || name == Battery && s.Battery || name == VPN && s.VPN || name == Busy && s.Busy
}

// Config is a sensor's world.
type Config struct {
	Switches func() Switches
	Hold     func(name, text string) // repeated while it lasts, with the text of the time
	Release  func(name string)
	Carried  func() (up, down int64) // payload that this edge has exchanged with targets: not other traffic
	Log      *slog.Logger
}

// Sensor is a worker.
type Sensor struct {
	cfg     Config
	machine *machine
	now     func() time.Time

	mu    sync.Mutex
	last  []Fact // of the last look
	at    time.Time
	line  line
	holds map[string]*holding
}

// holding is how far a fact is on its way to a hold, or out of it.
type holding struct {
	yes  int       // looks in a row
	over time.Time // since when it is no more; zero: it is
	held bool
}

// New makes a sensor; nothing is asked yet.
func New(cfg Config) *Sensor {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Sensor{cfg: cfg, machine: newMachine(), now: time.Now, holds: map[string]*holding{}}
}

// Run looks until ctx ends.
func (s *Sensor) Run(ctx context.Context) error {
	defer s.machine.close()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		s.Pass()
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	return nil
}

// Pass looks once and holds or releases what follows from it. Where the owner gives way to nothing it does not look.
func (s *Sensor) Pass() {
	switches := s.cfg.Switches()
	s.mu.Lock()
	defer s.mu.Unlock()
	var facts []Fact
	if switches != (Switches{}) {
		facts = s.lookLocked()
	}
	for name := range patience {
		i := slices.IndexFunc(facts, func(f Fact) bool { return f.Name == name })
		if i < 0 || !switches.on(name) {
			s.dropLocked(name)
			continue
		}
		s.judgeLocked(facts[i])
	}
}

// Facts are those of the last look, or of a new one if that was long ago.
func (s *Sensor) Facts() []Fact {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now().Sub(s.at) > 2*lookEvery {
		return slices.Clone(s.lookLocked())
	}
	return slices.Clone(s.last)
}

func (s *Sensor) lookLocked() []Fact {
	s.at = s.now()
	v4, v6 := wayOut(s.machine, "udp4", probe4), wayOut(s.machine, "udp6", probe6)
	s.last = []Fact{s.machine.battery(), s.metered(v4, v6), vpn(v4, v6), s.busyLocked(v4, v6)}
	return s.last
}

// judgeLocked moves one fact towards its hold or out of it. What is Unknown leaves everything as it is: a system that
// stops telling has not said that it is over.
func (s *Sensor) judgeLocked(f Fact) {
	h := s.holds[f.Name]
	if h == nil {
		h = &holding{}
		s.holds[f.Name] = h
	}
	switch f.State {
	case Yes:
		h.over = time.Time{}
		if h.yes++; h.yes >= patience[f.Name] {
			h.held = true
			s.cfg.Hold(f.Name, f.Text)
		}
	case No:
		h.yes = 0
		if h.over.IsZero() {
			h.over = s.now()
		}
		if h.held && s.now().Sub(h.over) >= leaveAfter {
			s.dropLocked(f.Name)
		}
	}
}

func (s *Sensor) dropLocked(name string) {
	if h := s.holds[name]; h != nil && h.held {
		s.cfg.Release(name)
	}
	delete(s.holds, name)
}
