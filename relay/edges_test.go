package relay

import (
	"net"
	"net/netip"
	"testing"

	"sward/accounting"
	"sward/internal/geo"
	"sward/internal/identity"
	"sward/internal/wire"
)

// quietSession is a session that remembers how it ended.
type quietSession struct {
	session
	from     string // address of the peer
	draining bool
	closed   int
}

func (s *quietSession) Draining() bool          { return s.draining }
func (s *quietSession) Close(wire.Code, string) { s.closed++ }
func (s *quietSession) Send(wire.Message) error { return nil }
func (s *quietSession) RemoteAddr() net.Addr {
	return net.UDPAddrFromAddrPort(netip.MustParseAddrPort(s.from))
}

// idOf is an identity of a test.
func idOf(n int) identity.ID { return identity.ID{byte(n >> 16), byte(n >> 8), byte(n), 1} }

// newEdgeAt is an edge with an open channel, from address.
func newEdgeAt(n int, from string) (*edge, *quietSession) {
	s := &quietSession{from: from}
	e := &edge{
		id: idOf(n), session: s, limit: 4, apps: wire.AppsOf(wire.AppProxy, wire.AppCrawl), live: map[*conn]struct{}{},
		meter: accounting.NewMeter(accounting.MeterConfig{Side: accounting.RelaySide, Network: "test"}),
	}
	return e, s
}

// enterAt adds such an edge, with room.
func enterAt(t testing.TB, edges *table, n int, from string) (*edge, *quietSession) {
	t.Helper()
	e, s := newEdgeAt(n, from)
	if err := edges.add(e); err != nil {
		t.Fatal(err)
	}
	e.setStatus(wire.Status{Flags: wire.StatusSealed, Room: 1 << 30, Apps: e.apps, Policy: [32]byte{1}})
	return e, s
}

// picked is who is chosen of all that serve proxy streams, or nobody.
func pickedOf(edges *table) *edge {
	e, err := edges.pick(&Want{App: wire.AppProxy})
	if err != nil {
		return nil
	}
	e.release()
	return e
}

func TestEdgeWithoutAnnouncementIsReplacedAtOnce(t *testing.T) {
	edges := newTable()
	old, oldSession := enterAt(t, edges, 1, "192.0.2.1:1")
	next, nextSession := newEdgeAt(1, "192.0.2.1:2")
	next.meter = nil
	if err := edges.add(next); err != nil {
		t.Fatal(err)
	}
	if oldSession.closed != 1 || nextSession.closed != 0 {
		t.Errorf("closed: old %d, new %d times, want the old one once", oldSession.closed, nextSession.closed)
	}
	if got := pickedOf(edges); got != nil {
		t.Errorf("an edge without a channel was picked: %v", got.id)
	}
	edges.drop(old) // it ends later than it was replaced
	if edges.len() != 1 || len(edges.all()) != 1 {
		t.Errorf("%d edges, %d sessions, want 1 and 1", edges.len(), len(edges.all()))
	}
}

// An edge that announced its next session keeps the old one until the new one's channel is open.
func TestRollingEdgeKeepsItsOldSessionUntilTheNewOneIsReady(t *testing.T) {
	edges := newTable()
	old, oldSession := enterAt(t, edges, 1, "192.0.2.1:1")
	old.setStatus(wire.Status{Flags: wire.StatusSealed | wire.StatusRolling, Room: 1 << 30, Apps: old.apps})
	if _, err := edges.pick(&Want{App: wire.AppProxy}); err != nil { // a stream that runs on
		t.Fatal(err)
	}
	next, nextSession := newEdgeAt(1, "192.0.2.1:2")
	meter := next.meter
	next.meter = nil
	if err := edges.add(next); err != nil {
		t.Fatal(err)
	}
	next.setStatus(wire.Status{Flags: wire.StatusSealed, Room: 1 << 30, Apps: next.apps})
	if got := pickedOf(edges); got != old {
		t.Fatal("before the new session's channel is open the old one is not picked")
	}
	if edges.len() != 1 || len(edges.all()) != 2 {
		t.Errorf("%d edges, %d sessions, want 1 and 2", edges.len(), len(edges.all()))
	}
	next.setChannel(meter)
	edges.promote(next) // once more changes nothing
	if got := pickedOf(edges); got != next {
		t.Fatal("after it is open the new session is not picked")
	}
	if oldSession.closed+nextSession.closed != 0 {
		t.Error("a session was closed, though the old one has a stream")
	}
	if edges.len() != 1 || len(edges.all()) != 2 {
		t.Errorf("%d edges, %d sessions, want 1 and 2: the old one has a stream", edges.len(), len(edges.all()))
	}
	old.release()
	edges.drop(old)
	if got := pickedOf(edges); got != next || len(edges.all()) != 1 {
		t.Errorf("after the old session's end %d sessions are left, want the new one", len(edges.all()))
	}
}

// What an edge does wrong while it rolls costs it its own sessions and no more.
func TestRollingEdgeHasAtMostTwoSessionsMore(t *testing.T) {
	edges := newTable()
	old, _ := enterAt(t, edges, 1, "192.0.2.1:1")
	old.setStatus(wire.Status{Flags: wire.StatusSealed | wire.StatusRolling, Room: 1 << 30, Apps: old.apps})
	var sessions []*quietSession
	for range 5 { // announces one session and opens five
		e, s := newEdgeAt(1, "192.0.2.1:2")
		e.meter = nil
		if err := edges.add(e); err != nil {
			t.Fatal(err)
		}
		sessions = append(sessions, s)
	}
	for i, s := range sessions {
		if want := i < 4; (s.closed == 1) != want {
			t.Errorf("session %d of 5: closed %d times, want %v", i+1, s.closed, want)
		}
	}
	for range 5 { // rolls and rolls, and ends nothing
		last := edges.edges[idOf(1)]
		last.setStatus(wire.Status{Flags: wire.StatusSealed | wire.StatusRolling, Room: 1 << 30, Apps: last.apps})
		e, _ := newEdgeAt(1, "192.0.2.1:3")
		if err := edges.add(e); err != nil {
			t.Fatal(err)
		}
		edges.promote(e)
	}
	if got := len(edges.all()); got > 3 {
		t.Errorf("%d sessions of one edge are kept, want at most 3", got)
	}
}

// An announced session whose edge loses the old one serves as soon as it can.
func TestAnnouncedSessionTakesOverWhenTheOldOneDies(t *testing.T) {
	edges := newTable()
	old, _ := enterAt(t, edges, 1, "192.0.2.1:1")
	old.setStatus(wire.Status{Flags: wire.StatusSealed | wire.StatusRolling, Room: 1 << 30, Apps: old.apps})
	next, _ := newEdgeAt(1, "192.0.2.1:2")
	meter := next.meter
	next.meter = nil
	if err := edges.add(next); err != nil {
		t.Fatal(err)
	}
	next.setStatus(wire.Status{Flags: wire.StatusSealed, Room: 1 << 30, Apps: next.apps})
	edges.drop(old)
	if got := pickedOf(edges); got != nil {
		t.Fatal("picked without a channel")
	}
	next.setChannel(meter)
	if got := pickedOf(edges); got != next {
		t.Error("the announced session is not picked after the old one died")
	}
}

// The index holds exactly what can be picked, over all that may happen to an edge.
func TestIndexFollowsEveryChange(t *testing.T) {
	edges := newTable()
	edges.place = func(id identity.ID, _ netip.Addr) geo.Place {
		return []geo.Place{
			{Country: "de", City: "berlin", Region: "berlin", ASN: 3320, Class: geo.Residential}, {Country: "fr", ASN: 3215},
			{Country: "us", Region: "california", RegionCode: "ca"}, {Class: geo.Unknown},
		}[int(id[2])%4]
	}
	var all []*edge
	for n := range 40 {
		e, _ := enterAt(t, edges, n, netip.AddrPortFrom(netip.AddrFrom4([4]byte{44, 128, byte(n % 3), byte(n)}), 1).String())
		all = append(all, e)
	}
	step := 0
	check := func() {
		t.Helper()
		step++
		want := 0
		for _, e := range all {
			if edges.edges[e.id] == e && e.facts.offers() {
				want++
			}
		}
		if got := len(edges.index.shelves[shelf{app: wire.AppProxy, kind: everywhere}]); got != want {
			t.Fatalf("step %d: %d edges are listed, want %d", step, got, want)
		}
		for s, list := range edges.index.shelves {
			for i, c := range list {
				found := false
				for j := range c.offered.shelves {
					found = found || c.offered.shelves[j] == s && c.offered.spots[j] == i
				}
				if !found || !c.offers() {
					t.Fatalf("step %d: shelf %v holds at %d an edge that does not know it, or offers nothing", step, s, i)
				}
			}
		}
	}
	check()
	for i, e := range all {
		switch i % 6 {
		case 0:
			e.setStatus(wire.Status{Flags: wire.StatusSealed | wire.StatusPaused, Room: 1 << 30, Apps: e.apps})
		case 1:
			e.setStatus(wire.Status{Flags: wire.StatusSealed, Room: minRoom - 1, Apps: e.apps})
		case 2:
			e.setStatus(wire.Status{Flags: wire.StatusSealed, Room: 1 << 30, Apps: wire.AppsOf(wire.AppProxy)})
		case 3:
			edges.drop(e)
		case 4:
			e.setSilent(true)
		case 5:
			e.setStatus(wire.Status{Room: 1 << 30, Apps: e.apps}) // the seal is broken
		}
		check()
	}
	suspended := []identity.ID{all[2].id, all[7].id}
	edges.suspend(suspended)
	check()
	edges.suspend(nil)
	check()
	for _, e := range all {
		e.setSilent(false)
		e.setStatus(wire.Status{Flags: wire.StatusSealed, Room: 1 << 30, Apps: e.apps})
	}
	check()
	for {
		if _, err := edges.pick(&Want{App: wire.AppProxy}); err != nil {
			break
		}
	}
	check()
	for _, e := range all {
		edges.drop(e)
	}
	check()
	if len(edges.index.shelves)+len(edges.here.shelves)+len(edges.prefixes)+len(edges.networks) != 0 {
		t.Errorf("an empty table keeps %d shelves, %d places, %d prefixes, %d networks",
			len(edges.index.shelves), len(edges.here.shelves), len(edges.prefixes), len(edges.networks))
	}
}

func TestAddressOfAnEdgeIsThatOfItsTunnel(t *testing.T) {
	for from, want := range map[string]string{
		"44.128.7.9:4433": "44.128.7.0/24", "[2a01:4f8:7:8::1]:4433": "2a01:4f8:7::/48", "[::ffff:44.128.7.9]:1": "44.128.7.0/24",
		"127.0.0.1:4433": "invalid Prefix", "192.168.1.2:1": "invalid Prefix",
	} {
		e, _ := enterAt(t, newTable(), 1, from)
		if got := e.candidate().Prefix.String(); got != want {
			t.Errorf("%s: got %s, want %s", from, got, want)
		}
	}
	for name, e := range map[string]*edge{
		"browser behind the operator's proxy":   {id: idOf(1), session: &quietSession{from: "44.128.7.9:443"}, class: classExtension},
		"line that does not know its other end": {id: idOf(1), session: refusingSession{}},
	} {
		edges := newTable()
		edges.place = func(_ identity.ID, addr netip.Addr) geo.Place {
			if addr.IsValid() {
				return geo.Place{Country: "de"}
			}
			return geo.Place{Class: geo.Unknown}
		}
		if err := edges.add(e); err != nil {
			t.Fatal(err)
		}
		if c := e.candidate(); c.Prefix.IsValid() || c.Place.Country != "" {
			t.Errorf("%s: is in %q, %s", name, c.Place.Country, c.Prefix)
		}
	}
}

// An edge that says something else of its rules each second takes no number from others.
func TestRulesHaveANumberWhileAnEdgeHasThem(t *testing.T) {
	edges := newTable()
	one, _ := enterAt(t, edges, 1, "44.128.1.1:1")
	two, _ := enterAt(t, edges, 2, "44.128.2.1:1")
	for n := range 2 * maxEdges {
		one.setStatus(wire.Status{Flags: wire.StatusSealed, Room: 1 << 30, Apps: one.apps, Policy: [32]byte{2, byte(n), byte(n >> 8)}})
	}
	if n := len(edges.policies); n != 2 {
		t.Errorf("%d rules have a number, want those of two edges", n)
	}
	one.setStatus(wire.Status{Flags: wire.StatusSealed, Room: 1 << 30, Apps: one.apps, Policy: [32]byte{1}})
	if a, b := one.candidate().Policy, two.candidate().Policy; a != b || a == 0 {
		t.Errorf("edges with the same rules have the numbers %d and %d", a, b)
	}
	one.setStatus(wire.Status{Flags: wire.StatusSealed, Room: 1 << 30, Apps: one.apps})
	if n := one.candidate().Policy; n != 0 {
		t.Errorf("an edge that says nothing of its rules has the number %d", n)
	}
	edges.drop(two)
	edges.drop(two)
	if n := len(edges.policies); n != 0 {
		t.Errorf("%d rules have a number, want none when all who had them have left", n)
	}
}
