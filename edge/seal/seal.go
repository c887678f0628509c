// Package seal attacks the home that it runs in, through the edge's own way out, and says whether anything came through.
//
// An owner is promised that no stranger's request reaches their own network. The gate that keeps the promise is a few
// lines, and one careless change to them would be noticed by nobody at home: everything would go on working. So the edge
// does to itself what a stranger would do. It asks for this machine, its router, printers and neighbours in every notation
// there is, by names that a DNS server in its own hand answers with home addresses, and by the names in the hosts file;
// and each attack has to be refused. One that is not breaks the seal, and an edge without a seal serves nothing, and is
// given nothing by a relay.
//
// An attack goes to three doors, so that no door is safe only because the one before it is shut: the whole way of a
// stream with the owner's rules, the way out beneath them, and the dial itself, whose socket asks the gate once more. The
// list of attacks is attacks.go and notation.go, the doors are doors.go, the DNS server is resolver.go, and victims.go
// are listeners on this machine that nobody should ever reach.
package seal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"sward/internal/outside"
	"sward/policy"
)

const (
	// every is how long a seal lasts, and lookEvery how often the machine's addresses are compared with those that were
	// sealed: a laptop that comes into another network is attacked there soon.
	every     = time.Hour
	mending   = 5 * time.Minute // how soon a broken seal is tried again: whoever mended it waits for that
	lookEvery = 15 * time.Second
	// attackTime bounds all attacks together. Refusals need no network: they take a tenth of a second, or a second on a
	// small machine.
	attackTime = 60 * time.Second
	// maxThrough bounds the attacks in a report that came through. One is enough.
	maxThrough = 8
)

// Config is the way out under attack, and what is known of the home behind it.
type Config struct {
	// Ask is the whole way of a stranger's request: what was written as host and port is parsed, judged by the owner's
	// rules and handed to out.
	Ask func(ctx context.Context, out outside.Dialer, app policy.App, host string, port uint16) (net.Conn, error)
	// Out is the way out beneath the rules. Its Resolve is asked for the names of the hosts file alone.
	Out outside.Dialer
	// Sockets: Out.Dial opens sockets of this machine, and so has to refuse by itself. A test's closed world has none.
	Sockets bool
	// Own lists this machine's addresses with their prefixes as they are now, Routers its gateways and DNS servers, which
	// may be among them.
	Own     func() []netip.Prefix
	Routers func() []netip.Addr
	Hosts   string // path of the hosts file, empty for none

	Done  func(Report) // after each round
	Clock func() time.Time
	Log   *slog.Logger
}

// Report is the outcome of one round.
type Report struct {
	At      time.Time `json:"at,omitzero"` // zero: there was no round yet
	Attacks int       `json:"attacks"`     // tried, each at every door
	Through []Breach  `json:"through,omitempty"`
	Untried []string  `json:"untried,omitempty"` // what this machine does not have, in words
}

// Breach is one attack that was not refused.
type Breach struct {
	ID     string `json:"id"`     // of the attack catalogue
	What   string `json:"what"`   // who was attacked, in words
	Target string `json:"target"` // as a stranger would have written it
	Door   string `json:"door"`
	How    string `json:"how"` // what happened instead of a refusal
}

// Whole reports whether there was a round and it was refused from the first attack to the last.
func (r Report) Whole() bool { return !r.At.IsZero() && r.Attacks > 0 && len(r.Through) == 0 }

// String is the report in one sentence for the owner.
func (r Report) String() string {
	switch {
	case r.At.IsZero():
		return "your home network has not been tested yet"
	case len(r.Through) > 0:
		b := r.Through[0]
		return fmt.Sprintf("%s could be reached by strangers (%s, %s)", b.What, b.Target, b.How)
	}
	return fmt.Sprintf("%d attacks on your own network were refused", r.Attacks)
}

// Seal is a worker.
type Seal struct {
	cfg   Config
	first chan struct{} // closed after the first round

	mu     sync.Mutex
	report Report
}

// New makes the worker; nothing is attacked before Run.
func New(cfg Config) (*Seal, error) {
	if cfg.Ask == nil || cfg.Out.Dial == nil || cfg.Out.Gate == nil || cfg.Out.Resolve == nil || cfg.Own == nil {
		return nil, errors.New("seal: no way out to attack")
	}
	if cfg.Routers == nil {
		cfg.Routers = func() []netip.Addr { return nil }
	}
	if cfg.Done == nil {
		cfg.Done = func(Report) {}
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Seal{cfg: cfg, first: make(chan struct{})}, nil
}

// Run attacks at once, every hour by the clock of the wall (a machine that slept through it catches up), and when the
// machine has come into another network.
func (s *Seal) Run(ctx context.Context) error {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		home := s.cfg.Own()
		if err := s.Attack(ctx, home); err != nil {
			return err
		}
		for again := false; !again; {
			select {
			case <-ctx.Done():
				return nil
			case <-look.C:
			}
			last, pause := s.Report(), every
			if !last.Whole() {
				pause = mending
			}
			again = s.cfg.Clock().Sub(last.At).Abs() >= pause || !slices.Equal(s.cfg.Own(), home)
		}
	}
}

// First is closed when the first round is over.
func (s *Seal) First() <-chan struct{} { return s.first }

// Report is the outcome of the last round.
func (s *Seal) Report() Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.report
}

// Attack is one round against the home with these addresses. The error is that of a machine on which nothing can be tried.
func (s *Seal) Attack(ctx context.Context, home []netip.Prefix) error {
	ctx, cancel := context.WithTimeout(ctx, attackTime)
	defer cancel()
	report, touched, err := s.round(ctx, home)
	if err == nil && touched > 0 && len(report.Through) == 0 && ctx.Err() == nil {
		// A victim was reached, and no attack says that it was the one: a program on this machine that looks at all ports,
		// or a dial that sends before it asks. The second round has victims on other ports.
		if report, touched, err = s.round(ctx, home); err == nil && touched > 0 && len(report.Through) == 0 {
			report.Through = []Breach{{ID: "A01", What: "this computer", Target: "a listener of the test", How: "it was reached twice"}}
		}
	}
	if err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	if ctx.Err() != nil && len(report.Through) == 0 {
		if errors.Is(ctx.Err(), context.Canceled) {
			return nil // the edge stops: no verdict
		}
		report.Through = []Breach{{What: "your home", Target: "all", How: "the attacks did not end in time"}}
	}
	s.mu.Lock()
	before := s.report
	s.report = report
	s.mu.Unlock()
	if !report.Whole() {
		b := report.Through[0]
		s.cfg.Log.Error("the home is not sealed: nothing is served", "attack", b.ID, "door", b.Door, "how", b.How, "through", len(report.Through))
	} else if !before.Whole() {
		s.cfg.Log.Info("the home is sealed", "attacks", report.Attacks)
	}
	s.cfg.Done(report)
	if before.At.IsZero() {
		close(s.first)
	}
	return nil
}

// round tries every attack, and counts how often a victim was reached.
func (s *Seal) round(ctx context.Context, home []netip.Prefix) (Report, int, error) {
	v, err := openVictims(ctx)
	if err != nil {
		return Report{}, 0, err
	}
	dns := newTrap()
	attacks := s.attacks(home, v, dns)
	r := Report{At: s.cfg.Clock(), Attacks: len(attacks), Untried: v.missing}
	for _, a := range attacks {
		if len(r.Through) >= maxThrough || ctx.Err() != nil {
			break
		}
		r.Through = append(r.Through, s.try(ctx, a, dns)...)
	}
	r.Through = r.Through[:min(len(r.Through), maxThrough)]
	return r, v.close(), nil //nolint:nilerr // a round that was cut short is Attack's to judge
}
