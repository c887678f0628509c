package accounting

import (
	"context"
	"slices"
	"strings"
	"time"

	"sward/internal/identity"
	"sward/internal/wire"
)

const (
	// maxUsageSpan bounds how many days one question covers; shownSpan is what it covers when it does not say.
	maxUsageSpan = 400
	shownSpan    = 31
)

// UsageQuery asks for a partner's use between two UTC days, both included. An empty To is today, an empty From 30 days
// before To, an empty By each day.
type UsageQuery struct {
	Name string   `json:"name"`
	From string   `json:"from,omitempty"`
	To   string   `json:"to,omitempty"`
	By   []string `json:"by,omitempty"` // of day, country, class
}

// UsageAnswer is the bill, and what it was for. Bytes of the two agree but for what is under way: what a relay has just
// delivered is in a receipt within seconds, and in the breakdown when its connection has ended. A day of the bill is the
// one on which the receipt came in, a day of the breakdown the one on which the connection ended.
type UsageAnswer struct {
	Partner   string       `json:"partner"`
	From      string       `json:"from"`
	To        string       `json:"to"`
	Limits    Limits       `json:"limits"`
	Today     uint64       `json:"today_bytes"`           // billed this UTC day, against limits.day_bytes
	Balance   Billed       `json:"balance"`               // free to be used
	Billed    Billed       `json:"billed"`                // from the ledger
	Refunded  Micro        `json:"refunded_micro_points"` // ever: for pages that failed, and for second looks
	Pending   Micro        `json:"pending_micro_points"`  // refunds that wait for later fees
	Days      []UsageDay   `json:"days"`                  // of it, ascending
	By        []string     `json:"by"`
	Breakdown []UsageGroup `json:"breakdown"` // from the relays' own counts: not what is charged, but what it was for
}

// Billed is bytes and their price.
type Billed struct {
	Bytes uint64 `json:"bytes"`
	Micro Micro  `json:"micro_points"`
}

// UsageBetween answers a question about a partner's use.
func (b *Book) UsageBetween(ctx context.Context, q UsageQuery) (UsageAnswer, error) {
	if err := q.fill(b.cfg.Clock()); err != nil {
		return UsageAnswer{}, err
	}
	b.mu.Lock()
	p := b.state.byName[q.Name]
	if p == nil {
		b.mu.Unlock()
		return UsageAnswer{}, errNoPartner
	}
	a := UsageAnswer{Partner: p.name, From: q.From, To: q.To, By: q.By, Limits: p.limits.over(b.cfg.Limits)}
	a.Today, _ = p.pace.on(b.nowLocked())
	a.Refunded, a.Pending = p.refunds.paid, p.refunds.due
	a.Balance.Micro = b.state.ledger.balances[partnerAccount(p.id)]
	a.Balance.Bytes = b.state.prices[b.state.price].Buys(a.Balance.Micro)
	id := p.id
	b.mu.Unlock()

	a.Days, a.Breakdown = []UsageDay{}, []UsageGroup{}
	const query = "SELECT day, up, down, amount FROM usage WHERE account = ? AND day BETWEEN ? AND ? ORDER BY day"
	err := b.store.each(ctx, query, func(values []any) error {
		c := cells{values: values}
		day := UsageDay{Day: c.text(), Up: uint64(c.int()), Down: uint64(c.int()), Micro: Micro(c.int())}
		a.Days = append(a.Days, day)
		a.Billed.Bytes += day.Up + day.Down
		a.Billed.Micro += day.Micro // bounded by what was paid in
		return c.err
	}, partnerAccount(id).String(), q.From, q.To)
	if err != nil || b.cfg.Breakdown == nil {
		return a, err
	}
	a.Breakdown, err = b.cfg.Breakdown.groups(ctx, id, q.From, q.To, q.By)
	return a, err
}

// fill completes a question, or says what is wrong with it.
func (q *UsageQuery) fill(now time.Time) error {
	if q.To == "" {
		q.To = now.UTC().Format(time.DateOnly)
	}
	to, err := time.Parse(time.DateOnly, q.To)
	if err != nil {
		return wire.Errorf(wire.BadRequest, "to is a UTC day like 2026-11-22, not %s", quoted(q.To))
	}
	if q.From == "" {
		q.From = to.AddDate(0, 0, 1-shownSpan).Format(time.DateOnly)
	}
	from, err := time.Parse(time.DateOnly, q.From)
	switch {
	case err != nil:
		return wire.Errorf(wire.BadRequest, "from is a UTC day like 2026-11-01, not %s", quoted(q.From))
	case from.After(to):
		return wire.Errorf(wire.BadRequest, "from is after to")
	case to.Sub(from) >= maxUsageSpan*24*time.Hour:
		return wire.Errorf(wire.BadRequest, "one answer covers at most %d days", maxUsageSpan)
	}
	if len(q.By) == 0 {
		q.By = []string{"day"}
	}
	for i, field := range q.By {
		if !slices.Contains([]string{"day", "country", "class"}, field) || slices.Contains(q.By[:i], field) {
			return wire.Errorf(wire.BadRequest, "by is one or more of day, country and class, once each, with commas between: not %s", quoted(field))
		}
	}
	return nil
}

// quoted is what a client sent, short and harmless enough to be sent back.
func quoted(s string) string {
	const shown = 32
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s[:min(len(s), shown)])
	return `"` + s + `"`
}

// ReportUsage enters what a relay says its partners used.
func (b *Book) ReportUsage(ctx context.Context, relay identity.ID, report UsageReport) error {
	if b.cfg.Breakdown == nil {
		return nil // nobody wants to know
	}
	return b.cfg.Breakdown.add(ctx, relay, report, b.cfg.Clock(), func(id GrantID) (PartnerID, bool) {
		b.mu.Lock()
		defer b.mu.Unlock()
		g := b.state.grants[id]
		if g == nil || g.Relay != relay {
			return PartnerID{}, false
		}
		return g.partner, true
	})
}
