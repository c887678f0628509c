// Package sandbox is the whole network in one process, with a closed world to work on: a hub, relays and edges, joined by
// real QUIC on loopback, and a web site that only they can reach. People run it to see what Sward does; testnet runs it
// in tests, with hooks that change one peer.
//
// Every part is built as its own program builds it. What differs enters through their Config: the edges resolve and dial
// in the sandbox's World, where the site has a public-looking address, so that the address gate needs no exception.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"sward/edge"
	"sward/internal/daemon"
	"sward/internal/hub"
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
	Proxy, ProxyTLS, API, Search, Internal string

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

// infoFile is written when everything is up. It stays after the end, and the next start removes it first, so that whoever
// waits for it never reads the ports of an earlier run.
const infoFile = "sandbox.json"

// Info is sandbox.json: where everything is, for scripts.
type Info struct {
	Proxy    string     `json:"proxy"`
	Socks    string     `json:"socks"`
	ProxyTLS string     `json:"proxy_tls"` // the same door inside TLS, with HTTP/2
	ProxyH3  string     `json:"proxy_h3"`  // and for HTTP/3, in UDP
	API      string     `json:"api"`
	Search   string     `json:"search"`
	Partner  string     `json:"partner"`
	Key      string     `json:"key"`
	Site     string     `json:"site"`
	SiteTLS  string     `json:"site_tls"`
	CA       string     `json:"ca"`
	Hub      string     `json:"hub"`
	Relay    string     `json:"relay"`
	Edges    []EdgeInfo `json:"edges"`
}

// EdgeInfo is one edge of a sandbox.
type EdgeInfo struct {
	ID        string `json:"id"`
	Country   string `json:"country"` // where it is said to be: see homes
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
	file := filepath.Join(s.cfg.Dir, infoFile)
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) { // of an earlier run: its ports are others'
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

// While runs a sandbox, calls do with it once it is ready, and stops it when do returns. The context that do gets also
// ends when the sandbox does.
func While(ctx context.Context, cfg Config, do func(context.Context, *Sandbox) error) error {
	s, err := New(cfg)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() {
		ended <- s.Run(ctx)
		stop()
	}()
	select {
	case <-s.Ready():
	case err := <-ended:
		return err
	}
	err = do(ctx, s)
	stop()
	return errors.Join(err, <-ended)
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
