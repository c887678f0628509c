package relay

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sward/accounting"
	"sward/internal/wire"
	"sward/policy"
)

// officeHub knows the keys key-0, key-1, … of one account, and no others.
type officeHub struct {
	Hub
	sign  func(uint64) accounting.SignedGrant
	terms accounting.Terms
	asked int
	empty bool // the balance
}

func (h *officeHub) Authorise(_ context.Context, _, key string, _ uint64) (accounting.Allowance, error) {
	h.asked++
	if !strings.HasPrefix(key, "key-") {
		return accounting.Allowance{}, wire.Errorf(wire.AuthFailed, "the name or the key is wrong")
	}
	if h.empty {
		return accounting.Allowance{}, wire.Errorf(wire.BalanceExhausted, "nothing is left")
	}
	return accounting.Allowance{SignedGrant: h.sign(firstGrant), Terms: h.terms}, nil
}

// limitRelay is a relay with the given limits, whose clock the test moves, and whose hub knows one account.
func limitRelay(t *testing.T, own LimitsConfig, terms accounting.Terms) (r *Relay, hub *officeHub, pass func(time.Duration)) {
	t.Helper()
	r, _, _, sign := grantRelay(t, firstGrant)
	now := time.Now()
	r.cfg.Clock, r.cfg.Limits = func() time.Time { return now }, own
	hub = &officeHub{sign: sign, terms: terms}
	r.cfg.Hub, r.limits = hub, newLimits(r.cfg)
	return r, hub, func(d time.Duration) { now = now.Add(d) }
}

func officeTerms(l accounting.Limits) accounting.Terms {
	return accounting.Terms{Account: accounting.AccountTag{7}, Limits: l, Left: 1 << 30, Low: 256 << 20}
}

func member(t *testing.T, r *Relay, key string) *account {
	t.Helper()
	a, err := r.authorise(t.Context(), "acme", key, netip.MustParseAddr("198.51.100.1"))
	if err != nil {
		t.Fatalf("authorise with %s: %v", key, err)
	}
	return a
}

func targetOf(t *testing.T, hostport string) policy.Target {
	t.Helper()
	target, err := policy.ParseTarget(hostport)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// asked is the code of a refusal and when it says to ask again.
func asked(t *testing.T, err error) (wire.Code, time.Duration) {
	t.Helper()
	e, ok := err.(*wire.Error) //nolint:errorlint // as the door gets it
	if !ok {
		t.Fatalf("got %v, want a refusal with a code", err)
	}
	return e.Code, e.After
}

// B07: an account that comes with twenty keys has the limits of one.
func TestLimitsAreOfTheAccountAndNotOfTheKey(t *testing.T) {
	const rate, burst, minute = 10, 20, 60
	r, _, pass := limitRelay(t, NoLimits(), officeTerms(accounting.Limits{Rate: rate, Burst: burst, Streams: 1000}))
	site := targetOf(t, "example.com:443")
	served, refused := 0, 0
	for range 10 * minute {
		for n := range 20 {
			leave, err := r.enterLimits(member(t, r, fmt.Sprintf("key-%d", n)), site)
			if err != nil {
				if code, after := asked(t, err); code != wire.PartnerLimit || after <= 0 || after > time.Second/rate+time.Millisecond {
					t.Fatalf("got %v, to be tried again after %s; want partner_limit after a tenth of a second", err, after)
				}
				refused++
				continue
			}
			leave()
			served++
		}
		pass(time.Second / 10)
	}
	if most := rate*minute + burst; served > most || served < most-2*rate {
		t.Errorf("%d requests of 20 keys were served in a minute, %d refused; want %d served", served, refused, most)
	}
}

func TestAccountHasItsConnectionsOverAllKeys(t *testing.T) {
	r, hub, pass := limitRelay(t, NoLimits(), officeTerms(accounting.Limits{Rate: 1000, Burst: 1000, Streams: 3}))
	site := targetOf(t, "example.com:443")
	var leaves []func()
	for n := range 3 {
		leave, err := r.enterLimits(member(t, r, fmt.Sprintf("key-%d", n)), site)
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, leave)
	}
	_, err := r.enterLimits(member(t, r, "key-3"), site)
	if code, _ := asked(t, err); code != wire.PartnerLimit {
		t.Errorf("fourth connection: got %v, want partner_limit", err)
	}
	leaves[0]()
	leaves[0]() // an end that is told twice frees one place
	if _, err := r.enterLimits(member(t, r, "key-3"), site); err != nil {
		t.Errorf("after one has ended: %v", err)
	}
	if _, err = r.enterLimits(member(t, r, "key-4"), site); err == nil {
		t.Error("one end has freed two places")
	}
	hub.terms.Limits.Streams = 4 // what the operator raises is there with the next answer
	pass(accountLife)
	if _, err := r.enterLimits(member(t, r, "key-4"), site); err != nil {
		t.Errorf("after the limit was raised: %v", err)
	}
}

// B06: ten thousand requests a minute to one site: it gets what it stands, through however many edges, names below its
// domain, accounts and relays.
func TestTargetGetsWhatItStandsAndNoMore(t *testing.T) {
	for _, relays := range []int32{1, 4} {
		r, _, pass := limitRelay(t, LimitsConfig{TargetRate: 20, TargetBurst: 40}, accounting.Terms{})
		r.limits.relays.Store(relays)
		served := 0
		for n := range 10_000 {
			leave, err := r.enterTarget(tag{}, targetOf(t, fmt.Sprintf("www%d.example.com:443", n%100)))
			if err == nil {
				leave()
				served++
			} else if code, after := asked(t, err); code != wire.TargetLimit || after <= 0 {
				t.Fatalf("got %v, to be tried again after %s; want target_limit and a time", err, after)
			}
			if _, err := r.enterTarget(tag{}, targetOf(t, fmt.Sprintf("example-%d.com:443", n))); err != nil {
				t.Fatalf("another site: %v", err)
			}
			pass(time.Minute / 10_000)
		}
		if most := (20*60 + 40) / int(relays); served > most || served < most*95/100 {
			t.Errorf("with %d relays this one opened %d connections to the site in a minute, want %d", relays, served, most)
		}
	}
}

func TestTargetHasSoManyConnectionsAtOnce(t *testing.T) {
	r, _, _ := limitRelay(t, LimitsConfig{TargetRate: -1, TargetBurst: -1, TargetStreams: 2}, accounting.Terms{})
	site := targetOf(t, "[2001:db8:0:1::1]:443")
	leave, err := r.enterTarget(tag{}, site)
	if err == nil {
		_, err = r.enterTarget(tag{}, targetOf(t, "[2001:db8:0:1::2]:443")) // the same customer's
	}
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.enterTarget(tag{}, site)
	if code, _ := asked(t, err); code != wire.TargetLimit {
		t.Errorf("third connection: got %v, want target_limit", err)
	}
	leave()
	if _, err := r.enterTarget(tag{}, site); err != nil {
		t.Errorf("after one has ended: %v", err)
	}
}

// One account that holds what a site stands open locks nobody else out of it.
func TestNoAccountHasASiteForItself(t *testing.T) {
	targets := newTargets(LimitsConfig{TargetRate: -1, TargetBurst: -1, TargetStreams: 200})
	now := time.Now()
	fill := func(who tag) (n int) {
		for n < 1000 {
			if _, err := targets.enter(who, "example.com", 1, now); err != nil {
				if wire.CodeOf(err) != wire.TargetLimit {
					t.Fatal(err)
				}
				break
			}
			n++
		}
		return n
	}
	for n, want := range []int{160, 32, 7} {
		if got := fill(tag{byte(n + 1)}); got != want {
			t.Errorf("account %d: got %d connections, want %d", n+1, got, want)
		}
	}
	if got := fill(tag{}); got != 1 {
		t.Errorf("the hub got %d connections, want the last one", got)
	}

	leave, err := targets.enter(tag{1}, "one.example", 1, now)
	if err != nil {
		t.Fatal(err)
	}
	leave()
	leave()
	if s := targets.all["one.example"]; s.streams != 0 || len(s.held) != 0 {
		t.Errorf("%d connections, %d accounts after all have left", s.streams, len(s.held))
	}
}

func TestLargeSiteHasARateOfItsOwn(t *testing.T) {
	r, _, _ := limitRelay(t, LimitsConfig{TargetRates: map[string]float64{"large.example": 500, "none.example": -1}}, accounting.Terms{})
	for host, want := range map[string]int{"www.large.example": 1000, "small.example": defaultTargetBurst, "none.example": 5000} {
		served := 0
		for range 5000 {
			if _, err := r.enterTarget(tag{}, targetOf(t, host+":443")); err == nil {
				served++
			}
		}
		if served != want {
			t.Errorf("%s got %d connections at once, want %d", host, served, want)
		}
	}
}

func TestSiteIsWhatBearsTheLoad(t *testing.T) {
	for hostport, want := range map[string]string{
		"a.b.example.com:443": "example.com", "example.co.uk:80": "example.co.uk", "x.example.co.uk:80": "example.co.uk",
		"someone.github.io:443": "someone.github.io", "github.io:443": "github.io", "192.0.2.1:443": "192.0.2.1",
		"[::ffff:192.0.2.1]:443": "192.0.2.1", "[2001:db8:1:2:3::4]:443": "2001:db8:1:2::/64",
	} {
		if got := site(targetOf(t, hostport).Host); got != want {
			t.Errorf("site of %s = %s, want %s", hostport, got, want)
		}
	}
}

// beatingHub tells how many relays there are.
type beatingHub struct {
	Hub
	relays int
}

func (h *beatingHub) Heartbeat(context.Context, accounting.Heartbeat) (accounting.Orders, error) {
	return accounting.Orders{Relays: h.relays}, nil
}

// A hub that has started again knows of one relay first, and then of all: a site gets no more meanwhile.
func TestStartOfTheHubGivesNoSiteMore(t *testing.T) {
	r, _, _ := limitRelay(t, LimitsConfig{}, accounting.Terms{})
	hub := &beatingHub{}
	r.cfg.Hub = hub
	for _, c := range []struct{ said, want int32 }{{0, 1}, {4, 4}, {1, 4}, {4, 4}, {3, 4}, {3, 3}, {5, 5}} {
		hub.relays = int(c.said)
		if err := r.beatOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := r.limits.relays.Load(); got != c.want {
			t.Errorf("the hub says %d relays: a site's share is divided by %d, want %d", c.said, got, c.want)
		}
	}
}

// A line that would never hold, or shut a site out, stops the start and says what to write.
func TestRatesOfSitesAreReadStrictly(t *testing.T) {
	for name, c := range map[string]struct {
		rate float64
		want string
	}{
		"example.com":      {rate: 500},
		"192.0.2.1":        {rate: -1},
		"2001:db8::/64":    {rate: 0.5},
		"www.example.com":  {500, `write "example.com"`},
		"Example.com":      {500, `write "example.com"`},
		"example.com/path": {500, `write "example.com"`},
		"2001:db8::1":      {500, `write "2001:db8::/64"`},
		"*.example.com":    {500, `"*.example.com"`},
		"":                 {500, `""`},
		"quiet.example":    {0, "rate 0"},
	} {
		err := LimitsConfig{TargetRates: map[string]float64{name: c.rate}}.check()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%q at %v: got %v, want an error with %q", name, c.rate, err, c.want)
		}
	}
}

// A negative number is no limit, whichever of two that work together it is.
func TestNegativeLimitsAreNone(t *testing.T) {
	for name, c := range map[string]LimitsConfig{
		"target_rate": {TargetRate: -1, TargetStreams: -1}, "target_burst": {TargetBurst: -1, TargetStreams: -1},
		"short_rate": {ShortRate: -1, TargetRate: -1, TargetStreams: -1}, "short_burst": {ShortBurst: -1, TargetRate: -1, TargetStreams: -1},
	} {
		r, _, _ := limitRelay(t, c, officeTerms(accounting.Unlimited()))
		a, target := member(t, r, "key-0"), targetOf(t, "example.com:443")
		for n := range 10 * defaultTargetBurst {
			leave, err := r.enterLimits(a, target)
			if err == nil {
				leave()
				leave, err = r.enterTarget(tag{}, target)
			}
			if err != nil {
				t.Errorf("%s: connection %d: %v", name, n, err)
				break
			}
			leave()
			if strings.HasPrefix(name, "short") {
				r.limits.shorts.ended(a.standing().tag, target, r.cfg.Clock())
			}
		}
	}
}

// A flood of sites does not grow the table, and a site that was refused is not let in by pushing it out.
func TestFloodOfTargetsStaysInItsBounds(t *testing.T) {
	targets := newTargets(LimitsConfig{TargetRate: 1, TargetBurst: 1, TargetStreams: -1})
	now := time.Now()
	for n := range 2 * maxTargets {
		targets.enter(tag{}, fmt.Sprint(n), 1, now) //nolint:errcheck // the flood may be refused
	}
	if n := len(targets.all); n > maxTargets+1 {
		t.Errorf("%d sites are watched, want at most %d and the crowd", n, maxTargets)
	}
	if _, err := targets.enter(tag{}, "0", 1, now); wire.CodeOf(err) != wire.TargetLimit {
		t.Errorf("the first site again: got %v, want target_limit", err)
	}
	now = now.Add(time.Hour)
	for n := range maxTargets {
		leave, err := targets.enter(tag{}, fmt.Sprintf("later-%d", n), 1, now)
		if err == nil {
			leave()
		}
	}
	now = now.Add(time.Hour)
	if _, err := targets.enter(tag{}, "another", 1, now); err != nil {
		t.Errorf("when the flood is over: %v", err)
	}
}

// B04: one account that tries two hundred hosts and ports through one edge in ten seconds, each for nothing, is kept off
// that edge, and the event names no host.
func TestPortScanIsKeptOffTheEdge(t *testing.T) {
	r, _, pass := limitRelay(t, LimitsConfig{}, officeTerms(accounting.Unlimited()))
	var log strings.Builder
	r.limits.log = slog.New(slog.NewTextHandler(&log, nil))
	a, other := member(t, r, "key-0"), &edge{id: newKey(t).ID()}
	scanned := &edge{id: newKey(t).ID()}
	var err error
	tried := 0
	for ; tried < 200 && err == nil; tried++ {
		err = r.suspicious(a, scanned, targetOf(t, fmt.Sprintf("victim-%d.example:%d", tried/10, 1000+tried)))
		pass(10 * time.Second / 200)
	}
	if code, after := asked(t, err); code != wire.ScanLimit || after != scanPause || tried != defaultScanPairs+1 {
		t.Errorf("after %d targets: got %v, to be tried again after %s; want scan_limit after the one past %d", tried, err, after, defaultScanPairs)
	}
	site := targetOf(t, "example.com:443")
	if code, _ := asked(t, r.suspicious(a, scanned, site)); code != wire.ScanLimit {
		t.Errorf("the edge that was scanned from: got %v, want scan_limit for a while", code)
	}
	if err := r.suspicious(a, other, site); err != nil {
		t.Errorf("another edge: %v", err)
	}
	if !strings.Contains(log.String(), "rule=scan") || strings.Contains(log.String(), "victim") {
		t.Errorf("the event is %q, want its rule, and no host", log.String())
	}
	if report, _ := r.usage.batch(); len(report.Rows) != 1 || report.Rows[0].Abuse != 1 {
		t.Errorf("the hub is told %+v, want one event", report.Rows)
	}
	pass(scanPause)
	if err := r.suspicious(a, scanned, site); err != nil {
		t.Errorf("after the pause: %v", err)
	}
}

// A browser behind the proxy opens many connections too, and they carry something.
func TestConnectionsThatCarrySomethingAreNoScan(t *testing.T) {
	r, _, pass := limitRelay(t, LimitsConfig{}, officeTerms(accounting.Unlimited()))
	a, through := member(t, r, "key-0"), &edge{id: newKey(t).ID()}
	for n := range 1000 {
		target := targetOf(t, fmt.Sprintf("site-%d.example:443", n))
		if err := r.suspicious(a, through, target); err != nil {
			t.Fatalf("connection %d: %v", n, err)
		}
		r.limits.scans.carried(a.standing().tag, through.id, target)
		pass(time.Millisecond)
	}
	for n := range 1000 { // and slow ones are none either
		if err := r.suspicious(a, through, targetOf(t, fmt.Sprintf("slow-%d.example:443", n))); err != nil {
			t.Fatalf("slow connection %d: %v", n, err)
		}
		pass(scanWindow / defaultScanPairs * 11 / 10)
	}
}

// B13: two hundred forms a minute to one host. What is in the tunnels is not seen; that they are many and short is.
func TestShortTunnelsToOneHostAreSlowedDown(t *testing.T) {
	r, _, pass := limitRelay(t, LimitsConfig{}, officeTerms(accounting.Unlimited()))
	a, login := member(t, r, "key-0"), targetOf(t, "login.example:443")
	tag := a.standing().tag
	served, events := 0, 0
	for range 10 * 200 {
		leave, err := r.enterLimits(a, login)
		if err != nil {
			if code, after := asked(t, err); code != wire.TargetLimit || after <= 0 {
				t.Fatalf("got %v, to be tried again after %s; want target_limit and a time", err, after)
			}
		} else {
			leave()
			served++
			if r.limits.shorts.ended(tag, login, r.cfg.Clock()) {
				events++
			}
		}
		pass(time.Minute / 200)
	}
	if most := 10*60*defaultShortRate + defaultShortBurst + 1; served > most || served < most-5 {
		t.Errorf("%d of 2000 forms went out in ten minutes, want %d", served, most)
	}
	if events < 5 || events > 10 {
		t.Errorf("%d events in ten minutes, want about one a minute", events)
	}
	if _, err := r.enterLimits(a, targetOf(t, "other.example:443")); err != nil {
		t.Errorf("another host: %v", err)
	}
}

// What all limits together cost a connection.
func BenchmarkLimits(b *testing.B) {
	hubKey, key := newKey(b), newKey(b)
	cfg := Config{Key: key, Network: "test", HubID: hubKey.ID(), Limits: LimitsConfig{TargetRate: 1e9, ShortRate: 1e9}}.withDefaults()
	r := &Relay{cfg: cfg, limits: newLimits(cfg), usage: newUsageLog()}
	a, g := &account{}, &grant{id: accounting.GrantID{1}}
	terms := officeTerms(accounting.Unlimited())
	terms.Limits.Rate, terms.Limits.Burst = 1<<31, 1<<31
	a.stands.Store(r.limits.standings.update(terms, cfg.Clock()))
	through := &edge{id: key.ID()}
	target, err := policy.ParseTarget("www.example.co.uk:443")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		leave, err := r.enterLimits(a, target)
		if err != nil {
			b.Fatal(err)
		}
		leaveTarget, err := r.enterTarget(tag{}, target)
		if err != nil {
			b.Fatal(err)
		}
		if err := r.suspicious(a, through, target); err != nil {
			b.Fatal(err)
		}
		r.usage.add(r.usageKey(g.id, target, "de"), accounting.UsageCounts{Requests: 1})
		r.limits.scans.carried(terms.Account, through.id, target)
		r.limits.shorts.ended(terms.Account, target, cfg.Clock())
		leaveTarget()
		leave()
	}
}

func TestWarnsWhenTheBalanceIsLow(t *testing.T) {
	terms := officeTerms(accounting.Unlimited())
	r, hub, pass := limitRelay(t, NoLimits(), terms)
	a := member(t, r, "key-0")
	if left, low := a.LowBalance(); low || left != terms.Left+firstGrant {
		t.Errorf("%d bytes left, low %t; want %d and no warning", left, low, terms.Left+firstGrant)
	}
	hub.terms.Left = terms.Low - firstGrant - 1
	pass(accountLife)
	if left, low := member(t, r, "key-0").LowBalance(); !low || left != terms.Low-1 {
		t.Errorf("%d bytes left, low %t; want %d and a warning", left, low, terms.Low-1)
	}
}

// What other relays have used since the hub last said how much is left shows when it says that nothing is.
func TestWarnsOfABalanceThatIsGone(t *testing.T) {
	r, hub, pass := limitRelay(t, NoLimits(), officeTerms(accounting.Unlimited()))
	member(t, r, "key-0")
	hub.empty = true
	pass(accountLife)
	if left, low := member(t, r, "key-0").LowBalance(); !low || left != firstGrant {
		t.Errorf("%d bytes left, low %t; want the %d of the grant and a warning", left, low, firstGrant)
	}
}
