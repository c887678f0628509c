package edge

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"sward/accounting"
	"sward/internal/wire"
	"sward/policy"
)

// eventually waits for what happens in other goroutines, on its own terms: cond says when.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func TestEdgeCarriesAStreamAndIsPaidForIt(t *testing.T) {
	const size = 3 << 20 // many steps and windows
	r := newTestRelay(t)
	e, stop := testEdge(t, r, echo(t))
	s := r.next()
	if s.hello.Consent != ConsentHash() || s.hello.Role != wire.RoleEdge {
		t.Errorf("hello: got %+v, want an edge with the current consent", s.hello)
	}
	st, err := s.open(t.Context(), r.grant(), "site.example", 80)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := st.exchange(t.Context(), size); err != nil || got != size {
		t.Fatalf("echoed %d of %d bytes: %v", got, size, err)
	}
	st.end()
	eventually(t, "every byte is in a receipt", func() bool {
		last := s.meter.Last()
		return last.Up == size && last.Down == size
	})
	if used := e.Status(t.Context()).Today.Bytes; used != 2*size {
		t.Errorf("the cap counts %d bytes, want %d", used, 2*size)
	}
	if sites := e.Status(t.Context()).Sites; len(sites) != 1 || sites[0].Site != "site.example" || sites[0].Up != size || sites[0].Down != size {
		t.Errorf("the owner sees %+v, want site.example with %d bytes each way", sites, size)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if up, down := r.hub.credited(); up != size || down != size {
		t.Errorf("the hub credits %d up and %d down, want %d each", up, down, size)
	}
}

func TestEdgeNamesTheRuleThatRefuses(t *testing.T) {
	r := newTestRelay(t)
	e, _ := testEdge(t, r, echo(t))
	s := r.next()
	foreign := r.grant(func(g *accounting.Grant) { g.Relay = mustKey(t).ID() })
	forged := r.grant()
	forged.Sig[5] ^= 1
	expired := r.grant(func(g *accounting.Grant) { g.Issued -= 7200_000; g.NotAfter -= 7200_000 })
	for _, c := range []struct {
		name  string
		grant accounting.SignedGrant
		host  string
		port  uint16
		want  wire.Code
	}{
		{"private answer", r.grant(), "private.example", 443, wire.DestPrivate},
		{"loopback literal", r.grant(), "127.0.0.1", 80, wire.DestLoopback},
		{"localhost", r.grant(), "localhost", 80, wire.DestLoopback},
		{"short form", r.grant(), "127.1", 80, wire.BadHost},
		{"local name", r.grant(), "nas.lan", 80, wire.DestName},
		{"no such name", r.grant(), "nowhere.example", 443, wire.DNSNotFound},
		{"mail port", r.grant(), "site.example", 25, wire.PortMail},
		{"ssh port", r.grant(), "site.example", 22, wire.PortNotAllowed},
		{"port 0", r.grant(), "site.example", 0, wire.BadPort},
		{"bank", r.grant(), "www.chase.com", 443, wire.CategoryDenied},
		{"purpose", r.grant(func(g *accounting.Grant) { g.Purpose = policy.Purpose("security-research").Code() }), "site.example", 443, wire.PurposeDenied},
		{"no purpose", r.grant(func(g *accounting.Grant) { g.Purpose = 999 }), "site.example", 443, wire.PurposeDenied},
		{"another relay's grant", foreign, "site.example", 443, wire.GrantInvalid},
		{"forged grant", forged, "site.example", 443, wire.GrantInvalid},
		{"expired grant", expired, "site.example", 443, wire.GrantInvalid},
	} {
		st, err := s.open(t.Context(), c.grant, c.host, c.port)
		if err == nil {
			st.Reset()
		}
		var refused *wire.Error
		if !errors.As(err, &refused) || refused.Code != c.want {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		} else if refused.Edge != e.ID() {
			t.Errorf("%s: refused by %x, want this edge", c.name, refused.Edge)
		}
	}
	if got := e.Status(t.Context()).RefusedToday[wire.DestPrivate.Name()]; got != 1 {
		t.Errorf("the owner sees %d refusals of private addresses, want 1", got)
	}
}

func TestPauseStopsEverythingAndTellsTheRelay(t *testing.T) { // H06
	r := newTestRelay(t)
	e, _ := testEdge(t, r, echo(t))
	s := r.next()
	g := r.grant()
	var open []*testStream
	for range 30 {
		st, err := s.open(t.Context(), g, "site.example", 80)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := st.Write([]byte("still there")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(st, make([]byte, 11)); err != nil {
			t.Fatal(err)
		}
		open = append(open, st)
	}
	if err := e.Pause(0); err != nil {
		t.Fatal(err)
	}
	deadline, cancel := context.WithTimeout(t.Context(), 2*time.Second) // the promise to the owner
	defer cancel()
	for i, st := range open {
		ends, _ := deadline.Deadline()
		st.SetReadDeadline(ends)
		if _, err := st.Read(make([]byte, 1)); wire.CodeOf(err) != wire.Paused {
			t.Errorf("stream %d: got %v, want it cut with %s", i, err, wire.Paused)
		}
		st.end()
	}
	if _, err := s.open(t.Context(), g, "site.example", 80); wire.CodeOf(err) != wire.Paused {
		t.Errorf("a new stream: got %v, want %s", err, wire.Paused)
	}
	awaitStatus(t, s, true)
	if err := e.Resume(); err != nil {
		t.Fatal(err)
	}
	awaitStatus(t, s, false)
	st, err := s.open(t.Context(), g, "site.example", 80)
	if err != nil {
		t.Fatalf("after resume: %v", err)
	}
	st.end()
}

func awaitStatus(t *testing.T, s *testSession, paused bool) {
	t.Helper()
	for {
		select {
		case m := <-s.statuses:
			if m.Flags&wire.StatusPaused != 0 == paused {
				return
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("the relay was not told paused = %v", paused)
		}
	}
}

func TestCapHoldsAcrossParallelStreams(t *testing.T) { // H01 through the whole edge
	const dayCap = 2_000_000
	r := newTestRelay(t)
	e, _ := testEdge(t, r, echo(t), func(c *Config) { c.Settings.Caps = Caps{Day: dayCap} })
	s := r.next()
	g := r.grant()
	ended := make(chan error, 8)
	var open []*testStream // all before the first byte: the cap may be used up a moment later
	for range cap(ended) {
		st, err := s.open(t.Context(), g, "site.example", 80)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, st)
	}
	for _, st := range open {
		go func() {
			_, err := st.exchange(t.Context(), dayCap)
			st.end()
			ended <- err
		}()
	}
	for range cap(ended) {
		if err := <-ended; err == nil {
			t.Error("a stream ended cleanly although the cap is smaller than what it carried")
		}
	}
	eventually(t, "all streams left", func() bool { return e.live.count() == 0 })
	if used := e.Status(t.Context()).Today.Bytes; used > dayCap {
		t.Errorf("moved %d bytes, cap %d", used, dayCap)
	}
	up, down, _, _ := s.meter.Totals()
	if up+down > dayCap+512<<10 {
		t.Errorf("the relay counts %d bytes, cap %d and a window", up+down, dayCap)
	}
}

func TestGrantLimitHoldsUntilALaterVersionComes(t *testing.T) {
	const limit, more = 200_000, 2_000_000
	r := newTestRelay(t)
	_, _ = testEdge(t, r, echo(t))
	s := r.next()
	first := r.grant(func(g *accounting.Grant) { g.Limit = limit })
	st, err := s.open(t.Context(), first, "site.example", 80)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := st.exchange(t.Context(), limit)
		done <- err
	}()
	eventually(t, "the grant is used up", func() bool {
		_, down, _, _ := s.meter.Totals()
		return down > 0
	})
	select {
	case err := <-done:
		t.Fatalf("%d bytes each way passed on a grant of %d: %v", limit, limit, err)
	default:
	}
	later := first.Grant
	later.Limit = more
	if err := s.Send(wire.Regrant{Grant: accounting.SignGrant(testNetwork, r.hub.key, later).Bytes()}); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("after the grant was extended: %v", err)
	}
	st.end()
}

func TestNothingIsServedWithoutConsent(t *testing.T) { // H07, H09
	r := newTestRelay(t)
	e, _ := testEdge(t, r, echo(t))
	r.next()
	cfg := e.cfg
	cfg.Dir = t.TempDir()
	cfg.Key = mustKey(t)
	silent, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- silent.Run(ctx) }()
	eventually(t, "the edge is open", silent.isOpen)
	if got := silent.Status(ctx); got.Serving || got.Why != wire.NoConsent.Name() || len(got.Relays) != 0 {
		t.Errorf("status: got serving %v, why %q, relays %v; want no_consent and no relay called", got.Serving, got.Why, got.Relays)
	}
	if err := AgreeByCode(ctx, cfg.Dir, r.hub, "CODE", time.Now()); err != nil {
		t.Fatal(err)
	}
	r.next() // consent is seen without a restart
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("the edge ended with: %v", err)
	}
}

func TestReceiptsOutliveTheProcessAndAHubThatIsAway(t *testing.T) {
	const size = 300_000
	r := newTestRelay(t)
	r.hub.away = true
	e, stop := testEdge(t, r, echo(t))
	s := r.next()
	st, err := s.open(t.Context(), r.grant(), "site.example", 80)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.exchange(t.Context(), size); err != nil {
		t.Fatal(err)
	}
	st.end()
	eventually(t, "every byte is in a receipt", func() bool { return s.meter.Last().Down == size })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	r.hub.mu.Lock()
	r.hub.away = false
	r.hub.mu.Unlock()
	cfg := e.cfg
	again, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.open(); err != nil {
		t.Fatal(err)
	}
	again.settleOnce(t.Context())
	if up, down := r.hub.credited(); up != size || down != size {
		t.Errorf("after a restart the hub credits %d up and %d down, want %d each", up, down, size)
	}
	if left := again.Status(t.Context()).Unsubmitted; left != 0 {
		t.Errorf("%d receipts are left although the hub has them", left)
	}
	if err := again.close(); err != nil {
		t.Fatal(err)
	}
}
