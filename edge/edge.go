// Package edge is the home agent: it lends a home connection to the network under its owner's rules, and shows the
// owner everything it did.
//
// An edge sits behind a home router and is never dialled. It keeps a tunnel to a few relays and serves the streams
// they open. The walk of one stream, from the relay to the target, is the order of these files: relays.go and link.go
// (whom to call) → session.go and channel.go (a tunnel and its channel of account) → serve.go (who pays, may it run now) → dial.go (the rules, one resolve, the address gate,
// the dial) → meter.go (each byte waits for the receipt window, the owner's rate, the caps and the grant) → receipts.go
// (both sides sign what was delivered). A crawl takes the same walk, with crawler/fetch between serve and dial.
//
// Three promises to the owner shape the rest. Nothing is served without their agreement to the current text
// (consent.go) or while they pause (pause.go). No cap is passed, not by many streams at once nor by a crash
// (volume.go). And no request reaches the home network, whatever it is called: every dial is the one in dial.go.
//
// edge knows relays only by the wire protocol; it never imports them.
package edge

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"sward/accounting"
	"sward/crawler/fetch"
	"sward/edge/seal"
	"sward/edge/sense"
	"sward/internal/identity"
	"sward/internal/outside"
	"sward/internal/portmap"
	"sward/internal/tunnel"
	"sward/internal/wire"
	"sward/policy"
)

// HubClient is what an edge asks of the hub; *accounting.Client is it.
type HubClient interface {
	// Directory is the signed list of relays.
	Directory(ctx context.Context) (accounting.SignedDirectory, error)
	// Settle submits channels with their receipts. Repeating it does no harm.
	Settle(ctx context.Context, channels []accounting.SignedChannel, receipts []accounting.SignedReceipt) ([]accounting.Settled, error)
	// Consent redeems an owner's code for this edge and the terms with the given hash.
	Consent(ctx context.Context, code string, terms [32]byte) error
	// Statement is what this edge has earned by day, and which receipts that rests on.
	Statement(ctx context.Context, q accounting.StatementQuery) (accounting.Statement, error)
	// Household says who else is behind this edge's line, and how far it may go where they share a cap.
	Household(ctx context.Context, call accounting.HouseholdCall) (accounting.HouseholdAnswer, error)
	// List is the lists that the directory names by this version.
	List(ctx context.Context, version string) ([]byte, error)
	// Account is what the hub owes this edge's owner.
	Account(ctx context.Context) (accounting.EdgeAccount, error)
}

var _ HubClient = (*accounting.Client)(nil)

// Config is an edge's world.
type Config struct {
	Key     identity.Key
	Network string // name in every signature: "main", "sandbox", …
	Hub     HubClient
	HubID   identity.ID // whose grants are served; default: the key that Hub pins
	HubAddr string      // host:port of the hub, kept out of every stream's reach; default: where Hub calls
	Relays  []Relay     // fixed list; empty: those of the hub's directory

	Settings Settings // at the start; DefaultSettings is where to begin
	File     string   // edge.yaml, written by Change and followed; empty: none

	Dir        string         // state: consent, volume, receipts, switch, journals
	Reach      ReachConfig    // how relays call that this edge has not called, where the owner lets them
	PacketConn net.PacketConn // UDP for the tunnels, so that their port can be mapped; nil: each session has a socket of its own
	Agent      string         // program and version

	SessionLife time.Duration // of one session with a relay; default 45 to 52 minutes, at random

	Resolve func(context.Context, string) ([]netip.Addr, error)     // default outside.Resolve
	Dial    func(context.Context, netip.AddrPort) (net.Conn, error) // default outside.Dial
	Own     func() []netip.Prefix                                   // this machine's addresses; default outside.Own
	Roots   *x509.CertPool                                          // for crawled pages; nil: the system's
	Clock   func() time.Time                                        // in the owner's time zone; default time.Now
	Rest    func()                                                  // called when nothing has run for half a minute: the process may give memory back
	Log     *slog.Logger
}

func (c Config) withDefaults() Config {
	if client, ok := c.Hub.(*accounting.Client); ok {
		if c.HubID.IsZero() {
			c.HubID = client.Hub
		}
		c.HubAddr = cmp.Or(c.HubAddr, client.Addr)
	}
	if c.Agent == "" {
		c.Agent = "sward-edge"
	}
	if c.Resolve == nil {
		c.Resolve = outside.Resolve
	}
	if c.Own == nil {
		c.Own = outside.Own
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Edge is a worker.
type Edge struct {
	cfg     Config
	inForce atomic.Pointer[terms]
	file    settingsFile
	holds   holds
	sensor  *sense.Sensor
	gate    *gatekeeper
	dialer  *dialer
	grants  *grants
	fetcher *fetch.Fetcher
	up      *pace
	down    *pace
	live    *live
	seal    *seal.Seal
	mapper  *portmap.Mapper // nil without a socket whose port can be mapped
	socket  *tunnel.Socket  // nil without PacketConn; made by Run

	noConsent sync.Once // for the log: several workers wait for it
	metrics   *metrics
	traffic   traffic

	reachable *reachable

	state                // opened by Run
	opened chan struct{} // closed when it is

	changing sync.Mutex // held while other settings are put in force

	added       atomic.Pointer[policy.Table] // by the hub to the lists of the program; nil: nothing
	addedDigest accounting.Hash              // of its bytes; keepRelays'

	mu     sync.Mutex
	relays map[identity.ID]*link
	points pointsSeen

	stated stated // has a lock of its own
}

// pointsSeen is the hub's last word on what it owes, and what it has not been told yet.
type pointsSeen struct {
	account     accounting.EdgeAccount
	at          time.Time
	unsubmitted int // receipts
}

// New makes an edge; nothing happens before Run. The error names what is missing or which rule is bad.
func New(cfg Config) (*Edge, error) {
	cfg = cfg.withDefaults()
	switch {
	case cfg.Key.IsZero():
		return nil, errors.New("edge: no key")
	case cfg.HubID.IsZero() || cfg.Hub == nil:
		return nil, errors.New("edge: no hub")
	case cfg.Dir == "":
		return nil, errors.New("edge: no state directory")
	}
	if err := identity.CheckNetwork(cfg.Network); err != nil {
		return nil, fmt.Errorf("edge: %w", err)
	}
	t, err := cfg.Settings.compile(policy.BuiltIn())
	if err != nil {
		return nil, fmt.Errorf("edge: %w", err)
	}
	e := &Edge{
		cfg: cfg, file: settingsFile{path: cfg.File, seen: stampOf(cfg.File)}, holds: holds{clock: cfg.Clock},
		grants: newGrants(cfg.Network, cfg.HubID, cfg.Clock),
		up:     newPace(int64(t.Rate.Up)), down: newPace(int64(t.Rate.Down)),
		live: newLive(t.Streams), relays: map[identity.ID]*link{}, opened: make(chan struct{}),
	}
	e.inForce.Store(t)
	if cfg.PacketConn != nil {
		if e.mapper, err = e.mapTunnels(t.PortMapping); err != nil {
			return nil, err
		}
	} else if t.PortMapping {
		return nil, fmt.Errorf("edge: %w", errNoPort)
	}
	e.gate = &gatekeeper{list: e.own, clock: cfg.Clock}
	dial := cfg.Dial
	if dial == nil {
		dial = outside.Dial(e.gate.gate)
	}
	e.dialer = &dialer{outside.Dialer{Resolve: cfg.Resolve, Dial: dial, Gate: e.gate.gate}, e.terms, cfg.Clock}
	e.fetcher = fetch.New(fetch.Config{Dial: e.dialForCrawl, Roots: cfg.Roots, Log: cfg.Log, Now: cfg.Clock, Seen: e.sawPage})
	if e.seal, err = e.newSeal(); err != nil {
		return nil, err
	}
	e.reachable = newReachable(e)
	e.metrics = newMetrics(e)
	e.sensor = e.newSensor()
	return e, nil
}

// Run serves until ctx ends and all it started has stopped. Without the owner's agreement it
// keeps away from the relays; while paused it keeps its tunnels and refuses every stream.
func (e *Edge) Run(ctx context.Context) (err error) {
	if err := e.open(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	if e.cfg.PacketConn != nil {
		if e.socket, err = tunnel.NewSocket(e.tunnelConfig(), e.cfg.PacketConn); err != nil {
			return err
		}
		defer e.socket.Close()
	}
	workers, ctx := errgroup.WithContext(ctx)
	if e.mapper != nil {
		workers.Go(func() error { return e.keepMapping(ctx) })
	}
	workers.Go(func() error { return e.seal.Run(ctx) })
	e.sensor.Pass() // before any relay: a machine on its battery never serves a byte
	workers.Go(func() error { return e.sensor.Run(ctx) })
	workers.Go(func() error { return e.keepRelays(ctx) })
	workers.Go(func() error { return e.reachable.run(ctx) })
	workers.Go(func() error { return e.keepBooks(ctx) })
	workers.Go(func() error { return e.followFile(ctx) })
	workers.Go(func() error { return e.keepHousehold(ctx) })
	err = workers.Wait()
	e.settleAtEnd(ctx)
	return err
}

// ID names the edge.
func (e *Edge) ID() identity.ID { return e.cfg.Key.ID() }

// Pause stops sharing for d, or until Resume when d is zero: new streams are refused from now on, running ones are cut,
// and the relays are told.
func (e *Edge) Pause(d time.Duration) error {
	if !e.isOpen() {
		return errNotRunning
	}
	err := e.pause.set(d)
	e.live.cutAll(wire.Errorf(wire.Paused, "the owner has paused this edge"))
	e.announce()
	return err
}

// Resume ends a pause.
func (e *Edge) Resume() error {
	if !e.isOpen() {
		return errNotRunning
	}
	err := e.pause.resume()
	e.announce()
	return err
}

// announce makes every session tell its relay what is allowed now.
func (e *Edge) announce() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, l := range e.relays {
		l.poke()
	}
	e.reachable.announce()
}

// ready says why the edge serves nothing now, cheapest reason first, or nil.
func (e *Edge) ready() *wire.Error {
	if paused, _ := e.pause.now(); paused {
		return wire.Errorf(wire.Paused, "the owner has paused this edge")
	}
	if e.holds.any() {
		return wire.Errorf(wire.Paused, "this edge is held by its machine")
	}
	if !e.terms().policy.Open(e.cfg.Clock()) {
		return wire.Errorf(wire.OutOfHours, "the owner does not share at this hour")
	}
	if _, err := e.volume.room(); err != nil {
		return outside.Refusal(err)
	}
	return nil
}

// apps is what the owner shares for.
func (e *Edge) apps() wire.Apps {
	var apps []wire.App
	for _, a := range e.terms().Policy.Apps {
		switch a {
		case policy.AppProxy:
			apps = append(apps, wire.AppProxy)
		case policy.AppCrawl:
			apps = append(apps, wire.AppCrawl)
		}
	}
	return wire.AppsOf(apps...)
}

func (e *Edge) tunnelConfig() tunnel.Config {
	return tunnel.Config{Key: e.cfg.Key, Network: e.cfg.Network, Yield: cmp.Or(e.terms().Yield, -1), // of a tunnel, 0 is its own default
		Gate: e.relayGate, Log: e.cfg.Log}
}
