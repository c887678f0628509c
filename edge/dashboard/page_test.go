package dashboard

import (
	"io"
	"net/http"
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

// read gets a page as the owner's browser does.
func (p *panel) read(t *testing.T, path string) string {
	t.Helper()
	resp := p.do(t, http.MethodGet, path, "", p.cookie)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %d", path, resp.StatusCode)
	}
	return body(t, resp)
}

func body(t *testing.T, resp *http.Response) string {
	t.Helper()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestPageShowsEverythingAndEscapesIt(t *testing.T) {
	p := startPanel(t)
	p.doll.status = edge.Status{
		Edge: mustID(t), Network: "main", Why: "paused", Paused: true, PausedUntil: time.Now().Add(48 * time.Hour), Consent: "2026-11-21, typed",
		Relays: []edge.RelayStatus{
			{ID: mustID(t), Addr: "relay.example:4433", Region: "eu<b>", Connected: true, Since: noon},
			{ID: mustID(t), Addr: "other.example:4433", Problem: "the relay does not answer"},
		},
		Streams: 3, Today: edge.Used{Period: "2026-11-21", Bytes: 1_500_000_000, Cap: 10e9, Proof: "cap 10 GB, used 1.50 GB"}, Month: edge.Used{Bytes: 5, Proof: "no cap, used 5 B"},
		Sites:  []edge.Use{{Site: "<script>alert(1)</script>", Streams: 2, Up: 1000, Down: 2000, For: map[string]int{"search-index": 2}}},
		Points: 12_509_000, PointsAt: noon, Registered: true, Unsubmitted: 4, BadSettings: "caps.day: <i>",
		RefusedToday: map[string]int{"dest_private": 1, "cap_day": 2},
	}
	page := p.read(t, "/")
	for _, want := range []string{
		"Paused by you", "Resume", "1.50 GB", "cap 10 GB, used 1.50 GB", `value="15"`, "5 B", "no cap", "caps.day: &lt;i&gt;",
		"12.50", "4 receipts", "&lt;script&gt;", "3.0 kB", "search index", "agreed 2026-11-21", "</html>", "<b>3</b>", "1 <small>of 2</small>",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not show %q", want)
		}
	}
	for _, bad := range []string{"<script>", "<i>", "style=", "http://", "https://", "//cdn", "onclick", "12.509"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page contains %q", bad)
		}
	}
}

func TestEveryReasonHasAWordAndNoneLooksLikeSharing(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		status edge.Status
		tone   string
		want   string
	}{
		"sharing":     {edge.Status{Serving: true, Streams: 1}, "good", "1 connection through your line"},
		"idle":        {edge.Status{Serving: true}, "good", "Nobody needs your line"},
		"first run":   {edge.Status{Why: "no_consent"}, "wait", "before you have read"},
		"paused":      {edge.Status{Why: "paused", Paused: true, PausedUntil: now.Add(time.Hour)}, "rest", "until " + now.Add(time.Hour).Format("15:04")},
		"endless":     {edge.Status{Why: "paused", Paused: true}, "rest", "until you resume"},
		"off hours":   {edge.Status{Why: "out_of_hours"}, "rest", "hours you set"},
		"day's cap":   {edge.Status{Why: "cap_day", Today: edge.Used{Proof: "cap 10 GB, used 9.99 GB"}}, "rest", "Cap 10 GB, used 9.99 GB."},
		"month's cap": {edge.Status{Why: "cap_month", Month: edge.Used{Proof: "cap 200 GB, used 199.80 GB", Ends: noon}}, "rest", "used 199.80 GB. Sharing goes on at "},
		"no relay":    {edge.Status{Why: "no_relay"}, "wait", "list of relays has not come"},
		"starting":    {edge.Status{Why: "starting"}, "wait", "few seconds"},
		"battery":     {edge.Status{Why: "battery", Holds: []edge.Hold{{Name: "battery", Text: "the machine runs on its battery"}}}, "rest", "The machine runs on its battery."},
		"seal":        {edge.Status{Why: "seal", Holds: []edge.Hold{{Name: "seal", Text: "192.168.1.1:80 was reached"}}}, "bad", "192.168.1.1:80 was reached. Nothing is shared"},
		"a new hold":  {edge.Status{Why: "flood", Holds: []edge.Hold{{Name: "flood", Text: "the cellar is wet"}}}, "wait", "The cellar is wet."},
		"suspended":   {edge.Status{Serving: true, Suspended: "tampering"}, "bad", "Tampering."},
		"a new code":  {edge.Status{Why: "code_999"}, "wait", "Code_999."},
	} {
		got := stateOf(c.status, now)
		if got.Tone != c.tone || !strings.Contains(got.Text, c.want) || got.Title == "" || got.Short == "" || icons[got.Icon] == "" {
			t.Errorf("%s: got %+v, want tone %s and %q", name, got, c.tone, c.want)
		}
	}
}

func TestEventsCarryOnlyWhatChanged(t *testing.T) {
	p := startPanel(t)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.Addr+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]uint64{}
	page := pageNamed("now")
	first, err := p.changed(r, page, seen)
	if err != nil || !strings.Contains(string(first), `"now-state"`) || !strings.Contains(string(first), `"shell-state"`) {
		t.Fatalf("the first event is %s, %v", first, err)
	}
	if again, err := p.changed(r, page, seen); err != nil || again != nil {
		t.Errorf("nothing changed and the event is %s, %v", again, err)
	}
	if err := p.doll.Resume(); err != nil {
		t.Fatal(err)
	}
	next, err := p.changed(r, page, seen)
	if err != nil || !strings.Contains(string(next), "Ready to share") || strings.Contains(string(next), `"now-caps"`) {
		t.Errorf("after resuming the event is %s, %v", next, err)
	}
}
