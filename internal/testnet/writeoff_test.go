package testnet_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"sward/internal/sandbox"
	"sward/internal/testnet"
)

const siteHead = "CONNECT " + sandbox.SiteName + ":80 HTTP/1.1\r\nHost: " + sandbox.SiteName

// stall asks for much as p, takes next to nothing, and hangs up. It tells whether p was let in.
func stall(t *testing.T, n *testnet.Net, p testnet.Partner) bool {
	t.Helper()
	if status, _ := ask(t, n, p, siteHead); status != http.StatusOK {
		return false
	}
	c, r := tunnelTo(t, n, p)
	request(t, c, r, 50_000_000, 1)
	time.Sleep(100 * time.Millisecond) // the window fills
	c.SetLinger(0)
	c.Close()
	return true
}

// B15: an account that asks for much and takes nothing is kept from the edge before the edge has written off so much
// that it ends its channel, and with it the streams of the others.
func TestAccountThatTakesNothingEndsNobodysChannel(t *testing.T) {
	const most = 60 // twenty ended the channel while nothing was done about them
	testnet.Run(t, testnet.Config{Site: blobSite, Partners: 2}, func(ctx context.Context, n *testnet.Net) {
		stalled := 0
		for range most {
			if stall(t, n, n.Partners[0]) {
				stalled++
			}
			if status, head := ask(t, n, n.Partners[1], siteHead); status != http.StatusOK {
				t.Fatalf("after %d downloads of another account had stalled: %d %s", stalled, status, head)
			}
		}
		t.Logf("%d downloads of %d stalled", stalled, most)
		if stalled == most {
			t.Errorf("an account may stall downloads for ever")
		}
	})
}

// Several accounts together still end a channel, since a peer may write off only so much. The edge must come back with
// another: one that stays on the ended channel refuses everybody until its session's time is over.
func TestEdgeComesBackAfterTooMuchWasWrittenOff(t *testing.T) {
	const most, accounts = 200, 10 // stalled downloads, and those who share them; twenty do
	testnet.Run(t, testnet.Config{Site: blobSite, Partners: accounts + 1}, func(ctx context.Context, n *testnet.Net) {
		serves := func() bool {
			status, _ := ask(t, n, n.Partners[accounts], siteHead)
			return status == http.StatusOK
		}
		stalled := 0
		for n0 := 0; n0 < most && serves(); n0++ {
			if stall(t, n, n.Partners[n0%accounts]) {
				stalled++
			}
		}
		t.Logf("%d downloads stalled", stalled)
		waitUntil(t, "the edge serves again", serves)
	})
}

// B15: a partner asks for two gibibytes and hangs up at once. The edge lets go of the site, and what the site has sent by
// then is what the window and the sockets on the way hold.
func TestEdgeStopsReadingForAPartnerThatHungUp(t *testing.T) {
	const size, most = 2 << 30, 32 << 20
	var sent atomic.Int64
	done := make(chan struct{})
	site := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		defer close(done)
		chunk := make([]byte, 64<<10)
		for sent.Load() < size {
			n, err := w.Write(chunk)
			if sent.Add(int64(n)); err != nil {
				return
			}
		}
	})
	testnet.Run(t, testnet.Config{Site: site}, func(ctx context.Context, n *testnet.Net) {
		c, r := tunnelTo(t, n, n.Partners[0])
		request(t, c, r, size, 1)
		c.SetLinger(0)
		c.Close()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			t.Fatal("the site still sends")
		}
		u := usage(ctx, t, n, n.Partners[0])
		t.Logf("the site sent %d bytes, %d were charged", sent.Load(), u.Down)
		if sent.Load() > most || u.Down > most {
			t.Errorf("the site sent %d bytes and %d were charged, want at most %d", sent.Load(), u.Down, most)
		}
	})
}
