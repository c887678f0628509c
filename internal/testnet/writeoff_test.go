package testnet_test

import (
	"context"
	"testing"
	"time"

	"sward/internal/sandbox"
	"sward/internal/testnet"
)

// A partner that asks for much and takes nothing ends a channel, since a peer may write off only so much. The edge must
// come back with another: one that stays on the ended channel refuses everybody until its session's time is over.
func TestEdgeComesBackAfterTooMuchWasWrittenOff(t *testing.T) {
	const most = 200 // stalled downloads; twenty do
	testnet.Run(t, testnet.Config{Site: blobSite, Partners: 2}, func(ctx context.Context, n *testnet.Net) {
		head := "CONNECT " + sandbox.SiteName + ":80 HTTP/1.1\r\nHost: " + sandbox.SiteName
		serves := func() bool {
			status, _ := ask(t, n, n.Partners[1], head)
			return status == 200
		}
		stalled := 0
		for ; stalled < most && serves(); stalled++ {
			c, r := tunnelTo(t, n, n.Partners[0])
			request(t, c, r, 50_000_000, 1)
			time.Sleep(100 * time.Millisecond) // the window fills
			c.SetLinger(0)
			c.Close()
		}
		t.Logf("%d downloads stalled", stalled)
		waitUntil(t, "the edge serves again", serves)
	})
}
