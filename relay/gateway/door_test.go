package gateway

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/proxy"

	"sward/internal/splice"
	"sward/internal/wire"
	"sward/policy"
)

const (
	partner = "partner"
	key     = "s3cret-key"
	exit    = "12D3KooWExit"
	site    = "site.example" // what every target's name leads to
)

// door is a gateway on loopback with one site behind it, in clear text on port 80 and with TLS on 443.
type door struct {
	addr  string
	plain *httptest.Server
	tls   *httptest.Server

	mu      sync.Mutex
	dialled []string
	refused []wire.Code
	refuse  error // Dial's answer, when set
}

// openDoor starts a gateway whose site is answered by handler.
func openDoor(t testing.TB, handler http.Handler, change ...func(*Config)) *door {
	t.Helper()
	d := &door{plain: httptest.NewServer(handler), tls: httptest.NewTLSServer(handler)}
	t.Cleanup(d.plain.Close)
	t.Cleanup(d.tls.Close)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d.addr = listener.Addr().String()
	cfg := Config{Listener: listener, Authorise: authorise, Dial: d.dial, Grace: time.Millisecond, Refused: func(c wire.Code) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.refused = append(d.refused, c)
	}}
	for _, f := range change {
		f(&cfg)
	}
	run(t, cfg)
	return d
}

// run runs a gateway until the test ends.
func run(t testing.TB, cfg Config) {
	t.Helper()
	g, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

func authorise(_ context.Context, name, k string, _ netip.Addr) (Account, error) {
	if name != partner || k != key {
		return nil, wire.Errorf(wire.AuthFailed, "name or key is wrong")
	}
	return buyer(name), nil
}

// buyer is an account by its name.
type buyer string

func (buyer) LowBalance() (bytes uint64, low bool) { return 0, false }

func (d *door) dial(ctx context.Context, who Account, target policy.Target, _ Exit) (Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dialled = append(d.dialled, target.String())
	if d.refuse != nil {
		return nil, d.refuse
	}
	to := d.plain
	if target.Port == 443 {
		to = d.tls
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", to.Listener.Addr().String())
	if err != nil {
		return nil, wire.Errorf(wire.DialRefused, "%v", err)
	}
	return exitConn{conn}, nil
}

func (d *door) dials() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.dialled
}

func (d *door) refusals() []wire.Code {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.refused
}

// exitConn is a direct connection in the place of one through an edge.
type exitConn struct{ net.Conn }

func (exitConn) Exit() Line { return Line{Edge: exit} }

func (c exitConn) Join(ctx context.Context, client net.Conn) error {
	return splice.Join(ctx, client, c.Conn, splice.Half{}, splice.Half{}, time.Minute).Err
}

// trust is the TLS configuration of a client that knows the site's certificate, made for example.com.
func (d *door) trust() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(d.tls.Certificate())
	return &tls.Config{RootCAs: roots, ServerName: "example.com"}
}

// httpClient speaks HTTP to the door; socksClient SOCKS5.
func (d *door) httpClient(t *testing.T) *http.Client {
	via := &url.URL{Scheme: "http", Host: d.addr, User: url.UserPassword(partner, key)}
	return withTransport(t, &http.Transport{Proxy: http.ProxyURL(via), TLSClientConfig: d.trust()})
}

func (d *door) socksClient(t *testing.T) *http.Client {
	return withTransport(t, &http.Transport{DialContext: d.socks(t).DialContext, TLSClientConfig: d.trust()})
}

func (d *door) socks(t *testing.T) proxy.ContextDialer {
	t.Helper()
	dialer, err := proxy.SOCKS5("tcp", d.addr, &proxy.Auth{User: partner, Password: key}, proxy.Direct)
	if err != nil {
		t.Fatal(err)
	}
	return dialer.(proxy.ContextDialer)
}

func withTransport(t *testing.T, tr *http.Transport) *http.Client {
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// raw sends text as it stands and returns the connection and a reader of what comes back.
func (d *door) raw(t testing.TB, text string) (*net.TCPConn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", d.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(30 * time.Second)) // a test that hangs says where
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn), bufio.NewReader(conn)
}

// response reads one HTTP response and its body.
func response(t testing.TB, r *bufio.Reader, method string) (*http.Response, string) {
	t.Helper()
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("read response: %v", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("read response body: %v", err)
	}
	return resp, string(body)
}

// basic is the Proxy-Authorization line of the test's partner.
var basic = "Proxy-Authorization: " + basicOf(partner, key) + "\r\n"

func basicOf(name, k string) string {
	r := &http.Request{Header: http.Header{}}
	r.SetBasicAuth(name, k)
	return r.Header.Get("Authorization")
}

// echo answers with the request as the site has received it.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Header.Set("Host", r.Host)
	r.Header.Write(w)
	w.Write(body)
}

func TestEveryDialectReachesTheSite(t *testing.T) {
	d := openDoor(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, _ := io.ReadAll(r.Body) // a short one shows in the answer
		io.WriteString(w, r.Method+" "+string(got))
	}))
	for _, c := range []struct {
		name   string
		client *http.Client
		url    string
		edge   string
	}{
		{"HTTP", d.httpClient(t), "http://" + site + "/", exit},
		{"CONNECT", d.httpClient(t), "https://" + site + "/", ""},
		{"SOCKS5 in clear text", d.socksClient(t), "http://" + site + "/", ""},
		{"SOCKS5 with TLS", d.socksClient(t), "https://" + site + "/", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 2 { // the second request finds the connection open
				resp, err := c.client.Post(c.url, "text/plain", strings.NewReader(strings.Repeat("grass ", 20_000)))
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				got, err := io.ReadAll(resp.Body)
				if err != nil {
					t.Fatal(err)
				}
				if want := "POST " + strings.Repeat("grass ", 20_000); string(got) != want {
					t.Errorf("got %d bytes %.20q…, want %d bytes %.20q…", len(got), got, len(want), want)
				}
				if got := resp.Header.Get("Sward-Edge"); got != c.edge {
					t.Errorf("Sward-Edge: got %q, want %q", got, c.edge)
				}
			}
		})
	}
}

func TestConnectNamesItsEdge(t *testing.T) {
	d := openDoor(t, http.HandlerFunc(echo))
	_, r := d.raw(t, "CONNECT "+site+":80 HTTP/1.1\r\nHost: "+site+":80\r\n"+basic+"\r\n")
	resp, err := http.ReadResponse(r, &http.Request{Method: "CONNECT"})
	if err != nil || resp.StatusCode != 200 || resp.Header.Get("Sward-Edge") != exit {
		t.Errorf("got %v %v, want 200 and Sward-Edge %s", resp, err, exit)
	}
}
