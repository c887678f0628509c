package seal

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sward/internal/outside"
	"sward/policy"
)

// home is a home network with a private and a global address, as a machine in it lists them.
func home() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("192.168.178.20/24"),
		netip.MustParsePrefix("2a02:8071:1:2::10/64"), netip.MustParsePrefix("fe80::1234/64"), netip.MustParsePrefix("93.184.216.34/32"),
	}
}

// ask is what an edge does with a stranger's request, under rules that let everything pass: the owner may loosen them.
func ask(ctx context.Context, out outside.Dialer, _ policy.App, host string, port uint16) (net.Conn, error) {
	h, err := policy.ParseHost(host)
	if err != nil {
		return nil, outside.Refusal(err)
	}
	return out.Open(ctx, policy.Target{Host: h, Port: port})
}

func config(t *testing.T, change func(*Config)) Config {
	t.Helper()
	gate := func() policy.Gate { return policy.Gate{Own: home()} }
	hosts := filepath.Join(t.TempDir(), "hosts")
	text := "127.0.0.1 localhost\n192.168.1.5 shop.trap.example # A34\n93.184.216.35 public.example\n0.0.0.0 ads.example\n"
	if err := os.WriteFile(hosts, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out := outside.New(gate)
	out.Resolve = func(_ context.Context, name string) ([]netip.Addr, error) {
		for line := range strings.Lines(text) {
			if fields := strings.Fields(line); fields[1] == name {
				return []netip.Addr{netip.MustParseAddr(fields[0])}, nil
			}
		}
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	cfg := Config{
		Ask: ask, Out: out, Sockets: true, Own: home, Hosts: hosts,
		Routers: func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("192.168.178.1")} },
	}
	if change != nil {
		change(&cfg)
	}
	return cfg
}

func attackOnce(t *testing.T, change func(*Config)) Report {
	t.Helper()
	s, err := New(config(t, change))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Attack(t.Context(), s.cfg.Own()); err != nil {
		t.Fatal(err)
	}
	return s.Report()
}

func TestAHomeBehindTheGateIsSealed(t *testing.T) {
	start := time.Now()
	r := attackOnce(t, nil)
	if !r.Whole() || r.Attacks < 250 {
		t.Errorf("%d attacks, of which came through: %+v", r.Attacks, r.Through)
	}
	t.Logf("%d attacks in %s", r.Attacks, time.Since(start))
}

// Each of these is a mistake that somebody could make in the way out, and after which everything goes on working.
func TestABrokenWayOutBreaksTheSeal(t *testing.T) {
	var direct net.Dialer
	for name, c := range map[string]struct {
		change func(*Config)
		id     string // of an attack that has to come through
	}{
		"a dial without the gate": {func(c *Config) {
			c.Out.Dial = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
				if !to.Addr().IsLoopback() {
					return nil, policy.ErrDenied // a test's packets stay on this machine
				}
				return direct.DialContext(ctx, "tcp", to.String())
			}
		}, "A01"},
		"a gate that does not know the home": {func(c *Config) {
			c.Out.Gate = func() policy.Gate { return policy.Gate{} }
		}, "A25"},
		"a gate that knows itself and not its network": {func(c *Config) {
			c.Sockets = false
			c.Own = func() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("2a02:8071:1:3::10/64")} }
			c.Out.Gate = func() policy.Gate {
				return policy.Gate{Own: []netip.Prefix{netip.MustParsePrefix("2a02:8071:1:3::10/128")}}
			}
		}, "A30"},
		"a request that goes past the gate": {func(c *Config) {
			c.Ask = func(ctx context.Context, out outside.Dialer, _ policy.App, host string, port uint16) (net.Conn, error) {
				h, err := policy.ParseHost(host)
				if err != nil {
					return nil, outside.Refusal(err)
				}
				a, literal := h.Addr()
				if !literal {
					addrs, err := out.Resolve(ctx, h.Name())
					if err != nil {
						return nil, err
					}
					a = addrs[0]
				}
				return out.Dial(ctx, netip.AddrPortFrom(a, port))
			}
		}, "A06"},
		"a request that takes the public half of an answer": {func(c *Config) {
			c.Ask = func(ctx context.Context, out outside.Dialer, app policy.App, host string, port uint16) (net.Conn, error) {
				resolve := out.Resolve
				out.Resolve = func(ctx context.Context, name string) ([]netip.Addr, error) {
					addrs, err := resolve(ctx, name)
					for _, a := range addrs {
						if out.Gate().Check(a) == nil {
							return []netip.Addr{a}, nil
						}
					}
					return addrs, err
				}
				return ask(ctx, out, app, host, port)
			}
		}, "A19"},
		"a request that resolves twice": {func(c *Config) {
			c.Ask = func(ctx context.Context, out outside.Dialer, app policy.App, host string, port uint16) (net.Conn, error) {
				h, err := policy.ParseHost(host)
				if err != nil {
					return nil, outside.Refusal(err)
				}
				if name := h.Name(); name != "" {
					addrs, err := out.Resolve(ctx, name)
					if err != nil {
						return nil, err
					}
					if err := out.Gate().CheckAll(addrs); err != nil {
						return nil, outside.Refusal(err)
					}
					if addrs, err = out.Resolve(ctx, name); err != nil {
						return nil, err
					}
					return out.Dial(ctx, netip.AddrPortFrom(addrs[0], port))
				}
				return ask(ctx, out, app, host, port)
			}
		}, "A20"},
		"a parser that reads what C libraries read": {func(c *Config) {
			c.Ask = func(ctx context.Context, out outside.Dialer, app policy.App, host string, port uint16) (net.Conn, error) {
				if host == "2130706433" || host == "127.1" {
					return out.Dial(ctx, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port))
				}
				return ask(ctx, out, app, host, port)
			}
		}, "A15"},
		"a request that asks the DNS for names of home": {func(c *Config) {
			c.Ask = func(ctx context.Context, out outside.Dialer, app policy.App, host string, port uint16) (net.Conn, error) {
				if addrs, err := out.Resolve(ctx, host); err == nil && strings.HasPrefix(host, "nas.") {
					return out.Dial(ctx, netip.AddrPortFrom(addrs[0], port))
				}
				return ask(ctx, out, app, host, port)
			}
		}, "A29"},
		"a hosts file that is believed": {func(c *Config) {
			c.Ask = func(ctx context.Context, out outside.Dialer, app policy.App, host string, port uint16) (net.Conn, error) {
				if strings.HasPrefix(host, "shop.trap") {
					return out.Dial(ctx, netip.MustParseAddrPort("192.168.1.5:80"))
				}
				return ask(ctx, out, app, host, port)
			}
		}, "A34"},
	} {
		t.Run(name, func(t *testing.T) {
			r := attackOnce(t, c.change)
			if r.Whole() {
				t.Fatalf("%d attacks, and the seal is whole", r.Attacks)
			}
			t.Log(r, r.Through)
			for _, b := range r.Through {
				if b.ID == c.id {
					return
				}
			}
			t.Errorf("no %s among %+v", c.id, r.Through)
		})
	}
}

// A victim that somebody reaches without any attack owning up to it is tried twice: programs that look at all ports of a
// machine are no breach, a dial that sends first and asks then is one.
func TestAVictimThatIsReachedTwiceBreaksTheSeal(t *testing.T) {
	for name, c := range map[string]struct {
		rounds int // in which the victim is reached
		whole  bool
	}{"a port scan of the owner's": {1, true}, "a dial that sends before it asks": {2, false}} {
		t.Run(name, func(t *testing.T) {
			rounds := 0
			r := attackOnce(t, func(cfg *Config) {
				dial := cfg.Out.Dial
				cfg.Out.Dial = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
					if loopback := netip.MustParseAddr("127.0.0.1"); to.Addr() == loopback && to.Port() > 1024 {
						if rounds++; rounds <= c.rounds {
							conn, err := net.Dial("tcp", to.String())
							if err != nil {
								t.Error(err)
							} else {
								conn.Read(make([]byte, 1)) // the victim has closed it: it was accepted
								conn.Close()
							}
						}
					}
					return dial(ctx, to)
				}
			})
			if r.Whole() != c.whole {
				t.Errorf("whole = %v, want %v: %+v", r.Whole(), c.whole, r.Through)
			}
		})
	}
}

// A22: aliases that lead round in a circle end at once, and a long chain of them ends where the gate looks.
func TestAliasesInACircleEndSoon(t *testing.T) {
	dns := newTrap()
	dns.set("loop.seal.example", zone{aliases: []string{"a.seal.example", "b.seal.example", "a.seal.example"}})
	start := time.Now()
	if addrs, err := dns.resolve(t.Context(), "loop.seal.example"); err == nil {
		t.Errorf("got %v, want an error", addrs)
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("it took %s, want less than 2 s", took)
	}
	private := netip.MustParseAddr("192.168.178.1")
	for _, a := range named("a device at home", private, 80) {
		if a.id != "A22" {
			continue
		}
		dns.set(a.host, *a.dns)
		if addrs, err := dns.resolve(t.Context(), a.host); err != nil || len(addrs) != 1 || addrs[0] != private {
			t.Errorf("the chain of %d leads to %v (%v), want %s", aliasChain, addrs, err, private)
		}
	}
}

func TestTheHomeIsAttackedHourlyAndInEachNewNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rounds atomic.Int32
		var moved atomic.Bool
		s, err := New(config(t, func(c *Config) {
			c.Sockets = false
			c.Done = func(Report) { rounds.Add(1) }
			c.Own = func() []netip.Prefix {
				if moved.Load() {
					return append(home(), netip.MustParsePrefix("10.1.2.3/16"))
				}
				return home()
			}
		}))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		<-s.First()
		check := func(want int32, when string) {
			t.Helper()
			if got := rounds.Load(); got != want {
				t.Errorf("%s: %d rounds, want %d", when, got, want)
			}
		}
		check(1, "at the start")
		time.Sleep(every / 2)
		check(1, "after half an hour")
		moved.Store(true)
		time.Sleep(lookEvery + time.Second)
		check(2, "in another network")
		time.Sleep(every + lookEvery)
		check(3, "an hour later")
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
