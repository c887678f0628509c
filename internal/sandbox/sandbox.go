// Package sandbox is the whole network in one process, with a closed world to work on: a hub, relays and edges, joined by
// real QUIC on loopback, and a web site that only they can reach. People run it to see what Sward does; testnet runs it
// in tests, with hooks that change one peer.
//
// Every part is built as its own program builds it. What differs enters through their Config: the edges resolve and dial
// in the sandbox's World, where the site has a public-looking address, so that the address gate needs no exception.
package sandbox

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sward/accounting"
	"sward/edge"
	"sward/internal/daemon"
	"sward/internal/hub"
	"sward/internal/identity"
	"sward/policy"
	"sward/relay"
)

// Names and addresses of the closed world. The addresses look public, as the gate demands; nothing answers at them but
// what the sandbox put there.
const (
	SiteName = "site.sward.example"
	TrapName = "router.sward.example" // a public name whose address is a home router's
)

var (
	siteAddress = netip.MustParseAddr("44.128.0.10")
	trapAddress = netip.MustParseAddr("192.168.1.1")
)

const (
	readyWait    = 30 * time.Second
	readyPoll    = 10 * time.Millisecond
	startCredit  = 10 << 30 // bytes that the sandbox's partner has to spend
	partnerName  = "demo"
	startPurpose = policy.Purpose("market-research")
	maxEdges     = 256
)

// Config is what of a sandbox can be chosen.
type Config struct {
	Dir     string       // state; created if missing
	Network string       // default "sandbox"
	Relays  int          // default 1
	Edges   int          // default 3
	Partner string       // default "demo"
	Site    fs.FS        // a folder of HTML; nil: Manual
	Manual  fs.FS        // Markdown, rendered when Site is nil
	Handler http.Handler // instead of both, for tests
	Log     *slog.Logger
	Clock   func() time.Time

	// Listen addresses; empty is a free port on 127.0.0.1.
	Proxy, API, Search, Internal string

	// Hooks change one part before it is made.
	Hub   func(*hub.Config)
	Relay func(n int, c *relay.Config)
	Edge  func(n int, c *edge.Config)
	World func(*World)
}

func (c Config) withDefaults() (Config, error) {
	if c.Network == "" {
		c.Network = "sandbox"
	}
	if c.Partner == "" {
		c.Partner = partnerName
	}
	if c.Relays == 0 {
		c.Relays = 1
	}
	if c.Edges == 0 {
		c.Edges = 3
	}
	if c.Edges < 1 || c.Edges > maxEdges {
		return c, fmt.Errorf("%d edges: between 1 and %d fit into one process", c.Edges, maxEdges)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Handler == nil && c.Site == nil && c.Manual == nil {
		return c, errors.New("the sandbox has no site to work on")
	}
	return c, nil
}

// Info is sandbox.json: where everything is, for scripts.
type Info struct {
	Proxy   string     `json:"proxy"`
	Socks   string     `json:"socks"`
	API     string     `json:"api"`
	Search  string     `json:"search"`
	Partner string     `json:"partner"`
	Key     string     `json:"key"`
	Site    string     `json:"site"`
	SiteTLS string     `json:"site_tls"`
	CA      string     `json:"ca"`
	Hub     string     `json:"hub"`
	Relay   string     `json:"relay"`
	Edges   []EdgeInfo `json:"edges"`
}

// EdgeInfo is one edge of a sandbox.
type EdgeInfo struct {
	ID        string `json:"id"`
	Dashboard string `json:"dashboard"`
	Token     string `json:"token"` // what the dashboard asks for; Authorization: Bearer for scripts
}

// Sandbox is a worker that is also there to be asked.
type Sandbox struct {
	cfg   Config
	world *World
	ready chan struct{}

	mu     sync.Mutex
	info   Info
	hub    *hub.Hub
	relays []*relay.Relay
	edges  []*edge.Edge
}

// New prepares a sandbox; nothing happens before Run.
func New(cfg Config) (*Sandbox, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if cfg.Dir == "" {
		return nil, errors.New("the sandbox needs a directory")
	}
	return &Sandbox{cfg: cfg, world: NewWorld(), ready: make(chan struct{})}, nil
}

// Ready is closed once every part is up, all edges are connected, and sandbox.json is written.
func (s *Sandbox) Ready() <-chan struct{} { return s.ready }

// Dir is where the state is.
func (s *Sandbox) Dir() string { return s.cfg.Dir }

// World is the closed world, to look at and to add to.
func (s *Sandbox) World() *World { return s.world }

// Info is what sandbox.json says. Call it after Ready.
func (s *Sandbox) Info() Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.info
}

// Hub is the hub role while the sandbox runs. Call it after Ready.
func (s *Sandbox) Hub() *hub.Hub {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hub
}

// Edges are the edge workers. Call it after Ready.
func (s *Sandbox) Edges() []*edge.Edge {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.edges
}

// Relays are the relay workers. Call it after Ready.
func (s *Sandbox) Relays() []*relay.Relay {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.relays
}

// Run builds everything, runs it until ctx ends, and closes it in the opposite order.
func (s *Sandbox) Run(ctx context.Context) (err error) {
	if err := os.MkdirAll(s.cfg.Dir, 0o700); err != nil {
		return err
	}
	b := builder{Sandbox: s}
	defer func() { err = errors.Join(err, b.close()) }()
	for _, build := range []func(context.Context) error{b.makeHub, b.makeRelays, b.makeEdges} {
		b.stages = append(b.stages, nil)
		if err := build(ctx); err != nil {
			return err
		}
	}
	b.add("ready", func(ctx context.Context) error {
		if err := b.finish(ctx); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	})
	return runStages(ctx, s.cfg.Log, b.stages)
}

// runStages runs each stage for as long as the ones after it, and stops them last first: the edges sign their last
// receipts while the relays still are there, the relays hand them in while the hub still is.
func runStages(ctx context.Context, log *slog.Logger, stages [][]daemon.Worker) error {
	if len(stages) == 0 {
		<-ctx.Done()
		return nil
	}
	lasting, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	later, stopLater := context.WithCancel(ctx)
	defer stopLater()
	ended := make(chan error, 1)
	go func() {
		ended <- daemon.Run(lasting, log, stages[0]...)
		stopLater()
	}()
	err := runStages(later, log, stages[1:])
	stop()
	return errors.Join(err, <-ended)
}

// builder is what Run needs while it builds.
type builder struct {
	*Sandbox
	stages  [][]daemon.Worker // in the order in which they start
	closers []func() error
	roots   *x509.CertPool
	hubKey  identity.Key
	hubAddr string
}

func (b *builder) close() error {
	var failed error
	for i := len(b.closers) - 1; i >= 0; i-- {
		failed = errors.Join(failed, b.closers[i]())
	}
	return failed
}

func (b *builder) add(name string, run func(context.Context) error) {
	last := len(b.stages) - 1
	b.stages[last] = append(b.stages[last], daemon.Worker{Name: name, Run: run})
}

// listen opens a TCP listener that is closed with the sandbox, if its owner has not closed it before.
func (b *builder) listen(ctx context.Context, address string) (net.Listener, error) {
	if address == "" {
		address = "127.0.0.1:0"
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	b.closers = append(b.closers, func() error { l.Close(); return nil })
	return l, nil
}

// site serves the web site and gives it a name and an address in the world.
func (b *builder) site(ctx context.Context) error {
	plain, err := b.listen(ctx, "")
	if err != nil {
		return err
	}
	secure, err := b.listen(ctx, "")
	if err != nil {
		return err
	}
	handler := b.cfg.Handler
	switch {
	case handler != nil:
	case b.cfg.Site != nil:
		handler = Folder(b.cfg.Site)
	default:
		if handler, err = Manual(b.cfg.Manual, "http://"+SiteName); err != nil {
			return err
		}
	}
	ca, certificate, err := authority(b.cfg.Clock(), SiteName)
	if err != nil {
		return err
	}
	b.info.CA = filepath.Join(b.cfg.Dir, "ca.pem")
	if err := daemon.WriteFile(b.info.CA, ca, 0o644); err != nil {
		return err
	}
	b.roots = x509.NewCertPool()
	b.roots.AppendCertsFromPEM(ca)
	b.world.Name(SiteName, siteAddress)
	b.world.Name(TrapName, trapAddress)
	b.world.Host(netip.AddrPortFrom(siteAddress, 80), plain.Addr().String())
	b.world.Host(netip.AddrPortFrom(siteAddress, 443), secure.Addr().String())
	if b.cfg.World != nil {
		b.cfg.World(b.world)
	}
	b.info.Site, b.info.SiteTLS = "http://"+SiteName, "https://"+SiteName
	b.add("site", func(ctx context.Context) error { return serveSite(ctx, handler, plain, secure, certificate) })
	return nil
}

// makeHub makes the hub, and the site that the network works on.
func (b *builder) makeHub(ctx context.Context) error {
	if err := b.site(ctx); err != nil {
		return err
	}
	dir := filepath.Join(b.cfg.Dir, "hub")
	key, err := identity.LoadOrCreateKey(filepath.Join(dir, "key"))
	if err != nil {
		return err
	}
	b.hubKey = key
	cfg := hub.Config{
		Dir: dir, Key: key, Network: b.cfg.Network, Consents: []accounting.Hash{edge.ConsentHash()},
		Clock: b.cfg.Clock, Log: b.cfg.Log.With("role", "hub"), Roots: b.roots,
		Delay: 5 * time.Millisecond, // the site is on this machine, and is ours
	}
	for _, l := range []struct {
		to *net.Listener
		at string
	}{{&cfg.Internal, b.cfg.Internal}, {&cfg.API, b.cfg.API}, {&cfg.Search, b.cfg.Search}} {
		if *l.to, err = b.listen(ctx, l.at); err != nil {
			return err
		}
	}
	if b.cfg.Hub != nil {
		b.cfg.Hub(&cfg)
	}
	h, err := hub.Open(cfg)
	if err != nil {
		return err
	}
	b.closers = append(b.closers, h.Close)
	b.Sandbox.hub, b.hubAddr = h, cfg.Internal.Addr().String()
	b.info.API, b.info.Search = "http://"+cfg.API.Addr().String(), "http://"+cfg.Search.Addr().String()
	for _, w := range h.Workers() {
		b.add(w.Name, w.Run)
	}
	b.info.Hub, err = b.debug(ctx, "hub", h.Metrics())
	return err
}

// debug runs a role's debug server and returns its base URL.
func (b *builder) debug(ctx context.Context, role string, collectors []prometheus.Collector) (string, error) {
	l, err := b.listen(ctx, "")
	if err != nil {
		return "", err
	}
	registry := prometheus.NewRegistry()
	for _, c := range collectors {
		if err := registry.Register(c); err != nil {
			return "", err
		}
	}
	w := daemon.Debug(l, registry)
	b.add("debug "+role, w.Run)
	return "http://" + l.Addr().String(), nil
}

func (b *builder) client(key identity.Key) *accounting.Client {
	c := &accounting.Client{Addr: b.hubAddr, Network: b.cfg.Network, Hub: b.hubKey.ID(), Key: key}
	b.closers = append(b.closers, func() error { c.Close(); return nil })
	return c
}

func (b *builder) makeRelays(ctx context.Context) error {
	for n := range b.cfg.Relays {
		dir := filepath.Join(b.cfg.Dir, "relays", strconv.Itoa(n))
		key, err := identity.LoadOrCreateKey(filepath.Join(dir, "key"))
		if err != nil {
			return err
		}
		udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return err
		}
		b.closers = append(b.closers, func() error { udp.Close(); return nil })
		address := ""
		if n == 0 {
			address = b.cfg.Proxy
		}
		door, err := b.listen(ctx, address)
		if err != nil {
			return err
		}
		cfg := relay.Config{
			Key: key, Network: b.cfg.Network, PacketConn: udp, Listener: door, Dir: filepath.Join(dir, "spool"),
			Tunnel: udp.LocalAddr().String(), Proxy: door.Addr().String(), Region: "sandbox",
			Hub: b.client(key), HubID: b.hubKey.ID(), Clock: b.cfg.Clock, Log: b.cfg.Log.With("role", "relay"),
		}
		if b.cfg.Relay != nil {
			b.cfg.Relay(n, &cfg)
		}
		r, err := relay.New(cfg)
		if err != nil {
			return err
		}
		err = b.Sandbox.hub.Book.AdmitRelay(ctx, accounting.RelayInfo{ID: key.ID(), Proxy: cfg.Proxy, Tunnel: cfg.Tunnel, Region: cfg.Region})
		if err != nil {
			return fmt.Errorf("admit relay: %w", err)
		}
		b.Sandbox.relays = append(b.Sandbox.relays, r)
		b.add("relay", r.Run)
		debug, err := b.debug(ctx, "relay", r.Metrics())
		if err != nil {
			return err
		}
		if n == 0 {
			b.info.Relay, b.info.Proxy, b.info.Socks = debug, "http://"+cfg.Proxy, cfg.Proxy
		}
	}
	return nil
}

func (b *builder) makeEdges(ctx context.Context) error {
	for n := range b.cfg.Edges {
		dir := b.edgeDir(n)
		key, err := identity.LoadOrCreateKey(filepath.Join(dir, "key"))
		if err != nil {
			return err
		}
		dashboard, err := b.listen(ctx, "")
		if err != nil {
			return err
		}
		cfg := edge.Config{
			Key: key, Network: b.cfg.Network, Dir: dir, Hub: b.client(key), Listener: dashboard,
			Rules: policy.DefaultRules(), Streams: 256, Roots: b.roots,
			Resolve: b.world.Resolve, Dial: b.world.Dial,
			Clock: b.cfg.Clock, Log: b.cfg.Log.With("role", "edge"),
		}
		if b.cfg.Edge != nil {
			b.cfg.Edge(n, &cfg)
		}
		e, err := edge.New(cfg)
		if err != nil {
			return err
		}
		b.Sandbox.edges = append(b.Sandbox.edges, e)
		b.add("edge", func(ctx context.Context) error {
			if err := b.consent(ctx, cfg); err != nil {
				return err
			}
			return e.Run(ctx)
		})
		b.info.Edges = append(b.info.Edges, EdgeInfo{ID: key.ID().String(), Dashboard: "http://" + dashboard.Addr().String()})
	}
	return nil
}

// consent agrees for an edge of the sandbox the way an owner without a terminal does: with a code that the operator
// issued. Whoever runs a sandbox is both.
func (b *builder) consent(ctx context.Context, cfg edge.Config) error {
	if agreed, err := edge.Agreed(cfg.Dir); err != nil || agreed {
		return err
	}
	invite, err := b.Sandbox.hub.Book.Invite(ctx)
	if err != nil {
		return err
	}
	return edge.AgreeByCode(ctx, cfg.Dir, cfg.Hub, invite.Code, cfg.Clock())
}

// finish waits for all edges, gives the partner its credit, and writes sandbox.json.
func (b *builder) finish(ctx context.Context) error {
	if err := b.partner(ctx); err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	for _, r := range b.Sandbox.relays {
		for r.Ready() < b.cfg.Edges {
			select {
			case <-waiting.Done():
				return fmt.Errorf("%d of %d edges connected in %s", r.Ready(), b.cfg.Edges, readyWait)
			case <-time.After(readyPoll):
			}
		}
	}
	if err := b.tokens(waiting); err != nil {
		return err
	}
	b.mu.Lock()
	data, err := json.MarshalIndent(b.info, "", "  ")
	b.mu.Unlock()
	if err != nil {
		return err
	}
	if err := daemon.WriteFile(filepath.Join(b.cfg.Dir, "sandbox.json"), append(data, '\n'), 0o600); err != nil {
		return err
	}
	close(b.ready)
	return nil
}

// tokens reads what each edge's dashboard asks for, once the edges run.
func (b *builder) tokens(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for n := range b.info.Edges {
		control, err := edge.ReadControl(b.edgeDir(n))
		for errors.Is(err, os.ErrNotExist) && ctx.Err() == nil {
			time.Sleep(readyPoll)
			control, err = edge.ReadControl(b.edgeDir(n))
		}
		if err != nil {
			return err
		}
		b.info.Edges[n].Token = control.Token
	}
	return nil
}

func (b *builder) edgeDir(n int) string { return filepath.Join(b.cfg.Dir, "edges", strconv.Itoa(n)) }

// partner opens the sandbox's account, or finds its key in the sandbox.json of an earlier run.
func (b *builder) partner(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.info.Partner = b.cfg.Partner
	var before Info
	data, err := os.ReadFile(filepath.Join(b.cfg.Dir, "sandbox.json"))
	if err == nil && json.Unmarshal(data, &before) == nil && before.Partner == b.cfg.Partner && before.Key != "" {
		if _, err := b.Sandbox.hub.Book.PartnerByKey(ctx, before.Key); err == nil {
			b.info.Key = before.Key
			return nil
		}
	}
	if b.info.Key, err = b.Sandbox.hub.Book.AddPartner(ctx, b.cfg.Partner, startPurpose.Code()); err != nil {
		return err
	}
	return b.Sandbox.hub.Book.Credit(ctx, b.cfg.Partner, startCredit)
}

// Earned is what one edge has been credited.
type Earned struct {
	Edge   identity.ID
	Points accounting.Micro
	Bytes  uint64
}

// Settled waits until no receipt is on its way any more and returns what each edge earned, in the order of the edges.
func (s *Sandbox) Settled(ctx context.Context, atMost time.Duration) ([]Earned, error) {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	for pending := true; pending; {
		pending = false
		for _, r := range s.Relays() {
			pending = pending || !r.Settled()
		}
		if pending {
			select {
			case <-ctx.Done():
				return nil, fmt.Errorf("receipts are still on their way after %s", atMost)
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	var all []Earned
	for _, e := range s.Info().Edges {
		id, err := identity.ParseID(e.ID)
		if err != nil {
			return nil, err
		}
		account, err := s.Hub().Book.EdgeAccount(ctx, id)
		if err != nil {
			return nil, err
		}
		all = append(all, Earned{Edge: id, Points: account.Points, Bytes: account.Bytes})
	}
	return all, nil
}
