package relay

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sward/accounting"
	"sward/internal/identity"
	"sward/internal/wire"
)

// scriptedHub answers Renew as it is told and counts how often it is asked; a relay under test asks nothing else of it.
type scriptedHub struct {
	Hub
	renew   func(id accounting.GrantID, want uint64) (accounting.SignedGrant, error)
	asked   atomic.Int32
	release func() error
}

func (h *scriptedHub) Renew(_ context.Context, id accounting.GrantID, want uint64) (accounting.Allowance, error) {
	h.asked.Add(1)
	g, err := h.renew(id, want)
	return accounting.Allowance{SignedGrant: g, Terms: accounting.Terms{Limits: accounting.Unlimited()}}, err
}

func (h *scriptedHub) Release(context.Context, accounting.GrantID, []accounting.Final) (accounting.Released, error) {
	return accounting.Released{}, h.release()
}

// deafSession is a session whose peer does not read its control stream: nothing can be sent while it lives.
type deafSession struct {
	session
	peer identity.ID
	dead chan struct{}
}

func (s deafSession) Peer() identity.ID { return s.peer }
func (s deafSession) Draining() bool    { return false }
func (s deafSession) Send(wire.Message) error {
	<-s.dead
	return errors.New("the session has ended")
}

func newKey(t testing.TB) identity.Key {
	t.Helper()
	key, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// grantRelay is a relay that only keeps grants, with one of limit bytes from its hub. It stops with the test's function.
func grantRelay(t *testing.T, limit uint64) (r *Relay, hub *scriptedHub, g *grant, sign func(limit uint64) accounting.SignedGrant) {
	t.Helper()
	hubKey, relayKey := newKey(t), newKey(t)
	now := time.Now().UnixMilli()
	first := accounting.Grant{
		ID: accounting.GrantID{1}, Issuer: hubKey.ID(), Relay: relayKey.ID(), Purpose: 1, Price: 1, Limit: limit,
		Issued: now, NotAfter: now + time.Hour.Milliseconds(), MaxChannels: 8,
	}
	sign = func(limit uint64) accounting.SignedGrant {
		next := first
		next.Limit = limit
		return accounting.SignGrant("test", hubKey, next)
	}
	hub = &scriptedHub{}
	ctx, stop := context.WithCancel(t.Context())
	cfg := Config{Key: relayKey, Network: "test", Hub: hub, HubID: hubKey.ID()}.withDefaults()
	r = &Relay{
		cfg: cfg, edges: newTable(), grants: map[accounting.GrantID]*grant{}, ctx: ctx,
		accounts: newAccounts(), limits: newLimits(cfg), usage: newUsageLog(),
	}
	t.Cleanup(func() {
		stop()
		r.tasks.Wait()
	})
	return r, hub, r.adopt(sign(limit)), sign
}

// A stream at the end of its grant waits a while for a hub that is away, and asks it now and then, not without a pause.
func TestEmptyGrantDoesNotStormAHubThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, hub, g, _ := grantRelay(t, 1000)
		hub.renew = func(accounting.GrantID, uint64) (accounting.SignedGrant, error) {
			if hub.asked.Load() > 1000 { // or a storm would have no end in a bubble's time
				return accounting.SignedGrant{}, wire.Errorf(wire.Internal, "asked too often")
			}
			return accounting.SignedGrant{}, wire.Errorf(wire.HubAway, "connection refused")
		}
		if n, err := r.reserve(t.Context(), g, 4000); n != 1000 || err != nil {
			t.Fatalf("reserve: got %d, %v, want the 1000 that are left", n, err)
		}
		began := time.Now()
		n, err := r.reserve(t.Context(), g, 1)
		if waited := time.Since(began); n != 0 || wire.CodeOf(err) != wire.HubAway || waited != extendWait {
			t.Errorf("reserve on an empty grant: got %d, %v after %s, want hub_away after %s", n, err, waited, extendWait)
		}
		if asked, most := int(hub.asked.Load()), int(extendWait/extendPause)+2; asked > most {
			t.Errorf("the hub was asked %d times in %s, want at most %d", asked, extendWait, most)
		}
	})
}

// One edge that does not read what it is told holds up nobody else's stream.
func TestDeafEdgeHoldsUpNoExtension(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, hub, g, sign := grantRelay(t, 1000)
		hub.renew = func(accounting.GrantID, uint64) (accounting.SignedGrant, error) { return sign(5000), nil }
		key, peer := newKey(t), newKey(t)
		meter := accounting.NewMeter(accounting.MeterConfig{
			Side: accounting.RelaySide, Network: "test", Channel: accounting.Channel{RelayKey: key.ID()}, Key: key,
		})
		deaf := &edge{id: peer.ID(), session: deafSession{peer: peer.ID(), dead: make(chan struct{})}, meter: meter}
		defer close(deaf.session.(deafSession).dead)
		if err := r.edges.add(deaf); err != nil {
			t.Fatal(err)
		}
		if _, err := g.enter(meter); err != nil {
			t.Fatal(err)
		}
		if n, err := r.reserve(t.Context(), g, 1000); n != 1000 || err != nil {
			t.Fatalf("reserve: got %d, %v, want 1000", n, err)
		}
		if n, err := r.reserve(t.Context(), g, 1000); n != 1000 || err != nil {
			t.Errorf("reserve after the extension: got %d, %v, want 1000", n, err)
		}
	})
}

// The rest of a grant is the partner's money: a hub that was away when the grant was released is told again.
func TestReleaseIsSaidUntilTheHubHasHeardIt(t *testing.T) {
	r, hub, g, _ := grantRelay(t, 1000)
	told := 0
	hub.release = func() error {
		if told++; told < 3 {
			return wire.Errorf(wire.HubAway, "connection refused")
		}
		return nil
	}
	g.idleSince = g.idleSince.Add(-2 * grantIdle)
	for range 5 {
		r.releaseIdle(t.Context(), false)
	}
	if told != 3 {
		t.Errorf("the hub was told %d times, want 3: twice while it was away, and once", told)
	}
	if r.grants[g.id] == nil {
		t.Error("a released grant is forgotten before it expires, and could begin a second life")
	}
}

// A hub that was away for longer than a grant lasts is told all the same: it would keep the rest for a day else.
func TestReleaseIsSaidAfterTheGrantHasExpired(t *testing.T) {
	r, hub, g, _ := grantRelay(t, 1000)
	now := time.Now()
	r.cfg.Clock = func() time.Time { return now }
	away, told := true, 0
	hub.release = func() error {
		if away {
			return wire.Errorf(wire.HubAway, "connection refused")
		}
		told++
		return nil
	}
	now = now.Add(2 * time.Hour)
	r.releaseIdle(t.Context(), false)
	away = false
	r.releaseIdle(t.Context(), false)
	if told != 1 {
		t.Errorf("the hub was told %d times that the rest is free, want once", told)
	}
	r.releaseIdle(t.Context(), false)
	if r.grants[g.id] != nil {
		t.Error("a grant that has expired and been released is kept")
	}
}

// A partner that pays in when it is warned, or whose day ends, goes on with the streams it has. Until then the hub is not
// asked at every read.
func TestGrantIsExtendedWhenTheHubHasChangedItsMind(t *testing.T) {
	for _, code := range []wire.Code{wire.BalanceExhausted, wire.PartnerCap, wire.GrantInvalid} {
		t.Run(code.Name(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, hub, g, sign := grantRelay(t, 1000)
				paid := false
				hub.renew = func(accounting.GrantID, uint64) (accounting.SignedGrant, error) {
					if !paid {
						return accounting.SignedGrant{}, wire.Errorf(code, "no more")
					}
					return sign(5000), nil
				}
				if n, err := r.reserve(t.Context(), g, 1000); n != 1000 || err != nil {
					t.Fatalf("reserve: got %d, %v, want the 1000 that are left", n, err)
				}
				if _, err := r.reserve(t.Context(), g, 1); wire.CodeOf(err) != wire.OverLimit { // asks a first time
					t.Fatalf("reserve on an empty grant: got %v, want over_limit", err)
				}
				paid = true
				before := hub.asked.Load()
				if _, err := r.reserve(t.Context(), g, 1); wire.CodeOf(err) != wire.OverLimit || hub.asked.Load() != before {
					t.Errorf("reserve at once: got %v after %d questions, want over_limit and no question", err, hub.asked.Load()-before)
				}
				time.Sleep(finalPause)
				want := wire.OK
				if code == wire.GrantInvalid { // the hub does not change its mind on that
					want = wire.OverLimit
				}
				if _, err := r.reserve(t.Context(), g, 1); wire.CodeOf(err) != want {
					t.Errorf("reserve later: got %v, want %s", err, want.Name())
				}
			})
		})
	}
}

// A grant that has lain idle is not released between the answer that a request may come in and the stream that it opens.
func TestGrantIsNotReleasedUnderARequest(t *testing.T) {
	r, hub, pass := limitRelay(t, NoLimits(), officeTerms(accounting.Unlimited()))
	g := member(t, r, "key-0").current()
	pass(2 * grantIdle)
	again := member(t, r, "key-0")
	if hub.asked != 1 || again.current() != g {
		t.Fatalf("the hub was asked %d times, want once", hub.asked)
	}
	if g.retireIdle(r.cfg.Clock(), false) {
		t.Error("the grant is released while a request is on its way to it")
	}
	pass(grantIdle)
	if !g.retireIdle(r.cfg.Clock(), false) {
		t.Error("the grant is kept though nothing has come")
	}
}

// A grant that was used on more channels than a release can name would else stay reserved for a day.
func TestReleaseNamesTheNewestChannelsAndNotTooMany(t *testing.T) {
	var signed []accounting.Receipt
	for i := range int64(accounting.MaxFinals + 10) {
		signed = append(signed, accounting.Receipt{Channel: accounting.ChannelID{byte(i), byte(i >> 8)}, Serial: uint64(i) + 1, Time: i})
	}
	finals := newest(signed)
	if len(finals) != accounting.MaxFinals {
		t.Fatalf("got %d channels, want %d", len(finals), accounting.MaxFinals)
	}
	for _, f := range finals {
		if i := int(f.Channel[0]) | int(f.Channel[1])<<8; i < 10 || f.Serial != uint64(i)+1 {
			t.Errorf("got channel %d with serial %d, want none of the ten oldest, and its own serial", i, f.Serial)
		}
	}
}
