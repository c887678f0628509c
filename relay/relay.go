// Package relay is the meeting place: edges keep a tunnel to it, partners come in through its door, and the hub asks it
// for edges to crawl with. For each stream it picks an edge, joins the two sides, counts what was delivered, and agrees
// on the count with the edge in receipts that both have signed.
//
// A partner's request walks through this package from the top of this file down: gateway (the door) → authorise (who is
// it, and which grant pays) → open (which edge, and does it take the stream) → conn.Join (bytes, metered) → answerCount
// and completeReceipt (the receipt) → settle (the hub has it). Edges, grants and receipts each have a file.
package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"sward/accounting"
	"sward/internal/geo"
	"sward/internal/identity"
	"sward/internal/tunnel"
	"sward/internal/wire"
	"sward/relay/gateway"
)

const (
	// drainGrace is how long running streams may go on after the relay was told to stop.
	drainGrace = 20 * time.Second
	// lastReceipts is how long a stopping relay waits, after the last stream, for edges to sign for it. An edge counts
	// within a fifth of a second of a stream's end, and every two.
	lastReceipts = 3 * time.Second
	// drainPoll is how often both are looked at.
	drainPoll = 20 * time.Millisecond
	// geoEvery is how often the databases of places are looked at for a newer version.
	geoEvery = time.Minute
)

// hubAway is what a log says of upkeep that failed at the hub.
const hubAway = "the hub cannot be reached, will try again"

// Hub is what a relay asks of the hub; *accounting.Client is it.
type Hub interface {
	// Authorise confirms a partner's name and key and reserves up to want bytes of its balance as a grant.
	Authorise(ctx context.Context, name, key string, want uint64) (accounting.Allowance, error)
	// Renew extends a grant by up to want bytes: the same id, signed again with a higher limit and a later expiry.
	Renew(ctx context.Context, id accounting.GrantID, want uint64) (accounting.Allowance, error)
	// Release returns the rest of a grant to the balance once its receipts are in.
	Release(ctx context.Context, id accounting.GrantID, finals []accounting.Final) (accounting.Released, error)
	// History tells what the hub has credited to an edge.
	History(ctx context.Context, edge identity.ID) (accounting.History, error)
	// ReportUsage tells what partners used, once however often it is said.
	ReportUsage(ctx context.Context, report accounting.UsageReport) error
	// Settle submits receipts with the channels they belong to.
	Settle(ctx context.Context, channels []accounting.SignedChannel, receipts []accounting.SignedReceipt) ([]accounting.Settled, error)
	// Heartbeat tells the hub that this relay is there, and brings what the relay must know.
	Heartbeat(ctx context.Context, beat accounting.Heartbeat) (accounting.Orders, error)
	// Whereabouts tells how to get to an edge that has no session with this relay.
	Whereabouts(ctx context.Context, edge identity.ID) (accounting.Whereabouts, error)
}

// Config is a relay's world.
type Config struct {
	Key        identity.Key
	Network    string         // name in every signature: "main", "sandbox", …
	PacketConn net.PacketConn // UDP, for tunnels
	// TunnelListener is for tunnels where UDP is blocked: TCP, the same port as PacketConn's; nil takes none.
	TunnelListener net.Listener
	Listener       net.Listener // TCP, the partners' door
	Door           Door         // further doors of theirs
	Nodes          net.Listener // edges in browsers, by WebSocket; nil lets none in. TLS is the listener's, or a proxy's before it
	Tunnel         string       // host:port at which edges reach PacketConn and TunnelListener
	Proxy          string       // host:port at which partners reach Listener
	Region         string
	Reach          ReachConfig                                                  // calling edges that have no session here
	Ports          []uint16                                                     // targets' ports that partners may use; default 80 and 443
	Peers          []netip.Addr                                                 // addresses of the network itself: nobody is connected to them
	Resolve        func(ctx context.Context, name string) ([]netip.Addr, error) // for what browsers fetch; default: the system's servers
	Limits         LimitsConfig                                                 // what a target stands, and what looks like abuse
	Blocklists     []string                                                     // files of hosts that nobody may reach
	Hub            Hub
	HubID          identity.ID
	Dir            string  // receipts on their way to the hub
	Sessions       string  // file in which sticky sessions outlive a restart; empty: they do not
	Geo            *geo.DB // where addresses are; nil: nobody knows
	// Place is where an edge is that comes from addr. Default: what Geo says. A sandbox, where all are on one machine, lays
	// them out by identity.
	Place func(edge identity.ID, addr netip.Addr) geo.Place
	Beat  time.Duration // how often the hub hears from this relay; default 10 s
	Clock func() time.Time
	Log   *slog.Logger
}

func (c Config) withDefaults() Config {
	if len(c.Ports) == 0 {
		c.Ports = []uint16{80, 443}
	}
	if c.Resolve == nil {
		c.Resolve = defaultResolve
	}
	if c.Beat == 0 {
		c.Beat = beatEvery
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Place == nil {
		c.Place = func(_ identity.ID, addr netip.Addr) geo.Place { return c.Geo.Place(addr) }
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Relay is a worker.
type Relay struct {
	cfg     Config
	edges   *table
	stays   *stays
	metrics *metrics

	accounts *accounts
	waste    waste
	limits   *limits
	usage    *usageLog
	calls    *calls
	held     *held
	orphans  orphans // the upkeep's

	blocklists *blocklists // of Run

	grantsMu sync.Mutex
	grants   map[accounting.GrantID]*grant

	ordersMu sync.Mutex
	orders   accounting.Orders

	ctx   context.Context // of Run
	tasks sync.WaitGroup  // background work that Run waits for
	spool *accounting.Spool
	keep  *keeper
}

// New makes a relay; nothing happens before Run.
func New(cfg Config) (*Relay, error) {
	cfg = cfg.withDefaults()
	switch {
	case cfg.Network == "":
		return nil, errors.New("relay: no network name")
	case cfg.PacketConn == nil || cfg.Listener == nil:
		return nil, errors.New("relay: no sockets")
	case cfg.Hub == nil || cfg.HubID.IsZero():
		return nil, errors.New("relay: no hub")
	}
	if err := cfg.Limits.check(); err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	r := &Relay{
		cfg: cfg, edges: newTable(), stays: newStays(cfg.Clock), grants: map[accounting.GrantID]*grant{},
		accounts: newAccounts(), limits: newLimits(cfg), usage: newUsageLog(), calls: newCalls(cfg.Reach),
	}
	r.edges.place, r.edges.now = cfg.Place, cfg.Clock
	r.metrics = newMetrics(r)
	return r, nil
}

// Run serves until ctx ends, then lets running streams finish for a moment, settles and returns.
func (r *Relay) Run(ctx context.Context) error {
	spool, err := accounting.OpenSpoolAt(r.cfg.Dir, r.cfg.Network, r.cfg.Clock)
	if err != nil {
		return err
	}
	defer spool.Close()
	r.spool, r.keep = spool, newKeeper(spool)
	if r.held, err = openHeld(filepath.Join(r.cfg.Dir, heldFile)); err != nil {
		return err
	}
	defer r.held.close()
	r.orphans = orphans{ids: r.held.all(), from: r.cfg.Clock().Add(orphanWait)}
	if r.blocklists, err = openBlocklists(r.cfg.Log, r.cfg.Blocklists); err != nil {
		return err
	}
	r.recallStays()
	// Sessions outlive ctx by the grace, so that streams can end and their receipts be signed.
	lasting, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	r.ctx = lasting
	tunnels := tunnel.Config{Key: r.cfg.Key, Network: r.cfg.Network, Log: r.cfg.Log, Listener: r.cfg.TunnelListener}
	if err := r.openReach(); err != nil {
		return err
	}
	if r.calls.taking() {
		defer r.calls.host.Close()
		tunnels.Overlay = r.calls.host.Listener()
	}
	listener, err := tunnel.Listen(tunnels, r.cfg.PacketConn)
	if err != nil {
		return err
	}
	defer listener.Close()
	door, err := gateway.New(r.doorConfig())
	if err != nil {
		return err
	}
	// The hub's first orders say which consents hold; an edge that came before them would be sent away. A hub that is
	// away now is asked again by the upkeep.
	first, cancel := context.WithTimeout(ctx, firstBeat)
	if err := r.beatOnce(first); err != nil {
		r.cfg.Log.Warn("the hub cannot be reached yet", "err", err)
	}
	cancel()
	sessions, upkeep := new(errgroup.Group), new(errgroup.Group)
	sessions.Go(func() error { return r.accept(lasting, listener) })
	if r.cfg.Nodes != nil {
		sessions.Go(func() error { return r.serveNodes(ctx, lasting) })
	}
	running, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	upkeep.Go(func() error {
		err := r.keep.run(lasting)
		fail(err)
		return err
	})
	upkeep.Go(func() error { r.every(lasting, settleEvery, hubAway, r.settleOnce); return nil })
	upkeep.Go(func() error { r.every(lasting, r.cfg.Beat, hubAway, r.beatOnce); return nil })
	upkeep.Go(func() error { r.every(lasting, usageEvery, hubAway, r.reportUsage); return nil })
	upkeep.Go(func() error {
		r.every(lasting, demandEvery, "edges cannot be told of the demand", r.tellDemand)
		return nil
	})
	upkeep.Go(func() error { r.followCalls(lasting); return nil })
	upkeep.Go(func() error { r.every(lasting, pulseEvery, "edges cannot be watched", r.pulseOnce); return nil })
	upkeep.Go(func() error {
		r.every(lasting, grantIdle/4, hubAway, func(ctx context.Context) error { r.releaseIdle(ctx, false); return nil })
		return nil
	})
	upkeep.Go(func() error {
		r.every(lasting, blocklistEvery, "a blocklist cannot be used", r.blocklists.refresh)
		return nil
	})
	upkeep.Go(func() error { r.every(lasting, stayEvery, "sessions cannot be kept", r.keepStays); return nil })
	upkeep.Go(func() error {
		r.every(lasting, geoEvery, "a new database of places is not used", func(context.Context) error { return r.cfg.Geo.Refresh() })
		return nil
	})
	err = door.Run(running)

	r.leave(lasting)
	listener.Close()
	stop()
	err = errors.Join(err, sessions.Wait(), upkeep.Wait())
	r.tasks.Wait() // after those who begin them
	return errors.Join(err, r.keepStays(ctx))
}

// accept serves each session that comes in until ctx ends.
func (r *Relay) accept(ctx context.Context, l *tunnel.Listener) error {
	var sessions sync.WaitGroup
	defer sessions.Wait()
	for {
		s, hello, err := l.Accept(ctx)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		sessions.Go(func() { r.serve(ctx, agentLine{s}, hello, classAgent) })
	}
}

// leave says goodbye to every edge, waits for running streams and for the receipts of what they left, and settles: what is
// unsigned when a session ends was carried for nothing.
func (r *Relay) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, drainGrace)
	defer cancel()
	for _, e := range r.edges.all() {
		e.session.Drain(wire.Draining, "the relay is stopping") //nolint:errcheck // an edge that does not hear it has gone
	}
	for ctx.Err() == nil && r.streams() > 0 {
		pause(ctx, drainPoll)
	}
	last, done := context.WithTimeout(ctx, lastReceipts)
	defer done()
	for last.Err() == nil && !r.signed() {
		pause(last, drainPoll)
	}
	if err := r.settleOnce(ctx); err != nil {
		r.cfg.Log.Warn("receipts stay in the spool until the next start", "err", err)
	}
	if err := r.reportUsage(ctx); err != nil {
		r.cfg.Log.Warn("the breakdown of the last use is lost", "err", err)
	}
	r.releaseIdle(ctx, true)
}

// Ready is how many edges are connected with an open channel.
func (r *Relay) Ready() int {
	n := 0
	for _, e := range r.edges.all() {
		if e.channel() != nil {
			n++
		}
	}
	return n
}

// Settled reports whether every byte of ended streams is in a receipt that the hub has.
func (r *Relay) Settled() bool {
	return r.signed() && r.keep.empty() && len(r.spool.Pending(1)) == 0
}

// signed reports whether every byte of ended streams is in a receipt.
func (r *Relay) signed() bool {
	for _, e := range r.edges.all() {
		if m := e.channel(); m != nil && !m.Idle() {
			return false
		}
	}
	return true
}

func (r *Relay) streams() int {
	n := 0
	for _, e := range r.edges.all() {
		n += e.candidate().Streams
	}
	return n
}

// background runs work that Run waits for before it returns.
func (r *Relay) background(work func()) { r.tasks.Go(work) }

// every calls once again and again until ctx ends. An error is logged, as failure, when it is new: the next call tries
// again.
func (r *Relay) every(ctx context.Context, interval time.Duration, failure string, once func(context.Context) error) {
	failing := false
	for ctx.Err() == nil {
		err := once(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			r.cfg.Log.Warn(failure, "err", err)
		}
		failing = err != nil
		pause(ctx, interval)
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
