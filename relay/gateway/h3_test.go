package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/apernet/quic-go"
	"github.com/apernet/quic-go/http3"
	"github.com/apernet/quic-go/qlog"
	"github.com/apernet/quic-go/quicvarint"

	"sward/internal/splice"
	"sward/internal/wire"
	"sward/policy"
)

// h3Door is a door for HTTP/3 and a connection to it.
func h3Door(t *testing.T, handler http.Handler, change ...func(*Config)) (*door, *quic.Conn) {
	t.Helper()
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { udp.Close() })
	d, _ := secureDoor(t, handler, append(change, func(cfg *Config) { cfg.PacketConn = udp })...)
	return d, dialH3(t, d, udp.LocalAddr().String())
}

func dialH3(t *testing.T, d *door, at string) *quic.Conn {
	t.Helper()
	config := d.trust()
	config.NextProtos, config.MinVersion = []string{http3.NextProtoH3}, tls.VersionTLS13
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, err := quic.DialAddr(ctx, at, config, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.CloseWithError(0, "") })
	return conn
}

// onH3 opens a request of HTTP/3 and reads the head of its answer. The stream is a tunnel when that is 200.
func onH3(t *testing.T, conn *quic.Conn, method, scheme, host, path, proto string, header http.Header) (*http3.RequestStream, *http.Response) {
	t.Helper()
	client := (&http3.Transport{}).NewClientConn(conn)
	return onClient(t, client, method, scheme, host, path, proto, header)
}

func onClient(t *testing.T, client *http3.ClientConn, method, scheme, host, path, proto string, header http.Header) (*http3.RequestStream, *http.Response) {
	t.Helper()
	s, err := client.OpenRequestStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.SetDeadline(time.Now().Add(20 * time.Second))
	r := (&http.Request{Method: method, Proto: proto, Host: host, Header: header, URL: &url.URL{Scheme: scheme, Host: host, Path: path}}).WithContext(t.Context())
	if err := s.SendRequestHeader(r); err != nil {
		t.Fatal(err)
	}
	if method != "CONNECT" {
		s.Close() // without a body
	}
	resp, err := s.ReadResponse()
	if err != nil {
		t.Fatalf("%s %s: %v", method, host, err)
	}
	return s, resp
}

func credentialOf(name, k string) http.Header {
	return http.Header{"Proxy-Authorization": {basicOf(name, k)}}
}

func TestTunnelsOverH3(t *testing.T) {
	_, conn := h3Door(t, answerWhole{})
	s, resp := onH3(t, conn, "CONNECT", "", site+":80", "", "", credentialOf(partner, key))
	if resp.StatusCode != 200 || resp.Header.Get(headerEdge) != exit {
		t.Fatalf("CONNECT: %v", resp)
	}
	body := strings.Repeat("grass ", 100_000)
	go func() {
		io.WriteString(s, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"+body)
		s.Close() // the site answers when our half has ended
	}()
	if got, err := io.ReadAll(s); string(got) != body || err != nil {
		t.Errorf("through the tunnel: %d bytes, %v, want %d", len(got), err, len(body))
	}
}

func TestPlainRequestsAndRefusalsOverH3(t *testing.T) {
	d, conn := h3Door(t, http.HandlerFunc(echo))
	client := (&http3.Transport{}).NewClientConn(conn)
	for _, c := range []struct {
		name, method, scheme, host, path, proto string
		header                                  http.Header
		want                                    wire.Code
	}{
		{"plain", "GET", "http", site, "/", "", credentialOf(partner, key), wire.OK},
		{"wrong key", "CONNECT", "", site + ":443", "", "", credentialOf(partner, "x"), wire.AuthFailed},
		{"no credential", "GET", "http", site, "/", "", http.Header{}, wire.AuthRequired},
		{"a private address", "CONNECT", "", "10.0.0.1:443", "", "", credentialOf(partner, key), wire.DestPrivate},
		{"C22: WebSocket by extended CONNECT", "CONNECT", "https", site, "/", "websocket", credentialOf(partner, key), wire.UpgradeDenied},
		{"https without CONNECT", "GET", "https", site, "/", "", credentialOf(partner, key), wire.BadRequest},
		{"another scheme", "GET", "ftp", site, "/", "", credentialOf(partner, key), wire.BadRequest},
		{"plain again", "GET", "http", site, "/", "", credentialOf(partner, key), wire.OK},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, resp := onClient(t, client, c.method, c.scheme, c.host, c.path, c.proto, c.header)
			s.Close()
			body, _ := io.ReadAll(resp.Body)
			if c.want == wire.OK {
				if resp.StatusCode != 200 || !bytes.Contains(body, []byte("Host: "+site)) {
					t.Errorf("got %d %q", resp.StatusCode, body)
				}
				return
			}
			if got := resp.Header.Get(headerError); got != c.want.Name() || resp.StatusCode != c.want.HTTPStatus() || resp.Header.Get(headerBillable) != "?0" {
				t.Errorf("got %d %v, want %d %s", resp.StatusCode, resp.Header, c.want.HTTPStatus(), c.want.Name())
			}
		})
	}
	if got := d.dials(); len(got) != 2 {
		t.Errorf("dialled %v, want the plain requests alone", got)
	}
}

// E06: a field section whose literals unfold beyond the limit, and one that says it is longer than it may be, are
// refused; what it takes stays near the limit however many streams try.
func TestHeaderBombOverH3IsRefused(t *testing.T) {
	d, conn := h3Door(t, http.HandlerFunc(echo))
	before := heap()
	for _, size := range []int{100 << 10, 10 << 20, 1 << 40} {
		for range 20 {
			s, err := conn.OpenStreamSync(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			s.SetDeadline(time.Now().Add(20 * time.Second))
			frame := quicvarint.Append(nil, 1) // HEADERS
			frame = quicvarint.Append(frame, uint64(size))
			s.Write(append(frame, make([]byte, 1000)...))
			answer := make([]byte, 1)
			if _, err := io.ReadFull(s, answer); err != nil || answer[0] != 1 {
				t.Fatalf("a head of %d bytes: got %v, %v, want an answer", size, answer, err)
			}
			s.CancelWrite(0)
			s.CancelRead(0)
		}
	}
	if grown := heap() - before; grown > 16<<20 {
		t.Errorf("the heap has grown by %d MiB", grown>>20)
	}
	if got := d.dials(); len(got) > 0 {
		t.Errorf("dialled %v", got)
	}
}

// C17 over HTTP/3: a client has a hundred streams at once, and is sent away when it goes on resetting them, before their
// heads have come or after.
func TestRapidResetOverH3EndsTheConnection(t *testing.T) {
	request := (&http.Request{Method: "CONNECT", Host: site + ":80", Header: credentialOf(partner, key), URL: &url.URL{Host: site + ":80"}}).WithContext(t.Context())
	for name, send := range map[string]func(*http3.RequestStream){
		"behind the head": func(s *http3.RequestStream) { s.SendRequestHeader(request) }, // which a reset may overtake
		"before the head": func(*http3.RequestStream) {},
	} {
		t.Run(name, func(t *testing.T) {
			_, conn := h3Door(t, http.HandlerFunc(echo), func(cfg *Config) {
				cfg.Authorise = func(ctx context.Context, _, _ string, _ netip.Addr) (Account, error) {
					<-ctx.Done()
					return nil, ctx.Err()
				}
			})
			client := (&http3.Transport{}).NewClientConn(conn)
			before := heap()
			for range 10_000 {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				s, err := client.OpenRequestStream(ctx)
				cancel()
				if err != nil {
					break // it is closed
				}
				send(s)
				s.CancelRead(quic.StreamErrorCode(http3.ErrCodeRequestCanceled))
				s.CancelWrite(quic.StreamErrorCode(http3.ErrCodeRequestCanceled))
			}
			select {
			case <-conn.Context().Done(): // a moment after its streams know
			case <-time.After(20 * time.Second):
				t.Error("the connection goes on")
			}
			if grown := heap() - before; grown > 50<<20 {
				t.Errorf("the heap has grown by %d MiB", grown>>20)
			}
		})
	}
}

// In the end all of a tunnel counts as acknowledged, its head and the heads of its frames aside.
func TestAllThatArrivedOverH3IsAcknowledged(t *testing.T) {
	const size = 2_000_000
	var joined *client
	seen := make(chan int, 1)
	_, conn := h3Door(t, http.HandlerFunc(echo), func(cfg *Config) {
		cfg.Dial = func(context.Context, Account, policy.Target, Exit) (Conn, error) {
			ours, theirs := net.Pipe()
			go func() {
				theirs.Write(make([]byte, size))
				theirs.Close()
			}()
			return joinConn{pipeConn{ours}, func(ctx context.Context, c net.Conn) error {
				joined = c.(*client)
				err := splice.Join(ctx, c, ours, splice.Half{}, splice.Half{}, time.Minute).Err
				for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
					if left, _ := Unacknowledged(c); left == 0 {
						break
					}
				}
				left, _ := Unacknowledged(c)
				seen <- left
				return err
			}}, nil
		}
	})
	s, resp := onH3(t, conn, "CONNECT", "", site+":80", "", "", credentialOf(partner, key))
	if resp.StatusCode != 200 {
		t.Fatal(resp)
	}
	if got, err := io.Copy(io.Discard, s); got != size || err != nil {
		t.Fatalf("%d bytes arrived, %v, want %d", got, err, size)
	}
	s.Close()
	if left := <-seen; left != 0 || joined == nil {
		t.Errorf("%d bytes count as not acknowledged after all of them were read", left)
	}
}

// The parts of a stream may be acknowledged in any order and more than once: what counts is all that lies below the
// first gap.
func TestAcknowledgedPrefixOverEveryOrder(t *testing.T) {
	const parts, size = 200, 10
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 0))
		a := newAcks()
		a.hold(0)
		for n := range parts {
			a.RecordEvent(sentPart(n, int64(n*size), size))
		}
		order, got := random.Perm(parts), map[int]bool{}
		for _, n := range order {
			a.RecordEvent(ackOf(n))
			a.RecordEvent(ackOf(n))
			got[n] = true
			want := 0
			for got[want] {
				want++
			}
			if prefix, _ := a.of(0); prefix != int64(want*size) {
				t.Fatalf("seed %d: %d bytes acknowledged, want %d", seed, prefix, want*size)
			}
		}
		if len(a.sent) != 0 || len(a.streams[0].beyond) != 0 {
			t.Errorf("seed %d: %d packets and %d parts are left", seed, len(a.sent), len(a.streams[0].beyond))
		}
		a.drop(0)
		if len(a.streams) != 0 {
			t.Errorf("a stream that nobody holds is kept")
		}
	}
}

func sentPart(number int, from, size int64) qlog.PacketSent {
	return qlog.PacketSent{
		Header: qlog.PacketHeader{PacketType: qlog.PacketType1RTT, PacketNumber: qlog.PacketNumber(number)},
		Frames: []qlog.Frame{{Frame: &qlog.StreamFrame{StreamID: 0, Offset: from, Length: size}}},
	}
}

func ackOf(number int) qlog.PacketReceived {
	return qlog.PacketReceived{
		Header: qlog.PacketHeader{PacketType: qlog.PacketType1RTT},
		Frames: []qlog.Frame{{Frame: &qlog.AckFrame{AckRanges: []qlog.AckRange{{Smallest: qlog.PacketNumber(number), Largest: qlog.PacketNumber(number)}}}}},
	}
}

// joinConn joins as its function says.
type joinConn struct {
	pipeConn
	join func(context.Context, net.Conn) error
}

func (c joinConn) Join(ctx context.Context, client net.Conn) error { return c.join(ctx, client) }
