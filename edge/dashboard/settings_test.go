package dashboard

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"sward/edge"
	"sward/policy"
)

func TestFormsChangeWhatTheySayAndNothingElse(t *testing.T) {
	limits := url.Values{"day": {"2,5"}, "month": {""}, "up": {"10"}, "down": {"0"}, "streams": {"8"}, "billing_day": {"31"}, "yield": {"25"}, "time_zone": {"Europe/Berlin"}}
	for name, c := range map[string]struct {
		path string
		form url.Values
		want func(*edge.Settings)
	}{
		"limits": {"limits", limits, func(s *edge.Settings) {
			s.Caps = edge.Caps{Day: 2_500_000_000, BillingDay: 31, TimeZone: "Europe/Berlin"}
			s.Rate.Up, s.Streams = 1_250_000, 8
		}},
		"hours":     {"hours", url.Values{"mon": {"22:00–07:00"}, "sun": {"00:00-24:00"}}, func(s *edge.Settings) { s.Policy.Hours = map[string]string{"mon": "22:00-07:00", "sun": "00:00-24:00"} }},
		"always":    {"hours", url.Values{"always": {"1"}, "mon": {"22:00-07:00"}}, func(*edge.Settings) {}},
		"pauses":    {"pauses", url.Values{"busy": {"1"}}, func(s *edge.Settings) { s.PauseOn = edge.PauseOn{Busy: true} }},
		"diary":     {"diary", url.Values{"keep_days": {"0"}}, func(s *edge.Settings) { s.KeepDays = 0 }},
		"mapping":   {"switch", url.Values{"name": {"port_mapping"}, "on": {"1"}}, func(s *edge.Settings) { s.PortMapping = true }},
		"reach off": {"switch", url.Values{"name": {"reach"}}, func(*edge.Settings) {}},
		"privacy": {"privacy", url.Values{"apps": {"crawl"}, "purposes": {"search-index"}, "ports": {"443"}, "deny": {"a.example\r\nb.example"}, "categories": {"health"}}, func(s *edge.Settings) {
			s.Policy = policy.Rules{
				Apps: []policy.App{policy.AppCrawl}, Purposes: []policy.Purpose{"search-index"}, Ports: []uint16{443},
				Deny: []string{"a.example", "b.example"}, Categories: map[string]policy.Verdict{"health": policy.Allow},
			}
		}},
	} {
		p := startPanel(t)
		want := edge.DefaultSettings()
		c.want(&want)
		resp := p.do(t, http.MethodPost, "/settings/"+c.path, c.form.Encode(), p.cookie)
		if got := resp.Header.Get("Location"); resp.StatusCode != 303 || !strings.HasPrefix(got, "/settings?done=saved#") {
			t.Errorf("%s: got %d to %q, want 303 to the settings", name, resp.StatusCode, got)
		}
		if diff := cmp.Diff(want, p.Settings(), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestBadFormsChangeNothingAndSayWhy(t *testing.T) {
	for says, c := range map[string]struct {
		path string
		form url.Values
	}{
		"The limit of a day":       {"limits", url.Values{"day": {"much"}, "streams": {"8"}, "yield": {"25"}}},
		"-5":                       {"limits", url.Values{"day": {"-5"}, "streams": {"8"}, "yield": {"25"}}},
		"streams":                  {"limits", url.Values{"streams": {"0"}, "yield": {"25"}}},
		"time_zone":                {"limits", url.Values{"streams": {"8"}, "yield": {"25"}, "time_zone": {"Mars/Olympus"}}},
		"22 to 7":                  {"hours", url.Values{"mon": {"22 to 7"}}},
		"no hour of the week":      {"hours", url.Values{}},
		"port 25 cannot be opened": {"privacy", url.Values{"apps": {"proxy"}, "ports": {"443, 25"}}},
		"is neither proxy nor":     {"privacy", url.Values{"apps": {"shell"}}},
		"no such switch":           {"switch", url.Values{"name": {"root"}, "on": {"1"}}},
		"keep_days":                {"diary", url.Values{"keep_days": {"100000"}}},
	} {
		p := startPanel(t)
		resp := p.do(t, http.MethodPost, "/settings/"+c.path, c.form.Encode(), p.cookie)
		text := body(t, resp)
		if resp.StatusCode != 422 || !strings.Contains(strings.ToLower(text), strings.ToLower(says)) || !strings.Contains(text, "Nothing is changed.") {
			t.Errorf("%s %v: got %d, which does not say %q", c.path, c.form, resp.StatusCode, says)
		}
		if diff := cmp.Diff(edge.DefaultSettings(), p.Settings()); diff != "" {
			t.Errorf("%s %v changed the settings:\n%s", c.path, c.form, diff)
		}
	}
}

// TestProgramsDoNotAgreeForTheirOwner: the token of the control file pauses, and never consents.
func TestProgramsDoNotAgreeForTheirOwner(t *testing.T) { // H09
	p := startPanel(t)
	form := url.Values{"phrase": {edge.ConsentPhrase}}.Encode()
	if got := p.do(t, http.MethodPost, "/consent", form, p.bearer).StatusCode; got != 401 {
		t.Errorf("a program agrees: got %d, want 401", got)
	}
	if got := p.do(t, http.MethodPost, "/consent", url.Values{"phrase": {"yes"}}.Encode(), p.cookie).StatusCode; got != 422 {
		t.Errorf("another word: got %d, want 422", got)
	}
	if agreed, err := edge.Agreed(p.dir); agreed || err != nil {
		t.Errorf("agreed: %v, %v; want neither", agreed, err)
	}
}

func TestEventStreamsAreBoundedAndLetGo(t *testing.T) {
	p := startPanel(t)
	for range 2 {
		var open []*http.Response
		for range maxStreams {
			open = append(open, p.do(t, http.MethodGet, "/events?page=now", "", p.cookie))
		}
		for i, resp := range open {
			if resp.StatusCode != 200 {
				t.Fatalf("stream %d: got %d, want 200", i, resp.StatusCode)
			}
		}
		if got := p.do(t, http.MethodGet, "/events?page=now", "", p.cookie).StatusCode; got != 503 {
			t.Errorf("one stream too many: got %d, want 503", got)
		}
		for _, resp := range open {
			resp.Body.Close()
		}
		for end := time.Now().Add(20 * time.Second); len(p.streams) > 0; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d streams are held for browsers that went away", len(p.streams))
			}
		}
	}
	if got := p.do(t, http.MethodGet, "/events?page=now", "").StatusCode; got != 401 {
		t.Errorf("a stranger listens: got %d, want 401", got)
	}
	if got := p.do(t, http.MethodGet, "/events?page=nowhere", "", p.cookie).StatusCode; got != 404 {
		t.Errorf("a page that does not exist: got %d, want 404", got)
	}
}

func TestOnlyWhatIsTypedIsRounded(t *testing.T) {
	for typed, want := range map[string]policy.Size{"10.123456789": 10_123_456_789, "": 0, "0": 0, "3": 3e9, " 0,5 ": 5e8} {
		size := policy.Size(10_123_456_789)
		if err := setAmount(&size, typed, "a day", gigabyte); err != nil || size != want {
			t.Errorf("%q: got %d, %v, want %d", typed, size, err, want)
		}
	}
	odd := policy.Size(1<<30 + 1)
	before := odd
	if err := setAmount(&odd, amountOf(odd, gigabyte), "a day", gigabyte); err != nil || odd != before {
		t.Errorf("a field that was not touched made %d of %d (%v)", odd, before, err)
	}
	for _, typed := range []string{"NaN", "Inf", "1e300", "-1", "ten", "1.2.3"} {
		size := policy.Size(7)
		if err := setAmount(&size, typed, "a day", gigabyte); err == nil || size != 7 {
			t.Errorf("%q was taken as %d", typed, size)
		}
	}
}
