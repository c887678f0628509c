package fetch

import (
	"context"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"

	"sward/policy"
)

// siteAddress is where every site of a world lives.
var siteAddress = netip.MustParseAddr("192.0.2.80")

// world is an Internet in memory: sites by host and port, and the one dialer that
// reaches them. Inside a synctest bubble its time is the bubble's.
type world struct {
	t     *testing.T
	talks sync.WaitGroup

	mu    sync.Mutex
	sites map[string]*pipeListener
	roots *x509.CertPool
}

// inWorld runs test in a world of its own, in simulated time.
func inWorld(t *testing.T, test func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		test(t, &world{t: t, sites: make(map[string]*pipeListener), roots: x509.NewCertPool()})
	})
}

func (w *world) config() Config { return Config{Dial: w.dial, Roots: w.roots} }

// site serves h at host:port.
func (w *world) site(hostport string, h http.HandlerFunc) {
	s := &http.Server{Handler: h}
	w.listen(hostport, func(l net.Listener) { _ = s.Serve(l) })
	w.t.Cleanup(func() { _ = s.Shutdown(context.Background()) })
}

// secure serves h with TLS, under the certificate that httptest has for example.com.
func (w *world) secure(hostport string, h http.HandlerFunc) {
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Listener.Close()
	l := newPipeListener()
	s.Listener = l
	s.StartTLS()
	w.t.Cleanup(s.Close)
	w.roots.AddCert(s.Certificate())
	w.add(hostport, l)
}

// raw answers each connection with talk, which need not speak HTTP.
func (w *world) raw(hostport string, talk func(net.Conn)) {
	w.listen(hostport, func(l net.Listener) {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			w.talks.Go(func() {
				defer conn.Close()
				talk(conn)
			})
		}
	})
	w.t.Cleanup(w.talks.Wait)
}

func (w *world) listen(hostport string, serve func(net.Listener)) {
	l := newPipeListener()
	w.add(hostport, l)
	go serve(l)
	w.t.Cleanup(func() { l.Close() })
}

func (w *world) add(hostport string, l *pipeListener) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sites[hostport] = l
}

// dial is a gated dialer: addresses meet the gate, names are the sites'.
func (w *world) dial(ctx context.Context, _, hostport string) (net.Conn, error) {
	target, err := policy.ParseTarget(hostport)
	if err != nil {
		return nil, err
	}
	if addr, ok := target.Host.Addr(); ok {
		if err := (policy.Gate{}).Check(addr); err != nil {
			return nil, err
		}
	}
	if target.Host.Name() == "router.example" { // a public name with a private address
		return nil, (policy.Gate{}).CheckAll([]netip.Addr{netip.MustParseAddr("192.168.1.1")})
	}
	w.mu.Lock()
	l, ok := w.sites[hostport]
	w.mu.Unlock()
	if !ok {
		return nil, &net.DNSError{Err: "no such host", Name: target.Host.Name(), IsNotFound: true}
	}
	return l.dial(ctx)
}

// pipeListener accepts the far ends of pipes.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) dial(ctx context.Context) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.conns <- addressed{far}:
		return addressed{near}, nil
	case <-l.closed:
		return nil, io.ErrClosedPipe
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return addressed{}.RemoteAddr() }

// addressed is a pipe that looks like TCP from afar.
type addressed struct{ net.Conn }

func (addressed) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(siteAddress, 80))
}

// fetchAll runs a batch and returns its results. It fails the test on an error, and
// unless there is one result per URL, in order.
func fetchAll(t *testing.T, f *Fetcher, b Batch) []Result {
	t.Helper()
	var results []Result
	err := f.Fetch(t.Context(), b, func(r Result) error {
		results = append(results, r)
		return nil
	})
	if err != nil {
		t.Fatalf("Fetch: %v", err)
	}
	if len(results) != len(b.URLs) {
		t.Fatalf("%d results for %d URLs", len(results), len(b.URLs))
	}
	for i, r := range results {
		if r.Index != i {
			t.Fatalf("result %d has index %d", i, r.Index)
		}
	}
	return results
}

// fetchOne gets one URL with a new Fetcher.
func fetchOne(t *testing.T, w *world, rawURL string) Result {
	t.Helper()
	return fetchAll(t, New(w.config()), Batch{URLs: []string{rawURL}})[0]
}

// noRobots wraps a handler of a site that has no robots.txt.
func noRobots(h http.HandlerFunc) http.HandlerFunc { return withRobots(404, "", h) }

func withRobots(status int, file string, h http.HandlerFunc) http.HandlerFunc {
	return func(rw http.ResponseWriter, req *http.Request) {
		if req.URL.Path == robotsPath {
			rw.WriteHeader(status)
			_, _ = io.WriteString(rw, file)
			return
		}
		h(rw, req)
	}
}

func text(s string) http.HandlerFunc {
	return func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, s) }
}

func denyAll(*url.URL) error { return &policy.Denied{Rule: "domain_denied", Detail: "test"} }
