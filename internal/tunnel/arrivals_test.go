package tunnel

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"sward/internal/wire"
)

func at(t testing.TB, addr string) net.Addr {
	t.Helper()
	a, err := netip.ParseAddrPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return net.TCPAddrFromAddrPort(a)
}

// E02: handshakes that have begun are limited by address and by network.
func TestArrivalsAreBoundedByWhereTheyComeFrom(t *testing.T) {
	for name, c := range map[string]struct {
		from  func(i int) string
		other string // is let in all the same
		want  int
	}{
		"one IPv4 address":  {func(i int) string { return fmt.Sprintf("192.0.2.1:%d", 1000+i) }, "192.0.2.2:1", maxFromOne},
		"the same, mapped":  {func(i int) string { return fmt.Sprintf("[::ffff:192.0.2.1]:%d", 1000+i) }, "192.0.2.2:1", maxFromOne},
		"one IPv4 network":  {func(i int) string { return fmt.Sprintf("192.0.2.%d:1", i%256) }, "192.0.3.1:1", maxFromNetwork},
		"one IPv6 host's":   {func(i int) string { return fmt.Sprintf("[2001:db8::%x]:1", i) }, "[2001:db8:0:1::1]:1", maxFromOne},
		"one IPv6 network":  {func(i int) string { return fmt.Sprintf("[2001:db8:0:%x::1]:1", i) }, "[2001:db8:1::1]:1", maxFromNetwork},
		"everywhere":        {func(i int) string { return fmt.Sprintf("10.%d.%d.1:1", i/256, i%256) }, "", maxArrivals},
		"no address at all": {func(int) string { return "" }, "", maxArrivals},
	} {
		t.Run(name, func(t *testing.T) {
			r := newArrivals()
			addr := func(i int) net.Addr {
				if c.from(i) == "" {
					return muteAddr{}
				}
				return at(t, c.from(i))
			}
			var leaves []func()
			for i := range 2 * maxArrivals {
				if leave, ok := r.enter(addr(i)); ok {
					leaves = append(leaves, leave)
				}
			}
			if len(leaves) != c.want {
				t.Errorf("%d were let in, want %d", len(leaves), c.want)
			}
			if c.want < maxArrivals && !r.crowded(addr(0)) {
				t.Error("a full place is not crowded")
			}
			if c.other != "" {
				leave, ok := r.enter(at(t, c.other))
				if !ok {
					t.Fatalf("%s has to wait for others", c.other)
				}
				if r.crowded(at(t, "198.51.100.1:1")) {
					t.Error("an empty place is crowded")
				}
				leave()
			}
			for _, leave := range leaves {
				leave()
				leave() // once is enough
			}
			if r.all != 0 || len(r.from) != 0 {
				t.Errorf("after the last: %d, and %d places", r.all, len(r.from))
			}
		})
	}
}

type muteAddr struct{}

func (muteAddr) Network() string { return "pipe" }
func (muteAddr) String() string  { return "pipe" }

// E02: those who shake hands and say nothing take up no more than their place's
// share, and those who are in stay in.
func TestSilentArrivalsAreBounded(t *testing.T) {
	for _, via := range []Carrier{QUIC, TCP} { // what an overlay lets one peer have is fewer yet
		t.Run(via.String(), func(t *testing.T) { checkSilentArrivalsAreBounded(t, via) })
	}
}

func checkSilentArrivalsAreBounded(t *testing.T, via Carrier) {
	l := listen(t, relayConfig(t))
	sessions := welcome(l)
	in, _, err := Dial(soon(t), edgeConfigOver(t, via), nil, l.Addr().String(), testKey(t, 'r').ID(), hello())
	if err != nil {
		t.Fatal(err)
	}
	relay := <-sessions
	d, err := NewDialer(edgeConfigOver(t, via), socket(t))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for i := range maxFromOne {
		s, err := d.connect(soon(t), l.Addr().String(), testKey(t, 'r').ID())
		if err != nil {
			t.Fatalf("arrival %d: %v", i, err)
		}
		defer s.end(wire.OK, "")
	}
	if s, err := d.connect(soon(t), l.Addr().String(), testKey(t, 'r').ID()); err == nil {
		t.Errorf("arrival %d was let in", maxFromOne)
		s.end(wire.OK, "")
	}
	near, far := stream(t, relay, in)
	near.Close()
	far.Close()
	in.Close(wire.OK, "")
}
