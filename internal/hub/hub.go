// Package hub assembles the hub role: the books (accounting), the crawl service (crawler) and the web index (indexer),
// which do not know each other, joined by a few lines each, and the hub's end of the tunnels to its relays.
//
// A crawl job walks through here twice: from the crawl API into crawler, which asks this package for a stream to some
// edge (peers.go: pick a relay, bring a grant, open), and back as finished pages, which this package puts into the
// index. Partners' keys are checked against the books for both doors alike, and for what a partner asks about its own use
// (usage.go).
package hub

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sward/accounting"
	"sward/crawler"
	"sward/crawler/api"
	"sward/crawler/console"
	"sward/crawler/export"
	"sward/crawler/proof"
	"sward/crawler/render"
	"sward/indexer"
	"sward/internal/daemon"
	"sward/internal/household"
	"sward/internal/identity"
	"sward/internal/outside"
	"sward/policy"
)

const (
	headerTime   = 10 * time.Second // for a request's header: a slow client holds a connection, not a worker
	maxHeader    = 64 << 10
	idleTime     = 2 * time.Minute // of a connection between two requests: strangers' cost nothing but a place
	shutdownTime = 2 * time.Second // for answers under way when the hub stops
)

// Config is the hub's world.
type Config struct {
	Dir      string // books, jobs, pages and index live in folders of it
	Key      identity.Key
	Network  string
	Internal net.Listener      // relays, edges and operators: HTTP over mutual TLS
	API      net.Listener      // partners' crawl API: HTTP
	Search   net.Listener      // search API and page: HTTP
	Limits   accounting.Limits // of partners that have none of their own; default: accounting.DefaultLimits
	Consents []accounting.Hash // hashes of the terms that owners may have agreed to
	Clock    func() time.Time
	Log      *slog.Logger

	Roots     *x509.CertPool      // for TLS that ends at the crawler; nil: the system's
	Delay     time.Duration       // between two requests to one host, 0: the crawler's default
	Chromium  string              // a browser for screenshots, by path or name; empty: they are not offered
	Canaries  map[string][32]byte // SHA-256 of the body of pages that the operator knows, by address
	AuditRate float64             // share of pages fetched by a second road, 0: the crawler's default
	Database  string              // DSN of the PostgreSQL database that holds crawl jobs, empty: a SQLite file in Dir

	Public  string // https origin at which the world reaches API: the crawler's page and keys; empty: it has neither
	Contact string // of whoever runs the hub, for the crawler's page

	Outside outside.Dialer // the way to webhooks' servers; zero: the system's resolver and sockets

	Crawl func(*crawler.Config) // changes the crawler before it is opened: tests and benches do
}

// Hub is a store while it is open, and Workers are what runs in it.
type Hub struct {
	cfg     Config
	uses    *accounting.Breakdown
	Book    *accounting.Book
	Index   *indexer.Index
	Crawler *crawler.Crawler
	exports *export.Exporter
	lists   *lists
	peers   *peers
	homes   *household.Store
	hooks   hooks
	self    self
	pages   http.Handler // of the API, for browsers
	api     *api.API
}

// Open opens the stores below cfg.Dir.
func Open(cfg Config) (h *Hub, err error) {
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	h = &Hub{cfg: cfg}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.Close())
		}
	}()
	if h.pages, err = console.New(); err != nil {
		return h, err
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return h, err
	}
	if h.uses, err = accounting.OpenBreakdown(context.Background(), filepath.Join(cfg.Dir, "usage.db"), policy.Classes()); err != nil {
		return h, err
	}
	if h.homes, err = household.Open(household.Config{Dir: filepath.Join(cfg.Dir, "households"), Clock: cfg.Clock}); err != nil {
		return h, err
	}
	h.Book, err = accounting.OpenBook(accounting.BookConfig{
		Kin: h.homes.Kin,
		Dir: filepath.Join(cfg.Dir, "books"), Key: cfg.Key, Network: cfg.Network, Consents: cfg.Consents, Clock: cfg.Clock, Log: cfg.Log,
		Limits: cfg.Limits, Breakdown: h.uses,
	})
	if err != nil {
		return h, fmt.Errorf("open books: %w", err)
	}
	if h.lists, err = openLists(filepath.Join(cfg.Dir, ListsDir), h.Book, cfg.Log); err != nil {
		return h, err
	}
	h.Index, err = indexer.Open(indexer.Config{Dir: filepath.Join(cfg.Dir, "index"), Log: cfg.Log})
	if err != nil {
		return h, fmt.Errorf("open index: %w", err)
	}
	h.peers = newPeers(cfg, h.Book)
	if h.hooks, err = newHooks(cfg.Dir, cfg.Outside); err != nil {
		return h, err
	}
	crawling := crawler.Config{
		Dir: filepath.Join(cfg.Dir, "crawl"), Clock: cfg.Clock, Log: cfg.Log, Roots: cfg.Roots,
		Delay: cfg.Delay, AuditRate: cfg.AuditRate, Canaries: cfg.Canaries, Database: cfg.Database,
		OpenCrawl: h.peers.openCrawl, OpenTunnel: h.peers.openTunnel, OpenThrough: h.peers.openThrough, Verify: h.verify, Network: cfg.Network, Seal: h.seal, Where: h.peers.where,
		Suspect: h.suspect, Store: h.store,
		DialHook: h.hooks.dial, HookSecret: h.hooks.secret, Refund: h.refund,
	}
	if h.self, err = newSelf(cfg); err != nil {
		return h, err
	}
	h.self.introduce(&crawling)
	if cfg.Crawl != nil {
		cfg.Crawl(&crawling)
	}
	if cfg.Chromium != "" {
		if crawling.Pictures, err = render.New(render.Config{Binary: cfg.Chromium}); err != nil {
			return h, err
		}
	}
	if h.Crawler, err = crawler.Open(crawling); err != nil {
		return h, fmt.Errorf("open crawler: %w", err)
	}
	h.exports, err = export.Open(export.Config{Crawler: h.Crawler, Dir: filepath.Join(cfg.Dir, "export"), Log: cfg.Log})
	if err != nil {
		return h, err
	}
	h.api = h.partnersAPI()
	return h, writeAddress(cfg.Dir, Address{Internal: cfg.Internal.Addr().String(), Network: cfg.Network, Hub: cfg.Key.ID()})
}

// Close closes what Open opened, last first.
func (h *Hub) Close() error {
	var failed error
	if h.Crawler != nil {
		failed = errors.Join(failed, h.Crawler.Close())
	}
	if h.Index != nil {
		failed = errors.Join(failed, h.Index.Close())
	}
	if h.Book != nil {
		failed = errors.Join(failed, h.Book.Close())
	}
	if h.uses != nil {
		failed = errors.Join(failed, h.uses.Close())
	}
	return failed
}

// Workers are the hub's parts in the order in which they start.
func (h *Hub) Workers() []daemon.Worker {
	internal := &http.Server{Handler: h.edgesAPI(), TLSConfig: h.cfg.Key.TLSConfig(nil)}
	return []daemon.Worker{
		{Name: "books", Run: h.Book.Run},
		{Name: "internal", Run: func(ctx context.Context) error { return h.serve(ctx, internal, h.cfg.Internal) }},
		{Name: "lists", Run: h.lists.run},
		{Name: "peers", Run: h.peers.run},
		{Name: "crawler", Run: h.Crawler.Run},
		{Name: "api", Run: func(ctx context.Context) error {
			return errors.Join(h.serve(ctx, &http.Server{Handler: h.apiHandler()}, h.cfg.API), h.api.Close())
		}},
		{Name: "search", Run: func(ctx context.Context) error {
			return h.serve(ctx, &http.Server{Handler: h.Index.Handler()}, h.cfg.Search)
		}},
	}
}

// edgesAPI is what relays, edges and the operator's commands call: the books, and the homes of edges.
func (h *Hub) edgesAPI() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", h.Book.Handler())
	mux.Handle("POST "+accounting.PathHousehold, h.Book.HouseholdHandler(h.homes.Call))
	return mux
}

// Metrics are the collectors of all parts.
func (h *Hub) Metrics() []prometheus.Collector {
	return slices.Concat(h.Book.Metrics(), h.Crawler.Metrics(), h.api.Metrics(), h.Index.Metrics())
}

// serve runs an HTTP server on l until ctx ends, with TLS where it has a configuration for it. What clients do wrong is
// no news: the server would print it past the log, with their addresses.
func (h *Hub) serve(ctx context.Context, s *http.Server, l net.Listener) error {
	s.ReadHeaderTimeout, s.MaxHeaderBytes, s.IdleTimeout = headerTime, maxHeader, idleTime
	s.ErrorLog = slog.NewLogLogger(h.cfg.Log.Handler(), slog.LevelDebug)
	failed := make(chan error, 1)
	go func() {
		if s.TLSConfig != nil {
			failed <- s.ServeTLS(l, "", "")
		} else {
			failed <- s.Serve(l)
		}
	}()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	if err := s.Shutdown(stopping); err != nil {
		s.Close()
	}
	<-failed
	return nil
}

// store puts crawled pages into the index and takes out what their sites have withdrawn, and other addresses of the same
// pages: the whole of what joins the two.
func (h *Hub) store(ctx context.Context, pages ...crawler.Page) error {
	drop := map[string]bool{} // in the end: an address can be among pages twice
	for _, p := range pages {
		for _, other := range p.Also {
			drop[other] = true
		}
		drop[p.URL] = p.Withdrawn
	}
	var gone []string
	for address, dropped := range drop {
		if dropped {
			gone = append(gone, address)
		}
	}
	if len(gone) > 0 {
		if err := h.Index.Delete(ctx, gone...); err != nil {
			return err
		}
	}
	var documents []indexer.Document
	for _, p := range pages {
		if p.Withdrawn || drop[p.URL] {
			continue
		}
		documents = append(documents, indexer.Document{
			URL: p.URL, Title: p.Title, Text: p.Text, Language: p.Language, Headings: p.Headings,
			Fetched: p.Fetched, Edge: p.Edge, Hash: p.SHA256,
		})
	}
	return h.Index.Put(ctx, documents...)
}

// authorise finds the partner of a crawl API key.
func (h *Hub) authorise(ctx context.Context, key string) (crawler.Account, error) {
	partner, err := h.Book.PartnerByKey(ctx, key)
	if err != nil {
		return crawler.Account{}, err
	}
	purpose, _ := policy.PurposeByCode(partner.Purpose)
	return crawler.Account{ID: partner.Name, Name: partner.Name, Purpose: string(purpose)}, nil
}

// refund gives a partner back what failed pages cost.
func (h *Hub) refund(ctx context.Context, a crawler.Account, source [16]byte, total uint64) error {
	return h.Book.Refund(ctx, a.ID, source, total)
}

// verify checks an edge's signature over what it says it fetched.
func (h *Hub) verify(edge string, attest, sig []byte) bool {
	id, err := identity.ParseID(edge)
	return err == nil && id.Verify(h.cfg.Network, proof.TypeAttest, attest, sig)
}

// seal signs what a document says of itself.
func (h *Hub) seal(body []byte) (hub string, sig []byte) {
	return h.cfg.Key.ID().String(), h.cfg.Key.Sign(h.cfg.Network, proof.TypeSeal, body)
}

// suspect takes an edge out of service that a second road has shown to change pages.
func (h *Hub) suspect(ctx context.Context, edge, reason string) {
	id, err := identity.ParseID(edge)
	if err == nil {
		err = h.Book.Suspend(ctx, id, reason)
	}
	if err != nil {
		h.cfg.Log.Error("an edge that was caught could not be suspended", "edge", edge, "err", err)
	}
}
