package edge

import (
	"errors"
	"fmt"
	"time"

	"sward/edge/diary"
	"sward/internal/outside"
	"sward/internal/wire"
	"sward/policy"
)

const (
	// DefaultYield is what a video call takes without a word, and maxYield what makes one a walkie-talkie (ITU-T G.114
	// asks for 400 ms at most, one way).
	DefaultYield = 25 * time.Millisecond
	maxYield     = 400 * time.Millisecond
)

// Settings is what the owner may change while the edge runs, in edge.yaml or on the dashboard. A change is felt within
// seconds, by running streams too.
type Settings struct {
	Caps    Caps         `yaml:"caps"`    // payload relayed for others; 0 is no limit
	Rate    Rate         `yaml:"rate"`    // per second; 0 is no limit
	Streams int          `yaml:"streams"` // connections at once
	Policy  policy.Rules `yaml:"policy"`  // what others may do

	// Yield bounds how long what this edge sends may keep the rest of the house waiting: the queue that it builds in front
	// of the line, as time. 0s is no bound. It holds from the next session with each relay.
	Yield time.Duration `yaml:"yield"`

	PauseOn     PauseOn `yaml:"pause_on"`     // when the machine or its line are needed otherwise
	PortMapping bool    `yaml:"port_mapping"` // ask the router to map the UDP port; the owner's decision, off by default
	Reach       bool    `yaml:"reach"`        // let relays call this edge that it has not called; the owner's decision, off by default
	KeepDays    int     `yaml:"keep_days"`    // days that the record of what left the line is kept; 0 keeps none
}

// Rate is bytes per second in each direction: up is from partners towards targets.
type Rate struct {
	Up   policy.Size `yaml:"up"`
	Down policy.Size `yaml:"down"`
}

// PauseOn says what the edge gives way to by itself.
type PauseOn struct {
	Metered bool `yaml:"metered"` // the connection is billed by volume, as a phone's is
	Battery bool `yaml:"battery"` // the machine runs on its battery
	VPN     bool `yaml:"vpn"`     // traffic would leave through somebody else's network
	Busy    bool `yaml:"busy"`    // others in the house use the line
}

// DefaultSettings are modest caps that a flat-rate line does not feel, and giving way to all that can be told for sure.
func DefaultSettings() Settings {
	return Settings{
		Caps: Caps{Day: 10e9, Month: 200e9}, Streams: 64, Policy: policy.DefaultRules(), Yield: DefaultYield,
		PauseOn: PauseOn{Metered: true, Battery: true, VPN: true}, KeepDays: diary.DefaultKeep,
	}
}

// Validate checks everything that can be checked without the network. The error names the key.
func (s Settings) Validate() error {
	_, err := s.compile(policy.BuiltIn())
	return err
}

// terms is one version of the settings, ready to be asked.
type terms struct {
	Settings
	policy *policy.Policy
	zone   *time.Location // of the caps
}

// compile makes terms of settings with these lists.
func (s Settings) compile(lists *policy.Lists) (*terms, error) {
	switch {
	case s.Rate.Up < 0 || s.Rate.Down < 0:
		return nil, errors.New("rate: a limit is not negative")
	case s.Streams < 1 || s.Streams > maxStreams:
		return nil, fmt.Errorf("streams: %d is not between 1 and %d", s.Streams, maxStreams)
	case s.Yield < 0 || s.Yield > maxYield:
		return nil, fmt.Errorf("yield: %s is not between 0s and %s", s.Yield, maxYield)
	case s.KeepDays < 0 || s.KeepDays > diary.MaxKeep:
		return nil, fmt.Errorf("keep_days: %d is not between 0 and %d", s.KeepDays, diary.MaxKeep)
	}
	rules, err := s.Policy.CompileWith(lists)
	if err != nil {
		return nil, fmt.Errorf("policy.%w", err)
	}
	if err := s.Caps.Validate(); err != nil {
		return nil, err
	}
	zone, err := s.Caps.Zone()
	if err != nil {
		return nil, err
	}
	return &terms{s, rules, zone}, nil
}

// Settings are those in force.
func (e *Edge) Settings() Settings { return e.terms().Settings }

func (e *Edge) terms() *terms { return e.inForce.Load() }

// Change puts other settings in force and writes them to the settings file, where there is one. Settings with a fault
// change nothing; nor do those that cannot be written, lest a restart bring the old ones back.
func (e *Edge) Change(s Settings) error {
	if !e.isOpen() {
		return errNotRunning
	}
	e.changing.Lock()
	defer e.changing.Unlock()
	t, err := s.compile(e.lists())
	if err != nil {
		return err
	}
	if s.PortMapping && e.mapper == nil {
		return errNoPort
	}
	if err := e.file.write(s); err != nil {
		return err
	}
	e.applyLocked(t)
	return nil
}

// applyLocked makes t the terms of everything, running streams included: those that would not be let in now are cut. The
// caller holds changing.
func (e *Edge) applyLocked(t *terms) {
	e.inForce.Store(t)
	e.up.set(int64(t.Rate.Up))
	e.down.set(int64(t.Rate.Down))
	e.live.setLimit(t.Streams)
	if e.mapper != nil {
		e.mapper.Switch(t.PortMapping)
	}
	e.adoptCalendar(e.household())
	e.kin.poke() // the household has the smallest of its devices' caps
	e.sensor.Pass()
	if err := e.diary.Keep(t.KeepDays); err != nil {
		e.cfg.Log.Error("old days of the diary cannot be removed", "err", err)
	}
	e.live.review(func(r policy.Request) error {
		r.Time = e.cfg.Clock()
		return refusal(t.policy.Check(r))
	})
	if t.policy.Open(e.cfg.Clock()) {
		e.announce()
		return
	}
	e.live.cutAll(wire.Errorf(wire.OutOfHours, "the owner does not share at this hour"))
	e.announce()
}

// refusal is outside.Refusal, and nil for nil.
func refusal(err error) error {
	if err == nil {
		return nil
	}
	return outside.Refusal(err)
}
