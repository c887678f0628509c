package edge

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	controlFile    = "control.json"
	controlCookie  = "sward_edge"
	cookieLife     = 30 * 24 * time.Hour
	maxControlBody = 4 << 10         // bytes of a form: a token or a duration
	controlTimeout = 5 * time.Second // reading a request, writing an answer
	maxControlHead = 16 << 10        // bytes of a request's head
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
	data, err := readFile(path)
	if err != nil {
		return Control{}, err
	}
	if data == nil {
		return Control{}, fmt.Errorf("no edge is running on %s: %w", dir, os.ErrNotExist)
	}
	var c Control
	if err := json.Unmarshal(data, &c); err != nil || c.Addr == "" || c.Token == "" {
		return Control{}, fmt.Errorf("%s is damaged", path)
	}
	return c, nil
}

// control is the dashboard: a small HTTP server for this machine alone. It answers only to its own address in Host,
// so that no web page can reach it under another name; it changes nothing by GET; it refuses requests that come from
// another origin; and it shows nothing without the token, which only the owner's account on this machine can read.
type control struct {
	status func(context.Context) Status
	pause  func(time.Duration) error
	resume func() error
	log    *slog.Logger
	token  string
	hosts  []string // what Host may say
}

// serveControl runs the dashboard on l until ctx ends.
func serveControl(ctx context.Context, l net.Listener, dir string, c control) error {
	defer l.Close()
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok || !addr.IP.IsLoopback() {
		return fmt.Errorf("the dashboard listens on a loopback address only, not %s", l.Addr())
	}
	c.token = rand.Text()
	c.hosts = []string{addr.String(), fmt.Sprintf("localhost:%d", addr.Port)}
	file, err := json.Marshal(Control{Addr: addr.String(), Token: c.token})
	if err != nil {
		return fmt.Errorf("encode control file: %w", err)
	}
	path := filepath.Join(dir, controlFile)
	if err := writeFile(path, file); err != nil {
		return err
	}
	defer os.Remove(path)
	server := &http.Server{
		Handler: c.handler(), ReadTimeout: controlTimeout, WriteTimeout: controlTimeout, IdleTimeout: time.Minute,
		MaxHeaderBytes: maxControlHead, ErrorLog: slog.NewLogLogger(c.log.Handler(), slog.LevelDebug),
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		server.Close()
		close(stopped)
	})
	err = server.Serve(l)
	if !stop() {
		<-stopped
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve dashboard: %w", err)
}

func (c control) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", c.page)
	mux.HandleFunc("GET /style.css", serveStyle)
	mux.HandleFunc("POST /login", c.login)
	mux.HandleFunc("GET /status", c.authorised(c.getStatus))
	mux.HandleFunc("POST /pause", c.authorised(c.postPause))
	mux.HandleFunc("POST /resume", c.authorised(c.postResume))
	return c.guard(http.NewCrossOriginProtection().Handler(mux))
}

// guard is what every request passes first.
func (c control) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		for _, host := range c.hosts {
			if r.Host == host {
				r.Body = http.MaxBytesReader(w, r.Body, maxControlBody)
				next.ServeHTTP(w, r)
				return
			}
		}
		http.Error(w, "this is not a host of the dashboard", http.StatusMisdirectedRequest)
	})
}

func (c control) authorised(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !c.knows(r) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "the access code is missing or wrong; it is in the file "+controlFile, http.StatusUnauthorized)
			return
		}
		next(w, r)
	}
}

// knows tells whether the request shows the token, as a program does or as a browser does.
func (c control) knows(r *http.Request) bool {
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return c.isToken(token)
	}
	cookie, err := r.Cookie(controlCookie)
	return err == nil && c.isToken(cookie.Value)
}

func (c control) isToken(s string) bool {
	return subtle.ConstantTimeCompare([]byte(s), []byte(c.token)) == 1
}

// login exchanges the token, typed into a form, for a cookie that scripts cannot read and other sites cannot send. The
// token is never part of an address.
func (c control) login(w http.ResponseWriter, r *http.Request) {
	if !c.isToken(strings.TrimSpace(r.PostFormValue("token"))) {
		w.WriteHeader(http.StatusUnauthorized)
		renderLogin(w, "That is not the access code.")
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: controlCookie, Value: c.token, Path: "/", MaxAge: int(cookieLife.Seconds()),
		HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (c control) page(w http.ResponseWriter, r *http.Request) {
	if !c.knows(r) {
		renderLogin(w, "")
		return
	}
	renderPage(w, c.status(r.Context()))
}

func (c control) getStatus(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(c.status(r.Context())); err != nil {
		c.log.Debug("status not sent", "err", err)
	}
}

// postPause pauses: for the duration in the form value "for" ("2h"), or without it until resumed.
func (c control) postPause(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, "the form cannot be read", http.StatusBadRequest)
		return
	}
	var d time.Duration
	if s := r.PostForm.Get("for"); s != "" {
		var err error
		if d, err = time.ParseDuration(s); err != nil || d <= 0 {
			http.Error(w, `"for" is not a duration such as 30m or 2h`, http.StatusBadRequest)
			return
		}
	}
	if d > MaxPause {
		http.Error(w, fmt.Sprintf("a pause lasts up to %s", MaxPause), http.StatusBadRequest)
		return
	}
	c.done(w, r, c.pause(d))
}

func (c control) postResume(w http.ResponseWriter, r *http.Request) { c.done(w, r, c.resume()) }

func (c control) done(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case err != nil:
		c.log.Error("the switch works until the next start only", "err", err)
		http.Error(w, "done, but it could not be written to disk: "+err.Error(), http.StatusInternalServerError)
	case r.Header.Get("Authorization") == "":
		http.Redirect(w, r, "/", http.StatusSeeOther)
	default:
		c.getStatus(w, r)
	}
}
