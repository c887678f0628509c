package testnet_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"sward/edge"
	"sward/internal/testnet"
)

// walled is a UDP socket in an office or a hotel: what it sends never arrives.
type walled struct{ net.PacketConn }

func (walled) WriteTo(p []byte, _ net.Addr) (int, error) { return len(p), nil }

// An edge whose UDP is dropped is there within three seconds of its start, by TCP,
// and serves and is paid like any other.
func TestEdgeServesWhereUDPIsBlocked(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	began := time.Now()
	testnet.Run(t, testnet.Config{Edge: func(_ int, c *edge.Config) { c.PacketConn = walled{pc} }}, func(ctx context.Context, n *testnet.Net) {
		t.Logf("the network was up after %v, the edge by TCP", time.Since(began).Round(time.Millisecond))
		client := n.Client(t, n.Partners[0])
		client.Transport.(*http.Transport).DisableKeepAlives = true
		for _, site := range []string{n.Info().Site, n.Info().SiteTLS} {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, site+"/", nil)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := client.Do(req)
			if err != nil {
				t.Fatalf("%s: %v", site, err)
			}
			page, err := io.ReadAll(answer.Body)
			answer.Body.Close()
			if err != nil || answer.StatusCode != http.StatusOK || len(page) == 0 {
				t.Errorf("%s: status %d with %d bytes, %v", site, answer.StatusCode, len(page), err)
			}
		}
		earned, err := n.Settled(ctx, time.Minute)
		if err != nil || len(earned) != 1 || earned[0].Bytes == 0 {
			t.Errorf("what was carried over TCP was settled as %+v, %v", earned, err)
		}
	})
}
