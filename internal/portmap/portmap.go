// Package portmap keeps one UDP port of this machine open on the home router, when the owner has switched that on.
//
// An edge works without it: it is the one that dials. With it, peers can reach the edge first. A Mapper asks the gateway in
// PCP and NAT-PMP and searches for UPnP routers on every interface at once (find.go), has the port opened by whoever can
// (pcp.go, natpmp.go, igd.go), renews what it got, notices when the router has forgotten it (watch.go, epoch.go), and closes
// the port at its end. A router that is itself behind another one or behind a carrier's NAT opens nothing, and is left alone.
package portmap

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net/netip"
	"net/url"
	"sync"
	"time"
)

const (
	// defaultLease is what the router is asked for: long enough for a night's sleep
	// of the laptop not to matter, short enough that a mapping outlives a crash
	// by no more than that.
	defaultLease = time.Hour
	// passTimeout bounds one pass, the search for the router included.
	passTimeout = 20 * time.Second
	// closeTimeout bounds the removal at the end.
	closeTimeout = 5 * time.Second
	// checkEvery is how often the router is asked whether it still knows the mapping, and whether this host has moved to
	// another network. Most restarts are heard of at once.
	checkEvery = time.Minute
	// firstRetry is the pause after a failure, which doubles until maxRetry: a router that restarts is back within
	// minutes, and one that cannot does not learn it.
	firstRetry = 5 * time.Second
	maxRetry   = 10 * time.Minute
	// minPause separates two passes, whatever the router says: a lease of seconds, or one restart after another.
	minPause = time.Second
)

// Config says which port to open.
type Config struct {
	Port     uint16            // the local UDP port; the external one is the same if it is free
	On       bool              // from the start; else when Switch says so
	Seed     []byte            // a secret that outlives the process, so that a router takes a renewal after a crash; nil: none
	Name     string            // tells this edge's mappings from others' in the router's own list
	Lease    time.Duration     // asked of the router; default an hour
	Observed func() netip.Addr // where relays see this home; zero or nil: not known
	Root     *url.URL          // the router's UPnP description; nil: found
	Log      *slog.Logger      // nil discards
	changed  func()            // told at each change of the state, for tests
	way      func() route      // default theRoute
	every    time.Duration     // default checkEvery
	window   time.Duration     // default searchWindow
}

// Mapper is a worker. It opens the owner's router to the outside, so it does nothing until the owner has switched it on.
type Mapper struct {
	cfg   Config
	label string
	nonce [pcpNonce]byte
	wake  chan struct{} // holds one: look again now

	// Run's own:
	gateway gateway // the one that opened the port last; nil: none
	got     mapping // what it opened
	way     route   // when it did
	open    bool    // it is open still, for all that is known
	stale   bool    // somebody has said that the router is another one now

	mu    sync.Mutex
	on    bool
	state State
}

// New checks cfg.
func New(cfg Config) (*Mapper, error) {
	if cfg.Port == 0 {
		return nil, errors.New("port mapper needs a port")
	}
	cfg.Lease = cmp.Or(cfg.Lease, defaultLease)
	cfg.every = cmp.Or(cfg.every, checkEvery)
	cfg.window = cmp.Or(cfg.window, searchWindow)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.way == nil {
		cfg.way = theRoute
	}
	m := &Mapper{cfg: cfg, wake: make(chan struct{}, 1), label: "sward edge", on: cfg.On}
	if cfg.Name != "" {
		m.label += " " + cfg.Name
	}
	if rand.Read(m.nonce[:]); cfg.Seed != nil {
		h := sha256.Sum256(append([]byte("sward/portmap/v1\n"), cfg.Seed...))
		copy(m.nonce[:], h[:])
	}
	return m, nil
}

// Switch turns the mapping on or off, at once: off closes the port.
func (m *Mapper) Switch(on bool) {
	m.mu.Lock()
	m.on = on
	m.mu.Unlock()
	m.poke()
}

// Run keeps the port open while it is switched on, and closes it when ctx ends. That it cannot be opened is no failure: it
// is logged once, and tried again.
func (m *Mapper) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if m.isOn() {
			m.keep(ctx)
			continue
		}
		m.set(State{})
		select {
		case <-ctx.Done():
		case <-m.wake:
		}
	}
	return nil
}

// keep opens the port, and renews it until it is switched off or ctx ends. Then it closes it.
func (m *Mapper) keep(ctx context.Context) {
	watching, stop := context.WithCancel(ctx)
	var watcher sync.WaitGroup
	w := newWatch(m.poke)
	watcher.Go(func() { w.run(watching) })
	defer watcher.Wait()
	defer stop()
	defer m.close(ctx)
	pause := firstRetry
	for ctx.Err() == nil && m.isOn() {
		err := m.pass(ctx)
		if ctx.Err() != nil {
			return
		}
		m.report(err)
		w.follow(m.mapped(), m.way.gateway)
		if err == nil {
			pause = firstRetry
			m.rest(ctx, max(m.got.lease/2, minPause))
			continue
		}
		m.rest(ctx, pause)
		pause = min(2*pause, maxRetry)
	}
}

// pass opens or renews the port: on the router that opened it last, if it still does, else on whoever is found.
func (m *Mapper) pass(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, passTimeout)
	defer cancel()
	way := m.cfg.way()
	if way != m.way {
		m.gateway, m.got, m.open = nil, mapping{}, false // another network: what was opened there is out of reach
	}
	m.way = way
	old, before := m.gateway, m.got
	want := mapping{internal: m.cfg.Port, external: before.external}
	if want.external.Port() == 0 {
		want.external = netip.AddrPortFrom(netip.IPv4Unspecified(), m.cfg.Port)
	}
	if m.open && !m.stale && m.openOn(ctx, m.gateway, want) == nil {
		return nil
	}
	m.open, m.stale = false, false
	f := finder{way: way, root: m.cfg.Root, label: m.label, nonce: m.nonce, window: m.cfg.window}
	err := f.find(ctx, func(g gateway) error { return m.openOn(ctx, g, want) })
	if err == nil && old != nil && before.external != m.got.external {
		old.close(ctx, before) //nolint:errcheck // it may be gone, and so may the router
	}
	return m.withObserved(err)
}

func (m *Mapper) openOn(ctx context.Context, g gateway, want mapping) error {
	got, err := g.open(ctx, want, m.cfg.Lease)
	if err != nil {
		if got != (mapping{}) {
			m.gateway, m.got = g, got // to be removed at the end
		}
		return err
	}
	got.lease = min(got.lease, m.cfg.Lease) // some answer with a year; 0 stays for ever
	m.gateway, m.got, m.open = g, got, true
	return nil
}

// mapped is the gateway on which the port is open, nil for none.
func (m *Mapper) mapped() gateway {
	if m.open {
		return m.gateway
	}
	return nil
}

// withObserved corrects a router's word by what relays see: one that has no address, while relays are reached through it, is
// not offline. It hides a private one.
func (m *Mapper) withObserved(err error) error {
	if err != nil && problemOf(err) == Offline && m.observed().IsValid() {
		return Hidden
	}
	return err
}

func (m *Mapper) observed() netip.Addr {
	if m.cfg.Observed == nil {
		return netip.Addr{}
	}
	return m.cfg.Observed().Unmap()
}

// rest waits for d, or for ever where a mapping has no end, or until there is a reason to look again: the switch, an
// announcement, another network, a router that has forgotten.
func (m *Mapper) rest(ctx context.Context, d time.Duration) {
	due := time.Now().Add(d)
	tick := time.NewTimer(m.next(due))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.wake:
			m.stale = true
			return
		case <-tick.C:
		}
		if !m.permanent() && !time.Now().Before(due) || m.cfg.way() != m.way || !m.holds(ctx) {
			return
		}
		tick.Reset(m.next(due))
	}
}

// next is how long to wait until the next look. A pause after a failure is due by itself; a mapping is looked at between.
func (m *Mapper) next(due time.Time) time.Duration {
	left := time.Until(due)
	if m.permanent() {
		return m.cfg.every
	}
	return max(min(left, m.cfg.every), 0)
}

// permanent reports whether the port is open without an end.
func (m *Mapper) permanent() bool { return m.open && m.got.lease == 0 }

// holds asks the router. A failure to ask is a reason to look again, too.
func (m *Mapper) holds(ctx context.Context) bool {
	if !m.open {
		return true // there is nothing to lose
	}
	ctx, cancel := context.WithTimeout(ctx, passTimeout)
	defer cancel()
	ok, err := m.gateway.holds(ctx, m.got)
	return ok && err == nil
}

// close removes the mapping after it was switched off, or ctx has ended. One that could not be renewed may be there still.
func (m *Mapper) close(ctx context.Context) {
	g, got, open := m.gateway, m.got, m.open
	m.gateway, m.got, m.open = nil, mapping{}, false
	defer m.set(State{})
	if g == nil || m.cfg.way() != m.way {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err := g.close(ctx, got); err != nil && open {
		m.cfg.Log.Warn("port mapping is left on the router", "external", got.external.Port(), "err", err)
	}
}

func (m *Mapper) isOn() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.on
}

func (m *Mapper) poke() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}
