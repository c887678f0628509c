package fetch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"time"

	"sward/internal/wire"
)

// Bounds of an exchange that are not the batch's to choose.
const (
	maxHead     = wire.MaxHeaderBlock // bytes of a response's head: a longer one has no place in a Page
	maxInterim  = 4 << 10             // bytes of 1xx answers before it
	dialTimeout = 15 * time.Second    // to connect and to shake hands, each
	idleConn    = maxDelay + 5*time.Second
)

var (
	errNoHead    = errors.New("the answer's head did not follow its request")
	errLongHead  = errors.New("the answer's head is too long to keep")
	errSwitching = errors.New("the answer is no answer to GET")
)

// limits bound one exchange.
type limits struct {
	wire, body  int64 // bytes, as received and as decoded
	total, idle time.Duration
}

// transport makes HTTP/1.1 exchanges and keeps what was said. HTTP/2 and 3 are left
// out on purpose: their heads have no form of their own that an archive could keep.
type transport struct {
	http  *http.Transport
	agent string
	now   func() time.Time
}

func newTransport(c Config, agent string) *transport {
	dial := func(ctx context.Context, network, hostport string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		conn, err := c.Dial(ctx, network, hostport)
		if err != nil {
			return nil, &dialError{err}
		}
		return conn, nil
	}
	return &transport{agent: agent, now: c.Now, http: &http.Transport{
		DialContext: func(ctx context.Context, network, hostport string) (net.Conn, error) {
			conn, err := dial(ctx, network, hostport)
			if err != nil {
				return nil, err
			}
			return &capture{Conn: conn}, nil
		},
		DialTLSContext: func(ctx context.Context, network, hostport string) (net.Conn, error) {
			conn, err := dial(ctx, network, hostport)
			if err != nil {
				return nil, err
			}
			return shakeHands(ctx, conn, hostport, c)
		},
		DisableCompression:     true, // body undoes the coding, within its limits
		ResponseHeaderTimeout:  c.Idle,
		MaxResponseHeaderBytes: maxCapture,
		MaxIdleConns:           8, // a batch is of one host; redirects add a few
		MaxIdleConnsPerHost:    1,
		IdleConnTimeout:        idleConn,
	}}
}

// shakeHands puts TLS on conn. The capture goes on top of it.
func shakeHands(ctx context.Context, conn net.Conn, hostport string, c Config) (net.Conn, error) {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	secure := tls.Client(conn, &tls.Config{ServerName: host, RootCAs: c.Roots, NextProtos: []string{"http/1.1"}, Time: c.Now})
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, &tlsError{err}
	}
	return &capture{Conn: secure}, nil
}

// exchange is one request and its answer. The content is read from body, once.
type exchange struct {
	url               *url.URL
	status            int
	header            http.Header
	request, response []byte // heads
	address           netip.Addr
	body              *body
	cancel            context.CancelFunc
}

// do sends a GET for u and waits for the head of the answer. The request says no more
// than this package decides and fields adds: no cookie, no credential, no referrer. The
// exchange must be closed.
func (t *transport) do(ctx context.Context, u *url.URL, lim limits, fields http.Header) (*exchange, error) {
	ctx, stop := context.WithTimeout(ctx, lim.total)
	ctx, cancel := context.WithCancelCause(ctx)
	x := &exchange{url: u, cancel: func() { cancel(nil); stop() }}
	var conn *capture
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		conn = info.Conn.(*capture)
		if info.Reused {
			conn.begin()
		}
	}})
	req, err := http.NewRequestWithContext(traced, http.MethodGet, u.String(), nil)
	if err != nil {
		x.cancel()
		return nil, fmt.Errorf("make request: %w", err)
	}
	req.Header = http.Header{
		"User-Agent":      {t.agent},
		"Accept":          {"*/*"},
		"Accept-Encoding": {acceptEncoding},
	}
	maps.Copy(req.Header, fields)
	resp, err := t.http.RoundTrip(req) //nolint:bodyclose // the exchange closes it
	if err != nil {
		err = orCause(ctx, err)
		x.cancel()
		return nil, err
	}
	x.status, x.header = resp.StatusCode, resp.Header
	x.body = newBody(ctx, cancel, resp.Body, resp.Header.Values("Content-Encoding"), lim)
	x.request, x.response = conn.heads()
	x.address = remote(conn)
	if err := x.check(); err != nil {
		x.close()
		return nil, err
	}
	return x, nil
}

// check refuses answers that cannot go on the record.
func (x *exchange) check() error {
	switch {
	case x.status < 200:
		return errSwitching
	case x.request == nil || x.response == nil:
		return errNoHead
	case len(x.response) > maxHead:
		return errLongHead
	}
	return nil
}

// close ends the exchange; what is left of the content is not read, and costs the
// connection.
func (x *exchange) close() error {
	err := x.body.Close()
	x.cancel()
	return err
}

// orCause prefers the reason why ctx ended over what the transport made of it.
func orCause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// remote is the address behind a connection, zero if it has none (a tunnel).
func remote(conn net.Conn) netip.Addr {
	ap, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}
