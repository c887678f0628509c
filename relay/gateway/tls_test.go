package gateway

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/proxy"
)

// secureDoor is openDoor with a door in TLS, whose certificate is the site's. It returns that door's address.
func secureDoor(t testing.TB, handler http.Handler, change ...func(*Config)) (*door, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var d *door
	made := make(chan struct{})
	change = append(change, func(cfg *Config) {
		cfg.TLSListener = l
		cfg.Certificates = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			<-made
			return &d.tls.TLS.Certificates[0], nil
		}
	})
	d = openDoor(t, handler, change...)
	close(made)
	return d, l.Addr().String()
}

// tlsDialer dials in TLS.
type tlsDialer struct{ config *tls.Config }

func (d tlsDialer) Dial(network, address string) (net.Conn, error) {
	return tls.Dial(network, address, d.config)
}

func TestEveryDialectReachesTheSiteInsideTLS(t *testing.T) {
	d, at := secureDoor(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body) // a short one shows in the answer
		fmt.Fprint(w, n)
	}))
	viaHTTP := func() *http.Client {
		via := &url.URL{Scheme: "https", Host: at, User: url.UserPassword(partner, key)}
		return withTransport(t, &http.Transport{Proxy: http.ProxyURL(via), TLSClientConfig: d.trust()})
	}
	socks, err := proxy.SOCKS5("tcp", at, &proxy.Auth{User: partner, Password: key}, tlsDialer{d.trust()})
	if err != nil {
		t.Fatal(err)
	}
	viaSOCKS := withTransport(t, &http.Transport{DialContext: socks.(proxy.ContextDialer).DialContext, TLSClientConfig: d.trust()})
	for name, c := range map[string]struct {
		client *http.Client
		url    string
	}{
		"HTTP": {viaHTTP(), "http://" + site + "/"}, "CONNECT": {viaHTTP(), "https://" + site + "/"},
		"SOCKS5 in clear text": {viaSOCKS, "http://" + site + "/"}, "SOCKS5 with TLS": {viaSOCKS, "https://" + site + "/"},
	} {
		t.Run(name, func(t *testing.T) {
			body := strings.Repeat("grass ", 50_000)
			resp, err := c.client.Post(c.url, "text/plain", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if got, err := io.ReadAll(resp.Body); string(got) != "300000" || err != nil {
				t.Errorf("got %q, %v, want 300000", got, err)
			}
		})
	}
}

func TestTunnelInsideTLSEndsOneDirectionAtATime(t *testing.T) {
	d, at := secureDoor(t, answerWhole{})
	conn, err := tls.Dial("tcp", at, d.trust())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "CONNECT "+site+":80 HTTP/1.1\r\nHost: "+site+":80\r\n"+basic+"\r\n")
	r := bufio.NewReader(conn)
	if resp, err := http.ReadResponse(r, &http.Request{Method: "CONNECT"}); err != nil || resp.StatusCode != 200 {
		t.Fatalf("CONNECT: %v, %v", resp, err)
	}
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\nhello")
	conn.CloseWrite()
	if got, err := io.ReadAll(r); string(got) != "hello" || err != nil {
		t.Errorf("after the end of our half: got %q, %v, want hello and the end", got, err)
	}
}

// C10, inside TLS: a handshake has the time of a head.
func TestSlowHandshakeIsClosed(t *testing.T) {
	d, at := secureDoor(t, http.HandlerFunc(echo), func(cfg *Config) { cfg.HeaderTime = 100 * time.Millisecond })
	conn, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.Write([]byte{22, 3, 1}) // the beginning of a ClientHello
	conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, context.DeadlineExceeded) {
		t.Error("a client that does not go on with its handshake is not closed")
	}
	if got := d.dials(); len(got) > 0 {
		t.Errorf("dialled %v", got)
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	d, at := secureDoor(t, http.HandlerFunc(echo))
	old := d.trust()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if conn, err := tls.Dial("tcp", at, old); err == nil {
		conn.Close()
		t.Errorf("TLS 1.1 was taken")
	}
}

// marks never say too much: an inner byte is within when the outer byte that ends it is.
func TestMarksAreNeverAheadOfTheSocket(t *testing.T) {
	var m marks
	var inner, outer uint64
	end := map[uint64]uint64{0: 0} // inner → outer
	for i := range 1000 {
		inner += uint64(1 + i%700)
		outer += uint64(1 + i%700 + 29)
		m.add(inner, outer)
		end[inner] = outer
	}
	if got := len(m.queue); got > int(outer/markStep)+1 {
		t.Errorf("%d marks for %d bytes", got, outer)
	}
	for at := uint64(0); at <= outer; at += 997 {
		got := m.within(at)
		if last, ok := end[got]; !ok || last > at {
			t.Fatalf("within %d: %d inner bytes, which end at %d", at, got, last)
		}
	}
	if got := m.within(outer); got != inner {
		t.Errorf("within all: %d, want %d", got, inner)
	}
}
