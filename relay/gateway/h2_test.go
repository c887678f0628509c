package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"sward/internal/wire"
)

// h2Door is a door in TLS and a connection of HTTP/2 to it.
//
//nolint:staticcheck // deprecated for programs; here the connection is the point
func h2Door(t *testing.T, handler http.Handler, change ...func(*Config)) (*door, *http2.ClientConn) {
	t.Helper()
	d, at := secureDoor(t, handler, change...)
	transport := &http2.Transport{}
	conn, err := transport.NewClientConn(dialH2(t, d, at))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return d, conn
}

func dialH2(t *testing.T, d *door, at string) *tls.Conn {
	t.Helper()
	config := d.trust()
	config.NextProtos = []string{"h2"}
	conn, err := tls.Dial("tcp", at, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute))
	return conn
}

// viaH2 asks the door for something, as the test's partner.
func viaH2(t *testing.T, conn http.RoundTripper, method, scheme, host, path string, body io.Reader) *http.Response {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, method, "http://placeholder/", body)
	if err != nil {
		t.Fatal(err)
	}
	r.URL = &url.URL{Scheme: scheme, Host: host, Path: path}
	r.Host = host
	r.Header.Set("Proxy-Authorization", basicOf(partner, key))
	resp, err := conn.RoundTrip(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, host, err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func TestTunnelsOverH2(t *testing.T) {
	_, conn := h2Door(t, answerWhole{})
	ours, theirs := io.Pipe()
	resp := viaH2(t, conn, "CONNECT", "https", site+":80", "", ours)
	if resp.StatusCode != 200 || resp.Header.Get(headerEdge) != exit {
		t.Fatalf("CONNECT: %v", resp)
	}
	body := strings.Repeat("grass ", 100_000)
	go func() {
		io.WriteString(theirs, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"+body)
		theirs.Close() // the site answers when our half has ended
	}()
	if got, err := io.ReadAll(resp.Body); string(got) != body || err != nil {
		t.Errorf("through the tunnel: %d bytes, %v, want %d", len(got), err, len(body))
	}
}

func TestPlainRequestsOverH2(t *testing.T) {
	d, conn := h2Door(t, http.HandlerFunc(echo))
	for range 2 {
		resp := viaH2(t, conn, "POST", "http", site, "/a?b", strings.NewReader("some grass"))
		got, err := io.ReadAll(resp.Body)
		if resp.StatusCode != 200 || err != nil || !strings.HasSuffix(string(got), "some grass") {
			t.Errorf("got %d %q, %v", resp.StatusCode, got, err)
		}
		if strings.Contains(string(got), "Proxy-Authorization") || resp.Header.Get(headerEdge) != exit {
			t.Errorf("the site sees %q, the partner %v", got, resp.Header)
		}
	}
	resp := viaH2(t, conn, "GET", "http", site, "/", nil)
	if got, _ := io.ReadAll(resp.Body); strings.Contains(string(got), "Transfer-Encoding") || strings.Contains(string(got), "Content-Length") {
		t.Errorf("a request without a body has one at the site: %q", got)
	}
	if got := d.dials(); len(got) != 3 || got[0] != site+":80" {
		t.Errorf("dialled %v", got)
	}
}

// A refusal over HTTP/2 has the codes and headers of HTTP/1, and leaves the connection to the other streams.
func TestRefusalsOverH2(t *testing.T) {
	d, conn := h2Door(t, http.HandlerFunc(echo))
	for _, c := range []struct {
		name, method, scheme, host string
		change                     func(http.Header)
		want                       wire.Code
	}{
		{"no credential", "CONNECT", "https", site + ":443", func(h http.Header) { h.Del("Proxy-Authorization") }, wire.AuthRequired},
		{"wrong key", "GET", "http", site, func(h http.Header) { h.Set("Proxy-Authorization", basicOf(partner, "x")) }, wire.AuthFailed},
		{"a private address", "CONNECT", "https", "192.168.1.1:443", nil, wire.DestPrivate},
		{"a closed port", "CONNECT", "https", site + ":22", nil, wire.PortNotAllowed},
		{"no port", "CONNECT", "https", site, nil, wire.BadPort},
		{"an octal address", "GET", "http", "0177.0.0.1", nil, wire.BadHost},
		{"https without CONNECT", "GET", "https", site, nil, wire.BadRequest},
		{"too many fields", "GET", "http", site, func(h http.Header) {
			for range maxFields {
				h.Add("X-Field", "x")
			}
		}, wire.HeaderTooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), c.method, "http://placeholder/", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.URL, r.Host = &url.URL{Scheme: c.scheme, Host: site, Path: "/"}, c.host
			if c.method == "CONNECT" {
				r.URL.Path = ""
			}
			r.Header.Set("Proxy-Authorization", basicOf(partner, key))
			if c.change != nil {
				c.change(r.Header)
			}
			resp, err := conn.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if got := resp.Header.Get(headerError); got != c.want.Name() || resp.StatusCode != c.want.HTTPStatus() {
				t.Errorf("got %d %q, want %d %s", resp.StatusCode, got, c.want.HTTPStatus(), c.want.Name())
			}
			if resp.Header.Get(headerBillable) != "?0" || resp.Header.Get(headerStatus) == "" {
				t.Errorf("headers of the refusal: %v", resp.Header)
			}
		})
	}
	if got := d.dials(); len(got) > 0 {
		t.Errorf("dialled %v", got)
	}
	if resp := viaH2(t, conn, "GET", "http", site, "/", nil); resp.StatusCode != 200 {
		t.Errorf("after the refusals: %v, want 200", resp)
	}
}

// Each stream has a slot, so that a hundred of them weigh what a hundred connections do.
func TestStreamsCountAgainstTheDoorsLimit(t *testing.T) {
	_, conn := h2Door(t, http.HandlerFunc(echo), func(cfg *Config) { cfg.MaxConns = 2 })
	ours, theirs := io.Pipe()
	defer theirs.Close()
	if resp := viaH2(t, conn, "CONNECT", "https", site+":80", "", ours); resp.StatusCode != 200 {
		t.Fatalf("the first stream: %v", resp)
	}
	if resp := viaH2(t, conn, "GET", "http", site, "/", nil); resp.Header.Get(headerError) != wire.DoorFull.Name() {
		t.Errorf("the second stream: %v, want %s", resp, wire.DoorFull.Name())
	}
}

// framed is a hostile client: it writes what frames it likes.
type framed struct {
	*http2.Framer
	conn  *tls.Conn
	head  bytes.Buffer
	coder *hpack.Encoder
}

func newFramed(t *testing.T, d *door, at string) *framed {
	t.Helper()
	f := &framed{conn: dialH2(t, d, at)}
	f.Framer, f.coder = http2.NewFramer(f.conn, f.conn), hpack.NewEncoder(&f.head)
	if _, err := io.WriteString(f.conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	if err := f.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return f
}

// block is the header block of a CONNECT to the site, or of what pairs of names and values say.
func (f *framed) block(fields ...string) []byte {
	if len(fields) == 0 {
		fields = []string{":method", "CONNECT", ":authority", site + ":80", "proxy-authorization", basicOf(partner, key)}
	}
	f.head.Reset()
	for i := 0; i < len(fields); i += 2 {
		f.coder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return bytes.Clone(f.head.Bytes())
}

// ended reads until the server goes away, and returns the code of its GOAWAY; errNoGoAway when it just closed.
var errNoGoAway = errors.New("closed without GOAWAY")

func (f *framed) ended() (http2.ErrCode, error) {
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return 0, errors.Join(errNoGoAway, err)
		}
		if away, ok := frame.(*http2.GoAwayFrame); ok {
			return away.ErrCode, nil
		}
	}
}

// heap is what is in use, in bytes, once what is not has been collected.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// What floods a connection ends it, and holds little memory meanwhile.
func TestFloodsOverH2EndTheConnection(t *testing.T) {
	const most = 50 << 20 // bytes of growth
	for _, c := range []struct {
		name  string
		times int
		do    func(f *framed, i int) error
		want  []http2.ErrCode // nil: the connection may also stay
	}{
		{"C17: rapid reset", 100_000, func(f *framed, i int) error { // of requests that wait for something
			id := uint32(2*i + 1)
			if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: f.block(), EndHeaders: true}); err != nil {
				return err
			}
			return f.WriteRSTStream(id, http2.ErrCodeCancel)
		}, []http2.ErrCode{http2.ErrCodeEnhanceYourCalm, http2.ErrCodeNo}},
		{"C19: CONTINUATION without end", 100_000, func(f *framed, i int) error {
			fragment := f.block("x-field", strings.Repeat("x", 1000))
			if i == 0 {
				return f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: fragment})
			}
			return f.WriteContinuation(1, false, fragment)
		}, []http2.ErrCode{http2.ErrCodeProtocol, http2.ErrCodeEnhanceYourCalm, http2.ErrCodeCompression}},
		{"SETTINGS without end", 200_000, func(f *framed, i int) error {
			return f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(i)})
		}, nil},
		{"PING without end", 200_000, func(f *framed, i int) error {
			return f.WritePing(false, [8]byte{byte(i)})
		}, nil},
		{"empty DATA without end", 200_000, func(f *framed, i int) error {
			if i == 0 {
				return f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: f.block(), EndHeaders: true})
			}
			return f.WriteData(1, false, nil)
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, at := secureDoor(t, http.HandlerFunc(echo), func(cfg *Config) {
				cfg.Authorise = func(ctx context.Context, _, _ string, _ netip.Addr) (Account, error) {
					<-ctx.Done()
					return nil, ctx.Err()
				}
			})
			f := newFramed(t, d, at)
			before, sent := heap(), 0
			code := make(chan http2.ErrCode, 1)
			gone := make(chan error, 1)
			if c.want != nil { // the others do not even read what they are answered
				go func() {
					got, err := f.ended()
					code <- got
					gone <- err
				}()
			}
			f.conn.SetWriteDeadline(time.Now().Add(20 * time.Second))
			for ; sent < c.times; sent++ {
				if err := c.do(f, sent); err != nil {
					break
				}
			}
			if grown := heap() - before; grown > most {
				t.Errorf("after %d frames the heap has grown by %d MiB, want at most %d", sent, grown>>20, most>>20)
			}
			if c.want == nil {
				return
			}
			select {
			case err := <-gone:
				if got := <-code; err == nil && !contains(c.want, got) {
					t.Errorf("ended with %v after %d frames, want one of %v", got, sent, c.want)
				}
				t.Logf("ended after %d frames", sent)
			case <-time.After(20 * time.Second):
				t.Errorf("the connection goes on after %d frames", sent)
			}
		})
	}
}

func contains(codes []http2.ErrCode, code http2.ErrCode) bool {
	for _, c := range codes {
		if c == code {
			return true
		}
	}
	return false
}

// C20: frame types that nobody knows are passed over (RFC 9113 §4.1). An extended CONNECT, which was not offered, ends
// its stream and no more (RFC 8441 §4).
func TestUnknownFramesAndExtendedConnectOverH2(t *testing.T) {
	d, at := secureDoor(t, http.HandlerFunc(echo))
	f := newFramed(t, d, at)
	for kind := http2.FrameType(0x0a); kind <= 0x0f; kind++ {
		if err := f.WriteRawFrame(kind, 0xff, 0, bytes.Repeat([]byte{0xff}, 100)); err != nil {
			t.Fatal(err)
		}
	}
	extended := f.block(":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":path", "/", ":authority", site,
		"proxy-authorization", basicOf(partner, key))
	if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: extended, EndHeaders: true}); err != nil {
		t.Fatal(err)
	}
	if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: f.block(), EndHeaders: true}); err != nil {
		t.Fatal(err)
	}
	var reset http2.ErrCode
	for opened := false; reset == 0 || !opened; {
		frame, err := f.ReadFrame()
		if err != nil {
			t.Fatalf("the connection ended: %v", err)
		}
		switch frame := frame.(type) {
		case *http2.RSTStreamFrame:
			if frame.StreamID != 1 {
				t.Fatalf("stream %d was reset: %v", frame.StreamID, frame.ErrCode)
			}
			reset = frame.ErrCode
		case *http2.HeadersFrame:
			opened = frame.StreamID == 3
		case *http2.GoAwayFrame:
			t.Fatalf("GOAWAY: %v", frame.ErrCode)
		}
	}
	if reset != http2.ErrCodeProtocol {
		t.Errorf("the extended CONNECT was reset with %v, want PROTOCOL_ERROR", reset)
	}
	if got := d.dials(); len(got) != 1 {
		t.Errorf("dialled %v, want the plain CONNECT alone", got)
	}
}

// C09 over HTTP/2: a header list beyond the limit is refused, and nothing is dialled.
func TestLongHeadOverH2IsRefused(t *testing.T) {
	d, conn := h2Door(t, http.HandlerFunc(echo))
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+site+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Long", strings.Repeat("x", 100<<10))
	resp, err := conn.RoundTrip(r)
	if err == nil {
		resp.Body.Close()
		if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("got %d, want 431", resp.StatusCode)
		}
	}
	if got := d.dials(); len(got) > 0 {
		t.Errorf("dialled %v", got)
	}
}

// Where a stream's bytes lie is never said to be before where they do, asked or unasked the scheduler.
func TestPlaceIsBehindWhatWasWritten(t *testing.T) {
	for name, asked := range map[string]bool{"with a scheduler": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			c := &h2conn{}
			w := counter{httptest.NewRecorder(), &c.put}
			var frames dataFrames
			for range 3 {
				w.Write(make([]byte, 1000))
				if asked {
					c.let.Add(1000)
				}
				frame := append([]byte{0, 3, 232, byte(http2.FrameData), 0, 0, 0, 0, 1}, make([]byte, 1000)...)
				for _, b := range frame { // cut anywhere
					frames.pass([]byte{b})
				}
				frames.pass([]byte{0, 0, 1, byte(http2.FramePing), 0, 0, 0, 0, 0, 7})
				if got := c.place(); got < frames.total || frames.total%1000 != 0 {
					t.Errorf("place %d, with %d bytes of DATA written", got, frames.total)
				}
			}
		})
	}
}
