// Package crawler turns a partner's wish ("this site, as text") into documents fetched politely
// through other people's home connections, and keeps what it promised across every crash.
//
// A job is stored before it is acknowledged (job.go, jobs.go). Its addresses wait in the frontier, a table
// of one queue per host and job (frontier.go). The scheduler (run.go) leases a host to one edge at a
// time over all jobs, so that many polite nodes never add up to an attack; a lease is a batch of
// addresses sent over one crawl stream (batch.go), less those that are remembered well enough (recall.go). Each page that comes back carries the edge's signed
// attestation, and a sample is fetched again by a second road where TLS ends here (audit.go). It is
// then read (page.go), archived (package warc), compared with the job's other texts (dedupe.go), and settled (settle.go):
// document, state of the address, new links, counters and what is remembered (remember.go) in one transaction. What was settled waits in the outbox
// until the index has it (outbox.go). Doors ask for all of this in Go (service.go, results.go); the one that speaks
// Firecrawl's HTTP is the package api below this one.
//
// The package dials nothing itself: roads to edges and the verification of their signatures enter through Config.
package crawler

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"sward/crawler/fetch"
	"sward/crawler/render"
	"sward/crawler/warc"
)

// Account is the partner on whose behalf, and at whose cost, a job runs.
type Account struct {
	ID, Name string
	Purpose  string // of policy's closed list; decides which opt-outs bind
}

// Page is a crawled page on its way to the index. The same page may be handed over twice, after a
// crash: the index puts it under its URL again.
type Page struct {
	URL, Title, Description, Language string
	Text                              string // main content, plain
	Headings                          []string
	Fetched                           time.Time
	Edge                              string // through whose home connection
	SHA256                            string // of the decoded body, hexadecimal
	Simhash                           uint64 // of Text

	Also      []string // further addresses of this page: it is not to be found under them too
	Withdrawn bool     // by its site, which asks that it be not found (noindex) or has it no more: only addresses are set
}

// Config is the outside world. Dir, OpenCrawl, OpenTunnel and Verify are required.
type Config struct {
	Dir string // database, archive
	// Database is the DSN of the PostgreSQL database that holds jobs and frontier. Empty: a SQLite file in Dir.
	Database string
	Clock    func() time.Time // nil: time.Now
	Log      *slog.Logger     // nil: discard
	Roots    *x509.CertPool   // for TLS that ends here (tunnel, audit); nil: the system's

	// OpenCrawl opens a crawl stream to some edge that is not in avoid.
	OpenCrawl func(ctx context.Context, a Account, avoid []string) (conn net.Conn, edge string, err error)
	// OpenTunnel opens a proxy stream to hostport through some edge that is not in avoid.
	OpenTunnel func(ctx context.Context, a Account, hostport string, avoid []string) (conn net.Conn, edge string, err error)
	// OpenThrough opens a proxy stream to hostport through one certain edge. Nil: nobody can be asked for.
	OpenThrough func(ctx context.Context, a Account, hostport, edge string) (net.Conn, error)
	// Verify checks an edge's signature over an attestation.
	Verify func(edge string, attest, sig []byte) bool
	// Network is the one in which edges sign, as documents name it.
	Network string
	// Seal signs what a document says of itself (proof.TypeSeal), and names who does. Nil: documents are not sealed.
	Seal func(body []byte) (hub string, sig []byte)
	// Sign makes the header fields by which a site knows our requests to an authority (crawler/botauth). Nil: they are not signed.
	Sign func(authority string, life time.Duration) (agent, input, signature string, err error)
	// Where tells what is known of an edge's line. Nil: nothing.
	Where func(edge string) (country string, asn uint32)
	// Suspect reports an edge that was caught with a page it did not fetch. Nil: nobody listens.
	Suspect func(ctx context.Context, edge, reason string)
	// Release tells that an account has no running job left: unused grants may be returned. It returns
	// soon, because results wait for it.
	Release func(ctx context.Context, a Account)
	// DialHook connects to the server of a webhook, through the address gate. Nil: webhooks are refused.
	DialHook func(ctx context.Context, network, hostport string) (net.Conn, error)
	// HookSecret is what an account's webhook calls are signed with. Nil: they are not signed.
	HookSecret func(a Account) string
	// Refund gives an account back what bytes cost that brought it nothing, total being all that source has counted until
	// now: it only grows, and is told more than once. Nil: nothing is given back.
	Refund func(ctx context.Context, a Account, source [16]byte, total uint64) error
	// Store puts pages into the index, and takes out those that were withdrawn, durably when it returns nil. Nil: there is
	// no index.
	Store func(ctx context.Context, pages ...Page) error

	// Pictures takes pictures of pages. Nil: format screenshot is not offered.
	Pictures *render.Renderer

	Agent string // User-Agent of every fetch; default fetch.DefaultAgent
	// Canaries are pages of which the operator knows the body, by their address, with its SHA-256: whoever brings another one
	// has changed it.
	Canaries map[string][32]byte

	AuditRate    float64       // share of pages, of edges with a good name, fetched again by a second road; default 0.02, negative: none of any
	FirstPages   int           // of a new edge that are all fetched again; default 20
	Delay        time.Duration // between two requests to one host; default 1 s
	PageTimeout  time.Duration // for one request and its answer; default 1 min, like an edge's
	RetryDelay   time.Duration // before a retry, doubled for each further, and before asking again for an edge; default 2 s
	MaxStall     time.Duration // how long a job waits for any edge before it fails; default 1 h
	MaxJobAge    time.Duration // how long a job may run; default 72 h
	Fresh        time.Duration // a page that was looked at less long ago need not be fetched again; default 48 h, negative: it is, unless a partner says otherwise
	Keep         time.Duration // how long documents can be collected after the job's end; default 24 h
	HostsAtOnce  int           // hosts leased at the same time; default 64
	BatchSize    int           // addresses in one lease; default 16
	MaxBody      int           // bytes of one decoded body; default 8 MiB
	ArchiveBytes int64         // of one archive file before the next is started; default 256 MiB, which Open reads in seconds

	DelayFactor   float64 // times as long as its answers take a host is left alone between them; default 5, negative: Delay alone
	LeasesPerHost int     // leases of one domain at the same time; default 1, more for the benchmark of our own site alone
}

func (c Config) withDefaults() Config {
	orDuration := func(d *time.Duration, or time.Duration) {
		if *d <= 0 {
			*d = or
		}
	}
	orInt := func(n *int, or int) {
		if *n <= 0 {
			*n = or
		}
	}
	orDuration(&c.Delay, time.Second)
	orDuration(&c.PageTimeout, time.Minute)
	orDuration(&c.RetryDelay, 2*time.Second)
	orDuration(&c.MaxStall, time.Hour)
	orDuration(&c.MaxJobAge, 72*time.Hour)
	orDuration(&c.Keep, 24*time.Hour)
	if c.Fresh == 0 {
		c.Fresh = 48 * time.Hour // Firecrawl's
	}
	orInt(&c.HostsAtOnce, 64)
	orInt(&c.BatchSize, 16)
	orInt(&c.FirstPages, 20)
	orInt(&c.LeasesPerHost, 1)
	orInt(&c.MaxBody, 8<<20)
	c.BatchSize = min(c.BatchSize, maxBatch)
	if c.ArchiveBytes <= 0 {
		c.ArchiveBytes = 256 << 20
	}
	if c.DelayFactor == 0 {
		c.DelayFactor = 5
	}
	c.DelayFactor = max(c.DelayFactor, 0)
	if c.AuditRate == 0 {
		c.AuditRate = 0.02
	}
	if c.Agent == "" {
		c.Agent = fetch.DefaultAgent
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Suspect == nil {
		c.Suspect = func(context.Context, string, string) {}
	}
	if c.Release == nil {
		c.Release = func(context.Context, Account) {}
	}
	return c
}

// Crawler is both a store (Open, Close) and, while it is open, a worker (Run).
type Crawler struct {
	cfg      Config
	store    *store
	archive  *warc.Archive
	pictures *fetch.Fetcher // of what belongs to pages whose picture is taken
	frontier *frontier
	jobs     *jobTable
	edges    *edgeBook
	sites    *sites
	metrics  *metrics

	settling chan *settlement // to the one writer of results
	wake     chan struct{}    // to the scheduler: something became due
	timed    chan struct{}    // to the tidier: a deadline may be nearer
	filled   chan struct{}    // to the outbox: something was put in
	source   [16]byte         // of the counts of bytes to refund
	hooked   chan struct{}    // to the webhooks: something happened
	readers  chan struct{}    // tokens: pages read at the same time

	reminding chan *job // new scrapes, which memory may answer at once
	counted   time.Time // when memory was last counted; the tidier's
}

// Open opens or creates the store in cfg.Dir. Addresses that were being fetched when the last
// process died are simply due again: a lease is memory, a result is disk.
func Open(cfg Config) (*Crawler, error) {
	if cfg.Dir == "" || cfg.OpenCrawl == nil || cfg.OpenTunnel == nil || cfg.Verify == nil {
		return nil, errors.New("open crawler: Dir, OpenCrawl, OpenTunnel and Verify are required")
	}
	cfg = cfg.withDefaults().withBills()
	s, err := openDatabase(cfg.Dir, cfg.Database)
	if err != nil {
		return nil, err
	}
	archive, err := warc.Open(filepath.Join(cfg.Dir, "warc"), cfg.ArchiveBytes, cfg.Clock)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open crawler: %w", err), s.close())
	}
	c := &Crawler{
		cfg: cfg, store: s, archive: archive, jobs: newJobTable(s), frontier: newFrontier(s), sites: newSites(s, cfg),
		settling: make(chan *settlement, maxGroup),
		wake:     make(chan struct{}, 1),
		timed:    make(chan struct{}, 1),
		filled:   make(chan struct{}, 1),
		hooked:   make(chan struct{}, 1),
		readers:  make(chan struct{}, runtime.NumCPU()),

		reminding: make(chan *job, maxReminders),
	}
	if c.source, err = s.source(); err != nil {
		return nil, errors.Join(fmt.Errorf("open crawler: %w", err), archive.Close(), s.close())
	}
	if c.edges, err = openEdgeBook(s, cfg); err != nil {
		return nil, errors.Join(fmt.Errorf("open crawler: %w", err), archive.Close(), s.close())
	}
	c.metrics = newMetrics(c)
	c.pictures = c.newPictures()
	return c, nil
}

// Run crawls until ctx ends and all it started has stopped.
func (c *Crawler) Run(ctx context.Context) error {
	// Results of leases that end with ctx are still settled: the settler stops last.
	settler, stop := context.WithCancel(context.WithoutCancel(ctx))
	var settled sync.WaitGroup
	settled.Go(func() { c.settleAll(settler) })
	defer func() { stop(); settled.Wait() }()

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return c.schedule(ctx) })
	for range runtime.NumCPU() {
		g.Go(func() error { return c.remindScrapes(ctx) })
	}
	g.Go(func() error { return c.feedIndex(ctx) })
	g.Go(func() error { return c.deliver(ctx) })
	g.Go(func() error { return c.refund(ctx) })
	g.Go(func() error { return c.tidy(ctx) })
	return g.Wait()
}

// Close closes the store. Call it after Run has returned.
func (c *Crawler) Close() error {
	return errors.Join(c.edges.save(), c.archive.Close(), c.store.close())
}

// signal wakes the reader of a one-place channel; a second signal before it looks is the same.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
