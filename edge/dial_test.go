package edge

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"sward/internal/outside"
	"sward/internal/wire"
	"sward/policy"
)

// What may be dialled at all is outside's to say, and its tests'; here the owner is asked, and asked first.
func TestOwnersRulesStandBeforeTheWayOut(t *testing.T) {
	rules, err := testSettings().compile(policy.BuiltIn())
	if err != nil {
		t.Fatal(err)
	}
	resolved, dialled := 0, 0
	d := &dialer{terms: func() *terms { return rules }, clock: fixed(noon), Dialer: outside.Dialer{
		Gate: func() policy.Gate { return policy.Gate{} },
		Resolve: func(context.Context, string) ([]netip.Addr, error) {
			resolved++
			return []netip.Addr{netip.MustParseAddr("192.168.0.1")}, nil
		},
		Dial: func(context.Context, netip.AddrPort) (net.Conn, error) {
			dialled++
			return nil, errors.New("nothing is to be dialled")
		},
	}}
	for _, c := range []struct {
		host     string
		want     wire.Code
		resolved int // names, until then
	}{
		{"www.chase.com:443", wire.CategoryDenied, 0},
		{"private.example:443", wire.DestPrivate, 1}, // A18
	} {
		target, err := policy.ParseTarget(c.host)
		if err != nil {
			t.Fatal(err)
		}
		_, err = d.open(t.Context(), policy.AppProxy, "search-index", target)
		if wire.CodeOf(err) != c.want || resolved != c.resolved || dialled != 0 {
			t.Errorf("%s: got %v after %d names and %d dials, want %s after %d and none", c.host, err, resolved, dialled, c.want, c.resolved)
		}
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
