package outside

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"

	"sward/internal/wire"
	"sward/policy"
)

// door is a dialer whose world is in the test's hands.
type door struct {
	Dialer
	resolves atomic.Int32
	dialled  []netip.AddrPort
}

func newDoor(t *testing.T, answers map[string][]string, dial func(netip.AddrPort) error) *door {
	t.Helper()
	d := &door{}
	d.Dialer = Dialer{
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
	}
	return d
}

func (d *door) try(t *testing.T, hostport string) error {
	t.Helper()
	target, err := policy.ParseTarget(hostport)
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Open(t.Context(), target)
	return err
}

func TestNoPrivateAddressIsDialled(t *testing.T) {
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
		"unknown.example": wire.DNSNotFound,
	} {
		if got := wire.CodeOf(d.try(t, host+":443")); got != want {
			t.Errorf("%s: got %s, want %s", host, got, want)
		}
	}
	if len(d.dialled) != 0 {
		t.Errorf("dialled %v, want no dial at all", d.dialled)
	}
}

func TestANameIsResolvedOnceAndTheCheckedAddressIsDialled(t *testing.T) { // A20
	answers := map[string][]string{"rebind.example": {"93.184.216.34"}}
	d := newDoor(t, answers, func(netip.AddrPort) error {
		answers["rebind.example"] = []string{"127.0.0.1"} // from now on
		return nil
	})
	if err := d.try(t, "rebind.example:443"); err != nil {
		t.Fatal(err)
	}
	if n := d.resolves.Load(); n != 1 {
		t.Errorf("resolved %d times, want once", n)
	}
	if want := netip.MustParseAddrPort("93.184.216.34:443"); len(d.dialled) != 1 || d.dialled[0] != want {
		t.Errorf("dialled %v, want %s", d.dialled, want)
	}
	if err := d.try(t, "rebind.example:443"); wire.CodeOf(err) != wire.DestLoopback {
		t.Errorf("the next request: got %v, want %s", err, wire.DestLoopback)
	}
}

func TestAddressesAreTriedInOrderUpToABound(t *testing.T) {
	d := newDoor(t, map[string][]string{
		"many.example": {"1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4", "1.1.1.5", "1.1.1.6"},
		"two.example":  {"1.1.1.1", "1.1.1.2"},
	}, func(to netip.AddrPort) error {
		if to.Addr() == netip.MustParseAddr("1.1.1.2") {
			return nil
		}
		return &net.OpError{Op: "dial", Err: errnoRefused}
	})
	if err := d.try(t, "two.example:443"); err != nil || len(d.dialled) != 2 {
		t.Errorf("two.example: got %v after %d dials, want the second address to answer", err, len(d.dialled))
	}
	d.dialled = nil
	d.Dial = func(_ context.Context, to netip.AddrPort) (net.Conn, error) {
		d.dialled = append(d.dialled, to)
		return nil, &net.OpError{Op: "dial", Err: errnoRefused}
	}
	if err := d.try(t, "many.example:443"); wire.CodeOf(err) != wire.DialRefused || len(d.dialled) != maxDials {
		t.Errorf("many.example: got %v after %d dials, want %s after %d", err, len(d.dialled), wire.DialRefused, maxDials)
	}
}

func TestDialErrorsKeepTheirMeaning(t *testing.T) {
	for want, err := range map[wire.Code]error{
		wire.DialRefused:     &net.OpError{Op: "dial", Err: errnoRefused},
		wire.DialTimeout:     context.DeadlineExceeded,
		wire.DialUnreachable: &net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH},
		wire.DestLoopback:    &net.OpError{Op: "dial", Err: policy.Gate{}.Check(netip.MustParseAddr("127.0.0.1"))},
	} {
		if got := dialError(err).Code; got != want {
			t.Errorf("%v: got %s, want %s", err, got, want)
		}
	}
	if got := resolveError(errors.New("server misbehaving")).Code; got != wire.DNSError {
		t.Errorf("resolver failure: got %s, want %s", got, wire.DNSError)
	}
}

func TestDialChecksTheSocketsOwnAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan struct{})
	go func() {
		if c, err := l.Accept(); err == nil {
			c.Close()
			close(accepted)
		}
	}()
	dial := Dial(func() policy.Gate { return policy.Gate{} })
	_, err = dial(t.Context(), netip.MustParseAddrPort(l.Addr().String()))
	if !errors.Is(err, policy.ErrDenied) {
		t.Errorf("dial to loopback below the gate: got %v, want a refusal", err)
	}
	l.Close()
	select {
	case <-accepted:
		t.Error("a connection reached the listener")
	default:
	}
}
