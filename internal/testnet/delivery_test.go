package testnet_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"sward/internal/sandbox"
	"sward/internal/testnet"
)

// tunnelTo opens a CONNECT tunnel to the site as p, from a socket that takes little ahead of its reader.
func tunnelTo(t *testing.T, n *testnet.Net, p testnet.Partner) (*net.TCPConn, *bufio.Reader) {
	t.Helper()
	return tunnelThrough(t, n.Info().Socks, p)
}

// tunnelThrough is the same at another door.
func tunnelThrough(t *testing.T, door string, p testnet.Partner) (*net.TCPConn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", door)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	tcp := c.(*net.TCPConn)
	tcp.SetReadBuffer(16 << 10)
	tcp.SetDeadline(time.Now().Add(time.Minute))
	target := sandbox.SiteName + ":80"
	fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %[1]s\r\nProxy-Authorization: Basic %s\r\n\r\n", target,
		base64.StdEncoding.EncodeToString([]byte(p.Name+":"+p.Key)))
	r := bufio.NewReaderSize(c, 16)
	answer, err := http.ReadResponse(r, nil)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("CONNECT: %v, %v", answer, err)
	}
	return tcp, r
}

// request asks the site for size bytes and reads the first of them.
func request(t *testing.T, c net.Conn, r *bufio.Reader, size, first int) (taken int64) {
	t.Helper()
	fmt.Fprintf(c, "GET /%d HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", size, sandbox.SiteName)
	n, err := io.CopyN(io.Discard, r, int64(first))
	if err != nil {
		t.Fatalf("read %d of %d bytes: %v", n, first, err)
	}
	return n
}

// A partner that goes while bytes wait for it has not got them, wherever they wait: not in the relay's socket either.
func TestBytesInTheSocketOfAPartnerThatWentAreNotCharged(t *testing.T) {
	t.Parallel() // it waits more than it works
	// The partner's own buffer, which counts as taken, or the last segment, of 64 KiB on loopback, that a reset overtook.
	const slack = 128 << 10
	testnet.Run(t, testnet.Config{Site: blobSite}, func(ctx context.Context, n *testnet.Net) {
		var taken uint64
		for range 4 {
			c, r := tunnelTo(t, n, n.Partners[0])
			taken += uint64(request(t, c, r, 50_000_000, 256<<10))
			c.Close() // with unread bytes: a reset
			usage(ctx, t, n, n.Partners[0])
		}
		u := usage(ctx, t, n, n.Partners[0])
		if u.Down+4*slack < taken || u.Down > taken+4*slack {
			t.Errorf("%d bytes were charged to a partner that took %d", u.Down, taken)
		}
	})
}

// What a partner was not charged for must not reach it later: the target is done, the edge is done, and the bytes are
// in the relay's socket.
func TestPartnerGetsNothingForTakingItsTime(t *testing.T) {
	t.Parallel() // it waits more than it works
	const size = 450_000
	testnet.Run(t, testnet.Config{Site: blobSite}, func(ctx context.Context, n *testnet.Net) {
		c, r := tunnelTo(t, n, n.Partners[0])
		taken := uint64(request(t, c, r, size, 1000))
		c.CloseWrite()
		u := usage(ctx, t, n, n.Partners[0]) // waits until the stream's account is closed
		rest, err := io.Copy(io.Discard, r)
		taken += uint64(rest)
		t.Logf("%d bytes taken (%v), %d charged", taken, err, u.Down)
		if taken > u.Down {
			t.Errorf("%d bytes arrived, %d were charged", taken, u.Down)
		}
	})
}

// A slow partner is none that has gone: it gets everything, and pays for it.
func TestSlowPartnerGetsAndPaysEverything(t *testing.T) {
	t.Parallel() // it waits more than it works
	const size, piece = 450_000, 50_000
	testnet.Run(t, testnet.Config{Site: blobSite}, func(ctx context.Context, n *testnet.Net) {
		c, r := tunnelTo(t, n, n.Partners[0])
		taken := request(t, c, r, size, 1000)
		c.CloseWrite()
		for tick := time.NewTicker(500 * time.Millisecond); ; <-tick.C {
			got, err := io.CopyN(io.Discard, r, piece)
			if taken += got; err != nil {
				tick.Stop()
				break
			}
		}
		u := usage(ctx, t, n, n.Partners[0])
		t.Logf("%d bytes taken, %d charged", taken, u.Down)
		if taken < size || u.Down != uint64(taken) {
			t.Errorf("%d bytes arrived of more than %d, %d were charged", taken, size, u.Down)
		}
	})
}
