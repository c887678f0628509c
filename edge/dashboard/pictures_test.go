package dashboard

import (
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"sward/accounting"
	"sward/edge"
	"sward/edge/diary"
	"sward/edge/seal"
	"sward/internal/identity"
	"sward/policy"
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
		Today: edge.Used{Period: now.Format(time.DateOnly), Bytes: 3_412_000_000, Cap: 10e9, Proof: "cap 10 GB, used 3.41 GB", Ends: now.Add(9 * time.Hour)},
		Month: edge.Used{Period: now.Format("2006-01"), Bytes: 121_800_000_000, Cap: 200e9, Proof: "cap 200 GB, used 121.80 GB", Ends: now.AddDate(0, 0, 8)},
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
		Seal:         seal.Report{At: at(12 * time.Minute), Attacks: 214, Untried: []string{"a printer", "a second router"}},
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

// fill gives the doll what an edge has after some weeks.
func (e *doll) fill(t *testing.T) accounting.ChannelID {
	t.Helper()
	var err error
	if e.book, err = diary.Open(filepath.Join(t.TempDir(), "diary"), 30, time.Now); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.book.Close() })
	for _, l := range []struct {
		host     string
		app      policy.App
		purpose  policy.Purpose
		up, down int64
	}{
		{"en.wikipedia.org", policy.AppCrawl, "search-index", 18e6, 1204e6}, {"garden-chairs.example", policy.AppProxy, "price-comparison", 4e6, 901e6},
		{"www.debian.org", policy.AppCrawl, "web-archive", 2e6, 640e6}, {"news.example", policy.AppProxy, "academic-research", 1e6, 322e6},
		{"93.184.216.34", policy.AppProxy, "market-research", 20e3, 11e5}, {"a-very-long-name-of-a-shop-that-nobody-types.example", policy.AppProxy, "brand-protection", 1e4, 9e4},
	} {
		host, err := policy.ParseHost(l.host)
		if err != nil {
			t.Fatal(err)
		}
		e.book.Add(host, l.app, l.purpose, l.up, l.down)
	}
	e.settings.Policy.Deny = []string{"news.example"}

	var channel accounting.ChannelID
	copy(channel[:], "a channel of a test")
	relay, now := mustID(t), time.Now().UTC()
	e.earned = edge.Earnings{
		At: now, Points: 128_400_000, Held: 31_250_000, HoldDays: 7, Price: accounting.DefaultPrice(),
		Waiting: edge.Waiting{Receipts: 2, Bytes: 41e6, Points: 26_700},
	}
	for i := range 24 {
		points := accounting.Micro(4_000_000 + 3_500_000*math.Sin(float64(i)*.9))
		e.earned.Days = append(e.earned.Days, edge.EarnedDay{
			Day: now.AddDate(0, 0, -i).Format(time.DateOnly), Up: 3e7, Down: uint64(points) * 1500, Points: points, Held: i < 7,
			Receipts: []edge.EarnedReceipt{{Channel: channel, Serial: 412, Relay: relay, At: now, Down: uint64(points) * 1500, Points: points, PerGiB: e.earned.Price.Edge, State: edge.EarnedSettled, Here: i == 0}},
		})
	}
	e.earned.Days[0].Receipts = append(e.earned.Days[0].Receipts, edge.EarnedReceipt{Channel: channel, Serial: 413, Relay: relay, At: now, Down: 41e6, Points: 26_700, State: edge.EarnedWaiting})
	e.receipts = map[accounting.ChannelID]edge.Receipt{channel: {
		Network: "main", Channel: channel, Serial: 412, State: edge.EarnedSettled, Hub: mustID(t), Relay: relay, Edge: e.status.Edge,
		Opened: now.Add(-time.Hour), Signed: now, Up: 3e7, Down: 6e9, Streams: 412, Verified: true,
		Signatures: []edge.Signature{{Of: "channel", By: "edge", Key: relay, Good: true}, {Of: "receipt", By: "relay's channel key", Key: relay, Good: true}},
	}}
	e.chances.Today = edge.Chance{
		Day: now.Format(time.DateOnly), Seen: 48210, Elsewhere: 30110, Eligible: 9120, Offered: 8702, Won: 598, Fair: 571,
		Why: []edge.Reason{
			{Name: "elsewhere", Count: 30110, Exact: true, Text: "asked for another country than yours"},
			{Name: "turn", Count: 8104, Text: "went to another line whose turn it was"},
			{Name: "blocked", Count: 212, Text: "were for sites that your own rules refuse"},
			{Name: "full", Count: 206, Text: "came when all of your connections were in use"},
		},
	}
	for _, r := range e.status.Relays {
		e.chances.Relays = append(e.chances.Relays, edge.Standing{Relay: r.ID, At: now, Lines: 812, Weight: .93, Failing: .02, Prefix: 1, RoomLeft: 1})
	}
	e.line = edge.Line{
		Reputation: edge.ReputationGood, Challenged: .012, Pages: 4120,
		Today: edge.LineDay{Opened: 598, FailedRate: .021, Reach50: 42, Reach90: 131, Pages: 512, Challenges: map[string]int{"captcha": 4, "forbidden": 2}, Failed: map[string]int{"dial_timeout": 12}},
	}
	for _, r := range e.status.Relays[:min(2, len(e.status.Relays))] {
		e.line.Relays = append(e.line.Relays, edge.RelayLine{Relay: r.ID, Carrier: "quic", RTT: 23, MinRTT: 19, Sent: 120_000, Lost: 36, Loss: .0003})
	}
	e.home = accounting.HouseholdAnswer{Near: []identity.ID{mustID(t)}, Members: []accounting.HouseholdMember{}}
	return channel
}

// TestEveryStateInABrowser shows each state that the owner can meet, as it looks on a desk and on a phone.
func TestEveryStateInABrowser(t *testing.T) {
	p := startPanel(t)
	day := aDay(t)
	p.set(day)
	b := openBrowser(t, p.Link())
	at := edge.Traffic{}
	for i := range graphPoints {
		x := float64(i) / 9
		at.Up += int64(60e3 * (1.3 + math.Sin(x*1.7)))
		at.Down += int64(900e3 * (1.4 + math.Sin(x) + .5*math.Sin(x*3.1)))
		p.graph.add(at, time.Now().Add(time.Duration(i-graphPoints)*time.Second))
	}
	p.move(at)
	paused, first, cap, bad := held(day, "paused", ""), held(day, "no_consent", ""), held(day, "cap_month", ""), day
	paused.Paused, paused.PausedUntil = true, time.Now().Add(2*time.Hour)
	first.Consent, first.Relays, first.Sites, first.Points, first.PointsAt = "", nil, nil, 0, time.Time{}
	first.Today.Bytes, first.Month.Bytes, first.RefusedToday, first.Unsubmitted = 0, 0, nil, 0
	cap.Month.Bytes, cap.Month.Proof = 199_800_000_000, "cap 200 GB, used 199.80 GB"
	bad.BadSettings = "edge.yaml line 7: key \"caps.day\": \"10 apples\" is not a size such as 200GB or 1.5TiB"
	alone, broken := held(day, "no_relay", ""), held(day, "seal", "a connection to 192.168.1.1:80 was possible")
	broken.Seal.Through = []seal.Breach{{ID: "A02", What: "the router", Target: "192.168.1.1:80", Door: "proxy", How: "the connection was made"}}
	alone.Relays = nil
	for _, s := range []struct {
		name   string
		status edge.Status
	}{
		{"sharing", day},
		{"paused", paused},
		{"battery", held(day, "battery", "this computer runs on its battery")},
		{"cap", cap},
		{"no-relay", alone},
		{"seal-broken", broken},
		{"bad-settings", bad},
	} {
		p.set(s.status)
		b.goTo(p.URL(), ".hero h1")
		b.picture("now-" + s.name)
		b.access(s.name, looks[1])
	}
	p.set(day)
	channel := p.fill(t)
	for name, path := range map[string]string{
		"log": "/log", "earnings": "/earnings", "receipt": "/receipt/" + channel.String(), "line": "/line", "settings": "/settings?ask=www.shop.example#test",
		"saved": "/settings?done=saved",
	} {
		b.goTo(strings.TrimSuffix(p.URL(), "/")+path, "main h1")
		b.picture(name)
		b.access(name, looks...)
	}
	p.set(first)
	b.goTo(p.URL(), ".points") // where a first visit leads
	b.picture("consent")
	b.access("consent", looks...)
	b.do(chromedp.Click(chromedp.CSS("footer button")), chromedp.WaitVisible(chromedp.CSS("#login")))
	b.picture("login")
	for _, line := range b.said() {
		t.Errorf("the browser says: %s", line)
	}
}
