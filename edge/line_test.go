package edge

import (
	"net/http"
	"testing"
	"time"

	"sward/crawler/fetch"
	"sward/internal/wire"
)

func pageOf(status int, head, body string) fetch.Result {
	return fetch.Result{Status: status, Response: []byte("HTTP/1.1 " + http.StatusText(status) + "\r\n" + head + "\r\n"), Body: []byte(body)}
}

func TestChallengesAreToldFromPages(t *testing.T) {
	const widget = `<form><div class="g-recaptcha"></div></form>`
	for _, test := range []struct {
		name         string
		status       int
		header, body string
		want         string
	}{
		{"a page", 200, "", "hello", ""},
		{"a page with a form that tests people", 200, "", widget, ""},
		{"nothing new", 304, "", "", ""},
		{"not there", 404, "", "no such page", ""},
		{"forbidden", 403, "", "go away", challengeForbidden},
		{"too many", 429, "", "", challengeRate},
		{"overload", 503, "", "", challengeBusy},
		{"Cloudflare by header", 403, "Cf-Mitigated: challenge\r\n", "", challengeCaptcha},
		{"AWS WAF by header", 202, "x-amzn-waf-action: challenge\r\n", "", challengeCaptcha},
		{"accepted", 202, "", "later", ""},
		{"DataDome by page", 403, "", `<script src="https://CT.Captcha-Delivery.com/c.js">`, challengeCaptcha},
		{"a search engine by page", 429, "", "Our systems have detected unusual traffic from your computer network.", challengeCaptcha},
		{"a test behind an overload", 503, "", widget, challengeCaptcha},
		{"a mark beyond the beginning", 403, "", string(make([]byte, challengeHead)) + widget, challengeForbidden},
		{"no answer", 0, "", "", ""},
	} {
		r := pageOf(test.status, test.header, test.body)
		r.Response = []byte("HTTP/1.1 200 OK\r\n" + test.header + "\r\n") // what the head's own status says does not matter
		if got := challengeOf(r); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestLineCountsWhatItTried(t *testing.T) {
	dir, now := t.TempDir(), time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	o := openOutcomes(dir, func() time.Time { return now })
	for range 80 {
		o.opened(20*time.Millisecond, nil)
	}
	for range 20 {
		o.opened(400*time.Millisecond, nil)
	}
	for range 25 {
		o.opened(10*time.Second, wire.Errorf(wire.DialTimeout, ""))
	}
	o.opened(0, wire.Errorf(wire.CategoryDenied, "")) // the owner's rule, and nothing about the line
	o.opened(0, wire.Errorf(wire.DestPrivate, ""))
	o.opened(time.Hour, nil) // beyond the histogram
	for range 60 {
		o.page(pageOf(200, "", ""))
	}
	o.page(pageOf(403, "", ""))
	if err := o.save(); err != nil {
		t.Fatal(err)
	}
	d := openOutcomes(dir, o.clock).list()[0]
	if d.Day != "2026-11-22" || d.Opened != 101 || len(d.Failed) != 1 || d.Failed["dial_timeout"] != 25 || d.FailedRate < 0.197 || d.FailedRate > 0.199 {
		t.Errorf("the day is %+v, want 101 opened and 25 that timed out", d)
	}
	if d.Reach50 < 20 || d.Reach50 > 25 || d.Reach90 < 400 || d.Reach90 > 500 {
		t.Errorf("half within %v ms and nine of ten within %v ms, want 20 and 400, to a quarter above", d.Reach50, d.Reach90)
	}
	if d.Pages != 61 || d.Challenges[challengeForbidden] != 1 {
		t.Errorf("of %d pages %v were challenged, want 1 of 61", d.Pages, d.Challenges)
	}
	for range 2 * lineDays {
		now = now.AddDate(0, 0, 1)
		o.opened(time.Millisecond, nil)
	}
	if got := len(o.list()); got != lineDays {
		t.Errorf("%d days are kept, want %d", got, lineDays)
	}
}

func TestReputationNeedsPagesAndFollowsChallenges(t *testing.T) {
	for _, test := range []struct {
		challenged float64
		pages      int
		want       string
	}{
		{1, reputationPages - 1, ReputationUnknown}, {0, reputationPages, ReputationGood}, {goodReputation, 100, ReputationGood},
		{0.05, 100, ReputationFair}, {0.11, 100, ReputationPoor},
	} {
		if got := reputationOf(test.challenged, test.pages); got != test.want {
			t.Errorf("%.2f of %d pages challenged is %s, want %s", test.challenged, test.pages, got, test.want)
		}
	}
}

// Through the whole edge: a connection that comes about, one that does not, and the path that they take.
func TestLineIsMeasuredWhereItIsUsed(t *testing.T) {
	relay := newTestRelay(t)
	e, _ := testEdge(t, relay, echo(t))
	s := relay.next()
	st, err := s.open(t.Context(), relay.grant(), "site.example", 80)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.exchange(t.Context(), 64<<10); err != nil {
		t.Fatal(err)
	}
	st.end()
	if _, err := s.open(t.Context(), relay.grant(), "nowhere.example", 80); wire.CodeOf(err) != wire.DNSNotFound {
		t.Fatalf("a name that does not exist: %v", err)
	}
	if _, err := s.open(t.Context(), relay.grant(), "private.example", 80); wire.CodeOf(err) != wire.DestPrivate {
		t.Fatalf("a private address: %v", err)
	}
	l := e.Line()
	if l.Today.Opened != 1 || len(l.Today.Failed) != 1 || l.Today.Failed["dns_not_found"] != 1 || l.Reputation != ReputationUnknown {
		t.Errorf("today is %+v, want one opened and one that does not exist", l.Today)
	}
	if len(l.Relays) != 1 || l.Relays[0].Carrier != "quic" || l.Relays[0].Sent == 0 || l.Relays[0].MinRTT <= 0 || l.Relays[0].Region != "eu" {
		t.Errorf("the path is %+v", l.Relays)
	}
}
