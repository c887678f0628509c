package testnet

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"sward/internal/sandbox"
)

// leaves asks for the site as a partner whose user name has what, and tells which edge it left from, and what is said of
// its line.
func leaves(ctx context.Context, t *testing.T, n *Net, what string) (status int, edge, exit string) {
	t.Helper()
	p := n.Partners[0]
	p.Name += what
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+sandbox.SiteName+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	client := n.Client(t, p)
	defer client.CloseIdleConnections()
	resp, err := client.Do(q)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return resp.StatusCode, resp.Header.Get("Sward-Edge"), resp.Header.Get("Sward-Exit")
}

// A partner chooses where its request leaves from, and is told where it did.
func TestRequestLeavesFromWhereItAsks(t *testing.T) {
	Run(t, Config{Edges: 3}, func(ctx context.Context, n *Net) {
		edges := n.Info().Edges
		for _, c := range []struct {
			what   string
			status int
			edge   string // "" for any
			exit   string
		}{
			{"-country-de", 200, edges[0].ID, "country=de"},
			{"-country-fr-city-paris", 200, edges[1].ID, "country=fr"},
			{"-country-us-region-ca", 200, edges[2].ID, "country=us"},
			{"-asn-7922", 200, edges[2].ID, "asn=7922"},
			{"-country-eu", 200, "", "class=residential"},
			{"", 200, "", "country="},
			{"-country-jp", 503, "", ""},
			{"-country-de-city-paris", 503, "", ""},
		} {
			status, edge, exit := leaves(ctx, t, n, c.what)
			if status != c.status || c.edge != "" && edge != c.edge || !strings.Contains(exit, c.exit) {
				t.Errorf("%q: got %d from %s (%s), want %d from %s (%s)", c.what, status, edge, exit, c.status, c.edge, c.exit)
			}
		}
	})
}

// A session leaves from one edge, over a restart of everything too.
func TestSessionLeavesFromOneEdgeOverARestart(t *testing.T) {
	t.Parallel() // it waits more than it works
	dir := t.TempDir()
	const sessions = 6
	first := map[int]string{}
	Run(t, Config{Edges: 8, Dir: dir}, func(ctx context.Context, n *Net) {
		taken := map[string]bool{}
		for s := range sessions {
			_, first[s], _ = leaves(ctx, t, n, fmt.Sprintf("-session-s%d-ttl-30m", s))
			taken[first[s]] = true
		}
		for s := range sessions {
			if _, again, _ := leaves(ctx, t, n, fmt.Sprintf("-session-s%d-ttl-30m", s)); again != first[s] {
				t.Errorf("session %d: got %s, then %s", s, first[s], again)
			}
		}
		if len(taken) != sessions {
			t.Errorf("%d sessions left from %d edges of 8, want one each", sessions, len(taken))
		}
	})
	Run(t, Config{Edges: 8, Dir: dir}, func(ctx context.Context, n *Net) {
		for s := range sessions {
			if _, again, _ := leaves(ctx, t, n, fmt.Sprintf("-session-s%d-ttl-30m", s)); again != first[s] {
				t.Errorf("session %d: got %s before the restart and %s after", s, first[s], again)
			}
		}
	})
}
