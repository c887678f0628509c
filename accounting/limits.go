package accounting

import (
	"cmp"
	"context"
	"crypto/sha256"
	"time"

	"sward/internal/wire"
)

// Limits are how fast and how much a partner may use the network. Rate, Burst and Streams hold at each relay by itself:
// a relay counts without asking, and a partner of three relays has three times as much. Day holds over the whole network
// to the byte, because it is kept where grants are issued. A field of 0 is the network's default.
type Limits struct {
	Rate    uint32 `json:"rate"`      // new requests a second
	Burst   uint32 `json:"burst"`     // new requests at once, after a silence
	Streams uint32 `json:"streams"`   // connections open at once
	Day     uint64 `json:"day_bytes"` // bytes up and down in a UTC day, as settled; 0 everywhere: as far as the balance goes
}

// maxLimit bounds a rate, a burst and a number of streams: a million is more than a relay can do, and so is no limit.
const maxLimit = 1_000_000

// DefaultLimits are what a partner has that nobody has set limits for. A hundred new requests a second is what a crawler
// of fifty threads makes; whoever runs away with more than that should be somebody the operator has spoken with. No
// daily volume: the prepaid balance is one.
func DefaultLimits() Limits { return Limits{Rate: 100, Burst: 200, Streams: 1000} }

// Unlimited are limits that nobody reaches: for a bench, a sandbox, or a network whose operator wants none.
func Unlimited() Limits { return Limits{Rate: maxLimit, Burst: maxLimit, Streams: maxLimit} }

// over is l with the defaults where it says nothing.
func (l Limits) over(defaults Limits) Limits {
	return Limits{
		Rate: cmp.Or(l.Rate, defaults.Rate), Burst: cmp.Or(l.Burst, defaults.Burst),
		Streams: cmp.Or(l.Streams, defaults.Streams), Day: cmp.Or(l.Day, defaults.Day),
	}
}

func (l Limits) check() error {
	if l.Rate > maxLimit || l.Burst > maxLimit || l.Streams > maxLimit || l.Day > MaxCount {
		return wire.Errorf(wire.BadRequest, "a rate, a burst and a number of streams are at most %d, a daily volume %d bytes", maxLimit, uint64(MaxCount))
	}
	return nil
}

// AccountTag is a partner as relays know it: always the same one, whatever key and whichever grant, and no name.
// Edges never see it: a grant bears another pseudonym each time.
type AccountTag [16]byte

// tag is a hash of the partner's id, which is random and never leaves the hub.
func (p *partner) tag() (t AccountTag) {
	sum := sha256.Sum256(append([]byte("sward account tag\n"), p.id[:]...))
	copy(t[:], sum[:])
	return t
}

// Terms are what a relay is told of a partner beside the grant. They are not signed: a relay that does not keep to them
// gains nothing, since what it may spend stands in the grant.
type Terms struct {
	Account AccountTag `json:"account"`
	Limits  Limits     `json:"limits"`     // defaults filled in
	Left    uint64     `json:"left_bytes"` // what the balance still buys beyond all reserves
	Low     uint64     `json:"low_bytes"`  // below this much, reserve included, the partner is warned
	Price   Price      `json:"price"`
}

// Allowance is the answer to a relay that asks for a grant.
type Allowance struct {
	SignedGrant
	Terms
}

// lowBalance is the least of which a partner is warned: four first grants of a relay. A partner who is faster is warned
// when less is left than it has used yesterday and today: a day or so before the end, whatever its pace.
const lowBalance = 256 << 20

// termsLocked are p's terms now.
func (b *Book) termsLocked(p *partner) Terms {
	price := b.state.prices[b.state.price]
	today, before := p.pace.on(b.nowLocked())
	return Terms{
		Account: p.tag(), Limits: p.limits.over(b.cfg.Limits), Price: price,
		Left: price.Buys(b.state.ledger.balances[partnerAccount(p.id)]),
		Low:  max(lowBalance, min(today+before, MaxGrantBytes)),
	}
}

// SetLimits replaces a partner's limits. Relays hear of them with the next grant, which is within ten minutes.
func (b *Book) SetLimits(ctx context.Context, name string, l Limits) error {
	if err := l.check(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.state.byName[name]
	if p == nil {
		return errNoPartner
	}
	if p.limits == l {
		return nil
	}
	return b.decideLocked(ctx, &limitEvent{Partner: p.id, Limits: l})
}

// pace is what a partner has used on its last two days with traffic: counted from the days of usage, not stored.
type pace struct {
	day           int64 // days since 1970, UTC
	today, before uint64
}

const dayMillis = int64(24 * time.Hour / time.Millisecond)

func (p *pace) add(now int64, bytes uint64) {
	today, before := p.on(now)
	*p = pace{day: now / dayMillis, today: today + bytes, before: before}
}

// on is what was used on the day of now and on the one before it.
func (p pace) on(now int64) (today, before uint64) {
	switch now/dayMillis - p.day {
	case 0:
		return p.today, p.before
	case 1:
		return 0, p.today
	}
	return 0, 0
}

// roomLocked is how many more bytes may be reserved for p today: its daily volume less what has been settled today and what
// grants still hold. What they hold may all be delivered today, so the sum never passes the volume. The bytes that a grant
// from yesterday delivers today count today: they were held against today's volume since midnight.
func (b *Book) roomLocked(p *partner) (uint64, error) {
	limit := p.limits.over(b.cfg.Limits).Day
	if limit == 0 {
		return MaxCount, nil
	}
	now := b.nowLocked()
	used, _ := p.pace.on(now)
	taken := used + p.held
	if taken < limit && limit-taken >= minGrant {
		return limit - taken, nil
	}
	refusal := wire.Errorf(wire.PartnerCap, "the daily volume of %d bytes is used up", limit)
	refusal.After = time.Duration(dayMillis-now%dayMillis) * time.Millisecond
	if used < limit && limit-used >= minGrant { // the rest is held elsewhere, and comes back when it lies idle there
		refusal = wire.Errorf(wire.PartnerCap, "what is left of the daily volume of %d bytes is held by other relays", limit)
		refusal.After = min(heldRetry, time.Duration(dayMillis-now%dayMillis)*time.Millisecond)
	}
	return 0, refusal
}

// heldRetry is how soon a relay gives back what nobody uses of a grant.
const heldRetry = time.Minute

// limitsRow is a partner's limits in the ledger. A partner without a row has none of its own.
type limitsRow struct{ *partner }

func (r limitsRow) values() []any {
	l := r.limits
	return []any{r.id.String(), int64(l.Rate), int64(l.Burst), int64(l.Streams), int64(l.Day)}
}

func loadLimits(s *state, c *cells) {
	var id PartnerID
	c.hex(id[:])
	p := s.partners[id]
	if p == nil {
		c.fail("limits of nobody")
		return
	}
	p.limits = Limits{Rate: uint32(c.int()), Burst: uint32(c.int()), Streams: uint32(c.int()), Day: uint64(c.int())}
	p.limited = true
}

func (s *state) foldLimits(e *limitEvent) error {
	p := s.partners[e.Partner]
	if p == nil {
		return errNoPartner
	}
	if err := e.Limits.check(); err != nil {
		return err
	}
	p.limits, p.limited = e.Limits, true
	s.put(tableLimits, p.id.String(), limitsRow{p})
	return nil
}
