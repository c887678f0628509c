package gateway

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"sward/internal/wire"
)

// stoppable is a door with all three ways in, and what stops it and waits for its end.
func stoppable(t *testing.T, handler http.Handler, grace time.Duration) (d *door, atTLS, atH3 string, stop func() <-chan error) {
	t.Helper()
	d = &door{plain: httptest.NewServer(handler), tls: httptest.NewTLSServer(handler)}
	t.Cleanup(d.plain.Close)
	t.Cleanup(d.tls.Close)
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	plain, secure := listen(), listen()
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { udp.Close() })
	g, err := New(Config{
		Listener: plain, TLSListener: secure, PacketConn: udp, Authorise: authorise, Dial: d.dial, Grace: grace,
		Refused:      func(wire.Code) {},
		Certificates: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &d.tls.TLS.Certificates[0], nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	t.Cleanup(cancel)
	return d, secure.Addr().String(), udp.LocalAddr().String(), func() <-chan error { cancel(); return ended }
}

// A door that stops says GOAWAY, lets the tunnels of HTTP/2 and HTTP/3 come to their end, and does not wait for
// connections on which nothing runs.
func TestStoppingDoorLetsStreamsFinish(t *testing.T) {
	d, atTLS, atH3, stop := stoppable(t, answerWhole{}, time.Minute)
	idle := newFramed(t, d, atTLS)
	dialH3(t, d, atH3)
	f := newFramed(t, d, atTLS)
	if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: f.block(), EndHeaders: true}); err != nil {
		t.Fatal(err)
	}
	h3, resp := onH3(t, dialH3(t, d, atH3), "CONNECT", "", site+":80", "", "", credentialOf(partner, key))
	if resp.StatusCode != 200 {
		t.Fatal(resp)
	}
	until := func(f *framed, is func(http2.Frame) bool) {
		t.Helper()
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				t.Fatal(err)
			}
			if is(frame) {
				return
			}
		}
	}
	until(f, func(frame http2.Frame) bool { _, ok := frame.(*http2.HeadersFrame); return ok })
	ended := stop()
	for _, c := range []*framed{f, idle} {
		until(c, func(frame http2.Frame) bool { _, ok := frame.(*http2.GoAwayFrame); return ok })
	}
	const text = "GET / HTTP/1.1\r\nHost: x\r\n\r\nstill here"
	if err := f.WriteData(1, true, []byte(text)); err != nil {
		t.Fatal(err)
	}
	until(f, func(frame http2.Frame) bool {
		data, ok := frame.(*http2.DataFrame)
		return ok && string(data.Data()) == "still here"
	})
	io.WriteString(h3, text)
	h3.Close()
	if got, err := io.ReadAll(h3); string(got) != "still here" || err != nil {
		t.Errorf("over HTTP/3, while the door stops: %q, %v", got, err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the door waits for more than its tunnels")
	}
}

// What outlives the grace is cut, over HTTP/2 and HTTP/3 too.
func TestStoppingDoorCutsStreamsThatOutliveTheGrace(t *testing.T) {
	d, atTLS, atH3, stop := stoppable(t, answerWhole{}, 100*time.Millisecond)
	f := newFramed(t, d, atTLS)
	f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: f.block(), EndHeaders: true})
	onH3(t, dialH3(t, d, atH3), "CONNECT", "", site+":80", "", "", credentialOf(partner, key))
	for opened := false; !opened; {
		frame, err := f.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		_, opened = frame.(*http2.HeadersFrame)
	}
	select {
	case err := <-stop():
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the door does not end")
	}
}

// C11 over HTTP/2: a client that grants no window for a plain response holds its stream for the idle time and no longer.
func TestStalledReaderOverH2IsGivenUp(t *testing.T) {
	site := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 1<<20)) })
	d, at := secureDoor(t, site, func(cfg *Config) { cfg.IdleTime = 300 * time.Millisecond })
	f := newFramed(t, d, at)
	head := f.block(":method", "GET", ":scheme", "http", ":authority", "site.example", ":path", "/", "proxy-authorization", basicOf(partner, key))
	if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head, EndHeaders: true, EndStream: true}); err != nil {
		t.Fatal(err)
	}
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			t.Fatalf("the connection ended before the stream: %v", err)
		}
		if reset, ok := frame.(*http2.RSTStreamFrame); ok {
			if reset.StreamID != 1 {
				t.Errorf("stream %d was reset", reset.StreamID)
			}
			return
		}
	}
}

// A site may be silent for the idle time after any piece of its response, over HTTP/2 as over HTTP/1.
func TestQuietSiteIsNotTakenForAStalledReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const idle = time.Minute
		s := &deadlined{}
		p := &punctual{ResponseWriter: httptest.NewRecorder(), stream: s, idle: idle}
		for range 10 {
			p.Write([]byte("a piece"))
			if left := time.Until(s.at); left < idle || left > 2*idle {
				t.Errorf("the stream is reset %v after a piece, want %v", left, idle)
			}
			time.Sleep(idle/4 - time.Second)
		}
	})
}

// deadlined remembers its deadline.
type deadlined struct {
	net.Conn
	at time.Time
}

func (d *deadlined) SetWriteDeadline(at time.Time) error {
	d.at = at
	return nil
}
