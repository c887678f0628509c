package relay

import (
	"context"
	"net/netip"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"sward/accounting"
	"sward/internal/geo"
	"sward/internal/identity"
	"sward/internal/wire"
	"sward/relay/gateway"
)

// refusingSession is a session whose edge takes every stream or refuses every one with a code.
type refusingSession struct {
	session
	code wire.Code
	asks *int
}

func (refusingSession) Draining() bool          { return false }
func (refusingSession) Send(wire.Message) error { return nil }
func (s refusingSession) Open(context.Context, ...wire.Message) (stream, wire.Opened, error) {
	*s.asks++
	if s.code != wire.OK {
		return nil, wire.Opened{}, wire.Errorf(s.code, "not here")
	}
	return nullStream{}, wire.Opened{}, nil
}

// enterRefusing adds an edge that answers every Open with code, under the rules with this digest.
func enterRefusing(t *testing.T, r *Relay, code wire.Code, digest byte, asks *int) *edge {
	t.Helper()
	key := newKey(t)
	e := &edge{
		id: newKey(t).ID(), session: refusingSession{code: code, asks: asks}, limit: 1, apps: wire.AppsOf(wire.AppProxy),
		live: map[*conn]struct{}{}, meter: accounting.NewMeter(accounting.MeterConfig{
			Side: accounting.RelaySide, Network: "test", Key: key, Channel: accounting.Channel{RelayKey: key.ID()},
		}),
	}
	if err := r.edges.add(e); err != nil {
		t.Fatal(err)
	}
	e.setStatus(wire.Status{Flags: wire.StatusSealed, Room: 1 << 30, Apps: e.apps, Policy: [32]byte{digest}})
	return e
}

// What one edge cannot do another may, and what one owner refuses another's rules may allow; what is said of the target
// holds everywhere.
func TestStreamGoesToAnotherEdgeUnlessItsTargetIsRefused(t *testing.T) {
	const edges = 20
	for _, c := range []struct {
		code        wire.Code
		alike, many int // edges that are asked where all have the same rules, and where each has its own
	}{
		{wire.Paused, openTries, openTries}, {wire.EdgeGone, openTries, openTries}, {wire.CapDay, openTries, openTries},
		{wire.Draining, openTries, openTries}, {wire.Internal, openTries, openTries}, {wire.WindowClosed, openTries, openTries},
		{wire.GrantInvalid, openTries, openTries}, // by the clock of an edge that goes wrong
		{wire.StreamLimit, openFull, openFull},
		{wire.PurposeDenied, 1, openTries}, {wire.AppDenied, 1, openTries}, {wire.PlainHTTPDenied, 1, openTries},
		{wire.DomainDenied, 1, openTries}, {wire.CategoryDenied, 1, openTries}, {wire.PortNotAllowed, 1, openTries},
		{wire.DNSNotFound, 1, 1}, {wire.DialRefused, 1, 1}, {wire.DialTimeout, 1, 1}, {wire.DestPrivate, 1, 1},
		{wire.PortMail, 1, 1}, {wire.Loop, 1, 1}, {wire.BadHost, 1, 1},
	} {
		for rules, want := range map[string]int{"alike": c.alike, "many": c.many} {
			t.Run(c.code.Name()+"/"+rules, func(t *testing.T) {
				r, _, g, _ := grantRelay(t, 1000)
				r.metrics = newMetrics(r)
				asked := 0
				for n := range edges {
					digest := byte(1)
					if rules == "many" {
						digest += byte(n)
					}
					enterRefusing(t, r, c.code, digest, &asked)
				}
				_, err := r.open(t.Context(), Want{App: wire.AppProxy}, g, "site.example", 443, 1)
				if wire.CodeOf(err) != c.code || asked != want {
					t.Errorf("got %v after %d edges, want %s after %d", err, asked, c.code.Name(), want)
				}
				if n := r.streams(); n != 0 {
					t.Errorf("%d streams are counted on edges that refused, want none", n)
				}
				if g.open != 0 {
					t.Errorf("%d streams are counted on the grant, want none", g.open)
				}
			})
		}
	}
}

// What the edge of a session answers decides whether the request goes elsewhere, and whether the session goes with it.
func TestSessionFollowsWhatItsEdgeAnswers(t *testing.T) {
	for _, c := range []struct {
		name  string
		code  wire.Code // of the session's edge
		leave bool      // it says goodbye while it answers
		hard  bool
		want  wire.Code // for the partner
		moves bool      // the session is on another edge afterwards
	}{
		{"soft, the edge cannot", wire.CapDay, false, false, wire.OK, true},
		{"soft, the edge has died", wire.EdgeTimeout, false, false, wire.OK, true},
		{"soft, the edge is leaving", wire.Draining, true, false, wire.OK, true},
		{"soft, the owner's rules refuse this one", wire.CategoryDenied, false, false, wire.OK, false},
		{"soft, full for now", wire.StreamLimit, false, false, wire.OK, false},
		{"soft, the target's fault", wire.DialRefused, false, false, wire.DialRefused, false},
		{"hard, the edge cannot", wire.CapDay, false, true, wire.CapDay, false},
		{"hard, the edge has died", wire.EdgeTimeout, false, true, wire.EdgeTimeout, false},
		{"hard, the edge is leaving", wire.Draining, true, true, wire.SessionGone, false},
		{"hard, the owner's rules refuse this one", wire.CategoryDenied, false, true, wire.CategoryDenied, false},
		{"hard, full for now", wire.StreamLimit, false, true, wire.StreamLimit, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, _, g, _ := grantRelay(t, 1000)
			r.metrics, r.stays = newMetrics(r), newStays(r.cfg.Clock)
			asked, others := 0, 0
			own := enterRefusing(t, r, c.code, 1, &asked)
			session := &partingSession{refusingSession: own.session.(refusingSession), leave: c.leave}
			own.session = session
			for range 3 {
				enterServing(t, r, 2, &others)
			}
			s, err := r.stays.enter(tag{1}, gateway.Exit{Session: "a", Hard: c.hard})
			if err != nil {
				t.Fatal(err)
			}
			r.stays.bind(s, own.id)
			w := Want{App: wire.AppProxy, Host: "site.example", Port: 443, who: tag{1}}
			conn, err := r.openFor(t.Context(), request{stay: s, grant: g, hops: 1}, w)
			if wire.CodeOf(err) != c.want {
				t.Fatalf("got %v, want %s", err, c.want)
			}
			if served := err == nil; served {
				conn.Close()
			}
			if asked != 1 {
				t.Errorf("the session's edge was asked %d times, want once", asked)
			}
			if moved := s.edge != own.id; moved != c.moves {
				t.Errorf("the session moved: %v, want %v", moved, c.moves)
			}
			if c.hard && others != 0 {
				t.Error("a hard session left from another edge")
			}
		})
	}
}

// partingSession says goodbye as it answers.
type partingSession struct {
	refusingSession
	leave, left bool
}

func (s *partingSession) Draining() bool { return s.left }
func (s *partingSession) Open(ctx context.Context, frames ...wire.Message) (stream, wire.Opened, error) {
	s.left = s.leave
	return s.refusingSession.Open(ctx, frames...)
}

// enterServing adds an edge that takes every stream.
func enterServing(t *testing.T, r *Relay, digest byte, asks *int) *edge {
	t.Helper()
	e := enterRefusing(t, r, wire.OK, digest, asks)
	key := newKey(t)
	e.setChannel(accounting.NewMeter(accounting.MeterConfig{
		Side: accounting.RelaySide, Network: "test", Key: key,
		Channel: accounting.Channel{RelayKey: key.ID(), Window: newWindow, Expires: 1 << 60},
	}))
	return e
}

func TestMetricsCountEdgesByPlaceAndChoicesByResult(t *testing.T) {
	r, _, g, _ := grantRelay(t, 1000)
	r.metrics, r.stays = newMetrics(r), newStays(r.cfg.Clock)
	r.edges.place = func(identity.ID, netip.Addr) geo.Place { return geo.Place{Country: "de", Class: geo.Residential} }
	asked := 0
	for range 3 {
		enterRefusing(t, r, wire.CapDay, 1, &asked)
	}
	if _, err := r.open(t.Context(), Want{App: wire.AppProxy}, g, "site.example", 443, 1); wire.CodeOf(err) != wire.CapDay {
		t.Fatal(err)
	}
	if _, err := r.open(t.Context(), Want{App: wire.AppProxy, Where: Where{Country: "jp"}}, g, "site.example", 443, 1); wire.CodeOf(err) != wire.NoMatch {
		t.Fatal(err)
	}
	registry := prometheus.NewPedanticRegistry()
	for _, c := range r.Metrics() {
		registry.MustRegister(c)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			got[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	for name, want := range map[string]float64{
		"sward_relay_edges_by_country de": 3, "sward_relay_edges_by_class residential": 3, "sward_relay_sessions": 0,
		"sward_relay_picks_total ok": 3, "sward_relay_picks_total no_match": 1, "sward_relay_retries_total cap_day": 2,
	} {
		if got[name] != want {
			t.Errorf("%s: got %v, want %v", name, got[name], want)
		}
	}
	if _, union := got["sward_relay_edges_by_country eu"]; union {
		t.Error("the union is counted as a country")
	}
}
