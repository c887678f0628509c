package relay

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"sward/internal/geo"
	"sward/internal/identity"
	"sward/internal/wire"
	"sward/relay/gateway"
)

// house is a table of edges and one of sessions under one clock.
type house struct {
	t     *testing.T
	now   time.Time
	edges *table
	stays *stays
}

func newHouse(t *testing.T, edges int) *house {
	t.Helper()
	h := &house{t: t, now: pickTime, edges: newTable()}
	h.edges.now = func() time.Time { return h.now }
	h.stays = newStays(h.edges.now)
	for n := range edges {
		h.enter(n)
	}
	return h
}

func (h *house) enter(n int) *edge {
	h.t.Helper()
	e, _ := enterAt(h.t, h.edges, n, netip.AddrPortFrom(netip.AddrFrom4([4]byte{44, 128, byte(n >> 8), byte(n)}), 1).String())
	return e
}

// ask opens and ends a stream of one account's session; ended tells which edge it left from.
func (h *house) ask(exit gateway.Exit) (identity.ID, error) { return h.askAs(tag{1}, exit) }

func (h *house) askAs(who tag, exit gateway.Exit) (identity.ID, error) {
	s, err := h.stays.enter(who, exit)
	if err != nil {
		return identity.ID{}, err
	}
	defer h.stays.leave(s)
	e, err := h.stays.pick(h.edges, &Want{App: wire.AppProxy, Where: whereOf(exit), who: who}, s, false)
	if err != nil {
		return identity.ID{}, err
	}
	defer e.release()
	return e.id, nil
}

func (h *house) must(exit gateway.Exit) identity.ID {
	h.t.Helper()
	id, err := h.ask(exit)
	if err != nil {
		h.t.Fatalf("%+v: %v", exit, err)
	}
	return id
}

func soft(word string) gateway.Exit { return gateway.Exit{Session: word} }
func hard(word string) gateway.Exit { return gateway.Exit{Session: word, Hard: true} }

func TestSessionStaysOnItsEdgeAndRotatesWithoutOne(t *testing.T) {
	h := newHouse(t, 50)
	first := h.must(soft("a"))
	others := map[identity.ID]bool{}
	for range 30 {
		if got := h.must(soft("a")); got != first {
			t.Fatalf("got %v, want %v again", got, first)
		}
		others[h.must(gateway.Exit{})] = true
	}
	if len(others) < 10 {
		t.Errorf("30 requests without a session left from %d edges", len(others))
	}
	if other, err := h.askAs(tag{2}, soft("a")); err != nil || h.stays.len() != 2 {
		t.Errorf("another account's word: %v, %v, %d sessions, want 2", other, err, h.stays.len())
	}
}

func TestSoftSessionMovesOnAndStays(t *testing.T) {
	h := newHouse(t, 10)
	first := h.must(soft("a"))
	old := h.edges.edges[first]
	h.edges.drop(old)
	second := h.must(soft("a"))
	if second == first {
		t.Fatal("the edge has left")
	}
	if err := h.edges.add(old); err != nil { // it comes back too late
		t.Fatal(err)
	}
	for range 10 {
		if got := h.must(soft("a")); got != second {
			t.Fatalf("got %v, want the new edge %v kept", got, second)
		}
	}
	e := h.edges.edges[second]
	e.setStatus(wire.Status{Flags: wire.StatusSealed | wire.StatusPaused, Apps: e.apps})
	if got := h.must(soft("a")); got == second {
		t.Error("a paused edge was picked")
	}
}

// A session whose edge carries as much as it may leaves from elsewhere for that one request, and comes back.
func TestSoftSessionGoesAsideWhileItsEdgeIsFull(t *testing.T) {
	h := newHouse(t, 10)
	id := h.must(soft("a"))
	e := h.edges.edges[id]
	for range e.limit {
		if _, err := h.edges.pick(&Want{App: wire.AppProxy, Edge: id}); err != nil {
			t.Fatal(err)
		}
	}
	if got := h.must(soft("a")); got == id {
		t.Fatal("a full edge was picked")
	}
	if _, err := h.ask(gateway.Exit{Session: "b", Hard: true}); err != nil {
		t.Fatal(err)
	}
	e.release()
	if got := h.must(soft("a")); got != id {
		t.Errorf("got %v, want the session's edge %v again", got, id)
	}
}

func TestHardSessionNeverLeavesFromAnotherEdge(t *testing.T) {
	h := newHouse(t, 10)
	exit := hard("a")
	exit.TTL = time.Hour
	id := h.must(exit)
	e := h.edges.edges[id]
	ask := func(step string, want wire.Code) *wire.Error {
		t.Helper()
		got, err := h.ask(exit)
		if wire.CodeOf(err) != want || err == nil && got != id {
			t.Errorf("%s: got %v, %v, want %s", step, got, err, want)
		}
		coded, _ := errors.AsType[*wire.Error](err)
		return coded
	}
	e.setStatus(wire.Status{Flags: wire.StatusSealed | wire.StatusPaused, Apps: e.apps})
	ask("paused", wire.Paused)
	e.setStatus(wire.Status{Flags: wire.StatusSealed, Room: 1 << 30, Apps: e.apps})
	ask("again", wire.OK)
	h.edges.drop(e)
	if err := ask("gone", wire.SessionGone); err == nil || err.After != goneRest || err.Edge != wire.ID(id) {
		t.Errorf("gone: got %+v, want its edge and Retry-After %s", err, goneRest)
	}
	if err := h.edges.add(e); err != nil {
		t.Fatal(err)
	}
	e.setStatus(wire.Status{Flags: wire.StatusSealed, Room: 1 << 30, Apps: e.apps})
	ask("the edge is back, the session is not", wire.SessionGone)
	h.now = h.now.Add(goneRest)
	if _, err := h.ask(exit); err != nil {
		t.Errorf("after the rest the word begins anew: %v", err)
	}
}

func TestHardSessionIsRefusedNoLongerThanItWouldHaveLasted(t *testing.T) {
	h := newHouse(t, 3)
	exit := gateway.Exit{Session: "a", Hard: true, TTL: time.Minute}
	h.edges.drop(h.edges.edges[h.must(exit)])
	if _, err := h.ask(exit); wire.CodeOf(err) != wire.SessionGone {
		t.Fatalf("got %v, want session_gone", err)
	}
	h.now = h.now.Add(time.Minute)
	if _, err := h.ask(exit); err != nil {
		t.Errorf("got %v, want a new session", err)
	}
}

// An edge that rolls its session is the same edge.
func TestSessionsSurviveTheRollingOfTheirEdge(t *testing.T) {
	h := newHouse(t, 5)
	id := h.must(hard("a"))
	old := h.edges.edges[id]
	old.setStatus(wire.Status{Flags: wire.StatusSealed | wire.StatusRolling, Room: 1 << 30, Apps: old.apps})
	next, _ := newEdgeAt(0, "44.128.0.9:1")
	next.id = id
	if err := h.edges.add(next); err != nil {
		t.Fatal(err)
	}
	next.setStatus(wire.Status{Flags: wire.StatusSealed, Room: 1 << 30, Apps: next.apps})
	if got := h.must(hard("a")); got != id {
		t.Fatal("moved before the new session was ready")
	}
	h.edges.promote(next)
	h.edges.drop(old)
	if got := h.must(hard("a")); got != id {
		t.Error("moved though its edge only changed its session")
	}
}

func TestSessionEndsByTimeAndByIdleness(t *testing.T) {
	for _, c := range []struct {
		name  string
		exit  gateway.Exit
		every time.Duration // a request
		lasts time.Duration
	}{
		{"nothing asked: ten minutes", soft("a"), 30 * time.Second, sessionTTL},
		{"nothing asked: an idle minute", soft("a"), time.Minute, time.Minute},
		{"a time asked: all of it, however idle", gateway.Exit{Session: "a", TTL: time.Hour}, 20 * time.Minute, time.Hour},
		{"a time and an idle end", gateway.Exit{Session: "a", TTL: time.Hour, Idle: 10 * time.Minute}, 10 * time.Minute, 10 * time.Minute},
		{"an idle end alone", gateway.Exit{Session: "a", Idle: 5 * time.Minute}, 4 * time.Minute, 12 * time.Minute},
		{"the shortest", gateway.Exit{Session: "a", TTL: time.Second}, time.Second, time.Second},
		{"the longest", gateway.Exit{Session: "a", TTL: 24 * time.Hour}, 6 * time.Hour, 24 * time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, 20)
			session := func() *stay {
				h.must(c.exit)
				return h.stays.all[stayKeyOf(tag{1}, c.exit.Session, whereOf(c.exit))]
			}
			first, begun := session(), h.now
			for session() == first && h.now.Sub(begun) < 48*time.Hour {
				h.now = h.now.Add(c.every)
			}
			if got := h.now.Sub(begun); got != c.lasts {
				t.Errorf("lasted %s, want %s", got, c.lasts)
			}
		})
	}
	h := newHouse(t, 3)
	for _, bad := range []gateway.Exit{
		{Session: "a", TTL: time.Millisecond}, {Session: "a", TTL: 25 * time.Hour}, {Session: "a", Idle: -time.Second}, {Session: "a", Idle: 25 * time.Hour},
	} {
		if _, err := h.ask(bad); wire.CodeOf(err) != wire.BadParameter {
			t.Errorf("%+v: got %v, want bad_parameter", bad, err)
		}
	}
}

// A stream that runs keeps its session from being idle.
func TestRunningStreamIsNoIdleness(t *testing.T) {
	h := newHouse(t, 200)
	s, err := h.stays.enter(tag{1}, soft("a"))
	if err != nil {
		t.Fatal(err)
	}
	e, err := h.stays.pick(h.edges, &Want{App: wire.AppProxy}, s, false)
	if err != nil {
		t.Fatal(err)
	}
	h.now = h.now.Add(5 * time.Minute)
	if got := h.must(soft("a")); got != e.id {
		t.Errorf("got %v while a stream of the session runs from %v", got, e.id)
	}
}

func TestTwoSessionsShareAnEdgeOnlyWhenTheyMust(t *testing.T) {
	const edges = 40
	h := newHouse(t, edges)
	seen := map[identity.ID]string{}
	for n := range edges {
		word := fmt.Sprint("s", n)
		id := h.must(gateway.Exit{Session: word, TTL: time.Hour})
		if other, shared := seen[id]; shared {
			t.Fatalf("%s and %s share an edge while %d are free", word, other, edges-n)
		}
		seen[id] = word
	}
	h.must(gateway.Exit{Session: "one more", TTL: time.Hour})
	if id, err := h.askAs(tag{2}, gateway.Exit{Session: "s0", TTL: time.Hour}); err != nil || seen[id] == "" {
		t.Errorf("another account: %v, %v", id, err)
	}
}

func TestSameWordElsewhereIsAnotherSession(t *testing.T) {
	h := newHouse(t, 0)
	h.edges.place = func(id identity.ID, _ netip.Addr) geo.Place { return geo.Place{Country: []string{"de", "fr"}[id[2]%2]} }
	for n := range 20 {
		h.enter(n)
	}
	german, french := gateway.Exit{Session: "a", Country: "de"}, gateway.Exit{Session: "a", Country: "fr"}
	first, second := h.must(german), h.must(french)
	if first == second || h.must(german) != first || h.must(french) != second {
		t.Error("one word in two countries is not two sessions")
	}
}

// Ten first requests at once get one edge.
func TestFirstRequestsAtOnceGetOneEdge(t *testing.T) {
	h := newHouse(t, 50)
	var (
		mu   sync.Mutex
		all  = map[identity.ID]bool{}
		done sync.WaitGroup
	)
	for range 4 { // as many streams as an edge takes
		done.Go(func() {
			id, err := h.ask(soft("a"))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			all[id] = true
		})
	}
	done.Wait()
	if len(all) != 1 {
		t.Errorf("they left from %d edges, want 1", len(all))
	}
}

func TestSessionsAreBounded(t *testing.T) {
	h := newHouse(t, 2)
	begin := func(who tag, n int) error {
		s, err := h.stays.enter(who, gateway.Exit{Session: fmt.Sprint(n), TTL: time.Hour})
		h.stays.leave(s)
		return err
	}
	for n := range maxAccountSessions {
		if err := begin(tag{1}, n); err != nil {
			t.Fatal(err)
		}
	}
	if err := begin(tag{1}, maxAccountSessions); wire.CodeOf(err) != wire.PartnerLimit {
		t.Errorf("one more of an account: got %v, want partner_limit", err)
	}
	if err := begin(tag{2}, 1); err != nil {
		t.Errorf("of another account: %v", err)
	}
	h.now = h.now.Add(time.Hour)
	if err := begin(tag{1}, maxAccountSessions); err != nil {
		t.Errorf("after the others have ended: %v", err)
	}
	for who := range maxSessions/maxAccountSessions + 1 {
		for n := range maxAccountSessions {
			if err := begin(tag{9, byte(who)}, n); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := h.stays.len(); got != maxSessions {
		t.Errorf("%d sessions are kept, want %d", got, maxSessions)
	}
	if oldest := h.stays.owners[tag{9, 0}]; oldest != nil && len(oldest.stays) == maxAccountSessions {
		t.Error("the sessions used longest ago are still there")
	}
	h.now = h.now.Add(time.Hour)
	h.stays.sweep()
	if h.stays.len()+len(h.stays.owners)+h.stays.byUse.Len() != 0 {
		t.Errorf("after all have ended %d sessions of %d accounts are kept", h.stays.len(), len(h.stays.owners))
	}
}

func TestSessionsOutliveARestart(t *testing.T) {
	h := newHouse(t, 30)
	exits := map[string]gateway.Exit{
		"soft": {Session: "soft"}, "hard": {Session: "hard", Hard: true, TTL: time.Hour},
		"hard, edge late": {Session: "late", Hard: true, TTL: time.Hour}, "lost": {Session: "lost", Hard: true, TTL: time.Hour},
		"idle": {Session: "idle", Idle: 30 * time.Second},
	}
	ids := map[string]identity.ID{}
	for name, exit := range exits {
		ids[name] = h.must(exit)
	}
	h.edges.drop(h.edges.edges[ids["lost"]])
	if _, err := h.ask(exits["lost"]); wire.CodeOf(err) != wire.SessionGone {
		t.Fatal(err)
	}
	file := h.stays.snapshot()

	h.now = h.now.Add(40 * time.Second) // away for longer than "idle" may be
	late := h.edges.edges[ids["hard, edge late"]]
	h.edges.drop(late)
	h.stays = newStays(h.edges.now)
	if err := h.stays.restore(file); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"soft", "hard", "idle"} {
		if got := h.must(exits[name]); got != ids[name] {
			t.Errorf("%s: got %v after the restart, want %v", name, got, ids[name])
		}
	}
	if _, err := h.ask(exits["lost"]); wire.CodeOf(err) != wire.SessionGone {
		t.Errorf("a session that was gone: got %v, want session_gone still", err)
	}
	if _, err := h.ask(exits["hard, edge late"]); wire.CodeOf(err) != wire.NoEdge {
		t.Errorf("its edge is not back yet: got %v, want no_edge", err)
	}
	if err := h.edges.add(late); err != nil {
		t.Fatal(err)
	}
	late.setStatus(wire.Status{Flags: wire.StatusSealed, Room: 1 << 30, Apps: late.apps})
	if got := h.must(exits["hard, edge late"]); got != ids["hard, edge late"] {
		t.Errorf("its edge is back: got %v, want %v", got, ids["hard, edge late"])
	}

	h.stays = newStays(h.edges.now)
	if err := h.stays.restore(file); err != nil {
		t.Fatal(err)
	}
	h.edges.drop(late)
	h.now = h.now.Add(comingBack)
	if _, err := h.ask(exits["hard, edge late"]); wire.CodeOf(err) != wire.SessionGone {
		t.Errorf("its edge has not come back: got %v, want session_gone", err)
	}
}

func TestFileOfSessionsIsWrittenWhenThereIsSomethingNew(t *testing.T) {
	h := newHouse(t, 3)
	path := filepath.Join(t.TempDir(), "sessions")
	r := &Relay{cfg: Config{Sessions: path}.withDefaults(), edges: h.edges, stays: h.stays}
	if err := r.keepStays(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a file was written though there is nothing in it")
	}
	id := h.must(soft("secret-word"))
	if err := r.keepStays(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := &Relay{cfg: r.cfg, stays: newStays(h.edges.now)}
	again.recallStays()
	h.must(soft("another-word"))
	r.cfg.Sessions = filepath.Join(path, "no-directory")
	if err := r.keepStays(t.Context()); err == nil {
		t.Error("a file was written into a file")
	}
	r.cfg.Sessions = path + ".later"
	if err := r.keepStays(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(r.cfg.Sessions); err != nil {
		t.Errorf("what could not be written is not written later: %v", err)
	}
	h.stays = again.stays
	if h.stays.len() != 1 || h.must(soft("secret-word")) != id {
		t.Error("the session was not recalled")
	}
	if err := os.WriteFile(path, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := &Relay{cfg: again.cfg, stays: newStays(h.edges.now)}
	broken.recallStays() // logs, and starts without
	if broken.stays.len() != 0 {
		t.Error("sessions out of rubbish")
	}
}

// Whatever is in the file, it is taken or refused, within the bounds; what is taken is written the same.
func FuzzSessionsFile(f *testing.F) {
	stays := func() *stays { return newStays(func() time.Time { return pickTime }) }
	seed := stays()
	for n := range 3 {
		s, err := seed.enter(tag{byte(n)}, gateway.Exit{Session: "a", Hard: n == 1})
		if err != nil {
			f.Fatal(err)
		}
		seed.bind(s, idOf(n+1))
	}
	f.Add(seed.snapshot())
	f.Add([]byte(stayMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		first := stays()
		if first.restore(b) != nil {
			return
		}
		file := first.snapshot()
		second := stays()
		if err := second.restore(file); err != nil || second.len() != first.len() {
			t.Errorf("%d sessions became %d, %v", first.len(), second.len(), err)
		}
	})
}
