package gateway

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/elazarl/goproxy"

	"sward/policy"
)

// The keys of what travels in a request's context: the *client it came from, and the *exchange it has become.
type (
	clientKey   struct{}
	exchangeKey struct{}
)

// exchange is a request that has been let in, and its connection.
type exchange struct {
	client *client
	conn   Conn
	who    Account
	upload *upload // of a plain request with a body
	body   *body   // of a plain response
}

// unheard takes what the servers of HTTP say of their clients: it names addresses, repeats what clients sent, and there is
// as much of it as they like. What is ours to mend is told by rescue.
var unheard = slog.NewLogLogger(slog.DiscardHandler, slog.LevelWarn)

// rescue makes a panic of a request the end of that request, and a line in the log.
func (g *Gateway) rescue() {
	switch p := recover(); p {
	case nil:
	case http.ErrAbortHandler: // it has been told
		panic(p)
	default:
		g.cfg.Log.Error("a request panicked", "panic", p, "trace", string(debug.Stack()))
		panic(http.ErrAbortHandler)
	}
}

// newServer is the HTTP/1 server behind the handoff; every request's context ends with ctx.
func (g *Gateway) newServer(ctx context.Context) *http.Server {
	var http1 http.Protocols
	http1.SetHTTP1(true)
	return &http.Server{
		Handler: g, Protocols: &http1, DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout: g.cfg.HeaderTime, IdleTimeout: g.cfg.IdleTime, MaxHeaderBytes: g.cfg.HeaderBytes,
		ErrorLog:    unheard,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, clientKey{}, c) },
		ConnState: func(c net.Conn, state http.ConnState) {
			switch state {
			case http.StateIdle:
				c.(*client).rest()
			case http.StateClosed:
				c.(*client).finish()
			}
		},
	}
}

// newProxy is goproxy without what it would bring by itself: its environment, its dialers, its log of hosts and URLs,
// and its interception of TLS. What is left is the handling of a proxied request and of a hijacked CONNECT.
func (g *Gateway) newProxy() *goproxy.ProxyHttpServer {
	p := &goproxy.ProxyHttpServer{Tr: g.transport, KeepAcceptEncoding: true, Logger: silence{}}
	p.OnRequest().HandleConnectFunc(func(host string, _ *goproxy.ProxyCtx) (*goproxy.ConnectAction, string) {
		// ConnectAccept, the default, was measured at 2 900 new connections a second, this at 4 100.
		return &goproxy.ConnectAction{Action: goproxy.ConnectHijack, Hijack: g.tunnel}, host
	})
	p.OnRequest().DoFunc(func(r *http.Request, ctx *goproxy.ProxyCtx) (*http.Request, *http.Response) {
		stripRequest(r)
		ctx.RoundTripper = goproxy.RoundTripperFunc(g.roundTrip)
		return r, nil
	})
	return p
}

// silence takes goproxy's log lines, which name hosts.
type silence struct{}

func (silence) Printf(string, ...any) {}

// ServeHTTP takes one request that checkHead has passed, or the stand-in of one that it has not.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer g.rescue()
	c := r.Context().Value(clientKey{}).(*client)
	if e := c.fault.Load(); e != nil && r.RequestURI == refusedURI {
		g.refuse(w, e)
		http.NewResponseController(w).Flush() //nolint:errcheck // the partner has gone
		c.linger()
		return
	}
	// What is left of a refused request's body is read after this, and may not take for ever.
	defer func() { c.SetReadDeadline(time.Now().Add(g.cfg.HeaderTime)) }() //nolint:errcheck // on a closed connection
	if len(r.TransferEncoding) > 0 || r.Method == http.MethodConnect {
		w.Header().Set("Connection", "close") // see client.rest: C21, what follows a CONNECT that is refused is no request
	}
	conn, who, err := g.open(r)
	if err != nil {
		g.refuse(w, err)
		return
	}
	defer conn.Close()
	x := &exchange{client: c, conn: conn, who: who}
	r = r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x))
	if r.Method == http.MethodConnect {
		defer c.finish()
		w = hijacker{w, c}
	} else {
		// A target that answers before it has the whole request is heard at once.
		http.NewResponseController(w).EnableFullDuplex() //nolint:errcheck // HTTP/1 can
	}
	g.proxy.ServeHTTP(w, r)
	if x.upload != nil && !x.upload.over.Load() {
		http.NewResponseController(w).Flush() //nolint:errcheck // the answer does not wait for the rest of the question
		x.upload.Close()                      //nolint:errcheck // and what is left of it is worth nothing
	}
	if x.body != nil && x.body.failed() {
		panic(http.ErrAbortHandler) // net/http's way to cut a response short, so that it is not taken for whole
	}
}

// open connects for an HTTP request.
func (g *Gateway) open(r *http.Request) (Conn, Account, error) {
	who, exit, err := g.identify(r.Context(), r.Header, r.Context().Value(clientKey{}).(*client).from())
	if err != nil {
		return nil, nil, err
	}
	authority := r.URL.Host
	if r.Method != http.MethodConnect {
		authority = withPort(authority)
	}
	target, err := policy.ParseTarget(authority)
	if err != nil {
		return nil, nil, err
	}
	conn, err := g.dial(r.Context(), who, target, exit)
	return conn, who, err
}

// hijacker hands the connection over together with what the server has read ahead of the request, which goproxy drops.
type hijacker struct {
	http.ResponseWriter
	client *client
}

func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	ahead, _ := rw.Reader.Peek(rw.Reader.Buffered())
	h.client.becomeTunnel(ahead)
	return conn, rw, nil
}

// tunnel is a CONNECT that was let in, once goproxy has taken the connection from net/http.
func (g *Gateway) tunnel(r *http.Request, conn net.Conn, _ *goproxy.ProxyCtx) {
	x := r.Context().Value(exchangeKey{}).(*exchange)
	defer conn.Close()
	g.join(r.Context(), x.client, x.conn, established(x.conn.Exit(), x.who))
}

// join says yes to the client and carries its bytes. How a tunnel ended is between the two ends: the door has nothing
// to add to it.
func (g *Gateway) join(ctx context.Context, c *client, conn Conn, answer string) {
	c.Conn.SetWriteDeadline(time.Now().Add(g.cfg.HeaderTime))
	if _, err := io.WriteString(c, answer); err != nil {
		return
	}
	c.Conn.SetWriteDeadline(time.Time{})
	if err := conn.Join(ctx, c); err != nil {
		g.cfg.Log.Debug("a tunnel was cut", "err", err)
	}
}
