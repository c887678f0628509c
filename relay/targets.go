package relay

import (
	"maps"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/publicsuffix"
	"golang.org/x/time/rate"

	"sward/internal/wire"
	"sward/policy"
)

const (
	// maxTargets bounds the sites that are watched at once, at some 300 bytes each. One leaves when nothing is open to it
	// and its bucket is full again, which with the defaults is after two seconds: only a flood fills the table.
	maxTargets = 16384
	// leftForOthers is how many times the connections that are left to a site an account may have there itself. So one account
	// gets four fifths of them, two get four ninths each, and whoever comes next always finds some.
	leftForOthers = 4
	// crowd is the name under which sites share one bucket when the table is full. It is no host.
	crowd = "*"
)

// targets keep the network from becoming an attack: what one site gets is bounded over all partners and all edges, since
// a site that is visited from ten thousand homes at once does not see ten thousand visitors. What it stands is divided
// among the relays that are there. Traffic is not divided as evenly, so a site may get less than it stands, and not more.
type targets struct {
	cfg LimitsConfig

	mu    sync.Mutex
	all   map[string]*targetState
	swept sweep
}

type targetState struct {
	rate    *rate.Limiter
	relays  int // by how many the rate was divided
	streams int
	held    map[tag]int // of them, by account
	used    time.Time
}

func newTargets(cfg LimitsConfig) *targets { return &targets{cfg: cfg, all: map[string]*targetState{}} }

// site is what bears the load of a host: its registrable domain, so that a thousand names below one do not get a thousand
// shares, or its address; of an IPv6 address the /64 that one customer has.
func site(h policy.Host) string {
	if addr, ok := h.Addr(); ok {
		if addr = addr.Unmap(); addr.Is4() {
			return addr.String()
		}
		return netip.PrefixFrom(addr, 64).Masked().String()
	}
	if domain, err := publicsuffix.EffectiveTLDPlusOne(h.Name()); err == nil {
		return domain
	}
	return h.Name() // a public suffix itself: github.io is a site too
}

func (t *targets) enter(who tag, site string, relays int, now time.Time) (leave func(), err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.find(site, max(relays, 1), now)
	s.used = now
	if most := t.streams(site); most >= 0 {
		switch left := max(most/s.relays, 1) - s.streams; {
		case left <= 0:
			return nil, wire.Errorf(wire.TargetLimit, "the network has as many connections open to this site as it may")
		case who != (tag{}) && s.held[who] >= leftForOthers*left:
			return nil, wire.Errorf(wire.TargetLimit, "the account has as many connections open to this site as it may: the rest is left for others")
		}
	}
	if wait := take(s.rate, now); wait > 0 {
		return nil, later(wire.TargetLimit, wait, "the network opens as many connections to this site as it may")
	}
	s.streams++
	if s.held == nil {
		s.held = map[tag]int{}
	}
	s.held[who]++
	return sync.OnceFunc(func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		s.streams--
		if s.held[who]--; s.held[who] == 0 {
			delete(s.held, who)
		}
	}), nil
}

// find returns the state of a site. Called with mu held.
func (t *targets) find(site string, relays int, now time.Time) *targetState {
	s := t.all[site]
	if s == nil && len(t.all) >= maxTargets {
		if t.swept.due(now) {
			maps.DeleteFunc(t.all, func(_ string, old *targetState) bool { return old.idle(now) })
		}
		if len(t.all) >= maxTargets {
			site = crowd
			s = t.all[site]
		}
	}
	limit, burst := t.share(site, relays)
	switch {
	case s == nil:
		s = &targetState{rate: rate.NewLimiter(limit, burst), relays: relays}
		t.all[site] = s
	case s.relays != relays:
		s.relays = relays
		s.rate.SetLimitAt(now, limit)
		s.rate.SetBurstAt(now, burst)
	}
	return s
}

// streams is how many connections a site stands. One with a rate of its own stands four seconds of it, as the defaults do.
func (t *targets) streams(site string) int {
	if own, ok := t.cfg.TargetRates[site]; ok {
		return int(4 * own)
	}
	return t.cfg.TargetStreams
}

// share is this relay's part of what a site stands. A site with a rate of its own stands a burst of two seconds of it.
func (t *targets) share(site string, relays int) (rate.Limit, int) {
	perSecond, burst := t.cfg.TargetRate, t.cfg.TargetBurst
	if own, ok := t.cfg.TargetRates[site]; ok {
		perSecond, burst = own, int(2*own)
	}
	if perSecond < 0 || burst < 0 {
		return rate.Inf, 0
	}
	return rate.Limit(perSecond / float64(relays)), max(burst/relays, 1)
}

// idle reports whether forgetting s changes nothing.
func (s *targetState) idle(now time.Time) bool {
	return s.streams == 0 && s.rate.TokensAt(now) >= float64(s.rate.Burst())
}
