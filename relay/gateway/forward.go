package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/elazarl/goproxy"

	"sward/internal/wire"
)

// maxResponseHead bounds, in bytes, the head of a target's response: the same as a request's default.
const maxResponseHead = 64 << 10

// newTransport sends one plain request over the connection that was opened for it. A connection is never used again: it
// belongs to one account and one edge. TLS never ends here, so there is nothing to verify.
func newTransport(cfg Config) *http.Transport {
	var http1 http.Protocols
	http1.SetHTTP1(true)
	return &http.Transport{
		Protocols: &http1, DisableKeepAlives: true, DisableCompression: true,
		MaxResponseHeaderBytes: maxResponseHead, ResponseHeaderTimeout: cfg.ResponseTime,
		ExpectContinueTimeout: time.Second, // RFC 9110 §10.1.1 lets a client go on without the answer
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			x, ok := ctx.Value(exchangeKey{}).(*exchange)
			if !ok {
				return nil, errors.New("no connection was opened for this request")
			}
			return watched(x.conn, cfg.IdleTime), nil
		},
	}
}

// roundTrip sends a request that was let in. A failure becomes the answer that explains it.
func (g *Gateway) roundTrip(r *http.Request, _ *goproxy.ProxyCtx) (*http.Response, error) {
	x := r.Context().Value(exchangeKey{}).(*exchange)
	if r.Body != http.NoBody {
		x.upload = &upload{ReadCloser: r.Body, client: x.client}
		r.Body = x.upload
	}
	resp, err := g.transport.RoundTrip(r)
	if err == nil && resp.StatusCode == http.StatusSwitchingProtocols { // nobody has asked for that
		resp.Body.Close()
		err = wire.Errorf(wire.TargetClosed, "it changed the protocol unasked")
	}
	if err != nil {
		e := targetFault(err)
		if x.upload != nil && x.upload.broken.Load() {
			e = wire.Errorf(wire.BadRequest, "the request's body broke off or came too slowly")
		}
		g.note(e, err)
		resp = refusalResponse(e)
	} else {
		stripResponse(resp.Header)
		stripTrailer(resp.Trailer)
		// The last member of the list is ours, whatever a target has said in our name (RFC 9209 §2).
		resp.Header.Add(headerStatus, fmt.Sprintf("sward; received-status=%d", resp.StatusCode))
		x.body = &body{ReadCloser: resp.Body, resp: resp}
		resp.Body = x.body
	}
	announce(resp.Header, x.conn.Exit(), x.who) // a refusal too: what the target was sent is paid
	if len(r.TransferEncoding) > 0 {
		resp.Header.Set("Connection", "close") // see client.rest
	}
	return resp, nil
}

// targetFault tells what went wrong between the request and the head of its response.
func targetFault(err error) *wire.Error {
	if e, ok := errors.AsType[*wire.Error](err); ok {
		return e
	}
	if t, ok := errors.AsType[net.Error](err); errors.Is(err, errQuiet) || ok && t.Timeout() {
		return &wire.Error{Code: wire.FetchTimeout}
	}
	return &wire.Error{Code: wire.TargetClosed}
}

// Fields that end at a proxy (RFC 9110 §7.6.1) are removed in both directions. A request with Upgrade does not come this
// far; what a target offers by it is not for the partner.
var hopFields = []string{
	"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
	"Proxy-Authentication-Info", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings",
}

// Fields that tell the way of a request are removed from it and none is added: neither partner nor edge is named.
var (
	wayFields   = []string{"Forwarded", "Via", "X-Real-Ip", "X-Client-Ip", "True-Client-Ip"}
	wayPrefixes = []string{"X-Forwarded-", "X-Edge-", "Sward-", "Proxy-"}
)

func stripRequest(r *http.Request) {
	stripHops(r.Header)
	for _, name := range wayFields {
		r.Header.Del(name)
	}
	for name := range r.Header {
		for _, prefix := range wayPrefixes {
			if strings.HasPrefix(http.CanonicalHeaderKey(name), prefix) {
				delete(r.Header, name)
			}
		}
	}
	if _, ok := r.Header["User-Agent"]; !ok {
		r.Header.Set("User-Agent", "") // or net/http would add its own
	}
}

func stripResponse(h http.Header) {
	stripHops(h)
	for name := range h {
		if strings.HasPrefix(http.CanonicalHeaderKey(name), "Sward-") {
			delete(h, name) // only the door says these
		}
	}
	h[headerStatus] = slices.DeleteFunc(h[headerStatus], func(list string) bool {
		return strings.Contains(strings.ToLower(list), "sward") // nobody else speaks in our name
	})
}

// stripTrailer is stripResponse for what stands behind a body. Programs read it as more of the header, and the door says
// nothing there, so what would be in its name is gone.
func stripTrailer(h http.Header) {
	stripHops(h)
	for name := range h {
		if key := http.CanonicalHeaderKey(name); strings.HasPrefix(key, "Sward-") || key == headerStatus {
			delete(h, name)
		}
	}
}

func stripHops(h http.Header) {
	for _, list := range h["Connection"] {
		for name := range strings.SplitSeq(list, ",") {
			h.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range hopFields {
		h.Del(name)
	}
}

const (
	// minRate is how fast a request's body must come, in bytes a second, once uploadGrace has been waited for it in all: a
	// body that drips holds an edge's stream and a place at the door for as long as it likes.
	minRate     = 256
	uploadGrace = 30 * time.Second
)

// upload is a request's body with a deadline for every read: net/http cannot give up a request while one is under way,
// and to close a body is to read what is left of it.
type upload struct {
	io.ReadCloser
	client *client
	over   atomic.Bool // read to its end, or broken
	broken atomic.Bool // malformed, or too slow

	// Of the reader, whose calls follow each other.
	came   int64         // bytes
	waited time.Duration // for them; the time that the target takes is not the client's
}

func (u *upload) Read(p []byte) (int, error) {
	// Before the target's silence is noticed and blamed. On a closed connection this fails as the read will.
	start := time.Now()
	slowest := uploadGrace + time.Duration(u.came)*time.Second/minRate - u.waited
	u.client.SetReadDeadline(start.Add(min(u.client.idleTime/2, slowest))) //nolint:errcheck // see above
	n, err := u.ReadCloser.Read(p)
	u.came, u.waited = u.came+int64(n), u.waited+time.Since(start)
	if !errors.Is(err, os.ErrDeadlineExceeded) { // which would only be waited for again
		u.client.SetReadDeadline(time.Time{}) //nolint:errcheck // see above
	}
	u.broken.Store(err != nil && err != io.EOF)
	u.over.Store(err != nil)
	return n, err
}

func (u *upload) Close() error {
	if !u.over.Load() {
		u.client.SetReadDeadline(time.Now().Add(lingerTime)) //nolint:errcheck // on a closed connection
	}
	return u.ReadCloser.Close()
}

// body notes that a response broke off: goproxy ends a response in the same way whether it did or not. Behind its end
// stands the trailer, which goproxy passes on.
type body struct {
	io.ReadCloser
	resp *http.Response
	err  error
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch {
	case err == io.EOF:
		stripTrailer(b.resp.Trailer)
	case err != nil:
		b.err = err
	}
	return n, err
}

func (b *body) failed() bool { return b.err != nil }

// errQuiet is why a watched connection was closed.
var errQuiet = errors.New("nothing moved for the idle time")

// watchedConn closes a connection on which nothing moves in either direction. A deadline for reads would cut a long
// upload, during which net/http already waits for the response.
type watchedConn struct {
	net.Conn
	idle  time.Duration
	timer *time.Timer
	quiet atomic.Bool
}

func watched(conn net.Conn, idle time.Duration) *watchedConn {
	w := &watchedConn{Conn: conn, idle: idle}
	w.timer = time.AfterFunc(idle, func() {
		w.quiet.Store(true)
		w.Conn.Close()
	})
	return w
}

func (w *watchedConn) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	return n, w.moved(n, err)
}

func (w *watchedConn) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	return n, w.moved(n, err)
}

func (w *watchedConn) moved(n int, err error) error {
	if n > 0 && !w.quiet.Load() {
		w.timer.Reset(w.idle)
	}
	if err != nil && w.quiet.Load() {
		return errQuiet
	}
	return err
}

func (w *watchedConn) Close() error {
	w.timer.Stop()
	return w.Conn.Close()
}
