package policy

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func explain(t *testing.T, r Rules, hostport string) Explanation {
	t.Helper()
	p, err := r.Compile()
	if err != nil {
		t.Fatal(err)
	}
	target, err := ParseTarget(hostport)
	if err != nil {
		t.Fatal(err)
	}
	return p.Explain(Request{App: AppProxy, Purpose: "market-research", Target: target, Time: time.Unix(1e9, 0)})
}

// H11: of rules that conflict the most specific wins, and the answer names it and what it overruled.
func TestTheMostSpecificRuleDecidesAndIsNamed(t *testing.T) {
	for _, c := range []struct {
		allow, deny, target string
		open                string // a category
		allowed             bool
		decided, others     string // where
	}{
		{"sub.bank.example", "bank.example", "sub.bank.example", "", true, "policy.allow: sub.bank.example", "policy.deny: bank.example, built in"},
		{"sub.bank.example", "bank.example", "a.sub.bank.example", "", true, "policy.allow: sub.bank.example", "policy.deny: bank.example, built in"},
		{"sub.bank.example", "bank.example", "bank.example", "", false, "policy.deny: bank.example", "built in"},
		{"bank.example", "sub.bank.example", "sub.bank.example", "", false, "policy.deny: sub.bank.example", "policy.allow: bank.example, built in"},
		{"", "bank.example", "badbank.example", "", true, "built in", ""},
		{"bank.example", "*.bank.example", "bank.example", "", true, "policy.allow: bank.example", "built in"},
		{"bank.example", "*.bank.example", "www.bank.example", "", false, "policy.deny: *.bank.example", "policy.allow: bank.example, built in"},
		{"shop.example", "*", "shop.example", "", true, "policy.allow: shop.example", "policy.deny: *"},
		{"shop.example", "*", "other.example", "", false, "policy.deny: *", ""},
		{"*", "example", "a.example", "", false, "policy.deny: example", "policy.allow: *"}, // a whole top-level domain
		{"", "", "www.chase.com", "", false, "policy.categories.banking", "built in"},
		{"chase.com", "", "www.chase.com", "", true, "policy.allow: chase.com", "policy.categories.banking, built in"},
		{"com", "", "www.chase.com", "", false, "policy.categories.banking", "policy.allow: com, built in"},
		{"www.chase.com", "chase.com", "www.chase.com", "", true, "policy.allow: www.chase.com", "policy.deny: chase.com, policy.categories.banking, built in"},
		{"", "", "www.chase.com", "banking", true, "built in", "policy.categories.banking"},
		{"", "*", "www.chase.com", "banking", false, "policy.deny: *", "policy.categories.banking"},
		{"", "", "www.service.gov.uk", "", false, "policy.categories.government", "built in"},
		{"", "", "8.8.8.8", "", true, "built in", ""},
		{"", "*", "8.8.8.8", "", false, "policy.deny: *", ""},
	} {
		r := DefaultRules()
		if c.allow != "" {
			r.Allow = []string{c.allow}
		}
		if c.deny != "" {
			r.Deny = []string{c.deny}
		}
		if c.open != "" {
			r.Categories = map[string]Verdict{c.open: Allow}
		}
		e := explain(t, r, c.target+":443")
		var others []string
		for _, o := range e.Others {
			others = append(others, o.Where)
		}
		if e.Allowed != c.allowed || e.Decided.Where != c.decided || strings.Join(others, ", ") != c.others || e.Decided.Text == "" {
			t.Errorf("allow %q, deny %q, %s: got %v by %s, then %s (%s); want %v by %s, then %s",
				c.allow, c.deny, c.target, e.Allowed, e.Decided.Where, strings.Join(others, ", "), e.Decided.Text, c.allowed, c.decided, c.others)
		}
	}
}

func TestAShutDoorOverrulesEveryRuleAboutTheName(t *testing.T) {
	for want, change := range map[string]func(*Rules, *string){
		"policy.apps":                     func(r *Rules, _ *string) { r.Apps = []App{AppCrawl} },
		"policy.hours":                    func(r *Rules, _ *string) { r.Hours = map[string]string{"mon": "00:00-00:01"} },
		"policy.purposes":                 func(r *Rules, _ *string) { r.Purposes = nil },
		"policy.ports":                    func(_ *Rules, target *string) { *target = "shop.example:8080" },
		"policy.ports, policy.plain_http": func(r *Rules, target *string) { *target = "shop.example:80"; r.PlainHTTP = false },
		"built in":                        func(_ *Rules, target *string) { *target = "shop.example:25" },
	} {
		r, target := DefaultRules(), "shop.example:443"
		r.Allow = []string{"shop.example"}
		change(&r, &target)
		e := explain(t, r, target)
		if e.Allowed || e.Decided.Where != want || len(e.Others) != 2 || e.Others[0].Where != "policy.allow: shop.example" {
			t.Errorf("%s: got %+v", want, e)
		}
	}
	if e := explain(t, DefaultRules(), "192.168.1.1:443"); e.Allowed || e.Decided.Rule != "dest_private" || e.Decided.Where != builtIn {
		t.Errorf("a home address: got %+v", e)
	}
}

// FuzzExplain: the explanation gives the verdict, and the name of the refusal, that the traffic meets.
func FuzzExplain(f *testing.F) {
	f.Add("www.chase.com", uint16(443), "chase.com *.com", "www.chase.com", byte(0))
	f.Add("a.b.gov.uk", uint16(80), "*", "b.gov.uk", byte(9))
	f.Add("10.0.0.1", uint16(25), "", "", byte(255))
	f.Fuzz(func(t *testing.T, name string, port uint16, allow, deny string, bits byte) {
		r := DefaultRules()
		r.Allow, r.Deny, r.PlainHTTP = strings.Fields(allow), strings.Fields(deny), bits&1 == 0
		r.Apps = Apps()[:bits>>1&1+1]
		r.Categories = map[string]Verdict{"banking": [2]Verdict{Deny, Allow}[bits>>2&1], "government": [2]Verdict{Deny, Allow}[bits>>3&1]}
		p, err := r.Compile()
		host, parsed := ParseHost(name)
		if err != nil || parsed != nil {
			return
		}
		ask := Request{App: Apps()[bits>>4&1], Purpose: Purposes()[int(bits)%len(Purposes())], Target: Target{Host: host, Port: port}, Time: time.Unix(1e9, 0)}
		e, verdict := p.Explain(ask), p.Check(ask)
		var d *Denied
		errors.As(verdict, &d)
		if e.Allowed != (verdict == nil) || d != nil && d.Rule != e.Decided.Rule || e.Allowed != e.Decided.Allows {
			t.Errorf("%+v with allow %q, deny %q: Check says %v, Explain %+v", ask, allow, deny, verdict, e)
		}
	})
}
