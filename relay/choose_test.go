package relay

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"sward/internal/geo"
	"sward/internal/identity"
	"sward/internal/wire"
)

// placed is a table whose edges are in the places given by number.
func placed(places ...geo.Place) *table {
	edges := newTable()
	edges.place = func(id identity.ID, _ netip.Addr) geo.Place { return places[int(id[2])%len(places)] }
	return edges
}

func TestNobodyThereIsToldFromNobodyFree(t *testing.T) {
	edges := placed(
		geo.Place{Country: "de", City: "berlin", ASN: 3320, Class: geo.Residential}, geo.Place{Country: "fr", City: "paris", ASN: 3215},
	)
	german, _ := enterAt(t, edges, 0, "44.128.1.1:1")
	enterAt(t, edges, 1, "44.128.2.1:1")
	for _, c := range []struct {
		name  string
		where Where
		busy  bool // the German edge is full
		want  wire.Code
	}{
		{"there", Where{Country: "de"}, false, wire.OK},
		{"in the union", Where{Country: "eu"}, false, wire.OK},
		{"nobody in the country", Where{Country: "us"}, false, wire.NoMatch},
		{"nobody in the city", Where{City: "rome"}, false, wire.NoMatch},
		{"nobody in the network", Where{ASN: 7922}, false, wire.NoMatch},
		{"nobody of the class", Where{Class: geo.Hosting}, false, wire.NoMatch},
		{"each part somewhere, both nowhere", Where{Country: "de", City: "paris"}, false, wire.NoMatch},
		{"there and full", Where{Country: "de"}, true, wire.NoEdge},
		{"both parts there and full", Where{Country: "de", ASN: 3320}, true, wire.NoEdge},
		{"another is free", Where{Country: "eu"}, true, wire.OK},
	} {
		t.Run(c.name, func(t *testing.T) {
			german.setStatus(wire.Status{Flags: wire.StatusSealed, Room: 1 << 30, Apps: german.apps})
			if c.busy {
				german.setStatus(wire.Status{Flags: wire.StatusSealed | wire.StatusPaused, Apps: german.apps})
			}
			e, err := edges.pick(&Want{App: wire.AppProxy, Where: c.where})
			if got := wire.CodeOf(err); got != c.want {
				t.Fatalf("got %v, want %s", err, c.want)
			}
			if err == nil {
				e.release()
			}
		})
	}
}

// What an owner's rules refuse is not sent to others with the same rules, once a second of them has refused it: one edge
// alone could take the name of the most common rules and hide all who have them.
func TestRefusalOfRulesIsRememberedWhenTwoAgree(t *testing.T) {
	now := pickTime
	edges := newTable()
	edges.now = func() time.Time { return now }
	for n, from := range []string{"44.128.1.1:1", "44.128.1.2:1", "44.128.2.1:1", "44.128.3.1:1"} {
		enterAt(t, edges, n, from)
	}
	bank := func() *Want { return &Want{App: wire.AppProxy, Host: "bank.example", Port: 443, Purpose: 3} }
	refuse := func(n int, w *Want, code wire.Code) {
		t.Helper()
		e := edges.edges[idOf(n)]
		if policy, refused := edges.count(e, w, wire.Errorf(code, "not here"), time.Second); !refused || policy != e.facts.Policy {
			t.Fatalf("%s: got policy %d, %v, want a refusal by policy %d", code, policy, refused, e.facts.Policy)
		}
	}
	check := func(step string, w *Want, want wire.Code) {
		t.Helper()
		e, err := edges.pick(w)
		if wire.CodeOf(err) != want {
			t.Errorf("%s: got %v, want %s", step, err, want)
		}
		if err == nil {
			e.release()
		}
		if len(w.refuse) != 0 {
			t.Errorf("%s: the memory stays in the want: %v", step, w.refuse)
		}
	}
	refuse(0, bank(), wire.CategoryDenied)
	refuse(0, bank(), wire.CategoryDenied) // once more is not another one
	refuse(1, bank(), wire.CategoryDenied) // and its neighbour may be its owner's
	check("one has refused", bank(), wire.OK)
	refuse(2, bank(), wire.CategoryDenied)
	check("two have refused", bank(), wire.CategoryDenied)
	check("of another host", &Want{App: wire.AppProxy, Host: "shop.example", Port: 443, Purpose: 3}, wire.OK)

	other, _ := enterAt(t, edges, 9, "44.128.9.1:1")
	other.setStatus(wire.Status{Flags: wire.StatusSealed, Room: 1 << 30, Apps: other.apps, Policy: [32]byte{2}})
	for range 20 {
		e, err := edges.pick(bank())
		if err != nil || e != other {
			t.Fatalf("got %v, want the edge with other rules", err)
		}
		e.release()
	}
	edges.drop(other)

	asked := bank()
	asked.Edge = idOf(3)
	check("who asks for one edge hears its own word", asked, wire.OK)
	now = now.Add(refusalMemory)
	check("ten minutes later", bank(), wire.OK)

	for n := range 4 {
		edges.drop(edges.edges[idOf(n)])
	}
	check("nobody is left", bank(), wire.NoEdge)
}

// Two edges that take the name of rules which they do not have hide nobody who serves under them.
func TestTwoEdgesThatLieHideNobody(t *testing.T) {
	now := pickTime
	edges := newTable()
	edges.now = func() time.Time { return now }
	for n, from := range []string{"44.128.1.1:1", "44.128.2.1:1", "44.128.3.1:1"} {
		enterAt(t, edges, n, from)
	}
	w := &Want{App: wire.AppProxy, Host: "shop.example", Port: 443, Purpose: 3}
	lie := func() {
		for n := range 2 {
			for _, code := range []wire.Code{wire.AppDenied, wire.PurposeDenied, wire.PortNotAllowed, wire.DomainDenied} {
				edges.count(edges.edges[idOf(n)], w, wire.Errorf(code, "not here"), time.Second)
			}
		}
	}
	serve := func() { edges.count(edges.edges[idOf(2)], w, nil, time.Second) }
	served := func(step string) {
		t.Helper()
		e, err := edges.pick(w)
		if err != nil {
			t.Fatalf("%s: %v", step, err)
		}
		e.release()
	}
	serve()
	lie()
	served("after the lie")
	for range 20 {
		now = now.Add(time.Minute)
		serve()
		lie()
		served("while others serve on")
	}
	now = now.Add(refusalMemory)
	lie()
	if _, err := edges.pick(w); err == nil {
		t.Error("two refusals count for nothing, though nobody has served for long")
	}
}

func TestProofsAreBounded(t *testing.T) {
	m := proofs{}
	c := &Candidate{Policy: 1}
	for n := range 2 * maxProofs {
		m.note(c, &Want{App: wire.AppProxy, Port: 443, Host: fmt.Sprintf("%d.example", n)}, pickTime)
	}
	if len(m) > maxProofs {
		t.Errorf("%d proofs are kept, want at most %d", len(m), maxProofs)
	}
	if m.note(&Candidate{}, &Want{App: wire.AppProxy, Port: 80}, pickTime); m.hold(proof{0, thing{port: 80}}, pickTime) {
		t.Error("an edge that has not said which rules are its own proves something")
	}
}

func TestOnlyRefusalsOfRulesAreRemembered(t *testing.T) {
	w := &Want{App: wire.AppProxy, Host: "site.example", Port: 8443, Purpose: 3}
	for _, c := range []struct {
		code wire.Code
		want thing
		ok   bool
	}{
		{wire.AppDenied, thing{app: wire.AppProxy}, true}, {wire.PurposeDenied, thing{purpose: 3}, true},
		{wire.PortNotAllowed, thing{port: 8443}, true}, {wire.PlainHTTPDenied, thing{port: 8443}, true},
		{wire.DomainDenied, thing{host: "site.example"}, true}, {wire.CategoryDenied, thing{host: "site.example"}, true},
		{wire.DestPrivate, thing{}, false}, {wire.PortMail, thing{}, false}, {wire.Paused, thing{}, false},
		{wire.OutOfHours, thing{}, false}, {wire.DialRefused, thing{}, false}, {wire.OK, thing{}, false},
	} {
		if got, ok := refusedThing(c.code, w); got != c.want || ok != c.ok {
			t.Errorf("%s: got %+v, %v, want %+v, %v", c.code, got, ok, c.want, c.ok)
		}
	}
}

func TestMemoryOfRefusalsIsBounded(t *testing.T) {
	m := refusals{}
	c := candidate(1, nil)
	for n := range maxRefusals + 100 {
		m.learn(c, &Want{Host: string(rune('a'+n%26)) + time.Duration(n).String()}, wire.Errorf(wire.DomainDenied, ""), pickTime)
	}
	w := &Want{Host: "one.example"}
	for n := range maxRefusers + 10 {
		m.learn(candidate(1, func(c *Candidate) { c.Policy = uint32(n) }), w, wire.Errorf(wire.DomainDenied, ""), pickTime)
	}
	if len(m) > maxRefusals || len(m[thing{host: "one.example"}]) > maxRefusers {
		t.Errorf("%d things, %d refusers of one, want at most %d and %d", len(m), len(m[thing{host: "one.example"}]), maxRefusals, maxRefusers)
	}
}

// An account's next stream leaves from another street, where there is one.
func TestAccountIsNotGivenOnePrefixAgainAndAgain(t *testing.T) {
	edges := newTable()
	for n := range 20 {
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{44, 128, byte(n), 1}), 1)
		enterAt(t, edges, n, from.String())
	}
	again, last := 0, netip.Prefix{}
	const picks = 2000
	for range picks {
		e, err := edges.pick(&Want{App: wire.AppProxy, who: tag{1}})
		if err != nil {
			t.Fatal(err)
		}
		if e.facts.Prefix == last {
			again++
		}
		last = e.facts.Prefix
		e.release()
	}
	if by := picks / 20; again > by {
		t.Errorf("%d of %d streams left from the prefix of the one before, which chance alone would give %d", again, picks, by)
	}
	for n := range maxAccountsRecent + 50 {
		edges.recentOf(tag{byte(n >> 8), byte(n)})
	}
	if len(edges.recents) > maxAccountsRecent {
		t.Errorf("%d accounts are remembered, want at most %d", len(edges.recents), maxAccountsRecent)
	}
}

func TestEdgeThatSaidGoodbyeIsNotPicked(t *testing.T) {
	edges := newTable()
	_, leaving := enterAt(t, edges, 1, "44.128.1.1:1")
	stays, _ := enterAt(t, edges, 2, "44.128.2.1:1")
	leaving.draining = true
	for range 20 {
		e, err := edges.pick(&Want{App: wire.AppProxy})
		if err != nil || e != stays {
			t.Fatalf("got %v, want the edge that stays", err)
		}
		e.release()
	}
	if _, err := edges.pick(&Want{App: wire.AppProxy, Edge: idOf(1)}); wire.CodeOf(err) != wire.NoEdge {
		t.Errorf("asked for by name: got %v, want no_edge", err)
	}
}

func TestSiteIsTheRegistrableDomain(t *testing.T) {
	if siteOf("www.shop.co.uk") != siteOf("img.shop.co.uk") {
		t.Error("two names of one site are of two classes")
	}
	seen := map[int]bool{}
	for n := range 200 {
		s := siteOf("site" + time.Duration(n).String() + ".example")
		if s < 0 || s >= siteClasses {
			t.Fatalf("class %d", s)
		}
		seen[s] = true
	}
	if len(seen) != siteClasses {
		t.Errorf("200 sites fall into %d classes, want all %d", len(seen), siteClasses)
	}
	for _, odd := range []string{"", "1.2.3.4", "2001:db8::1", "com", "..", "co.uk"} {
		siteOf(odd)
	}
}
