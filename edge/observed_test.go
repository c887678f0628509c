package edge

import (
	"net/netip"
	"testing"

	"sward/internal/wire"
)

// A25: behind a home router the edge cannot see the home's public address. A dial to it comes back in through the router.
func TestHomesPublicAddressIsRefusedOnceARelayHasToldIt(t *testing.T) {
	r := newTestRelay(t)
	e, _ := testEdge(t, r, echo(t))
	s := r.next()
	g := r.grant()
	st, err := s.open(t.Context(), g, "site.example", 80)
	if err != nil {
		t.Fatalf("before: %v", err)
	}
	st.end()
	home := netip.MustParseAddr("93.184.216.34") // where site.example is, in this test
	if err := s.Send(wire.Observed{Address: home.As16()}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the edge has heard", func() bool { return e.gate.gate().Check(home) != nil })
	for _, host := range []string{"site.example", home.String()} {
		_, err := s.open(t.Context(), g, host, 443)
		if code := wire.CodeOf(err); code != wire.DestSelf && code != wire.DestSelfPrefix {
			t.Errorf("%s: got %v, want it refused as the home itself", host, err)
		}
	}
}
