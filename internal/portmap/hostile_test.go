package portmap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// portServerAt answers each packet with what answer makes of it; nil is silence.
func portServerAt(t *testing.T, answer func(request []byte) [][]byte) netip.AddrPort {
	t.Helper()
	pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	go func() {
		buf := make([]byte, 2000)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			for _, a := range answer(buf[:n]) {
				pc.WriteTo(a, from)
			}
		}
	}()
	return pc.LocalAddr().(*net.UDPAddr).AddrPort()
}

// A router, or who claims to be one, may answer as it likes: nothing is taken that was not asked for, and nothing waits for
// ever.
func TestHostilePortServers(t *testing.T) {
	address := unhex(t, pmpAddressAnswer)
	private := unhex(t, "008000000000000ac0a8b214")
	carrier := unhex(t, "008000000000000a64400001")
	foreign := unhex(t, "008100000000000a1152115200000e10") // for another port
	for name, c := range map[string]struct {
		address, mapped [][]byte
		want            error
	}{
		"says nothing":            {nil, nil, errSilent},
		"says rubbish":            {[][]byte{{}, {1}, []byte("HTTP/1.1 200 OK\r\n\r\n"), make([]byte, maxPortAnswer)}, nil, errSilent},
		"speaks of another port":  {[][]byte{address}, [][]byte{foreign}, errSilent},
		"echoes":                  {[][]byte{{0, 0}}, nil, errSilent},
		"is behind another":       {[][]byte{private}, nil, DoubleNAT},
		"is behind a carrier":     {[][]byte{carrier}, nil, CarrierNAT},
		"refuses":                 {[][]byte{address}, [][]byte{unhex(t, "008100020000000a")}, Refused},
		"has no address":          {[][]byte{unhex(t, "008000030000000a")}, nil, Offline},
		"has no room":             {[][]byte{address}, [][]byte{unhex(t, "008100040000000a")}, Conflict},
		"knows no such operation": {[][]byte{address}, [][]byte{unhex(t, "008100050000000a")}, Fault},
		"opens nothing":           {[][]byte{address}, [][]byte{unhex(t, "008100000000000a1151000000000e10")}, Fault},
		"opens for no time":       {[][]byte{address}, [][]byte{unhex(t, "008100000000000a1151115100000000")}, Fault},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := portServerAt(t, func(request []byte) [][]byte {
				if len(request) == 2 {
					return c.address
				}
				return c.mapped
			})
			n := &natPMP{at: at, clock: new(epoch)}
			_, err := n.open(t.Context(), mapping{internal: 4433}, time.Hour)
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestHostilePCPServers(t *testing.T) {
	good := func(change func(answer []byte)) func(request []byte) [][]byte {
		return func(request []byte) [][]byte {
			a := unhex(t, pcpMapAnswer)
			if len(request) >= pcpMapLen {
				copy(a[pcpHead:], request[pcpHead:pcpHead+pcpNonce])
			}
			change(a)
			return [][]byte{a}
		}
	}
	for name, c := range map[string]struct {
		answer func([]byte) [][]byte
		want   error
	}{
		"does as asked":          {good(func([]byte) {}), nil},
		"knows no nonce":         {func([]byte) [][]byte { return [][]byte{unhex(t, pcpMapAnswer)} }, errSilent},
		"speaks of another port": {good(func(a []byte) { a[41]++ }), errSilent},
		"speaks NAT-PMP":         {func([]byte) [][]byte { return [][]byte{unhex(t, "0080000100000001")} }, Fault},
		"refuses":                {good(func(a []byte) { a[3] = 2 }), Refused},
		"sees another address":   {good(func(a []byte) { a[3] = 12 }), DoubleNAT},
		"has a private address":  {good(func(a []byte) { copy(a[56:], []byte{192, 168, 178, 20}) }), DoubleNAT},
		"has a v6 address":       {good(func(a []byte) { copy(a[44:], unhex(t, "20010db8000000000000000000000001")) }), DoubleNAT},
		"opens port 0":           {good(func(a []byte) { a[42], a[43] = 0, 0 }), Fault},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &pcp{at: portServerAt(t, c.answer), clock: new(epoch), nonce: [pcpNonce]byte{9}}
			if _, err := p.open(t.Context(), mapping{internal: 4433}, time.Hour); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// The wait for a silent router ends with the context.
func TestExchangeEndsWithTheContext(t *testing.T) {
	at := portServerAt(t, func([]byte) [][]byte { return nil })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := (&natPMP{at: at, clock: new(epoch)}).outside(ctx)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(began); took > 240*time.Millisecond {
		t.Errorf("took %s", took)
	}
}

// A device describes itself, at home, over HTTP: nobody sends the edge elsewhere (L10 of a search's answers).
func TestSearchAnswersThatAreNotFollowed(t *testing.T) {
	answer := func(status, kind, location string) string {
		return fmt.Sprintf("HTTP/1.1 %s\r\nST: %s\r\nLOCATION: %s\r\nUSN: uuid:1::x\r\n\r\n", status, kind, location)
	}
	const igd1 = "urn:schemas-upnp-org:device:InternetGatewayDevice:1"
	for text, from := range map[string]string{
		answer("404 Not Found", igd1, "http://192.168.1.1/d.xml"):                                 "192.168.1.1",
		answer("200 OK", "urn:schemas-upnp-org:device:MediaServer:1", "http://192.168.1.1/d.xml"): "192.168.1.1",
		answer("200 OK", igd1, "http://192.168.1.2/d.xml"):                                        "192.168.1.1", // the printer
		answer("200 OK", igd1, "http://169.254.169.254/latest/meta-data"):                         "192.168.1.1",
		answer("200 OK", igd1, "http://93.184.216.34/d.xml"):                                      "93.184.216.34", // from outside
		answer("200 OK", igd1, "http://router.example/d.xml"):                                     "192.168.1.1",
		answer("200 OK", igd1, "https://192.168.1.1/d.xml"):                                       "192.168.1.1",
		answer("200 OK", igd1, "http://user:pass@192.168.1.1/d.xml"):                              "192.168.1.1",
		answer("200 OK", igd1, "file:///etc/passwd"):                                              "192.168.1.1",
		answer("200 OK", igd1, "http://192.168.1.1:x/"):                                           "192.168.1.1",
		"NOTIFY * HTTP/1.1\r\nNT: " + igd1 + "\r\n\r\n":                                           "192.168.1.1",
		"":                              "192.168.1.1",
		strings.Repeat("\x00", maxSSDP): "192.168.1.1",
	} {
		if place := placeOf([]byte(text), netip.MustParseAddr(from)); place != nil {
			t.Errorf("%.80q from %s: followed to %s", text, from, place)
		}
	}
	if place := placeOf([]byte(answer("200 OK", igd1, "http://192.168.1.1:5000/rootDesc.xml")), netip.MustParseAddr("192.168.1.1")); place == nil {
		t.Error("a router's own answer is not followed")
	}
}

// Who may wake the mapper, and how often.
func TestAnnouncements(t *testing.T) {
	const igd1 = "urn:schemas-upnp-org:device:InternetGatewayDevice:1"
	notify := func(kind, nts, uuid string) []byte {
		return fmt.Appendf(nil, "NOTIFY * HTTP/1.1\r\nHOST: %s\r\nNT: %s\r\nNTS: ssdp:%s\r\nUSN: uuid:%s::%s\r\n\r\n", ssdpGroup, kind, nts, uuid, kind)
	}
	router, other := netip.MustParseAddr("192.168.1.1"), netip.MustParseAddr("192.168.1.9")
	upnp := &igd{at: router, uuid: "uuid:a"}
	pmp := &natPMP{at: netip.AddrPortFrom(router, portServer), clock: new(epoch)}
	for name, c := range map[string]struct {
		g       gateway
		message []byte
		from    netip.Addr
		wakes   bool
	}{
		"the router is here":                {upnp, notify(igd1, "alive", "a"), router, false},
		"the router has another name":       {upnp, notify(igd1, "alive", "b"), router, true},
		"the router leaves":                 {upnp, notify(igd1, "byebye", "a"), router, true},
		"somebody else leaves":              {upnp, notify(igd1, "byebye", "b"), router, false},
		"a stranger in the router's name":   {upnp, notify(igd1, "byebye", "a"), other, false},
		"a television":                      {upnp, notify("urn:schemas-upnp-org:device:MediaRenderer:1", "alive", "b"), router, false},
		"rubbish":                           {upnp, []byte("NOTIFY \x00\x01"), router, false},
		"by NAT-PMP, the router is here":    {pmp, notify(igd1, "alive", "b"), router, false},
		"by NAT-PMP, it restarts":           {pmp, unhex(t, pmpAnnouncement), router, true},
		"by NAT-PMP, a stranger restarts":   {pmp, unhex(t, pmpAnnouncement), other, false},
		"by PCP, it restarts":               {pmp, unhex(t, pcpGreeting), router, true},
		"an answer that is no announcement": {pmp, unhex(t, pmpMapAnswer), router, false},
		"nobody has it, a router comes":     {nil, notify(igd1, "alive", "a"), other, true},
		"nobody has it, the gateway wakes":  {nil, unhex(t, pmpAnnouncement), router, true},
	} {
		woken := 0
		w := newWatch(func() { woken++ })
		w.follow(c.g, router)
		for range 3 { // wakeGap holds the others back
			w.notified(c.message, c.from)
			w.announced(c.message, c.from)
		}
		if got := woken > 0; got != c.wakes || woken > 1 {
			t.Errorf("%s: woken %d times, want %v", name, woken, c.wakes)
		}
	}
}
