package policy

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func compile(t *testing.T, change func(*Rules)) *Policy {
	t.Helper()
	r := DefaultRules()
	change(&r)
	p, err := r.Compile()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// ruleFor gives the rule that refuses host on port 443, or "" when it is allowed.
func ruleFor(t *testing.T, p *Policy, hostport string) string {
	t.Helper()
	err := ask(t, p, Gate{}, hostport)
	var d *Denied
	if err != nil && !errors.As(err, &d) {
		t.Fatalf("%s: %v is not a refusal", hostport, err)
	}
	if d == nil {
		return ""
	}
	return d.Rule
}

func TestMostSpecificDomainRuleWins(t *testing.T) { // H11
	p := compile(t, func(r *Rules) {
		r.Allow = []string{"sub.bank.example", "nasa.gov", "paypal.com", "only.open.example"}
		r.Deny = []string{"bank.example", "*.partly.example", "Bücher.example", "open.example", "country.zz"}
		r.Categories = map[string]Verdict{"gambling": Allow}
	})
	for host, want := range map[string]string{
		"bank.example":          "domain_denied",
		"www.bank.example":      "domain_denied",
		"sub.bank.example":      "",
		"a.sub.bank.example":    "",
		"badbank.example":       "",
		"partly.example":        "",
		"a.partly.example":      "domain_denied",
		"xn--bcher-kva.example": "domain_denied",
		"open.example":          "domain_denied",
		"x.only.open.example":   "",
		"www.nasa.gov":          "",
		"www.irs.gov":           "category_denied",
		"paypal.com":            "",
		"bet365.com":            "",
		"pornhub.com":           "category_denied",
	} {
		if got := ruleFor(t, p, host+":443"); got != want {
			t.Errorf("%s: got %q, want %q", host, got, want)
		}
	}
}

func TestDenyEverythingMakesAnAllowList(t *testing.T) {
	p := compile(t, func(r *Rules) { r.Deny, r.Allow = []string{"*"}, []string{"example.com"} })
	for target, want := range map[string]string{
		"www.example.com:443": "", "example.org:443": "domain_denied", "8.8.8.8:443": "domain_denied",
	} {
		if got := ruleFor(t, p, target); got != want {
			t.Errorf("%s: got %q, want %q", target, got, want)
		}
	}
}

func TestOwnerSwitches(t *testing.T) {
	target, err := ParseTarget("example.com:80")
	if err != nil {
		t.Fatal(err)
	}
	request := Request{App: AppProxy, Purpose: "search-index", Target: target, Time: time.Unix(1e9, 0)}
	for want, change := range map[string]func(*Rules){
		"app_denied":        func(r *Rules) { r.Apps = []App{AppCrawl} },
		"purpose_denied":    func(r *Rules) { r.Purposes = []Purpose{"web-archive"} },
		"port_not_allowed":  func(r *Rules) { r.Ports = []uint16{443} },
		"plain_http_denied": func(r *Rules) { r.PlainHTTP = false },
	} {
		var d *Denied
		if err := compile(t, change).Check(request); !errors.As(err, &d) || d.Rule != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	var d *Denied
	if err := (&Policy{domains: &domains{}}).Check(request); !errors.As(err, &d) {
		t.Errorf("the empty policy: got %v, want a refusal", err)
	}
}

func TestHoursFollowTheOwnersClock(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	p := compile(t, func(r *Rules) {
		r.Hours = map[string]string{"mon": "22:00-07:00, 12:00-13:00", "sat": "00:00-24:00", "sun": "00:00-03:00"}
	})
	for at, open := range map[string]bool{
		"2026-11-23 21:59": false, "2026-11-23 22:00": true, // Monday
		"2026-11-24 06:59": true, "2026-11-24 07:00": false, // Tuesday: Monday's night runs on
		"2026-11-23 12:30": true, "2026-11-23 06:00": false,
		"2026-11-21 23:59": true, "2026-11-20 12:00": false, // Saturday, Friday
		"2026-10-25 02:30": true, "2026-10-25 03:00": false, // the hour that happens twice
	} {
		when, err := time.ParseInLocation("2006-01-02 15:04", at, berlin)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.hours.open(when); got != open {
			t.Errorf("%s: got open %v, want %v", at, got, open)
		}
	}
}

func TestCompileNamesTheBadRule(t *testing.T) {
	for want, change := range map[string]func(*Rules){
		`apps[1]: "miner"`:        func(r *Rules) { r.Apps = []App{AppProxy, "miner"} },
		`purposes[0]: "spam"`:     func(r *Rules) { r.Purposes = []Purpose{"spam"} },
		"ports[0]: port 25":       func(r *Rules) { r.Ports = []uint16{25} },
		"ports: 65 entries":       func(r *Rules) { r.Ports = make([]uint16, 65) },
		`deny[0]: "http://x.y"`:   func(r *Rules) { r.Deny = []string{"http://x.y"} },
		`deny[1]: "a..b"`:         func(r *Rules) { r.Deny = []string{"a.b", "a..b"} },
		"both allowed and denied": func(r *Rules) { r.Allow, r.Deny = []string{"a.b"}, []string{"A.b"} },
		`categories: "puppies"`:   func(r *Rules) { r.Categories = map[string]Verdict{"puppies": Allow} },
		"categories.adult":        func(r *Rules) { r.Categories = map[string]Verdict{"adult": "maybe"} },
		`hours: "monday"`:         func(r *Rules) { r.Hours = map[string]string{"monday": "00:00-24:00"} },
		`hours.tue: "7" is not`:   func(r *Rules) { r.Hours = map[string]string{"tue": "7-9"} },
		`"24:01" is not a time`:   func(r *Rules) { r.Hours = map[string]string{"tue": "10:00-24:01"} },
		"empty range":             func(r *Rules) { r.Hours = map[string]string{"tue": "10:00-10:00"} },
		"allow, deny: 10001":      func(r *Rules) { r.Deny = make([]string, maxDomains+1) },
	} {
		r := DefaultRules()
		change(&r)
		if _, err := r.Compile(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

func TestDigestChangesWithMeaningOnly(t *testing.T) {
	base := compile(t, func(r *Rules) { r.Deny = []string{"b.example", "a.example"} }).Digest()
	same := compile(t, func(r *Rules) {
		r.Deny = []string{"A.example", "b.example", "a.example"}
		slices.Reverse(r.Ports)
		r.Categories = map[string]Verdict{"adult": Deny}
	}).Digest()
	if base != same {
		t.Errorf("order, repetition and a spelled-out default changed the digest: %x, %x", base, same)
	}
	seen := map[[32]byte]string{base: "base"}
	for name, change := range map[string]func(*Rules){
		"plain":    func(r *Rules) { r.PlainHTTP = false },
		"ports":    func(r *Rules) { r.Ports = append(r.Ports, 8080) },
		"apps":     func(r *Rules) { r.Apps = r.Apps[:1] },
		"purposes": func(r *Rules) { r.Purposes = r.Purposes[:1] },
		"allow":    func(r *Rules) { r.Allow = []string{"c.example"} },
		"deny":     func(r *Rules) { r.Deny = r.Deny[:1] },
		"category": func(r *Rules) { r.Categories = map[string]Verdict{"adult": Allow} },
		"hours":    func(r *Rules) { r.Hours = map[string]string{"mon": "10:00-11:00"} },
	} {
		d := compile(t, func(r *Rules) { r.Deny = []string{"b.example", "a.example"}; change(r) }).Digest()
		if other, ok := seen[d]; ok {
			t.Errorf("%s and %s have the same digest", name, other)
		}
		seen[d] = name
	}
}

func TestPurposeCodesAreStable(t *testing.T) {
	for code, want := range map[uint16]Purpose{1: "market-research", 3: "search-index", 10: "security-research"} {
		if got, ok := PurposeByCode(code); !ok || got != want || got.Code() != code {
			t.Errorf("code %d: got %q (%v), code %d; want %q", code, got, ok, got.Code(), want)
		}
	}
	for _, code := range []uint16{0, 11, 65535} {
		if got, ok := PurposeByCode(code); ok {
			t.Errorf("code %d: got %q, want none", code, got)
		}
	}
	if _, err := ParsePurpose("spam"); !errors.Is(err, ErrDenied) {
		t.Errorf("spam: got %v, want a refusal", err)
	}
}

func BenchmarkPolicyCheck(b *testing.B) {
	p, err := DefaultRules().Compile()
	if err != nil {
		b.Fatal(err)
	}
	target, err := ParseTarget("a.b.c.example.com:443")
	if err != nil {
		b.Fatal(err)
	}
	r := Request{App: AppProxy, Purpose: "search-index", Target: target, Time: time.Unix(1e9, 0)}
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Check(r); err != nil {
			b.Fatal(err)
		}
	}
}
