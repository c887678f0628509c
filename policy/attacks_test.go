package policy

import (
	"errors"
	"net/netip"
	"testing"
	"time"
)

// ask runs one CONNECT target through every door a literal target meets.
func ask(t *testing.T, p *Policy, g Gate, hostport string) error {
	t.Helper()
	target, err := ParseTarget(hostport)
	if err != nil {
		return err
	}
	r := Request{App: AppProxy, Purpose: "market-research", Target: target, Time: time.Unix(1e9, 0)}
	if err := p.Check(r); err != nil {
		return err
	}
	if a, ok := target.Host.Addr(); ok {
		return g.CheckAll([]netip.Addr{a})
	}
	return nil
}

func defaultPolicy(t *testing.T) *Policy {
	t.Helper()
	p, err := DefaultRules().Compile()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The ids are those of the attack catalogue, groups A and B.
func TestNoNotationOfAHomeAddressPasses(t *testing.T) {
	own := Gate{
		Own:     []netip.Prefix{netip.MustParsePrefix("2a02:8071:1:2::10/64"), netip.MustParsePrefix("93.184.216.34/32")},
		Network: []netip.Addr{netip.MustParseAddr("45.33.32.156")},
	}
	for _, c := range []struct {
		id, rule string
		targets  []string
	}{
		{"A01", "dest_loopback", []string{"127.0.0.1:80", "localhost:80", "[::1]:80", "LOCALHOST:80", "a.localhost:80"}},
		{"A02", "dest_private", []string{"10.0.0.1:443", "172.16.0.1:443", "192.168.1.1:80"}},
		{"A03", "dest_linklocal", []string{"169.254.169.254:80"}},
		{"A03", "dest_ula", []string{"[fd00:ec2::254]:80"}},
		{"A03", "dest_name", []string{"metadata.google.internal:80"}},
		{"A04", "dest_unspecified", []string{"0.0.0.0:80", "0.1.2.3:80", "[::]:80"}},
		{"A05", "dest_shared", []string{"100.64.0.1:80", "100.100.100.200:80"}},
		{"A06", "dest_embedded", []string{"[::ffff:127.0.0.1]:80", "[::ffff:7f00:1]:80"}},
		{"A07", "dest_embedded", []string{"[::127.0.0.1]:80", "[::ffff:0:127.0.0.1]:80"}},
		{"A08", "dest_embedded", []string{"[64:ff9b::7f00:1]:80"}},
		{"A09", "dest_embedded", []string{"[64:ff9b:1:7f00:0:100::]:80"}},
		{"A10", "dest_embedded", []string{"[2002:7f00:1::]:80", "[2002:0808:0808::1]:80"}},
		{"A11", "dest_embedded", []string{"[2001:0:4136:e378:8000:63bf:3f57:fffe]:80"}},
		{"A12", "dest_special", []string{"[fec0::1]:80"}},
		{"A12", "bad_host", []string{"[fe80::1%eth0]:80", "[fe80::1%25eth0]:80"}},
		{"A13", "dest_special", []string{"192.0.0.192:80", "192.0.2.1:80", "198.18.0.1:80", "203.0.113.9:80", "240.0.0.1:80", "255.255.255.255:80"}},
		{"A13", "dest_multicast", []string{"224.0.0.1:80"}},
		{"A14", "dest_special", []string{"[3fff::1]:80", "[5f00::1]:80", "[100::1]:80", "[2001:db8::1]:80"}},
		{"A14", "dest_multicast", []string{"[ff0e::1]:80"}},
		{"A15", "bad_host", []string{"2130706433:80", "0x7f000001:80", "0177.0.0.1:80", "127.1:80", "0x7f.0.0.1:80"}},
		{"A16", "bad_host", []string{"0x7f.1:80", "017700000001:80", "127.0.0.1.:80", "0:80", "0x0:80", "example.com.:80", "１２７.0.0.1:80", "127。0。0。1:80", "a.0x7f:80"}},
		{"A25", "dest_self", []string{"93.184.216.34:443", "[2a02:8071:1:2::10]:443"}},
		{"A27", "dest_network", []string{"45.33.32.156:443"}},
		{"A29", "dest_name", []string{"intranet:80", "router.local:80", "nas.lan:80", "x.home.arpa:80", "y.internal:80", "z.onion:80"}},
		{"A30", "dest_self_prefix", []string{"[2a02:8071:1:2::99]:443"}},
		{"A31", "bad_host", []string{"a@b:80", "user:pass@example.com:80", "http://example.com:80", "example.com/x:80", "[example.com]:80", "[127.0.0.1]:80", "::1:80"}},
		{"A31", "bad_port", []string{"example.com:80/y", "example.com:80#f", "example.com"}},
		{"B01", "port_mail", []string{"example.com:25", "example.com:465", "example.com:587", "example.com:2525", "example.com:110", "example.com:143", "example.com:993", "example.com:995"}},
		{"B02", "port_not_allowed", []string{"example.com:22", "example.com:23", "example.com:135", "example.com:445", "example.com:3389", "example.com:5555", "example.com:6379", "example.com:27017"}},
		{"B03", "bad_port", []string{"example.com:0", "example.com:65536", "example.com:-1", "example.com:080", "example.com: 80", "example.com:8o", "example.com:", "example.com:443,80", "example.com:+80"}},
		{"B11", "category_denied", []string{"www.chase.com:443", "mail.google.com:443", "www.irs.gov:443", "www.army.mil:443", "www.service.gov.uk:443", "pornhub.com:443", "bet365.com:443", "fritz.box:80"}},
	} {
		for _, target := range c.targets {
			err := ask(t, defaultPolicy(t), own, target)
			var d *Denied
			if !errors.As(err, &d) || !errors.Is(err, ErrDenied) {
				t.Errorf("%s %s: got %v, want %s", c.id, target, err, c.rule)
			} else if d.Rule != c.rule {
				t.Errorf("%s %s: got %s (%s), want %s", c.id, target, d.Rule, d.Detail, c.rule)
			}
		}
	}
}

func TestOrdinaryTargetsPass(t *testing.T) {
	for _, target := range []string{
		"example.com:443", "WWW.Example.com:80", "bücher.example:443", "xn--bcher-kva.example:443",
		"r3---sn-4g5e6n7k.example.net:443", "8.8.8.8:443", "[2606:4700::1111]:443", "1.1.1.1:80",
		"badchase.com:443", "gov.example.com:443", "7-zip.org:443", "nip.io.example.org:443",
	} {
		if err := ask(t, defaultPolicy(t), Gate{}, target); err != nil {
			t.Errorf("%s: got %v, want allowed", target, err)
		}
	}
}

func TestOneBadAnswerRefusesTheWholeSet(t *testing.T) {
	public, private := netip.MustParseAddr("8.8.8.8"), netip.MustParseAddr("192.168.0.1")
	if err := (Gate{}).CheckAll([]netip.Addr{public, private}); !errors.Is(err, ErrDenied) {
		t.Errorf("public and private answer: got %v, want a refusal", err)
	}
	if err := (Gate{}).CheckAll(nil); !errors.Is(err, ErrDenied) {
		t.Errorf("no answer: got %v, want a refusal", err)
	}
	if err := (Gate{}).CheckAll([]netip.Addr{public}); err != nil {
		t.Errorf("public answer: got %v, want allowed", err)
	}
}

func TestNonTextbookAddressesAreRefusedNotMisread(t *testing.T) {
	for _, a := range []netip.Addr{{}, netip.MustParseAddr("2606:4700::1111%eth0"), netip.MustParseAddr("::ffff:8.8.8.8")} {
		if err := (Gate{}).Check(a); !errors.Is(err, ErrDenied) {
			t.Errorf("Check(%v): got %v, want a refusal", a, err)
		}
	}
}
