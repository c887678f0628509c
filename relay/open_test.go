package relay

import (
	"context"
	"testing"

	"sward/accounting"
	"sward/internal/wire"
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
	e.setStatus(wire.Status{Room: 1 << 30, Apps: e.apps, Policy: [32]byte{digest}})
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
