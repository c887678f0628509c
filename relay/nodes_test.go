package relay

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"

	"sward/internal/wire"
)

// pipeStream is a stream over a pipe: what the relay writes comes out of node.
type pipeStream struct {
	net.Conn
	node  net.Conn
	reset bool
}

func newPipeStream(t *testing.T) *pipeStream {
	a, b := net.Pipe()
	t.Cleanup(func() { a.Close(); b.Close() })
	return &pipeStream{Conn: a, node: b}
}

func (*pipeStream) ID() uint64        { return 1 }
func (*pipeStream) CloseWrite() error { return nil }
func (s *pipeStream) Reset()          { s.reset = true; s.Conn.Close() }

// names is the DNS of these tests.
var names = map[string][]string{
	"good.example.org":    {"93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"},
	"www.good.example":    {"93.184.215.14"},
	"rebound.example.org": {"93.184.215.14", "192.168.0.1"},
	"mapped.example.org":  {"64:ff9b::c0a8:1"},
	"relay.example.org":   {"93.184.215.99"},
	"empty.example.org":   nil,
}

func resolveNames(_ context.Context, name string) ([]netip.Addr, error) {
	answers, known := names[name]
	if !known {
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	var addrs []netip.Addr
	for _, a := range answers {
		addrs = append(addrs, netip.MustParseAddr(a))
	}
	return addrs, nil
}

func newScreen(t *testing.T) (*screen, *pipeStream) {
	s := newPipeStream(t)
	sc := &screen{stream: s, ctx: t.Context(), resolve: resolveNames}
	sc.gate.Network = []netip.Addr{netip.MustParseAddr("93.184.215.99")}
	return sc, s
}

func batchOf(t *testing.T, urls ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := wire.Write(&b, wire.Batch{URLs: urls}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// M05, M06: a browser can check neither the address it fetches from nor what a name means at home.
func TestScreenRefusesWhatBrowsersMustNotFetch(t *testing.T) {
	for _, c := range []struct {
		url  string
		want wire.Code
	}{
		{"http://good.example.org/", wire.PlainHTTPDenied},
		{"file:///etc/passwd", wire.BadHost},
		{"chrome://settings/", wire.PlainHTTPDenied},
		{"https://192.168.0.1/", wire.AppDenied},
		{"https://93.184.215.14/", wire.AppDenied},
		{"https://[::1]/", wire.AppDenied},
		{"https://0x7f.1/", wire.BadHost},
		{"https://router/", wire.DestName},
		{"https://nas.local/", wire.DestName},
		{"https://localhost/", wire.DestLoopback},
		{"https://user:secret@good.example.org/", wire.BadHost},
		{"https://good.example.org:8443/", wire.PortNotAllowed},
		{"https://rebound.example.org/", wire.DestPrivate},
		{"https://mapped.example.org/", wire.DestEmbedded},
		{"https://relay.example.org/", wire.DestNetwork},
		{"https://empty.example.org/", wire.BadHost},
		{"https://missing.example.org/", wire.DNSNotFound},
	} {
		t.Run(c.url, func(t *testing.T) {
			s, below := newScreen(t)
			// The good URL before it must not let it slip through.
			if _, err := s.Write(batchOf(t, "https://good.example.org/", c.url)); err != nil {
				t.Fatal(err)
			}
			kind, body, err := wire.ReadFrame(s, nil)
			if err != nil || kind != wire.TypeBatchEnd {
				t.Fatalf("got %s, %v, want the end of the batch", kind, err)
			}
			end, err := wire.ParseBatchEnd(body)
			if err != nil || end.Code != c.want {
				t.Errorf("code: got %s, %v, want %s", end.Code.Name(), err, c.want.Name())
			}
			if _, err := s.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("after the answer: got %v, want EOF", err)
			}
			if !below.reset {
				t.Error("the node's stream goes on")
			}
		})
	}
}

// The hub's bytes arrive in pieces; the node gets the frames whole, as its line needs them.
func TestScreenPassesWholeFramesOnly(t *testing.T) {
	s, below := newScreen(t)
	var sent bytes.Buffer
	wire.WriteFrame(&sent, 0x7f, []byte("a frame of a later version"))
	sent.Write(batchOf(t, "https://good.example.org/a", "https://www.good.example/b", "https://good.example.org/c"))
	go func() {
		for p := sent.Bytes(); len(p) > 0; {
			n := min(3, len(p))
			s.Write(p[:n])
			p = p[n:]
		}
	}()
	var got bytes.Buffer
	buf := make([]byte, 1<<16)
	for range 2 {
		n, err := below.node.Read(buf) // one Write of the screen, as a pipe hands it over
		if err != nil {
			t.Fatal(err)
		}
		if whole := 4 + int(buf[2])<<8 + int(buf[3]); n != whole {
			t.Errorf("got %d bytes of a frame of %d", n, whole)
		}
		got.Write(buf[:n])
	}
	if !bytes.Equal(got.Bytes(), sent.Bytes()) {
		t.Errorf("got %x, want %x", got.Bytes(), sent.Bytes())
	}
}

func TestScreenWantsOneHostInABatch(t *testing.T) {
	s, _ := newScreen(t)
	urls := []string{}
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		names[name+".many.example"] = []string{"93.184.215.14"}
		urls = append(urls, "https://"+name+".many.example/")
	}
	s.Write(batchOf(t, urls...))
	_, body, _ := wire.ReadFrame(s, nil)
	if end, err := wire.ParseBatchEnd(body); err != nil || end.Code != wire.BadRequest {
		t.Errorf("got %s, %v, want bad_request", end.Code.Name(), err)
	}
}
