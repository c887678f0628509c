package dashboard

import (
	"math"
	"testing"
	"time"

	"sward/accounting"
	"sward/edge"
)

// aDay is an edge in the middle of an ordinary day.
func aDay(t *testing.T) edge.Status {
	now := time.Now()
	at := func(d time.Duration) time.Time { return now.Add(-d) }
	return edge.Status{
		Edge: mustID(t), Network: "main", Agent: "sward-edge/1.0.0", Serving: true, Consent: "2026-11-02, typed", Streams: 7,
		Relays: []edge.RelayStatus{
			{ID: mustID(t), Addr: "relay-fra.sward.example:4433", Region: "eu-central", Connected: true, Since: at(26 * time.Hour)},
			{ID: mustID(t), Addr: "relay-ams.sward.example:4433", Region: "eu-west", Connected: true, Since: at(3 * time.Hour)},
			{ID: mustID(t), Addr: "relay-waw.sward.example:4433", Region: "eu-east", Problem: "the relay does not answer"},
		},
		Today: edge.Used{Period: now.Format(time.DateOnly), Bytes: 3_412_000_000, Cap: 10e9},
		Month: edge.Used{Period: now.Format("2006-01"), Bytes: 121_800_000_000, Cap: 200e9},
		Sites: []edge.Use{
			{Site: "wikipedia.org", Streams: 412, Up: 18_000_000, Down: 1_204_000_000, For: map[string]int{"search-index": 412}},
			{Site: "garden-chairs.example", Streams: 96, Up: 4_000_000, Down: 901_000_000, For: map[string]int{"price-comparison": 96}},
			{Site: "debian.org", Streams: 31, Up: 2_100_000, Down: 640_000_000, For: map[string]int{"web-archive": 20, "search-index": 11}},
			{Site: "news.example", Streams: 54, Up: 1_000_000, Down: 322_000_000, For: map[string]int{"academic-research": 54}},
			{Site: "addresses", Streams: 3, Up: 20_000, Down: 1_100_000, For: map[string]int{"market-research": 3}},
			{Site: "shop.example", Streams: 2, Up: 10_000, Down: 90_000, For: map[string]int{"price-comparison": 2}},
		},
		Points: accounting.Micro(128_400_000), PointsAt: at(time.Minute), Registered: true, Unsubmitted: 2,
		Refusals: []edge.Refusal{
			{Time: at(4 * time.Minute), Rule: "dest_private", App: "proxy", Host: "IPv4"},
			{Time: at(9 * time.Minute), Rule: "category_denied", App: "proxy", Host: "name under .com"},
		},
		RefusedToday: map[string]int{"dest_private": 1, "category_denied": 6},
	}
}

// held is aDay with one reason not to share.
func held(s edge.Status, why, text string) edge.Status {
	s.Serving, s.Streams, s.Why = false, 0, why
	if text != "" {
		s.Holds = []edge.Hold{{Name: why, Text: text, Since: time.Now().Add(-5 * time.Minute)}}
	}
	return s
}

// TestEveryStateInABrowser shows each state that the owner can meet, as it looks on a desk and on a phone.
func TestEveryStateInABrowser(t *testing.T) {
	p := startPanel(t)
	day := aDay(t)
	p.set(day)
	b := openBrowser(t, p.Link())
	for i := range graphPoints {
		x := float64(i) / 9
		p.graph.add(edge.Traffic{
			Up:   p.graph.last.Up + int64(60e3*(1.3+math.Sin(x*1.7))),
			Down: p.graph.last.Down + int64(900e3*(1.4+math.Sin(x)+.5*math.Sin(x*3.1))),
		}, time.Now().Add(time.Duration(i-graphPoints)*time.Second))
	}
	paused, first, cap, bad := held(day, "paused", ""), held(day, "no_consent", ""), held(day, "cap_month", ""), day
	paused.Paused, paused.PausedUntil = true, time.Now().Add(2*time.Hour)
	first.Consent, first.Relays, first.Sites, first.Points, first.PointsAt = "", nil, nil, 0, time.Time{}
	first.Today.Bytes, first.Month.Bytes, first.RefusedToday, first.Unsubmitted = 0, 0, nil, 0
	cap.Month.Bytes = 199_800_000_000
	bad.BadSettings = "edge.yaml line 7: key \"caps.day\": \"10 apples\" is not a size such as 200GB or 1.5TiB"
	alone := held(day, "no_relay", "")
	alone.Relays = nil
	for _, s := range []struct {
		name   string
		status edge.Status
	}{
		{"sharing", day},
		{"paused", paused},
		{"first-run", first},
		{"battery", held(day, "battery", "this computer runs on its battery")},
		{"cap", cap},
		{"no-relay", alone},
		{"seal-broken", held(day, "seal", "a connection to 192.168.1.1:80 was possible")},
		{"bad-settings", bad},
	} {
		p.set(s.status)
		b.goTo(p.URL(), ".hero h1")
		b.picture("now-" + s.name)
	}
	for _, line := range b.said() {
		t.Errorf("the browser says: %s", line)
	}
}
