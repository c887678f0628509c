package edge

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"sward/internal/outside"
	"sward/internal/wire"
	"sward/policy"
)

// door is a dialer whose world is in the test's hands.
type door struct {
	*dialer
	resolves atomic.Int32
	dialled  []netip.AddrPort
}

func newDoor(t *testing.T, answers map[string][]string, dial func(netip.AddrPort) error) *door {
	t.Helper()
	rules, err := policy.DefaultRules().Compile()
	if err != nil {
		t.Fatal(err)
	}
	d := &door{}
	d.dialer = &dialer{policy: rules, clock: fixed(noon), Dialer: outside.Dialer{
		Gate: func() policy.Gate {
			return policy.Gate{Own: []netip.Prefix{netip.MustParsePrefix("2a02:8071:1:2::10/64")}}
		},
		Resolve: func(_ context.Context, name string) ([]netip.Addr, error) {
			d.resolves.Add(1)
			texts, known := answers[name]
			if !known {
				return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
			}
			var addrs []netip.Addr
			for _, s := range texts {
				addrs = append(addrs, netip.MustParseAddr(s))
			}
			return addrs, nil
		},
		Dial: func(_ context.Context, to netip.AddrPort) (net.Conn, error) {
			d.dialled = append(d.dialled, to)
			if err := dial(to); err != nil {
				return nil, err
			}
			near, far := net.Pipe()
			t.Cleanup(func() { near.Close(); far.Close() })
			return near, nil
		},
	}}
	return d
}

func (d *door) try(t *testing.T, hostport string) error {
	t.Helper()
	target, err := policy.ParseTarget(hostport)
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.open(t.Context(), policy.AppProxy, "search-index", target)
	return err
}

func TestEdgeRefusesPrivateAddress(t *testing.T) {
	d := newDoor(t, map[string][]string{
		"private.example":  {"192.168.0.1"},                  // A18, A34
		"mixed.example":    {"93.184.216.34", "192.168.0.1"}, // A19
		"mixed6.example":   {"93.184.216.34", "fe80::1"},     //
		"meta.example":     {"169.254.169.254"},              //
		"mapped.example":   {"::ffff:127.0.0.1"},             //
		"nat64.example":    {"64:ff9b::5db8:d822"},           //
		"neighbor.example": {"2a02:8071:1:2::99"},            // A30
		"self.example":     {"2a02:8071:1:2::10"},            // A25
		"empty.example":    {},
	}, func(netip.AddrPort) error { return nil })
	for host, want := range map[string]wire.Code{
		"private.example": wire.DestPrivate, "mixed.example": wire.DestPrivate, "mixed6.example": wire.DestLinkLocal,
		"meta.example": wire.DestLinkLocal, "mapped.example": wire.DestEmbedded, "nat64.example": wire.DestEmbedded,
		"neighbor.example": wire.DestSelfPrefix, "self.example": wire.DestSelf, "empty.example": wire.DNSNotFound,
		"unknown.example": wire.DNSNotFound, "www.chase.com": wire.CategoryDenied,
	} {
		if got := wire.CodeOf(d.try(t, host+":443")); got != want {
			t.Errorf("%s: got %s, want %s", host, got, want)
		}
	}
	if len(d.dialled) != 0 {
		t.Errorf("dialled %v, want no dial at all", d.dialled)
	}
}

func TestOwnAddressesAreListedAnew(t *testing.T) {
	now, listed := noon, 0
	g := &gatekeeper{clock: func() time.Time { return now }, list: func() []netip.Prefix {
		listed++
		return []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{93, 0, 0, byte(listed)}), 32)}
	}}
	g.gate()
	g.gate()
	if listed != 1 {
		t.Errorf("listed %d times within %s, want once", listed, ownMaxAge)
	}
	now = now.Add(ownMaxAge + time.Second)
	if err := g.gate().Check(netip.MustParseAddr("93.0.0.2")); !errors.Is(err, policy.ErrDenied) {
		t.Errorf("the machine's new address: got %v, want a refusal", err)
	}
	for _, p := range outside.Own() {
		if p.Addr().IsLoopback() {
			return
		}
	}
	t.Errorf("outside.Own() = %v, want the loopback address among them", outside.Own())
}
