package hub

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"time"

	"sward/accounting"
	"sward/crawler"
	"sward/internal/identity"
	"sward/internal/tunnel"
	"sward/internal/wire"
)

const (
	// relaysEvery is how often the list of relays is read again.
	relaysEvery = 2 * time.Second
	// crawlGrant is what an account reserves on a relay for crawling; the relay asks for more as it is used up.
	crawlGrant = 32 << 20
	// grantMargin is how long before its expiry a grant is not used for a new stream any more.
	grantMargin = time.Minute
	// relayIdle is how soon a dead relay is noticed. Crawl streams wait for pages and say nothing themselves, and a hub has
	// few sessions: it can afford to ask more often than an edge.
	relayIdle = 9 * time.Second
	// maxAvoided bounds how many edges a stream can avoid: what the Route frame carries.
	maxAvoided = wire.MaxAvoid
	// maxHomes bounds the edges of which it is known where they are.
	maxHomes = 50_000
)

// peers keeps one session to each relay and opens streams on them for the crawler.
type peers struct {
	cfg  Config
	book *accounting.Book

	mu       sync.Mutex
	sessions map[identity.ID]*tunnel.Session
	grants   map[grantKey]accounting.SignedGrant
	homes    map[string]home // where an edge was met last
}

// home is where an edge is in the network, and in the world.
type home struct {
	relay   identity.ID
	country string
	asn     uint32
}

type grantKey struct {
	partner string
	relay   identity.ID
}

func newPeers(cfg Config, book *accounting.Book) *peers {
	return &peers{cfg: cfg, book: book, sessions: map[identity.ID]*tunnel.Session{}, grants: map[grantKey]accounting.SignedGrant{}, homes: map[string]home{}}
}

// run keeps a session to every relay of the directory until ctx ends.
func (p *peers) run(ctx context.Context) error {
	var clients sync.WaitGroup
	defer clients.Wait()
	type running struct {
		at   string
		stop context.CancelFunc
	}
	known := map[identity.ID]running{}
	for {
		present := map[identity.ID]bool{}
		for _, relay := range p.book.Relays() {
			present[relay.ID] = true
			old, known1 := known[relay.ID]
			if relay.Tunnel == "" || known1 && old.at == relay.Tunnel {
				continue
			}
			if known1 {
				old.stop()
			}
			one, stop := context.WithCancel(ctx)
			known[relay.ID] = running{relay.Tunnel, stop}
			clients.Go(func() { p.keep(one, relay.ID, relay.Tunnel) })
		}
		for id, r := range known {
			if !present[id] {
				r.stop()
				delete(known, id)
			}
		}
		select {
		case <-ctx.Done():
			for _, r := range known {
				r.stop()
			}
			return nil
		case <-time.After(relaysEvery):
		}
	}
}

// keep holds a session to one relay.
func (p *peers) keep(ctx context.Context, relay identity.ID, address string) {
	client, err := tunnel.NewClient(tunnel.ClientConfig{
		Log: p.cfg.Log,
		Dial: func(ctx context.Context) (*tunnel.Session, wire.Welcome, error) {
			return tunnel.Dial(ctx, tunnel.Config{Key: p.cfg.Key, Network: p.cfg.Network, Log: p.cfg.Log, Idle: relayIdle}, nil, address, relay,
				wire.Hello{Role: wire.RoleHub, Agent: "sward-hub", Clock: p.cfg.Clock().UnixMilli()})
		},
		Serve: func(ctx context.Context, s *tunnel.Session, _ wire.Welcome) error {
			p.put(relay, s)
			defer p.drop(relay, s)
			for { // reading notices the end of the session as well
				kind, body, err := s.Control(ctx)
				if err != nil {
					return err
				}
				if kind != wire.TypePlace {
					continue
				}
				at, err := wire.ParsePlace(body)
				if err != nil {
					return err
				}
				p.placed(at, relay)
			}
		},
	})
	if err != nil {
		p.cfg.Log.Error("no session to a relay", "relay", relay, "err", err)
		return
	}
	if err := client.Run(ctx); err != nil && ctx.Err() == nil {
		p.cfg.Log.Error("session to a relay given up", "relay", relay, "err", err)
	}
}

// put notes a new session. The grants of the one before are over: the relay may have started again, and then would let
// each be used from its beginning.
func (p *peers) put(relay identity.ID, s *tunnel.Session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sessions[relay] = s
	maps.DeleteFunc(p.grants, func(k grantKey, _ accounting.SignedGrant) bool { return k.relay == relay })
}

func (p *peers) drop(relay identity.ID, s *tunnel.Session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sessions[relay] == s {
		delete(p.sessions, relay)
	}
}

// any returns a live session, a random one of several, so that jobs spread over relays.
func (p *peers) any() (identity.ID, *tunnel.Session, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var ids []identity.ID
	for id, s := range p.sessions {
		if !s.Draining() {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return identity.ID{}, nil, false
	}
	id := ids[rand.IntN(len(ids))] //nolint:gosec // spreading load needs no secrecy
	return id, p.sessions[id], true
}

// openCrawl is the crawler's way to an edge that fetches a batch itself.
func (p *peers) openCrawl(ctx context.Context, a crawler.Account, avoid []string) (net.Conn, string, error) {
	return p.open(ctx, a, wire.Open{App: wire.AppCrawl}, avoid, "")
}

// openTunnel is the crawler's way to a site through an edge that sees only TLS.
func (p *peers) openTunnel(ctx context.Context, a crawler.Account, hostport string, avoid []string) (net.Conn, string, error) {
	return p.proxy(ctx, a, hostport, avoid, "")
}

// openThrough is the same through one certain edge.
func (p *peers) openThrough(ctx context.Context, a crawler.Account, hostport, edge string) (net.Conn, error) {
	conn, _, err := p.proxy(ctx, a, hostport, nil, edge)
	return conn, err
}

func (p *peers) proxy(ctx context.Context, a crawler.Account, hostport string, avoid []string, edge string) (net.Conn, string, error) {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, "", wire.Errorf(wire.BadHost, "%v", err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, "", wire.Errorf(wire.BadPort, "%q is no port", port)
	}
	return p.open(ctx, a, wire.Open{App: wire.AppProxy, Host: host, Port: uint16(n)}, avoid, edge)
}

func (p *peers) open(ctx context.Context, a crawler.Account, open wire.Open, avoid []string, edge string) (net.Conn, string, error) {
	relay, session, ok := p.any()
	if !ok {
		return nil, "", wire.Errorf(wire.NoEdge, "no relay is connected")
	}
	var route wire.Route
	if edge != "" {
		p.mu.Lock()
		if at := p.homes[edge].relay; p.sessions[at] != nil {
			relay, session = at, p.sessions[at]
		}
		p.mu.Unlock()
		id, err := identity.ParseID(edge)
		if err != nil {
			return nil, "", fmt.Errorf("through %q: %w", edge, err)
		}
		route.Edge = wire.ID(id)
	}
	for _, text := range avoid[:min(len(avoid), maxAvoided)] {
		id, err := identity.ParseID(text)
		if err != nil {
			return nil, "", fmt.Errorf("avoid %q: %w", text, err)
		}
		route.Avoid = append(route.Avoid, id)
	}
	for fresh := false; ; fresh = true {
		grant, err := p.grant(ctx, grantKey{a.ID, relay}, fresh)
		if code := wire.CodeOf(err); !fresh && (code == wire.BalanceExhausted || code == wire.PartnerCap) {
			if at, other, ok := p.funded(a.ID); ok { // what is left of the balance, or of the day, is reserved there
				relay, session = at, other
				grant, err = p.grant(ctx, grantKey{a.ID, relay}, false)
			}
		}
		if err != nil {
			return nil, "", err
		}
		open.Grant = grant.Bytes()
		stream, opened, err := session.Open(ctx, route, open)
		if code := wire.CodeOf(err); !fresh && (code == wire.GrantInvalid || code == wire.OverLimit) {
			continue // the relay has released it since; a new one will do
		}
		if err != nil {
			return nil, "", err
		}
		return stream, p.met(identity.ID(opened.Edge), relay), nil
	}
}

// met notes where an edge is, and returns its name.
func (p *peers) met(edge, relay identity.ID) string {
	name := edge.String()
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.homeLocked(name)
	at.relay = relay
	p.homes[name] = at
	return name
}

// placed notes what a relay says of an edge's line.
func (p *peers) placed(at wire.Place, relay identity.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	name := identity.ID(at.Edge).String()
	p.homeLocked(name)
	p.homes[name] = home{relay: relay, country: at.Country, asn: at.ASN}
}

// homeLocked is what is known of an edge, with room to note more.
func (p *peers) homeLocked(edge string) home {
	at, known := p.homes[edge]
	if !known && len(p.homes) >= maxHomes {
		for other := range p.homes { // any one: it costs a page a country
			delete(p.homes, other)
			break
		}
	}
	return at
}

// where is the country and the network of an edge's line, as a relay sees it.
func (p *peers) where(edge string) (country string, asn uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.homes[edge]
	return at.country, at.asn
}

// funded returns a relay at which an account holds a grant, and the live session to it.
func (p *peers) funded(partner string) (identity.ID, *tunnel.Session, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, g := range p.grants {
		if s := p.sessions[k.relay]; k.partner == partner && s != nil && !s.Draining() && p.fresh(g) {
			return k.relay, s, true
		}
	}
	return identity.ID{}, nil, false
}

// fresh reports whether a grant is far enough from its end for a new stream.
func (p *peers) fresh(g accounting.SignedGrant) bool {
	return p.cfg.Clock().Add(grantMargin).UnixMilli() < g.NotAfter
}

// grant returns what pays for an account's crawling on a relay, a new one when the present one is old or not wanted.
func (p *peers) grant(ctx context.Context, k grantKey, fresh bool) (accounting.SignedGrant, error) {
	p.mu.Lock()
	defer p.mu.Unlock() // issuing is one local transaction: waiting for it is cheaper than two grants
	if g, ok := p.grants[k]; ok && !fresh && p.fresh(g) {
		return g, nil
	}
	maps.DeleteFunc(p.grants, func(_ grantKey, g accounting.SignedGrant) bool { return !p.fresh(g) })
	g, err := p.book.IssueGrant(ctx, k.partner, k.relay, crawlGrant)
	if err != nil {
		return accounting.SignedGrant{}, err
	}
	p.grants[k] = g
	return g, nil
}
