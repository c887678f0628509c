package testnet_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"golang.org/x/sys/unix"

	"sward/internal/sandbox"
	"sward/internal/testnet"
)

// blobSize is what one download asks for, in bytes of the body.
const blobSize = 3_000_000

// inTLS dials the door in TLS, from a socket that takes little ahead of its reader.
func inTLS(t *testing.T, n *testnet.Net, protocol string) (*net.TCPConn, *tls.Conn) {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(n.Info().ProxyTLS, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	tcp := c.(*net.TCPConn)
	tcp.SetReadBuffer(16 << 10)
	tcp.SetDeadline(time.Now().Add(time.Minute))
	pem, err := os.ReadFile(n.Info().CA)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return tcp, tls.Client(c, &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: []string{protocol}, MinVersion: tls.VersionTLS12})
}

func basicOf(p testnet.Partner) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(p.Name+":"+p.Key))
}

func blobRequest(size int) string {
	return fmt.Sprintf("GET /%d HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", size, sandbox.SiteName)
}

func TestDeliveredInsideTLS(t *testing.T) {
	t.Parallel() // it waits more than it works
	connect := func(t *testing.T, n *testnet.Net) (*net.TCPConn, *bufio.Reader) {
		tcp, c := inTLS(t, n, "http/1.1")
		target := sandbox.SiteName + ":80"
		fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %[1]s\r\nProxy-Authorization: %s\r\n\r\n", target, basicOf(n.Partners[0]))
		r := bufio.NewReaderSize(c, 16)
		if answer, err := http.ReadResponse(r, nil); err != nil || answer.StatusCode != 200 {
			t.Fatalf("CONNECT: %v, %v", answer, err)
		}
		io.WriteString(c, blobRequest(blobSize))
		c.CloseWrite()
		return tcp, r
	}
	testnet.Run(t, testnet.Config{Site: blobSite}, func(ctx context.Context, n *testnet.Net) {
		_, r := connect(t, n)
		taken, err := io.Copy(io.Discard, r)
		if whole := usage(ctx, t, n, n.Partners[0]).Down; err != nil || taken < blobSize || whole != uint64(taken) {
			t.Fatalf("a whole download: %d bytes arrived (%v), %d were charged", taken, err, whole)
		}
		// A client that goes in the middle, once its socket is full.
		before := usage(ctx, t, n, n.Partners[0]).Down
		tcp, r := connect(t, n)
		if taken, err = io.CopyN(io.Discard, r, 256<<10); err != nil {
			t.Fatal(err)
		}
		received := stalled(t, tcp)
		tcp.SetLinger(0)
		tcp.Close()
		charged := usage(ctx, t, n, n.Partners[0]).Down - before
		t.Logf("%d bytes read, %d charged, %d received with their TLS", taken, charged, received)
		if charged > received || charged+(64<<10) < uint64(taken) {
			t.Errorf("%d bytes were charged to a client that received %d with their TLS and read %d", charged, received, taken)
		}
	})
}

// h2Client is a client of HTTP/2 that counts what it takes off its socket, and grants no more than it says.
type h2Client struct {
	*http2.Framer
	tcp   *net.TCPConn
	head  bytes.Buffer
	coder *hpack.Encoder
	taken map[uint32]uint64
	ended map[uint32]bool
	codes map[uint32]http2.ErrCode
}

func newH2Client(t *testing.T, n *testnet.Net, window uint32) *h2Client {
	t.Helper()
	tcp, c := inTLS(t, n, "h2")
	h := &h2Client{
		Framer: http2.NewFramer(c, c), tcp: tcp,
		taken: map[uint32]uint64{}, ended: map[uint32]bool{}, codes: map[uint32]http2.ErrCode{},
	}
	h.coder = hpack.NewEncoder(&h.head)
	io.WriteString(c, http2.ClientPreface)
	h.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: window})
	if err := h.WriteWindowUpdate(0, 1<<30); err != nil { // the connection's window never stops anything
		t.Fatal(err)
	}
	return h
}

// get opens a tunnel on a stream and asks the site for size bytes through it.
func (h *h2Client) get(t *testing.T, stream uint32, p testnet.Partner, size int) {
	t.Helper()
	h.head.Reset()
	for _, f := range [][2]string{{":method", "CONNECT"}, {":authority", sandbox.SiteName + ":80"}, {"proxy-authorization", basicOf(p)}} {
		h.coder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	h.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: h.head.Bytes(), EndHeaders: true})
	if err := h.WriteData(stream, false, []byte(blobRequest(size))); err != nil {
		t.Fatal(err)
	}
}

// next takes one frame.
func (h *h2Client) next() error {
	frame, err := h.ReadFrame()
	if err != nil {
		return err
	}
	id := frame.Header().StreamID
	switch frame := frame.(type) {
	case *http2.SettingsFrame:
		if !frame.IsAck() {
			return h.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if !frame.IsAck() {
			return h.WritePing(true, frame.Data)
		}
	case *http2.DataFrame:
		h.taken[id] += uint64(len(frame.Data()))
		h.ended[id] = h.ended[id] || frame.StreamEnded()
	case *http2.RSTStreamFrame:
		h.codes[id] = frame.ErrCode
	}
	return nil
}

func TestDeliveredOverH2(t *testing.T) {
	t.Parallel() // it waits more than it works
	testnet.Run(t, testnet.Config{Site: blobSite, Partners: 3}, func(ctx context.Context, n *testnet.Net) {
		// One stream is given no window beyond its first bytes and stays; those beside it are charged as they end.
		const window = 1 << 20
		h := newH2Client(t, n, window)
		h.get(t, 1, n.Partners[1], 50_000_000)
		for h.taken[1] < window {
			if err := h.next(); err != nil {
				t.Fatal(err)
			}
		}
		for stream := uint32(3); stream <= 7; stream += 2 {
			h.get(t, stream, n.Partners[0], blobSize)
			h.WriteWindowUpdate(stream, blobSize)
		}
		for !h.ended[3] || !h.ended[5] || !h.ended[7] {
			if err := h.next(); err != nil {
				t.Fatal(err)
			}
		}
		taken := h.taken[3] + h.taken[5] + h.taken[7]
		if taken < 3*blobSize {
			t.Errorf("%d bytes arrived of three downloads of %d", taken, blobSize)
		}
		waitUntil(t, "whole downloads are charged as they are", func() bool {
			u, err := n.Hub().Book.Usage(ctx, n.Partners[0].Name)
			return err == nil && u.Down == taken
		})

		// The client of the stalled stream goes: it has been charged for what it took off its socket and no more.
		h.tcp.SetLinger(0)
		h.tcp.Close()
		if u := usage(ctx, t, n, n.Partners[1]); u.Down > h.taken[1] || u.Down+(64<<10) < h.taken[1] {
			t.Errorf("%d bytes were charged to a client that received %d", u.Down, h.taken[1])
		}

		// A client that takes nothing from its socket at all and goes.
		h = newH2Client(t, n, 1<<30)
		h.get(t, 1, n.Partners[2], 50_000_000)
		for h.taken[1] < 256<<10 {
			if err := h.next(); err != nil {
				t.Fatal(err)
			}
		}
		received := stalled(t, h.tcp)
		h.tcp.SetLinger(0)
		h.tcp.Close()
		u := usage(ctx, t, n, n.Partners[2])
		t.Logf("%d bytes read, %d charged, %d received with their frames and TLS", h.taken[1], u.Down, received)
		if u.Down > received || u.Down+(64<<10) < h.taken[1] {
			t.Errorf("%d bytes were charged to a client that received %d with their frames and read %d", u.Down, received, h.taken[1])
		}
	})
}

// C11, B15: a stream that its client resets is over for the edge as well, and the others are not.
func TestStreamThatItsClientResetsIsCharged(t *testing.T) {
	t.Parallel() // it waits more than it works
	testnet.Run(t, testnet.Config{Site: blobSite, Partners: 2}, func(ctx context.Context, n *testnet.Net) {
		h := newH2Client(t, n, 1<<20)
		h.get(t, 1, n.Partners[1], 50_000_000)
		for h.taken[1] < 1<<20 {
			if err := h.next(); err != nil {
				t.Fatal(err)
			}
		}
		h.WriteRSTStream(1, http2.ErrCodeCancel)
		h.get(t, 3, n.Partners[0], 500_000)
		for !h.ended[3] {
			if err := h.next(); err != nil {
				t.Fatal(err)
			}
		}
		if u := usage(ctx, t, n, n.Partners[1]); u.Down > h.taken[1] || u.Down+(64<<10) < h.taken[1] {
			t.Errorf("%d bytes were charged for a stream of which %d arrived", u.Down, h.taken[1])
		}
		if u := usage(ctx, t, n, n.Partners[0]); u.Down != h.taken[3] {
			t.Errorf("%d bytes were charged for a stream of which %d arrived", u.Down, h.taken[3])
		}
	})
}

// stalled waits until c, which nobody reads, takes nothing more, and returns what it has received in all, in bytes.
func stalled(t *testing.T, c *net.TCPConn) uint64 {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	received := func() (n uint64) {
		raw.Control(func(fd uintptr) {
			if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
				n = info.Bytes_received
			}
		})
		return n
	}
	for last, same := uint64(0), 0; ; time.Sleep(50 * time.Millisecond) {
		now := received()
		if now != last {
			last, same = now, 0
		} else if same++; same == 10 {
			return now
		}
	}
}
