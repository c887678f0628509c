package accounting

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"sward/internal/identity"
)

const (
	// HoldDays is how many UTC days what an edge earns is held, the day itself included: within them a partner's payment can
	// still be called back, and an operator who pays out pays what is older.
	HoldDays = 7
	// maxStatementLines bounds one answer, at a third of a KiB each. An edge on four relays opens about a hundred channels a day.
	maxStatementLines = 8192
)

// StatementQuery asks for an edge's earnings between two UTC days, both included. An empty To is today, an empty From thirty
// days before To.
type StatementQuery struct {
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
}

// Statement is what an edge has earned, day by day, and which receipts that rests on. All of it is settled: a receipt that
// the hub has not seen is not in it.
type Statement struct {
	Edge     identity.ID    `json:"edge"`
	At       time.Time      `json:"at"` // the hub's clock
	From     string         `json:"from"`
	To       string         `json:"to"`
	Points   Micro          `json:"points"`    // owed
	Held     Micro          `json:"held"`      // of it, earned within the last HoldDays
	HoldDays int            `json:"hold_days"` // that these are
	Price    uint32         `json:"price"`     // row of the price table for new grants
	Prices   []Price        `json:"prices"`    // that row and those of the lines, ascending by id
	Days     []StatementDay `json:"days"`      // with traffic, newest first
	Cut      bool           `json:"cut"`       // the answer had no room for all lines: ask for fewer days
}

// StatementDay is one UTC day of a statement: the one on which the receipts came in.
type StatementDay struct {
	UsageDay
	Held  bool            `json:"held"`
	Lines []StatementLine `json:"lines"` // by time, newest first; their sum is the day for the last weeks, and none are kept longer
}

// StatementLine is what one channel brought on one day under one price. The receipt counts all of the channel since it
// opened: the lines of all its days add up to what was paid for it.
type StatementLine struct {
	Channel ChannelID   `json:"channel"`
	Serial  uint64      `json:"serial"` // of the last receipt settled that day
	Relay   identity.ID `json:"relay"`
	At      time.Time   `json:"at"` // when it was settled
	Price   uint32      `json:"price"`
	Up      uint64      `json:"up"`
	Down    uint64      `json:"down"`
	Micro   Micro       `json:"micro"`
}

// Statement is an edge's earnings as its owner may see them.
func (b *Book) Statement(ctx context.Context, edge identity.ID, q StatementQuery) (Statement, error) {
	days := UsageQuery{From: q.From, To: q.To}
	if err := days.fill(b.cfg.Clock()); err != nil {
		return Statement{}, err
	}
	b.mu.Lock()
	now := time.UnixMilli(b.nowLocked()).UTC()
	a := Statement{
		Edge: edge, At: now, From: days.From, To: days.To, Points: b.state.ledger.balances[edgeAccount(edge)],
		HoldDays: HoldDays, Price: b.state.price, Days: []StatementDay{},
	}
	prices := maps.Clone(b.state.prices)
	b.mu.Unlock()

	heldFrom := now.AddDate(0, 0, 1-HoldDays).Format(time.DateOnly)
	const held = "SELECT coalesce(sum(amount), 0) FROM usage WHERE account = ? AND day >= ?"
	err := b.store.each(ctx, held, func(values []any) error {
		c := cells{values: values}
		a.Held = Micro(c.int())
		return c.err
	}, edgeAccount(edge).String(), heldFrom)
	if err != nil {
		return Statement{}, err
	}
	const query = "SELECT day, up, down, amount FROM usage WHERE account = ? AND day BETWEEN ? AND ? ORDER BY day DESC"
	err = b.store.each(ctx, query, func(values []any) error {
		c := cells{values: values}
		day := UsageDay{Day: c.text(), Up: uint64(c.int()), Down: uint64(c.int()), Micro: Micro(c.int())}
		a.Days = append(a.Days, StatementDay{UsageDay: day, Held: day.Day >= heldFrom, Lines: []StatementLine{}})
		return c.err
	}, edgeAccount(edge).String(), a.From, a.To)
	if err != nil {
		return Statement{}, err
	}
	if err := b.lines(ctx, &a); err != nil {
		return Statement{}, err
	}
	a.price(prices)
	return a, nil
}

// lines adds to each day where it comes from. A settlement between the two questions may have brought a line more than the
// day says; the next answer has both.
func (b *Book) lines(ctx context.Context, a *Statement) error {
	at := map[int64]int{} // place of a day
	for i, day := range a.Days {
		parsed, err := time.Parse(time.DateOnly, day.Day)
		if err != nil {
			return err
		}
		at[parsed.UnixMilli()/dayMillis] = i
	}
	n := 0
	const query = `SELECT day, channel, price, relay, serial, time, up, down, amount FROM earned
		WHERE edge = ? AND day BETWEEN ? AND ? ORDER BY day DESC, time DESC, channel LIMIT ?`
	return b.store.each(ctx, query, func(values []any) error {
		if n++; n > maxStatementLines {
			a.Cut = true
			return nil
		}
		c := cells{values: values}
		var l StatementLine
		day := c.int()
		c.fixed(l.Channel[:])
		l.Price = uint32(c.int())
		c.fixed(l.Relay[:])
		l.Serial, l.At = uint64(c.int()), time.UnixMilli(c.int()).UTC()
		l.Up, l.Down, l.Micro = uint64(c.int()), uint64(c.int()), Micro(c.int())
		if i, known := at[day]; known && c.err == nil {
			a.Days[i].Lines = append(a.Days[i].Lines, l)
		}
		return c.err
	}, a.Edge[:], dayNumber(a.From), dayNumber(a.To), maxStatementLines+1)
}

// dayNumber counts the days of a date that has been checked, since 1970.
func dayNumber(date string) int64 {
	day, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return 0
	}
	return day.UnixMilli() / dayMillis
}

// price names the rows of the price table that a statement speaks of.
func (a *Statement) price(table map[uint32]Price) {
	named := map[uint32]bool{a.Price: true}
	for _, day := range a.Days {
		for _, l := range day.Lines {
			named[l.Price] = true
		}
	}
	a.Prices = []Price{}
	for id := range named {
		if p, known := table[id]; known {
			a.Prices = append(a.Prices, p)
		}
	}
	slices.SortFunc(a.Prices, func(x, y Price) int { return cmp.Compare(x.ID, y.ID) })
}

// Earns is the edge's part of n bytes under the price of new grants: what bytes that are not settled yet will bring.
func (a Statement) Earns(n uint64) Micro {
	for _, p := range a.Prices {
		if p.ID == a.Price {
			m, _ := portion(n, p.Edge) // out of range: nothing is promised
			return m
		}
	}
	return 0
}
