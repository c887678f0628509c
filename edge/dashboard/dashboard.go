// Package dashboard shows an edge to its owner and takes their orders: a small HTTP server for this machine alone.
//
// A browser is let in by a code that the owner's account on this machine asked for, and has a cookie from then on
// (door.go, sessions.go); the owner's programs, such as "sward-edge status", show the token of the control file. What is
// shown and what is changed are methods of the edge: nothing is decided here.
//
// The pages are HTML made here (page/*.html) and work as they are: every button is a form. Where scripts run, one of a
// hundred lines (page/app.js) keeps an event stream open and puts in the parts of the page that have changed (events.go).
// There is no framework, because there is nothing left for one to do: all state is the edge's, and it is in this process.
package dashboard

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"sward/accounting"
	"sward/edge"
	"sward/edge/diary"
	"sward/edge/sense"
	"sward/internal/identity"
)

const (
	requestTimeout = 10 * time.Second // reading a request, writing an answer
	maxHead        = 16 << 10         // bytes of a request's head
)

// Edge is what the dashboard shows and switches; *edge.Edge is it.
type Edge interface {
	Opened() <-chan struct{} // closed when the edge has its state directory for itself
	Status(context.Context) edge.Status
	Traffic() edge.Traffic
	Pause(time.Duration) error
	Resume() error
	Settings() edge.Settings
	Change(edge.Settings) error
	Ask(site string) (edge.Answer, error)
	Senses() []sense.Fact
	Diary() *diary.Diary
	Earnings(context.Context) edge.Earnings
	Receipt(accounting.ChannelID) (edge.Receipt, error)
	Chances() edge.Chances
	Line() edge.Line
	Reachable() edge.Reachability
	Household() accounting.HouseholdAnswer
	HouseholdAct(ctx context.Context, act string, with identity.ID) error
}

var _ Edge = (*edge.Edge)(nil)

// Config is a dashboard's world.
type Config struct {
	Edge     Edge
	Listener net.Listener     // on loopback; Run closes it
	Dir      string           // the edge's state directory
	Clock    func() time.Time // in the owner's time zone; default time.Now
	Log      *slog.Logger
}

// Dashboard is a worker. It answers only to its own address in Host, so that no web page can reach it under another name;
// it changes nothing by GET; it refuses requests that come from another origin; and it shows nothing to strangers.
type Dashboard struct {
	Config
	token    string
	addr     string
	sessions *sessions
	graph    *graph
	streams  chan struct{} // one place for each event stream
	changing sync.Mutex    // held while a form edits the settings
}

// New makes a dashboard. The error names what is missing or unsafe.
func New(cfg Config) (*Dashboard, error) {
	if cfg.Edge == nil || cfg.Listener == nil || cfg.Dir == "" {
		return nil, errors.New("dashboard: an edge, a listener and a directory are needed")
	}
	addr, ok := cfg.Listener.Addr().(*net.TCPAddr)
	if !ok || !addr.IP.IsLoopback() {
		return nil, fmt.Errorf("the dashboard listens on a loopback address only, not %s", cfg.Listener.Addr())
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Dashboard{
		Config: cfg, token: rand.Text(), addr: addr.String(), sessions: openSessions(cfg.Dir, cfg.Clock),
		graph: &graph{read: cfg.Edge.Traffic}, streams: make(chan struct{}, maxStreams),
	}, nil
}

// URL is where the owner's browser finds the dashboard.
func (d *Dashboard) URL() string { return "http://" + d.addr + "/" }

// Run serves until ctx ends. It waits for the edge to have its directory for itself: the control file of a second edge,
// which ends for that, must not replace the first one's.
func (d *Dashboard) Run(ctx context.Context) error {
	defer d.Listener.Close()
	select {
	case <-d.Edge.Opened():
	case <-ctx.Done():
		return nil
	}
	if err := d.writeControl(); err != nil {
		return err
	}
	defer d.removeControl()
	server := &http.Server{
		Handler: d.handler(), ReadTimeout: requestTimeout, WriteTimeout: requestTimeout, IdleTimeout: time.Minute,
		MaxHeaderBytes: maxHead, ErrorLog: slog.NewLogLogger(d.Log.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		server.Close()
		close(stopped)
	})
	err := server.Serve(d.Listener)
	if !stop() {
		<-stopped
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve dashboard: %w", err)
}

func (d *Dashboard) handler() http.Handler {
	mux := http.NewServeMux()
	for name := range assets {
		mux.HandleFunc("GET /"+name, serveAsset)
	}
	mux.HandleFunc("POST /login", d.postLogin)
	mux.HandleFunc("POST /code", d.postCode)
	mux.HandleFunc("POST /logout", d.forBrowser(d.postLogout))
	mux.HandleFunc("GET /status", d.forOwner(d.getStatus))
	mux.HandleFunc("POST /pause", d.forOwner(d.postPause))
	mux.HandleFunc("POST /resume", d.forOwner(d.postResume))
	mux.HandleFunc("GET /events", d.forBrowser(d.getEvents))
	for path, serve := range map[string]http.HandlerFunc{
		"GET /api/earnings":          d.getEarnings,
		"GET /api/receipt/{channel}": d.getReceipt,
		"GET /api/chances":           d.getChances,
		"GET /api/ask":               d.getAnswer,
		"GET /api/household":         d.getHousehold,
		"POST /household":            d.postHousehold,
	} {
		mux.HandleFunc(path, d.forOwner(serve))
	}
	for path, serve := range map[string]http.HandlerFunc{
		"POST /consent":          d.postConsent, // by a person: no program agrees for its owner
		"POST /log/block":        d.postBlock,
		"POST /log/forget":       d.postForget,
		"GET /log.csv":           d.getExport,
		"GET /log.json":          d.getExport,
		"GET /receipt/{channel}": d.showReceipt,
		"POST /settings/limits":  d.postLimits,
		"POST /settings/hours":   d.postHours,
		"POST /settings/pauses":  d.postPauses,
		"POST /settings/privacy": d.postPrivacy,
		"POST /settings/switch":  d.postSwitch,
		"POST /settings/diary":   d.postDiary,
	} {
		mux.HandleFunc(path, d.forBrowser(serve))
	}
	for i := range pages {
		p := &pages[i]
		path := p.Path
		if path == "/" {
			path = "/{$}"
		}
		mux.HandleFunc("GET "+path, d.forBrowser(func(w http.ResponseWriter, r *http.Request) { d.show(w, r, p) }))
	}
	return d.guard(mux)
}
