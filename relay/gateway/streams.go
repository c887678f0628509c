package gateway

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"sward/internal/wire"
)

// requestStream is a request of HTTP/2 or HTTP/3, as the connection that a tunnel needs.
type requestStream interface {
	net.Conn
	// carry answers 200 with what stands in the header, and runs tunnel, which uses the stream as a connection until its
	// context ends. It returns when the handler may, which can be before tunnel has returned. When the client has gone
	// before that, tunnel is not called.
	carry(tunnel func(context.Context)) error
	// depart comes before the return of a plain request's handler.
	depart()
}

// serveRequest takes one request of a connection that carries many. Each has a slot, as a connection has.
func (g *Gateway) serveRequest(w http.ResponseWriter, r *http.Request, s requestStream) {
	defer g.rescue()
	select {
	case g.slots <- struct{}{}:
	default:
		g.refuse(w, &wire.Error{Code: wire.DoorFull})
		return
	}
	free := sync.OnceFunc(func() { <-g.slots })
	if e := checkStream(r); e != nil {
		defer free()
		g.refuse(w, e)
		return
	}
	c := newStreamClient(s, g.cfg)
	r = r.WithContext(context.WithValue(r.Context(), clientKey{}, c))
	if r.Method != http.MethodConnect {
		defer free()
		defer s.depart()
		g.ServeHTTP(&punctual{ResponseWriter: w, stream: s, idle: g.cfg.IdleTime}, r)
		return
	}
	conn, who, err := g.open(r)
	if err != nil {
		defer free()
		g.refuse(w, err)
		return
	}
	announce(w.Header(), conn.Exit(), who)
	err = s.carry(func(ctx context.Context) {
		defer free()
		defer conn.Close()
		if err := conn.Join(ctx, c); err != nil {
			g.cfg.Log.Debug("a tunnel was cut", "err", err)
		}
	})
	if err != nil { // before it began
		defer free()
		conn.Close()
		panic(http.ErrAbortHandler)
	}
}

// maxEarly is how many more requests a client may reset before they are answered than it lets be answered, on one
// connection: a person who leaves a page resets what it loads, and then goes on with another.
const maxEarly = 200

// streams counts the requests of one connection, so that it can be waited for the last, and a flood of them ended.
type streams struct {
	mu     sync.Mutex
	closed bool
	early  int // requests that were reset before their answer, less those answered
	sync.WaitGroup
}

// over notes the end of a request and tells whether too many were reset.
func (s *streams) over(answered bool) (flood bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if answered {
		s.early = max(s.early-1, 0)
	} else {
		s.early++
	}
	return s.early == maxEarly
}

// begin notes a request whose head is still to come, and tells what over does: one that is reset before its head has come
// gets no further. met is called when it does.
func (s *streams) begin() (flood bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.early++
	return s.early == maxEarly
}

func (s *streams) met() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.early = max(s.early-1, 0)
}

// answer knows whether a request was answered before its client reset it.
type answer struct {
	http.ResponseWriter
	asked context.Context
	given bool
}

func (a *answer) WriteHeader(code int) {
	a.given = a.given || a.asked.Err() == nil
	a.ResponseWriter.WriteHeader(code)
}

func (a *answer) Write(p []byte) (int, error) {
	a.given = a.given || a.asked.Err() == nil
	return a.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// enter counts a stream in, unless the connection has ended meanwhile.
func (s *streams) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.Add(1)
	}
	return !s.closed
}

// leave waits for the streams of a connection that has ended.
func (s *streams) leave() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.Wait()
}

// newStreamClient is a client over a stream: its requests come one at a time, and heads are not ours to read.
func newStreamClient(s net.Conn, cfg Config) *client {
	c := &client{Conn: s, idleTime: cfg.IdleTime, ready: unlimited, finished: make(chan struct{})}
	c.finish = func() {}
	c.tunnel.Store(true)
	return c
}

// checkStream is checkHead for a request whose framing was read by HTTP/2 or HTTP/3, which leave no two readings of
// where it ends. What is checked is what such a request says that the target is told again.
func checkStream(r *http.Request) *wire.Error {
	n := 0
	for _, values := range r.Header {
		n += len(values)
	}
	authority, connect := r.Host, r.Method == http.MethodConnect
	var f fields
	f.lengths, f.hosts = r.Header["Content-Length"], r.Header["Host"]
	_, f.credential = r.Header["Proxy-Authorization"]
	switch {
	case n > maxFields:
		return wire.Errorf(wire.HeaderTooLarge, "the head has more than %d fields", maxFields)
	case connect && r.Header.Get(":protocol") != "", connect && !strings.HasPrefix(r.Proto, "HTTP/"):
		return wire.Errorf(wire.UpgradeDenied, "an extended CONNECT is not carried: use CONNECT, and WebSocket inside it")
	case !connect && r.TLS != nil && r.ProtoMajor == 2, !connect && r.URL.Scheme != "" && r.URL.Scheme != "http":
		return wire.Errorf(wire.BadRequest, "a proxy request names its target as http, or uses CONNECT")
	case !connect && (r.URL.Host != "" && r.URL.Host != authority || !strings.HasPrefix(r.URL.Path, "/")):
		return wire.Errorf(wire.BadRequest, "the path is not one")
	}
	if !connect {
		authority = withPort(authority)
	}
	if err := checkAuthority(authority); err != nil {
		if !f.credential {
			return wire.Errorf(wire.AuthRequired, "Proxy-Authorization is missing")
		}
		return err
	}
	if len(f.hosts) > 0 {
		if err := f.checkHost(withPort(r.Host), true); err != nil {
			return err
		}
		delete(r.Header, "Host")
	}
	length, err := f.bodyLength(connect, false)
	if err != nil || connect && length == unlimited {
		return err
	}
	r.URL.Scheme, r.URL.Host, r.Trailer = "http", r.Host, nil
	if r.ContentLength == 0 {
		r.Body = http.NoBody
	}
	return nil
}

// punctual gives a partner that does not read its answer the idle time: the connection's own limit does not see one
// stream. HTTP/2 resets a stream at its deadline whether a write is waiting or not, so a deadline is never less than the
// idle time after the last write, though not every write sets one.
type punctual struct {
	http.ResponseWriter
	stream net.Conn
	idle   time.Duration
	set    time.Time
}

func (p *punctual) Write(b []byte) (int, error) {
	if now := time.Now(); now.Sub(p.set) > p.idle/4 {
		p.set = now
		p.stream.SetWriteDeadline(now.Add(p.idle + p.idle/4)) //nolint:errcheck // on a stream that is gone, as the write will tell
	}
	return p.ResponseWriter.Write(b)
}

// Flush is for responses that come in pieces, as events do.
func (p *punctual) Flush() { http.NewResponseController(p.ResponseWriter).Flush() } //nolint:errcheck // as the next write will tell

// Unwrap is for http.ResponseController.
func (p *punctual) Unwrap() http.ResponseWriter { return p.ResponseWriter }
