package relay

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"sward/accounting"
	"sward/internal/wire"
	"sward/policy"
)

// LimitsConfig is what this relay lets happen to one target. Every number has its reason beside its default below; a
// negative one is no limit, for a bench or a sandbox whose only site is its own.
type LimitsConfig struct {
	TargetRate    float64            `yaml:"target_rate"`            // new connections a second to one site, over all partners, edges and relays
	TargetBurst   int                `yaml:"target_burst"`           // of them at once, after a silence
	TargetStreams int                `yaml:"target_streams"`         // connections open to one site at once
	TargetRates   map[string]float64 `yaml:"target_rates,omitempty"` // sites that stand another rate, by registrable domain or address
	ScanPairs     int                `yaml:"scan_pairs"`             // hosts and ports that an account may try through one edge in ten seconds, for nothing
	ShortRate     float64            `yaml:"short_rate"`             // short tunnels a second of one account to one host, lasting
	ShortBurst    int                `yaml:"short_burst"`            // and at once
}

// What a small site stands. A shop on one virtual machine renders some fifty pages a second, and Apache 2.4 as it is
// installed takes 400 connections at once (event MPM, MaxRequestWorkers): half of them stay for the site's own visitors.
// Large sites stand more, and have a line of their own in target_rates.
const (
	defaultTargetRate    = 50
	defaultTargetBurst   = 100
	defaultTargetStreams = 200
	defaultScanPairs     = 100
	defaultShortRate     = 1
	defaultShortBurst    = 60
)

const (
	// eventRate and eventBurst are how many events of one account a log gets, a second and at once: enough to find a host
	// that somebody complains of, and not enough to fill a disk. All are in the metric and in the account's usage.
	eventRate  = 1
	eventBurst = 60
)

// DefaultLimits are those of a relay that nobody has told others.
func DefaultLimits() LimitsConfig { return LimitsConfig{}.withDefaults() }

func (c LimitsConfig) withDefaults() LimitsConfig {
	for field, def := range map[*float64]float64{&c.TargetRate: defaultTargetRate, &c.ShortRate: defaultShortRate} {
		if *field == 0 {
			*field = def
		}
	}
	for field, def := range map[*int]int{
		&c.TargetBurst: defaultTargetBurst, &c.TargetStreams: defaultTargetStreams, &c.ScanPairs: defaultScanPairs,
		&c.ShortBurst: defaultShortBurst,
	} {
		if *field == 0 {
			*field = def
		}
	}
	return c
}

// check refuses a line of target_rates that would never hold, or would let one connection pass and no other.
func (c LimitsConfig) check() error {
	for name, perSecond := range c.TargetRates {
		text, _, _ := strings.Cut(name, "/") // of an IPv6 address the /64
		host, err := policy.ParseHost(text)
		switch {
		case err != nil:
			return fmt.Errorf("limits: target_rates: %q: %w", name, err)
		case site(host) != name:
			return fmt.Errorf("limits: target_rates: %q is no site: write %q", name, site(host))
		case perSecond == 0 || math.IsNaN(perSecond):
			return fmt.Errorf("limits: target_rates: %q has the rate %v: a site stands some, or is negative for no limit", name, perSecond)
		}
	}
	return nil
}

// NoLimits let everything happen to a target.
func NoLimits() LimitsConfig {
	return LimitsConfig{TargetRate: -1, TargetBurst: -1, TargetStreams: -1, ScanPairs: -1, ShortRate: -1, ShortBurst: -1}
}

// limits hold back who asks too much: an account its own limits (standing), the network what a target stands (targets),
// and shapes of abuse that a tunnel shows without being opened (scans, shorts). Who guesses keys is held back before any
// of them (guesses). Each has a file and a bounded table.
type limits struct {
	log    *slog.Logger
	secret []byte // under which hosts are named in events
	relays atomic.Int32
	abuse  *prometheus.CounterVec
	events *rate.Limiter // of the hub's streams; an account has its own

	standings *standings
	targets   *targets
	scans     *scans
	shorts    *shorts
	guesses   *guesses
}

func newLimits(cfg Config) *limits {
	c := cfg.Limits.withDefaults()
	l := &limits{
		log: cfg.Log, standings: newStandings(), targets: newTargets(c), scans: newScans(c.ScanPairs),
		shorts: newShorts(c.ShortRate, c.ShortBurst), guesses: newGuesses(),
		// Signatures of Ed25519 are the same each time, so the relay's operator can tell years later whether a host that
		// somebody complains of is the one in an old event, and nobody else can.
		secret: cfg.Key.Sign(cfg.Network, "abuse-log", nil),
		abuse: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sward_relay_abuse_total", Help: "Times that an account's connections looked like abuse, by rule.",
		}, []string{"rule"}),
		events: rate.NewLimiter(eventRate, eventBurst),
	}
	l.relays.Store(1)
	return l
}

// enterLimits counts one more connection of an account in, or refuses it: its rate, its number of connections, and how
// often it comes to this host for next to nothing. leave counts it out again; it may be called twice. Its daily volume is
// kept by the hub, in the grants.
func (r *Relay) enterLimits(a *account, target policy.Target) (leave func(), err error) {
	s, now := a.standing(), r.cfg.Clock()
	if err := r.limits.shorts.check(s.tag, target, now); err != nil {
		return nil, err
	}
	return s.enter(now)
}

// enterTarget counts one more connection to a target in, whoever asks for it and through whichever edge, or refuses it; who
// is the account, and zero for the hub's streams.
// leave counts it out again; it may be called twice. A crawl stream has no target here: its pages are paced where its job
// is, and where it runs.
func (r *Relay) enterTarget(who tag, target policy.Target) (leave func(), err error) {
	if target.Host.IsZero() {
		return func() {}, nil
	}
	return r.limits.targets.enter(who, site(target.Host), int(r.limits.relays.Load()), r.cfg.Clock())
}

// suspicious refuses an account that tries target after target through one edge, as a port scan does. The hub's streams
// are nobody's: a is nil.
func (r *Relay) suspicious(a *account, e *edge, target policy.Target) error {
	if a == nil {
		return nil
	}
	s := a.standing()
	tripped, err := r.limits.scans.check(s.tag, e, target, r.cfg.Clock())
	if tripped {
		r.suspect("scan", a.current(), s.tag, target)
	}
	return err
}

// suspect notes that what an account does looks like abuse. The host stays out of the log: it is named by a keyed hash, so
// that two events can be compared.
func (r *Relay) suspect(rule string, g *grant, tag accounting.AccountTag, target policy.Target) {
	l := r.limits
	l.abuse.WithLabelValues(rule).Inc()
	events := l.events
	if s := l.standings.of(tag); s != nil {
		events = s.events
	}
	if events.AllowN(r.cfg.Clock(), 1) {
		l.log.Warn("abuse suspected", "rule", rule, "account", hex.EncodeToString(tag[:]), "host", l.keyed(target.Host.String()))
	}
	if g != nil {
		r.usage.add(r.usageKey(g.id, target, ""), accounting.UsageCounts{Abuse: 1})
	}
}

// keyed is a host's name for those who hold the relay's key.
func (l *limits) keyed(host string) string {
	const shown = 8 // bytes: enough to tell hosts of one log apart
	h := hmac.New(sha256.New, l.secret)
	h.Write([]byte(host))
	return hex.EncodeToString(h.Sum(nil)[:shown])
}

// standing is how an account stands at this relay: its terms, and what it has going. All its keys share one.
type standing struct {
	tag    accounting.AccountTag
	events *rate.Limiter // for the log

	mu      sync.Mutex
	terms   accounting.Terms
	rate    *rate.Limiter
	streams int
	seen    time.Time
}

func (s *standing) enter(now time.Time) (leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = now
	if most := s.terms.Limits.Streams; s.streams >= int(most) {
		return nil, wire.Errorf(wire.PartnerLimit, "the account has %d connections open at this relay, as many as it may", most)
	}
	if wait := take(s.rate, now); wait > 0 {
		return nil, later(wire.PartnerLimit, wait, "the account makes more than %d new requests a second at this relay", s.terms.Limits.Rate)
	}
	s.streams++
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.streams--
	}), nil
}

// update takes over what the hub has just said.
func (s *standing) update(t accounting.Terms, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen, s.terms = now, t
	limit, burst := rate.Limit(t.Limits.Rate), int(t.Limits.Burst)
	if s.rate == nil {
		s.rate = rate.NewLimiter(limit, burst)
		return
	}
	s.rate.SetLimitAt(now, limit)
	s.rate.SetBurstAt(now, burst)
}

// exhausted notes that the hub has nothing left to grant.
func (s *standing) exhausted() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.terms.Left = 0
}

// balance is what the account could still have granted when the hub was last asked, and below what it is to be warned.
func (s *standing) balance() (left, low uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.terms.Left, s.terms.Low
}

func (s *standing) idle(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.streams == 0 && now.Sub(s.seen) > accountLife
}

// standings are the accounts that this relay has heard of. They are as many as confirmed partners at most: one that is
// forgotten while it is idle comes back with full buckets.
type standings struct {
	mu    sync.Mutex
	all   map[accounting.AccountTag]*standing
	swept sweep
}

func newStandings() *standings { return &standings{all: map[accounting.AccountTag]*standing{}} }

// update finds or makes the standing of an account and tells it its terms.
func (s *standings) update(t accounting.Terms, now time.Time) *standing {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.all[t.Account]
	if found == nil {
		if len(s.all) >= maxAccounts && s.swept.due(now) {
			for tag, old := range s.all {
				if old.idle(now) {
					delete(s.all, tag)
				}
			}
		}
		found = &standing{tag: t.Account, events: rate.NewLimiter(eventRate, eventBurst)}
		s.all[t.Account] = found
	}
	found.update(t, now)
	return found
}

// of is the standing of an account, or nil.
func (s *standings) of(account accounting.AccountTag) *standing {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[account]
}

// sweepEvery is how often a full table is gone through for entries that are over: what a flood can make us do.
const sweepEvery = time.Second

// sweep says when a full table was gone through last.
type sweep struct{ last time.Time }

func (s *sweep) due(now time.Time) bool {
	if now.Sub(s.last) < sweepEvery {
		return false
	}
	s.last = now
	return true
}

// take takes a token from l, or says how long there is none.
func take(l *rate.Limiter, now time.Time) (wait time.Duration) {
	r := l.ReserveN(now, 1)
	if wait = r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

// later is a refusal that says when it will not be one any more.
func later(code wire.Code, after time.Duration, format string, a ...any) *wire.Error {
	err := wire.Errorf(code, format, a...)
	err.After = max(after, time.Millisecond) // 0 would be the code's own
	return err
}
