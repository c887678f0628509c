// Package dashboard shows an edge to its owner and takes their orders: a small HTTP server for this machine alone.
//
// A browser is let in by the access token, which only the owner's account on this machine can read, and has a cookie from
// then on; the owner's programs, such as "sward-edge status", show the token itself. What is shown and what is changed
// are methods of the edge: nothing is decided here.
package dashboard

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sward/edge"
	"sward/internal/daemon"
)

const (
	controlFile    = "control.json"
	controlCookie  = "sward_edge"
	cookieLife     = 30 * 24 * time.Hour
	maxControlBody = 4 << 10         // bytes of a form: a token or a duration
	controlTimeout = 5 * time.Second // reading a request, writing an answer
	maxControlHead = 16 << 10        // bytes of a request's head
	maxControlFile = 4 << 10         // bytes of the control file
)

// Control tells the owner's own programs where the running edge listens, and the token that lets them in. It is
// written with mode 0600 at start and removed at the end.
type Control struct {
	Addr  string `json:"addr"`
	Token string `json:"token"`
}

// ReadControl reads the control file of a running edge. A missing file is os.ErrNotExist: no edge runs on dir.
func ReadControl(dir string) (Control, error) {
	path := filepath.Join(dir, controlFile)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Control{}, fmt.Errorf("no edge is running on %s: %w", dir, os.ErrNotExist)
	}
	if err != nil {
		return Control{}, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxControlFile))
	if err != nil {
		return Control{}, fmt.Errorf("read %s: %w", path, err)
	}
	var c Control
	if err := json.Unmarshal(data, &c); err != nil || c.Addr == "" || c.Token == "" {
		return Control{}, fmt.Errorf("%s is damaged", path)
	}
	return c, nil
}

// Edge is what the dashboard shows and switches; *edge.Edge is it.
type Edge interface {
	Opened() <-chan struct{} // closed when the edge has its state directory for itself
	Status(context.Context) edge.Status
	Pause(time.Duration) error
	Resume() error
}

var _ Edge = (*edge.Edge)(nil)

// Config is a dashboard's world.
type Config struct {
	Edge     Edge
	Listener net.Listener // on loopback; Run closes it
	Dir      string       // the edge's state directory, for the control file
	Log      *slog.Logger
}

// Dashboard is a worker. It answers only to its own address in Host, so that no web page can reach it under another name;
// it changes nothing by GET; it refuses requests that come from another origin; and it shows nothing without the token.
type Dashboard struct {
	Config
	token string
	addr  string
	hosts []string // what Host may say
}

// New makes a dashboard; nothing happens before Run. The error names what is missing or unsafe.
func New(cfg Config) (*Dashboard, error) {
	if cfg.Edge == nil || cfg.Listener == nil || cfg.Dir == "" {
		return nil, errors.New("dashboard: an edge, a listener and a directory are needed")
	}
	addr, ok := cfg.Listener.Addr().(*net.TCPAddr)
	if !ok || !addr.IP.IsLoopback() {
		return nil, fmt.Errorf("the dashboard listens on a loopback address only, not %s", cfg.Listener.Addr())
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Dashboard{
		Config: cfg, token: rand.Text(), addr: addr.String(),
		hosts: []string{addr.String(), fmt.Sprintf("localhost:%d", addr.Port)},
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
	file, err := json.Marshal(Control{Addr: d.addr, Token: d.token})
	if err != nil {
		return fmt.Errorf("encode control file: %w", err)
	}
	if err := daemon.WriteFile(filepath.Join(d.Dir, controlFile), file, 0o600); err != nil {
		return err
	}
	defer d.removeControl()
	server := &http.Server{
		Handler: d.handler(), ReadTimeout: controlTimeout, WriteTimeout: controlTimeout, IdleTimeout: time.Minute,
		MaxHeaderBytes: maxControlHead, ErrorLog: slog.NewLogLogger(d.Log.Handler(), slog.LevelDebug),
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		server.Close()
		close(stopped)
	})
	err = server.Serve(d.Listener)
	if !stop() {
		<-stopped
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve dashboard: %w", err)
}

// removeControl takes the control file away, unless a later edge has written its own by now.
func (d *Dashboard) removeControl() {
	if c, err := ReadControl(d.Dir); err == nil && c.Token == d.token {
		os.Remove(filepath.Join(d.Dir, controlFile))
	}
}

func (d *Dashboard) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", d.page)
	mux.HandleFunc("GET /style.css", serveStyle)
	mux.HandleFunc("POST /login", d.login)
	mux.HandleFunc("GET /status", d.authorised(d.getStatus))
	mux.HandleFunc("POST /pause", d.authorised(d.postPause))
	mux.HandleFunc("POST /resume", d.authorised(d.postResume))
	return d.guard(http.NewCrossOriginProtection().Handler(mux))
}

// guard is what every request passes first.
func (d *Dashboard) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		for _, host := range d.hosts {
			if r.Host == host {
				r.Body = http.MaxBytesReader(w, r.Body, maxControlBody)
				next.ServeHTTP(w, r)
				return
			}
		}
		http.Error(w, "this is not a host of the dashboard", http.StatusMisdirectedRequest)
	})
}

func (d *Dashboard) authorised(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !d.knows(r) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "the access code is missing or wrong; it is in the file "+controlFile, http.StatusUnauthorized)
			return
		}
		next(w, r)
	}
}

// knows tells whether the request shows the token, as a program does or as a browser does.
func (d *Dashboard) knows(r *http.Request) bool {
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return d.isToken(token)
	}
	cookie, err := r.Cookie(controlCookie)
	return err == nil && d.isToken(cookie.Value)
}

func (d *Dashboard) isToken(s string) bool {
	return subtle.ConstantTimeCompare([]byte(s), []byte(d.token)) == 1
}

// login exchanges the token, typed into a form, for a cookie that scripts cannot read and other sites cannot send. The
// token is never part of an address.
func (d *Dashboard) login(w http.ResponseWriter, r *http.Request) {
	if !d.isToken(strings.TrimSpace(r.PostFormValue("token"))) {
		w.WriteHeader(http.StatusUnauthorized)
		renderLogin(w, "That is not the access code.")
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: controlCookie, Value: d.token, Path: "/", MaxAge: int(cookieLife.Seconds()),
		HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (d *Dashboard) page(w http.ResponseWriter, r *http.Request) {
	if !d.knows(r) {
		renderLogin(w, "")
		return
	}
	renderPage(w, d.Edge.Status(r.Context()))
}

func (d *Dashboard) getStatus(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(d.Edge.Status(r.Context())); err != nil {
		d.Log.Debug("status not sent", "err", err)
	}
}

// postPause pauses: for the duration in the form value "for" ("2h"), or without it until resumed.
func (d *Dashboard) postPause(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, "the form cannot be read", http.StatusBadRequest)
		return
	}
	var period time.Duration
	if s := r.PostForm.Get("for"); s != "" {
		var err error
		if period, err = time.ParseDuration(s); err != nil || period <= 0 {
			http.Error(w, `"for" is not a duration such as 30m or 2h`, http.StatusBadRequest)
			return
		}
	}
	if period > edge.MaxPause {
		http.Error(w, fmt.Sprintf("a pause lasts up to %s", edge.MaxPause), http.StatusBadRequest)
		return
	}
	d.done(w, r, d.Edge.Pause(period))
}

func (d *Dashboard) postResume(w http.ResponseWriter, r *http.Request) { d.done(w, r, d.Edge.Resume()) }

func (d *Dashboard) done(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case err != nil:
		d.Log.Error("the switch works until the next start only", "err", err)
		http.Error(w, "done, but it could not be written to disk: "+err.Error(), http.StatusInternalServerError)
	case r.Header.Get("Authorization") == "":
		http.Redirect(w, r, "/", http.StatusSeeOther)
	default:
		d.getStatus(w, r)
	}
}
