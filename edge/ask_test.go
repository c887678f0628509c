package edge

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"sward/policy"
)

// H11: the test box answers as the traffic is answered, and says which rule it was.
func TestAskAnswersWithTheRule(t *testing.T) {
	rules := policy.DefaultRules()
	rules.Deny, rules.Allow = []string{"bank.example"}, []string{"open.bank.example"}
	rules.PlainHTTP = false
	settings := DefaultSettings()
	settings.Policy = rules
	e, err := New(Config{
		Key: mustKey(t), Network: "test", HubID: mustKey(t).ID(), Hub: &testHub{}, Dir: t.TempDir(), Settings: settings,
		Own: func() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("93.184.216.34/24")} },
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		text, host  string
		port        uint16
		allowed     bool
		rule, where string
	}{
		{"shop.example", "shop.example", 443, true, "allowed", "built in"},
		{" https://Shop.example/cart?x=1 ", "shop.example", 443, true, "allowed", "built in"},
		{"shop.example/cart", "shop.example", 443, true, "allowed", "built in"},
		{"http://shop.example/", "shop.example", 80, false, "plain_http_denied", "policy.ports, policy.plain_http"},
		{"shop.example:8443", "shop.example", 8443, false, "port_not_allowed", "policy.ports"},
		{"www.bank.example", "www.bank.example", 443, false, "domain_denied", "policy.deny: bank.example"},
		{"open.bank.example:443", "open.bank.example", 443, true, "allowed", "policy.allow: open.bank.example"},
		{"mail.google.com", "mail.google.com", 443, false, "category_denied", "policy.categories.mail"},
		{"192.168.1.1", "192.168.1.1", 443, false, "dest_private", "built in"},
		{"93.184.216.34", "93.184.216.34", 443, false, "dest_self", "built in"},
		{"[2606:4700::1111]", "2606:4700::1111", 443, true, "allowed", "built in"},
		{"printer.local", "printer.local", 0, false, "dest_name", "built in"},
	} {
		a, err := e.Ask(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if a.Host != c.host || a.Port != c.port || a.Allowed != c.allowed || a.Decided.Rule != c.rule || a.Decided.Where != c.where {
			t.Errorf("%q: got %+v, want %s:%d %v by %s (%s)", c.text, a, c.host, c.port, c.allowed, c.rule, c.where)
		}
	}
	for text, rule := range map[string]string{"": "bad_host", "two words": "bad_host", "shop.example:99999": "bad_port", "ftp://shop.example": "bad_host", strings.Repeat("a", 5000): "bad_host"} {
		var d *policy.Denied
		if a, err := e.Ask(text); !errors.As(err, &d) || d.Rule != rule {
			t.Errorf("%.20q: got %+v, %v; want %s", text, a, err, rule)
		}
	}
}

func TestAskSaysWhenNothingIsSharedAtAll(t *testing.T) {
	for want, change := range map[string]func(*policy.Rules){
		"policy.apps":     func(r *policy.Rules) { r.Apps = nil },
		"policy.purposes": func(r *policy.Rules) { r.Purposes = nil },
		"policy.hours":    func(r *policy.Rules) { r.Hours = map[string]string{weekday(noon.AddDate(0, 0, 1)): "00:00-00:01"} },
	} {
		settings := DefaultSettings()
		change(&settings.Policy)
		e, err := New(Config{
			Key: mustKey(t), Network: "test", HubID: mustKey(t).ID(), Hub: &testHub{}, Dir: t.TempDir(), Settings: settings, Clock: fixed(noon),
		})
		if err != nil {
			t.Fatal(err)
		}
		if a, err := e.Ask("shop.example"); err != nil || a.Allowed || a.Decided.Where != want {
			t.Errorf("%s: got %+v, %v", want, a, err)
		}
	}
}
