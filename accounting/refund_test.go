package accounting

import (
	"testing"

	"sward/internal/wire"
)

func TestRefundIsPaidOnceAndFromThePartnersOwnFees(t *testing.T) {
	n := newTown(t)
	first, second := [16]byte{1}, [16]byte{2}
	n.must(n.book.Refund(t.Context(), n.owner, first, 0)) // from now on its fees are counted
	g := n.grant(gib / 2)
	s := n.session(n.edge)
	s.settle(s.receipt(Tally{Grant: g.ID, Down: gib / 4, Streams: 1})) // 250 000, of which 50 000 are the fee
	before := n.available()

	for _, step := range []struct {
		name    string
		source  [16]byte
		total   uint64
		paid    Micro // in all
		pending Micro
	}{
		{"a page", first, 1 << 20, 976, 0},
		{"the same again", first, 1 << 20, 976, 0},
		{"another", first, 2 << 20, 1952, 0},
		{"beyond a quarter of the fees", first, gib / 10, 12_500, 87_498},
		{"again", first, gib / 10, 12_500, 87_498},
		{"another store counts from nothing", second, 1 << 20, 12_500, 88_474},
	} {
		n.must(n.book.Refund(t.Context(), n.owner, step.source, step.total))
		u, err := n.book.Usage(t.Context(), n.owner)
		n.must(err)
		if u.Refunded != step.paid || u.Pending != step.pending || u.Balance != before+step.paid {
			t.Errorf("%s: refunded %d, pending %d, balance %d; want %d, %d, %d", step.name, u.Refunded, u.Pending, u.Balance, step.paid, step.pending, before+step.paid)
		}
		n.conserved()
	}
	if err := n.book.Refund(t.Context(), n.owner, second, 1); wire.CodeOf(err) != wire.BadRequest {
		t.Errorf("a count that shrinks: got %v, want bad_request", err)
	}
	if err := n.book.Refund(t.Context(), "nobody", second, 1); wire.CodeOf(err) != wire.BadRequest {
		t.Errorf("a refund for nobody: got %v, want bad_request", err)
	}

	s.settle(s.receipt(Tally{Grant: g.ID, Down: gib / 2, Streams: 2})) // 50 000 more in fees
	n.must(n.book.Refund(t.Context(), n.owner, second, 1<<20))         // nothing new is claimed, but there is room again
	n.reopen()
	u, err := n.book.Usage(t.Context(), n.owner)
	n.must(err)
	if u.Refunded != 25_000 || u.Pending != 75_974 {
		t.Errorf("after more traffic and a restart: refunded %d, pending %d; want 25000, 75974", u.Refunded, u.Pending)
	}
	n.must(n.book.Close())
	if report, err := Audit(t.Context(), n.cfg.Dir); err != nil {
		t.Errorf("audit: %v\n%s", err, report)
	}
}

// I10: the price rule has to hold with refunds too. Somebody who is partner, edge and relay's best friend has every page
// fail and claims all of it.
func TestTradingWithOneselfThroughFailuresLoses(t *testing.T) {
	n := newTown(t)
	source := [16]byte{1}
	n.must(n.book.Refund(t.Context(), n.owner, source, 0))
	before := n.available() + n.book.PointsOf(n.edge.ID())
	g := n.grant(gib / 2)
	s := n.session(n.edge)
	s.settle(s.receipt(Tally{Grant: g.ID, Down: gib / 2, Streams: 1}))
	n.must(n.book.Refund(t.Context(), n.owner, source, gib/2))
	after := n.available() + n.book.PointsOf(n.edge.ID()) + n.balance(relayAccount(n.relay.ID()))
	if after >= before {
		t.Errorf("partner, edge and relay had %d and have %d, want less", before, after)
	}
}

func TestRefundBeyondTheBoundIsNoRecord(t *testing.T) {
	n := newTown(t)
	source := [16]byte{1}
	n.must(n.book.Refund(t.Context(), n.owner, source, 0))
	p := n.book.state.byName[n.owner]
	for name, e := range map[string]*refundEvent{
		"more than the fees": {Partner: p.id, Source: source, Total: gib, Amount: 1},
		"more than is due":   {Partner: p.id, Source: source, Total: 0, Amount: 1},
		"negative":           {Partner: p.id, Source: source, Total: gib, Amount: -1},
		"for an unknown one": {Source: source, Total: gib},
	} {
		if err := n.book.state.foldRefund(e); err == nil {
			t.Errorf("%s: folded, want an error", name)
		}
	}
}
