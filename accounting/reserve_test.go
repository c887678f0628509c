package accounting

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"sward/internal/identity"
	"sward/internal/wire"
)

// G01: two relays, balance for one.
func TestGrantsNeverReserveMoreThanTheBalance(t *testing.T) {
	for range 20 {
		n := newTown(t)
		relays := []identity.ID{n.relay.ID()}
		for range 7 {
			relays = append(relays, n.newKey().ID())
			n.must(n.book.AdmitRelay(t.Context(), RelayInfo{ID: relays[len(relays)-1]}))
		}
		errs := make([]error, len(relays))
		var start, work sync.WaitGroup
		start.Add(1)
		for i, relay := range relays {
			work.Go(func() {
				start.Wait()
				_, errs[i] = n.book.Authorise(t.Context(), relay, n.owner, n.key, gib)
			})
		}
		start.Done()
		work.Wait()
		granted := 0
		for _, err := range errs {
			switch {
			case err == nil:
				granted++
			case wire.CodeOf(err) != wire.BalanceExhausted:
				t.Errorf("Authorise: %v, want balance_exhausted", err)
			}
		}
		if granted != 1 || n.available() != 0 {
			t.Fatalf("%d of %d relays got a grant and %d micro-points are left, want 1 and 0", granted, len(relays), n.available())
		}
	}
}

func TestGrantIsCutToTheBalance(t *testing.T) {
	n := newTown(t)
	g := n.grant(4 * gib)
	if g.Limit != gib {
		t.Errorf("a grant for 4 GiB over a balance of 1 GiB has %d bytes, want %d", g.Limit, gib)
	}
	n.must(g.Verify("test", n.cfg.Key.ID()))
	n.must(g.CheckTime(n.clock.Now()))
	if g.Relay != n.relay.ID() || g.Purpose != 1 || g.Price != 1 {
		t.Errorf("the grant is for relay %s, purpose %d, price %d", g.Relay, g.Purpose, g.Price)
	}
}

// G03: what asks for nothing, or for no relay of the network, gets nothing.
func TestGrantIsRefused(t *testing.T) {
	n := newTown(t)
	stranger := n.newKey().ID()
	for _, c := range []struct {
		name string
		err  func() error
		code wire.Code
	}{
		{"a partner that is not there", func() error {
			_, err := n.book.IssueGrant(t.Context(), "nobody", n.relay.ID(), gib)
			return err
		}, wire.BadRequest},
		{"a relay that was not admitted", func() error {
			_, err := n.book.Authorise(t.Context(), stranger, n.owner, n.key, gib)
			return err
		}, wire.AuthFailed},
		{"a wrong key", func() error {
			_, err := n.book.Authorise(t.Context(), n.relay.ID(), n.owner, n.key+"x", gib)
			return err
		}, wire.AuthFailed},
		{"a name that is not there", func() error {
			_, err := n.book.Authorise(t.Context(), n.relay.ID(), "nobody", n.key, gib)
			return err
		}, wire.AuthFailed},
		{"G02: renewed by another relay", func() error {
			_, err := n.book.Renew(t.Context(), stranger, n.grant(gib/8).ID, gib/8)
			return err
		}, wire.GrantInvalid},
		{"G02: released by another relay", func() error {
			_, err := n.book.Release(t.Context(), stranger, n.grant(gib/8).ID, nil)
			return err
		}, wire.GrantInvalid},
		{"G03: renewed after its end", func() error {
			g := n.grant(gib / 8)
			n.clock.add(defaultGrantLife)
			_, err := n.book.Renew(t.Context(), n.relay.ID(), g.ID, gib/8)
			return err
		}, wire.GrantInvalid},
		{"renewed after its release", func() error {
			g := n.grant(gib / 8)
			_, err := n.book.Release(t.Context(), n.relay.ID(), g.ID, nil)
			n.must(err)
			_, err = n.book.Renew(t.Context(), n.relay.ID(), g.ID, gib/8)
			return err
		}, wire.GrantInvalid},
		{"an empty balance", func() error {
			n.grant(gib)
			_, err := n.book.IssueGrant(t.Context(), n.owner, n.relay.ID(), 1)
			return err
		}, wire.BalanceExhausted},
	} {
		if err := c.err(); wire.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", c.name, err, c.code)
		}
		n.conserved()
	}
}

// A grant that is extended keeps its id, and the tally on it goes on.
func TestRenewExtendsTheGrant(t *testing.T) {
	n := newTown(t)
	g := n.grant(gib / 4)
	s := n.session(n.edge)
	s.settle(s.receipt(Tally{Grant: g.ID, Down: gib / 4}))
	n.clock.add(20 * time.Minute)
	more, err := n.book.Renew(t.Context(), n.relay.ID(), g.ID, gib/4)
	n.must(err)
	n.must(more.Verify("test", n.cfg.Key.ID()))
	want := g.Grant
	want.Limit, want.NotAfter = gib/2, n.clock.Now().Add(defaultGrantLife).UnixMilli()
	if more.Grant != want {
		t.Errorf("Renew = %+v, want %+v", more.Grant, want)
	}
	s.settle(s.receipt(Tally{Grant: g.ID, Down: gib / 2}))
	if got, want := n.book.PointsOf(n.edge.ID()), Micro(350_000); got != want {
		t.Errorf("the edge has %d micro-points, want %d", got, want)
	}
	if got, want := n.available(), Micro(500_000); got != want {
		t.Errorf("%d micro-points are available, want %d", got, want)
	}
	all, err := n.book.Renew(t.Context(), n.relay.ID(), g.ID, 8*gib)
	n.must(err)
	if all.Limit != gib {
		t.Errorf("Renew for more than there is: limit %d, want %d", all.Limit, gib)
	}
	if _, err := n.book.Renew(t.Context(), n.relay.ID(), g.ID, 1); wire.CodeOf(err) != wire.BalanceExhausted {
		t.Errorf("Renew with nothing left: %v, want balance_exhausted", err)
	}
	n.conserved()
	n.reopen()
	n.conserved()
}

func TestRenewEndsADayAfterTheIssue(t *testing.T) {
	n := newTown(t)
	g := n.grant(gib / 4)
	var err error
	for range 200 {
		n.clock.add(20 * time.Minute)
		next, renewed := n.book.Renew(t.Context(), n.relay.ID(), g.ID, minGrant)
		if err = renewed; err != nil {
			break
		}
		g = next.SignedGrant
	}
	if life := time.Duration(g.NotAfter-g.Issued) * time.Millisecond; wire.CodeOf(err) != wire.GrantInvalid || life != MaxGrantLife {
		t.Errorf("a grant was renewed to a life of %s, then %v; want %s, then grant_invalid", life, err, MaxGrantLife)
	}
}

func TestReleaseWaitsForTheLastReceipt(t *testing.T) {
	n := newTown(t)
	g := n.grant(gib)
	s := n.session(n.edge)
	first := s.receipt(Tally{Grant: g.ID, Down: gib / 4})
	last := s.receipt(Tally{Grant: g.ID, Down: gib / 2})
	s.settle(first)
	released, err := n.book.Release(t.Context(), n.relay.ID(), g.ID, []Final{{s.id, last.Serial}})
	n.must(err)
	if released.Closed || n.available() != 0 {
		t.Errorf("Release = %+v with %d available, want it open while a receipt is missing", released, n.available())
	}
	n.reopen()
	s.settle(last)
	if got, want := n.available(), Micro(500_000); got != want {
		t.Errorf("with the last receipt %d micro-points are available, want %d", got, want)
	}
	again, err := n.book.Release(t.Context(), n.relay.ID(), g.ID, nil)
	if err != nil || again != (Released{Closed: true}) {
		t.Errorf("Release again = %+v, %v; want closed and nothing returned", again, err)
	}
	s.settle(s.receipt(Tally{Grant: g.ID, Down: gib}))
	if got, want := n.book.PointsOf(n.edge.ID()), Micro(350_000); got != want {
		t.Errorf("after the close the edge has %d micro-points, want %d", got, want)
	}
	n.conserved()
}

func TestReleaseOfAnUnusedGrantReturnsAll(t *testing.T) {
	n := newTown(t)
	g := n.grant(gib / 4)
	released, err := n.book.Release(t.Context(), n.relay.ID(), g.ID, nil)
	if want := (Released{Closed: true, Returned: 250_000}); err != nil || released != want {
		t.Errorf("Release = %+v, %v; want %+v", released, err, want)
	}
	if got, want := n.available(), Micro(1_000_000); got != want {
		t.Errorf("%d micro-points are available, want %d", got, want)
	}
}

// G05: a reserve survives a restart and expires back to the balance.
func TestExpiryReturnsTheRest(t *testing.T) {
	n := newTown(t)
	g := n.grant(gib / 4)
	n.reopen()
	s := n.session(n.edge)
	s.settle(s.receipt(Tally{Grant: g.ID, Down: gib / 8}))
	n.clock.add(defaultGrantLife + lateGrants - time.Millisecond)
	n.must(n.book.expireOnce(t.Context()))
	if got, want := n.available(), Micro(750_000); got != want {
		t.Errorf("before the day is over %d micro-points are available, want %d", got, want)
	}
	n.clock.add(time.Millisecond)
	n.must(n.book.expireOnce(t.Context()))
	if got, want := n.available(), Micro(875_000); got != want {
		t.Errorf("after the day %d micro-points are available, want %d", got, want)
	}
	seq := n.book.state.seq
	n.must(n.book.expireOnce(t.Context()))
	if n.book.state.seq != seq {
		t.Error("expiry with nothing to do has written a record")
	}
	n.clock.add(grantMemory + time.Hour)
	n.must(n.book.expireOnce(t.Context()))
	if len(n.book.state.grants)+len(n.book.state.channels) != 0 {
		t.Errorf("%d grants and %d channels are kept for ever", len(n.book.state.grants), len(n.book.state.channels))
	}
	n.conserved()
	n.reopen()
	n.conserved()
}

// Payout stays below the price, so that buying one's own traffic loses money.
func TestPriceLeavesNothingToWash(t *testing.T) {
	for _, c := range []struct {
		price Price
		good  bool
	}{
		{DefaultPrice(), true},
		{Price{ID: 1, GiB: 100, Edge: 80, Relay: 20}, true},
		{Price{ID: 1, GiB: 100, Edge: 81, Relay: 1}, false},
		{Price{ID: 1, GiB: 100, Edge: 80, Relay: 21}, false},
		{Price{ID: 0, GiB: 100}, false},
		{Price{ID: 1}, false},
		{Price{ID: 1, GiB: 100, Edge: -1}, false},
		{Price{ID: 1, GiB: maxRate + 1}, false},
	} {
		if err := c.price.check(); (err == nil) != c.good {
			t.Errorf("%+v: %v, want good %t", c.price, err, c.good)
		}
	}
}

func TestPriceBuysWhatItCosts(t *testing.T) {
	prices := []Price{DefaultPrice(), {ID: 1, GiB: 1}, {ID: 1, GiB: maxRate}, {ID: 1, GiB: 1_000_003}, {ID: 1, GiB: gib - 1}}
	for _, p := range prices {
		for _, n := range []uint64{1, 1000, minGrant, gib - 1, gib, gib + 1, 12_345_678_901, MaxGrantBytes - 1, MaxGrantBytes} {
			m, err := p.Worth(n)
			if err != nil {
				t.Fatal(err)
			}
			bought := p.Buys(m)
			if bought < n || m > 0 && p.Buys(m-1) >= n {
				t.Errorf("price %d: %d bytes are worth %d, which buys %d", p.GiB, n, m, bought)
			}
			if cost, err := p.Cost(bought); err != nil || cost > m {
				t.Errorf("price %d: %d buys %d bytes, which cost %d, %v", p.GiB, m, bought, cost, err)
			}
		}
		if _, err := p.Cost(MaxGrantBytes + 1); err == nil {
			t.Errorf("price %d: more than MaxGrantBytes has a cost", p.GiB)
		}
	}
}

func TestPartnersKeyIsShownOnce(t *testing.T) {
	n := newTown(t)
	if p, err := n.book.PartnerByKey(t.Context(), n.key); err != nil || p.Name != n.owner {
		t.Errorf("PartnerByKey = %+v, %v; want %s", p, err, n.owner)
	}
	if _, err := n.book.PartnerByKey(t.Context(), n.key+"a"); wire.CodeOf(err) != wire.AuthFailed {
		t.Errorf("PartnerByKey of a wrong key: %v, want auth_failed", err)
	}
	for name, content := range snapshot(t, n.cfg.Dir) {
		if strings.Contains(content, n.key) {
			t.Errorf("%s holds the key", name)
		}
	}
	if _, err := n.book.AddPartner(t.Context(), n.owner, 1); wire.CodeOf(err) != wire.BadRequest {
		t.Errorf("AddPartner of a taken name: %v, want bad_request", err)
	}
	for _, name := range []string{"", "a b", "a:b", "ä", "a/b", string(make([]byte, 65))} {
		if _, err := n.book.AddPartner(t.Context(), name, 1); wire.CodeOf(err) != wire.BadRequest {
			t.Errorf("AddPartner(%q): %v, want bad_request", name, err)
		}
	}
}

func TestOwnersCodeWorksOnceAndForAWeek(t *testing.T) {
	n := newTown(t)
	invite, err := n.book.Invite(t.Context())
	n.must(err)
	redeem := func(code string, edge identity.ID) error {
		return n.book.RedeemConsent(t.Context(), code, edge, Hash{1})
	}
	if err := redeem("00000-00000-00000-00000-00000-0", n.edge.ID()); !errors.Is(err, errBadCode) {
		t.Errorf("a wrong code: %v, want %v", err, errBadCode)
	}
	n.must(redeem(" "+invite.Code+" ", n.edge.ID()))
	if err := redeem(invite.Code, n.newKey().ID()); !errors.Is(err, errBadCode) {
		t.Errorf("a used code: %v, want %v", err, errBadCode)
	}
	account, err := n.book.EdgeAccount(t.Context(), n.edge.ID())
	if err != nil || !account.Registered {
		t.Errorf("EdgeAccount = %+v, %v; want it registered", account, err)
	}
	late, err := n.book.Invite(t.Context())
	n.must(err)
	n.clock.add(inviteLife)
	if err := redeem(late.Code, n.newKey().ID()); !errors.Is(err, errBadCode) {
		t.Errorf("an old code: %v, want %v", err, errBadCode)
	}
	n.must(n.book.expireOnce(t.Context()))
	if len(n.book.state.invites) != 0 {
		t.Errorf("%d old codes are kept", len(n.book.state.invites))
	}
}
