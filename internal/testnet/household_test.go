package testnet

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"sward/accounting"
	"sward/edge"
)

// Two devices behind one address, one cap: whichever of them is asked, together they never carry more, and in the end all
// of it is carried.
func TestHouseholdSharesOneCap(t *testing.T) {
	t.Parallel() // it waits more than it works
	const (
		limit = 48 << 20
		page  = 1 << 20
	)
	blob := make([]byte, page)
	Run(t, Config{
		Edges: 2,
		Site:  http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(blob) }),
		Edge:  func(_ int, c *edge.Config) { c.Settings.Caps = edge.Caps{Day: limit} },
	}, func(ctx context.Context, n *Net) {
		a, b := n.Edges()[0], n.Edges()[1]
		wait := func(what string, is func() bool) {
			t.Helper()
			for deadline := time.Now().Add(30 * time.Second); !is(); time.Sleep(50 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("%s: not within 30 s", what)
				}
			}
		}
		act := func(e *edge.Edge, what string, with *edge.Edge) {
			t.Helper()
			id := e.ID()
			if with != nil {
				id = with.ID()
			}
			if err := e.HouseholdAct(ctx, what, id); err != nil {
				t.Fatal(err)
			}
		}
		wait("the hub has seen both", func() bool {
			act(a, "", nil)
			act(b, "", nil)
			return len(a.Household().Near) == 1
		})
		act(a, accounting.HouseholdInvite, b)
		act(b, accounting.HouseholdAgree, nil)
		act(a, "", nil)
		act(b, "", nil)
		for _, e := range n.Edges() {
			if h := e.Household(); len(h.Members) != 2 || h.Allow == nil || h.Caps.Day != limit {
				t.Fatalf("the household is %+v", h)
			}
		}
		client := n.Client(t, n.Partners[0])
		failed := 0
		used := func() int64 { return a.Status(ctx).Today.Bytes + b.Status(ctx).Today.Bytes }
		for failed < 3 && (failed == 0 || used() < limit-page) { // failed in a row, or at the cap
			resp, err := client.Get(n.Info().SiteTLS + "/")
			ok := err == nil
			if ok {
				_, err = io.Copy(io.Discard, resp.Body)
				ok = err == nil && resp.StatusCode == http.StatusOK
				resp.Body.Close()
			}
			if ok {
				failed = 0
			} else { // at the end of an allowance, or of the cap: more is asked for within seconds
				failed++
				time.Sleep(2500 * time.Millisecond)
			}
			client.CloseIdleConnections() // so that the next is another stream
		}
		usedA, usedB := a.Status(ctx).Today.Bytes, b.Status(ctx).Today.Bytes
		t.Logf("of %d the one carried %d, the other %d", limit, usedA, usedB)
		if usedA+usedB > limit {
			t.Errorf("together they carried %d, the cap is %d", usedA+usedB, limit)
		}
		if usedA+usedB < limit*8/10 {
			t.Errorf("together they carried %d of %d and then refused", usedA+usedB, limit)
		}
	})
}
