package testnet_test

import (
	"context"
	"io"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sward/accounting"
	"sward/edge"
	"sward/internal/sandbox"
	"sward/internal/testnet"
)

// Sessions change their keys all day. Nobody who downloads meanwhile notices.
func TestSessionsRollOverWithoutAFailedRequest(t *testing.T) {
	const clients, size = 16, 50_000
	dir := t.TempDir()
	testnet.Run(t, testnet.Config{
		Site: blobSite, Edges: 2, Dir: dir,
		Edge: func(_ int, c *edge.Config) { c.SessionLife = 1500 * time.Millisecond },
	}, func(ctx context.Context, n *testnet.Net) {
		client := n.Client(t, n.Partners[0])
		client.Transport.(*http.Transport).DisableKeepAlives = true
		ctx, cancel := context.WithTimeout(ctx, 8*time.Second)
		defer cancel()
		var whole, failed atomic.Int64
		var running sync.WaitGroup
		for range clients {
			running.Go(func() {
				for ctx.Err() == nil {
					request, _ := http.NewRequest(http.MethodGet, "http://"+sandbox.SiteName+"/50000", nil) // not ctx's: the last one ends too
					answer, err := client.Do(request)
					if err != nil {
						t.Errorf("a request failed: %v", err)
						failed.Add(1)
						return
					}
					got, err := io.Copy(io.Discard, answer.Body)
					answer.Body.Close()
					if answer.StatusCode != http.StatusOK || err != nil || got != size {
						t.Errorf("got status %d (%s), %d bytes, %v; want 200 and %d", answer.StatusCode, answer.Header.Get("Sward-Error"), got, err, size)
						failed.Add(1)
						return
					}
					whole.Add(1)
				}
			})
		}
		running.Wait()
		t.Logf("%d downloads, %d failed", whole.Load(), failed.Load())
	})
	report, err := accounting.Audit(t.Context(), filepath.Join(dir, "hub", "books"))
	if err != nil {
		t.Fatal(err)
	}
	if report.Channels < 6 {
		t.Errorf("two edges had %d channels in eight seconds, want three each at least", report.Channels)
	}
}
