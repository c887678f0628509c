package dashboard

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sward/edge"
	"sward/internal/identity"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func mustID(t *testing.T) identity.ID {
	t.Helper()
	k, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return k.ID()
}

func TestPageShowsEverythingAndEscapesIt(t *testing.T) {
	s := edge.Status{
		Edge: mustID(t), Network: "main", Why: "paused", Paused: true, PausedUntil: noon, Consent: "2026-11-21, typed",
		Relays: []edge.RelayStatus{
			{ID: mustID(t), Addr: "relay.example:4433", Region: "eu<b>", Connected: true, Since: noon},
			{ID: mustID(t), Addr: "other.example:4433", Problem: "the relay does not answer"},
		},
		Streams: 3, Today: edge.Used{Period: "2026-11-21", Bytes: 1_500_000_000, Cap: 10e9}, Month: edge.Used{Bytes: 5, Cap: 0},
		Sites:  []edge.Use{{Site: "<script>alert(1)</script>", Streams: 2, Up: 1000, Down: 2000, For: map[string]int{"search-index": 2}}},
		Points: 12_500_000, PointsAt: noon, Registered: true, Suspended: "tampering", Unsubmitted: 4,
		Refusals:     []edge.Refusal{{Time: noon, Rule: "dest_private", App: "proxy", Host: "name under .com"}},
		RefusedToday: map[string]int{"dest_private": 1},
	}
	w := httptest.NewRecorder()
	renderPage(w, s)
	page := w.Body.String()
	for _, want := range []string{
		"not sharing", "the edge&#39;s owner has paused it", "Resume", "1.50 GB", "of 10.00 GB", `value="15"`, "5 B", "no monthly cap",
		"12.500000", "4 receipts", "suspended: tampering", "relay.example:4433", "eu&lt;b&gt;", "does not answer", "3 connections are running",
		"&lt;script&gt;", "3.0 kB", "search-index", "dest_private", "name under .com", "the address is private", "agreed 2026-11-21", "</html>",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not show %q", want)
		}
	}
	for _, bad := range []string{"<script", "style=", "http://", "//cdn", "onclick"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page contains %q", bad)
		}
	}
	w = httptest.NewRecorder()
	renderPage(w, edge.Status{Serving: true})
	if page := w.Body.String(); !strings.Contains(page, "sharing") || !strings.Contains(page, "Pause") || !strings.Contains(page, "nothing yet") {
		t.Errorf("the page of a fresh edge:\n%s", page)
	}
}
