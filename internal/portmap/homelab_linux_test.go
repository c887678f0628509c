package portmap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"sward/internal/homelab"
)

const patience = 10 * time.Second // with a loaded machine; what is waited for takes milliseconds to 3 s

// window is shorter than searchWindow: Debian's daemon answers a search at once.
const window = 1200 * time.Millisecond

func TestMain(m *testing.M) {
	os.Exit(homelab.Main(m, map[string]homelab.Role{"mapper": mapperRole, "protocol": protocolRole}))
}

// mapperRole is an edge's computer: a socket that answers what comes in, and a mapper for its port. It tells each state.
func mapperRole(ctx context.Context, args []string, in <-chan string, tell func(string, ...any)) error {
	var c struct {
		Port  uint16
		Lease time.Duration
		Off   bool

		Observed netip.Addr
	}
	if err := json.Unmarshal([]byte(args[0]), &c); err != nil {
		return err
	}
	if err := echo(ctx, c.Port); err != nil {
		return err
	}
	cfg := Config{Port: c.Port, Lease: c.Lease, On: !c.Off, Name: "test", Seed: []byte("seed"), every: 500 * time.Millisecond, window: window,
		Observed: func() netip.Addr { return c.Observed }}
	var m *Mapper
	cfg.changed = func() {
		text, err := json.Marshal(m.State())
		tell("%s %s", map[bool]string{true: "open", false: "shut"}[m.State().Open], or(text, err))
	}
	cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	m, err := New(cfg)
	if err != nil {
		return err
	}
	go func() {
		for line := range in {
			m.Switch(line == "on")
		}
	}()
	return m.Run(ctx)
}

func or(text []byte, err error) string {
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func echo(ctx context.Context, port uint16) error {
	pc, err := net.ListenUDP("udp4", &net.UDPAddr{Port: int(port)})
	if err != nil {
		return err
	}
	go func() {
		defer pc.Close()
		buf := make([]byte, 100)
		for ctx.Err() == nil {
			if n, from, err := pc.ReadFrom(buf); err == nil {
				pc.WriteTo(buf[:n], from)
			}
		}
	}()
	return nil
}

// protocolRole drives one protocol by hand: each line that it is told is a call.
func protocolRole(ctx context.Context, args []string, in <-chan string, tell func(string, ...any)) error {
	if err := echo(ctx, 4433); err != nil {
		return err
	}
	at := netip.AddrPortFrom(theRoute().gateway, portServer)
	var g gateway
	switch args[0] {
	case "PCP":
		g = &pcp{at: at, clock: new(epoch), nonce: [pcpNonce]byte{1, 2, 3}}
	case "NAT-PMP":
		g = &natPMP{at: at, clock: new(epoch)}
	default:
		err := finder{way: theRoute(), label: "test", window: window}.find(ctx, func(found gateway) error {
			if found.protocol() != args[0] {
				return NoRouter
			}
			g = found
			return nil
		})
		if err != nil || g == nil {
			return errors.Join(fmt.Errorf("no %s", args[0]), err)
		}
	}
	tell("ready")
	var m mapping
	for line := range in {
		var err error
		holds := false
		switch line {
		case "open":
			m, err = g.open(ctx, mapping{internal: 4433, external: netip.MustParseAddrPort("0.0.0.0:4433")}, time.Minute)
		case "holds":
			holds, err = g.holds(ctx, m)
		case "close":
			err = g.close(ctx, m)
		}
		tell("%s %s %v %v", line, m.external, holds, err)
	}
	return nil
}

// reaches reports whether a stranger in the street gets an answer from at. Each asks from a port of its own.
func reaches(t *testing.T, lab *homelab.Lab, at string) bool {
	t.Helper()
	c, err := lab.Street.ListenPacket(homelab.StreetAddr(3).String() + ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 3 { // the mapping answers before nftables' rule is in place
		c.WriteTo([]byte("stranger"), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(at)))
		c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		if n, _, err := c.ReadFrom(make([]byte, 100)); err == nil && n == len("stranger") {
			return true
		}
	}
	return false
}

func start(t *testing.T, h *homelab.House, config string) *homelab.Actor {
	t.Helper()
	return homelab.Start(t, h.Computer, "mapper", config)
}

// awaitState returns the next state of the mapper that is open, or shut.
func awaitState(t *testing.T, a *homelab.Actor, kind string) (s State) {
	t.Helper()
	text := a.Await(kind+" ", patience)
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return s
}

// Each protocol does the same with Debian's daemon: opens a port that strangers reach, renews it, tells whether it holds,
// closes it.
func TestProtocolsWithARealRouter(t *testing.T) {
	t.Parallel()
	lab := homelab.New(t, homelab.Home{})
	house := lab.Houses[0]
	for _, c := range []struct {
		protocol string
		igd      homelab.IGD
	}{
		{"PCP", homelab.IGD{}}, {"NAT-PMP", homelab.IGD{}},
		{"UPnP IGD 2", homelab.IGD{}}, {"UPnP IGD 1", homelab.IGD{V1: true}},
	} {
		t.Run(strings.ReplaceAll(c.protocol, " ", "-"), func(t *testing.T) {
			house.Router.StartIGD(c.igd)
			defer house.Router.StopIGD()
			a := homelab.Start(t, house.Computer, "protocol", c.protocol)
			a.Await("ready", patience)
			at := house.Outside.String() + ":4433"
			call := func(verb, want string) {
				t.Helper()
				a.Say(verb)
				if got := a.Await(verb, patience); got != want {
					t.Errorf("%s: got %q, want %q", verb, got, want)
				}
			}
			call("open", at+" false <nil>")
			call("open", at+" false <nil>")
			if got := house.Router.Mapped(); len(got) != 1 {
				t.Errorf("the router has %q, want one mapping", got)
			}
			if !reaches(t, lab, at) {
				t.Error("a stranger does not get through")
			}
			call("holds", at+" true <nil>")
			call("close", at+" false <nil>")
			if got := house.Router.Mapped(); len(got) != 0 {
				t.Errorf("the router has %q after the close", got)
			}
			if reaches(t, lab, at) {
				t.Error("a stranger gets through after the close")
			}
			a.Stop()
		})
	}
}

// A port that is mapped is open to strangers behind both kinds of router, follows the owner's switch, and closes with the
// program.
func TestMapperOpensThePort(t *testing.T) {
	t.Parallel()
	for _, nat := range []homelab.NAT{homelab.PortRestricted, homelab.Symmetric} {
		t.Run(strings.ReplaceAll(string(nat), " ", "-"), func(t *testing.T) {
			t.Parallel()
			lab := homelab.New(t, homelab.Home{NAT: nat})
			house := lab.Houses[0]
			house.Router.StartIGD(homelab.IGD{})
			a := start(t, house, `{"Port":4433,"Off":true}`)
			if s := awaitState(t, a, "shut"); s.On || s.Why != "" {
				t.Errorf("switched off: %+v", s)
			}
			a.Say("on")
			s := awaitState(t, a, "open")
			if s.Protocol != "PCP" && s.Protocol != "NAT-PMP" || s.External.Addr() != house.Outside || s.Router != house.Router.Inside.String() || s.Until.IsZero() || !s.On || s.Why != "" {
				t.Errorf("state is %+v", s)
			}
			if !reaches(t, lab, s.External.String()) {
				t.Error("a stranger does not get through")
			}
			a.Say("off")
			awaitState(t, a, "shut")
			if got := house.Router.Mapped(); len(got) != 0 {
				t.Errorf("switched off, the router has %q", got)
			}
			a.Say("on")
			awaitState(t, a, "open")
			a.Stop()
			if got := house.Router.Mapped(); len(got) != 0 {
				t.Errorf("left on the router: %q", got)
			}
		})
	}
}

func TestMapperLeavesRoutersBehindRoutersAlone(t *testing.T) {
	t.Parallel()
	for name, uplink := range map[string]homelab.Uplink{"box": homelab.Box, "carrier": homelab.Carrier} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lab := homelab.New(t, homelab.Home{Uplink: uplink})
			house := lab.Houses[0]
			house.Router.StartIGD(homelab.IGD{})
			// Debian's daemon does not tell a private address. Without a word from relays it could as well be offline.
			a := start(t, house, fmt.Sprintf(`{"Port":4433,"Observed":%q}`, house.Outside))
			if s := awaitState(t, a, "shut"); s.Why != Hidden || s.Problem == "" || s.Remedy == "" {
				t.Errorf("got %+v, want %s", s, string(Hidden))
			}
			a.Stop()
			if got := house.Router.Mapped(); len(got) != 0 {
				t.Errorf("mapped %q", got)
			}
		})
	}
}

// After a power cut at the router, which forgets everything and calls itself otherwise, the port is open again within
// seconds, by each protocol's announcement.
func TestMapperMapsAgainAfterAReboot(t *testing.T) {
	t.Parallel()
	lab := homelab.New(t, homelab.Home{})
	house := lab.Houses[0]
	for _, igd := range []homelab.IGD{{NoPMP: true}, {NoUPnP: true}} {
		house.Router.StartIGD(igd)
		a := start(t, house, `{"Port":4433}`)
		first := awaitState(t, a, "open")
		house.Router.Reboot()
		began := time.Now()
		for !reaches(t, lab, first.External.String()) {
			if time.Since(began) > patience {
				t.Fatalf("%+v: not open %s after the reboot", igd, patience)
			}
		}
		t.Logf("%s: open again after %s", first.Protocol, time.Since(began).Round(time.Millisecond))
		a.Stop()
		house.Router.StopIGD()
	}
}

// What a crash leaves on the router ends with the lease; the next start takes it over or removes it.
func TestMappingOfACrashEnds(t *testing.T) {
	t.Parallel()
	lab := homelab.New(t, homelab.Home{})
	house := lab.Houses[0]
	house.Router.StartIGD(homelab.IGD{NoPMP: true})
	a := start(t, house, `{"Port":4433}`)
	awaitState(t, a, "open")
	a.Kill()
	if got := house.Router.Mapped(); len(got) != 1 {
		t.Fatalf("after the crash the router has %q", got)
	}
	a = start(t, house, `{"Port":4434,"Lease":3000000000}`) // the system gave another port
	awaitState(t, a, "open")
	if got := house.Router.Mapped(); len(got) != 1 || !strings.Contains(got[0], "4434") {
		t.Errorf("after the next start the router has %q, want the new port alone", got)
	}
	a.Kill()
	began := time.Now()
	for len(house.Router.Mapped()) > 0 {
		if time.Since(began) > patience {
			t.Fatalf("%s after the end of a lease of 3 s the mapping is there", patience)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// A lease is renewed before it ends.
func TestMapperRenews(t *testing.T) {
	t.Parallel()
	lab := homelab.New(t, homelab.Home{})
	house := lab.Houses[0]
	house.Router.StartIGD(homelab.IGD{MinLease: 2 * time.Second})
	a := start(t, house, `{"Port":4433,"Lease":2000000000}`)
	first := awaitState(t, a, "open")
	var last State
	for range 2 {
		last = awaitState(t, a, "open")
	}
	if !last.Until.After(first.Until) || last.Since != first.Since || last.External != first.External {
		t.Errorf("first %+v, renewed %+v", first, last)
	}
	time.Sleep(time.Until(first.Until) + 500*time.Millisecond)
	if !reaches(t, lab, first.External.String()) {
		t.Error("after the first lease's end a stranger does not get through")
	}
	a.Stop()
}

// With two routers in the house the one that leads to the Internet is asked, however quick the other; the other is better
// than nothing.
func TestTwoRouters(t *testing.T) {
	t.Parallel()
	lab := homelab.New(t, homelab.Home{})
	house := lab.Houses[0]
	second := house.AddRouter()
	second.StartIGD(homelab.IGD{})
	house.Router.StartIGD(homelab.IGD{NoPMP: true})
	a := start(t, house, `{"Port":4433}`)
	if s := awaitState(t, a, "open"); s.External.Addr() != house.Outside {
		t.Errorf("open on %v, want the gateway's %v", s.External, house.Outside)
	}
	a.Stop()
	house.Router.StopIGD()
	a = start(t, house, `{"Port":4433}`)
	if s := awaitState(t, a, "open"); s.External.Addr() != second.Outside || s.Protocol != "UPnP IGD 2" {
		t.Errorf("open on %v by %s, want the second's %v", s.External, s.Protocol, second.Outside)
	}
	a.Stop()
	if got := second.Mapped(); len(got) != 0 {
		t.Errorf("left on the second router: %q", got)
	}
}

// The neighbour's port stays the neighbour's.
func TestConflictOnARealRouter(t *testing.T) {
	t.Parallel()
	lab := homelab.New(t, homelab.Home{})
	house := lab.Houses[0]
	console := house.AddRouter() // another machine in the house, which finds the router by UPnP
	house.Router.StartIGD(homelab.IGD{})
	b := homelab.Start(t, console.Space, "mapper", `{"Port":4433}`)
	if s := awaitState(t, b, "open"); s.External.Addr() != house.Outside || s.External.Port() != 4433 {
		t.Fatalf("the neighbour's port is open at %v", s.External)
	}
	for _, protocol := range []string{"PCP", "NAT-PMP", "UPnP IGD 2"} {
		a := homelab.Start(t, house.Computer, "protocol", protocol)
		a.Await("ready", patience)
		a.Say("open")
		at, result, _ := strings.Cut(a.Await("open", patience), " ")
		if result != "false <nil>" || at == house.Outside.String()+":4433" {
			t.Errorf("%s: open at %s, %s", protocol, at, result)
		} else if !reaches(t, lab, at) {
			t.Errorf("%s: a stranger does not get through to %s", protocol, at)
		}
		a.Say("close")
		a.Await("close", patience)
		a.Stop()
	}
	if got := house.Router.Mapped(); len(got) != 1 || !strings.Contains(got[0], console.Inside.String()+":4433") {
		t.Errorf("the router has %q, want the neighbour's alone", got)
	}
}

// A router that refuses is told from one that is not there.
func TestRefusalAndSilence(t *testing.T) {
	t.Parallel()
	lab := homelab.New(t, homelab.Home{})
	house := lab.Houses[0]
	a := start(t, house, `{"Port":4433}`)
	if s := awaitState(t, a, "shut"); s.Why != NoRouter {
		t.Errorf("nobody answers: %+v", s)
	}
	house.Router.StartIGD(homelab.IGD{Deny: true, NoPMP: true}) // by NAT-PMP it tries all 65,535 ports before it says no
	for began := time.Now(); ; {
		s := awaitState(t, a, "shut")
		if s.Why == Refused || s.Why == Conflict { // the daemon calls it one or the other, by the protocol
			break
		}
		if time.Since(began) > patience {
			t.Fatalf("refused: %+v", s)
		}
	}
	a.Stop()
}
