package testnet_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/apernet/quic-go"
	"github.com/apernet/quic-go/http3"

	"sward/internal/sandbox"
	"sward/internal/testnet"
)

// h3Window bounds, in bytes, what the test's client of HTTP/3 takes ahead of its reader.
const h3Window = 256 << 10

// overH3 opens a tunnel to the site over HTTP/3 and asks for size bytes.
func overH3(t *testing.T, n *testnet.Net, p testnet.Partner, size int) *http3.RequestStream {
	t.Helper()
	pem, err := os.ReadFile(n.Info().CA)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { udp.Close() })
	door, err := net.ResolveUDPAddr("udp", n.Info().ProxyH3)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, err := quic.Dial(ctx, udp, door,
		&tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: []string{http3.NextProtoH3}, MinVersion: tls.VersionTLS13},
		&quic.Config{InitialStreamReceiveWindow: h3Window, MaxStreamReceiveWindow: h3Window})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.CloseWithError(0, "") })
	s, err := (&http3.Transport{}).NewClientConn(conn).OpenRequestStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s.SetDeadline(time.Now().Add(time.Minute))
	target := sandbox.SiteName + ":80"
	r := &http.Request{Method: "CONNECT", Host: target, URL: &url.URL{Host: target}, Header: http.Header{"Proxy-Authorization": {basicOf(p)}}}
	if err := s.SendRequestHeader(r.WithContext(t.Context())); err != nil {
		t.Fatal(err)
	}
	if resp, err := s.ReadResponse(); err != nil || resp.StatusCode != 200 {
		t.Fatalf("CONNECT: %v, %v", resp, err)
	}
	if _, err := io.WriteString(s, blobRequest(size)); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDeliveredOverH3(t *testing.T) {
	t.Parallel() // it waits more than it works
	testnet.Run(t, testnet.Config{Site: blobSite, Partners: 2}, func(ctx context.Context, n *testnet.Net) {
		s := overH3(t, n, n.Partners[0], blobSize)
		s.Close()
		taken, err := io.Copy(io.Discard, s)
		if u := usage(ctx, t, n, n.Partners[0]); err != nil || taken < blobSize || u.Down != uint64(taken) {
			t.Errorf("a whole download: %d bytes arrived (%v), %d were charged", taken, err, u.Down)
		}
		// B15: a client that reads a part and then resets.
		s = overH3(t, n, n.Partners[1], 50_000_000)
		if taken, err = io.CopyN(io.Discard, s, 1<<20); err != nil {
			t.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond) // its window fills
		s.CancelRead(quic.StreamErrorCode(http3.ErrCodeRequestCanceled))
		s.CancelWrite(quic.StreamErrorCode(http3.ErrCodeRequestCanceled))
		u := usage(ctx, t, n, n.Partners[1])
		t.Logf("%d bytes read, %d charged", taken, u.Down)
		if u.Down > uint64(taken)+h3Window || u.Down+(64<<10) < uint64(taken) {
			t.Errorf("%d bytes were charged to a client that read %d and holds at most %d more", u.Down, taken, h3Window)
		}
	})
}
