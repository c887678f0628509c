package edge

import (
	"cmp"
	"context"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"sward/accounting"
	"sward/internal/identity"
	"sward/internal/wire"
)

const (
	// earningsEvery is how often the hub is asked at most, however often the owner looks.
	earningsEvery = 15 * time.Second
	// earningsWait is how long an owner who looks waits for the hub, before what it said last is shown.
	earningsWait = 3 * time.Second
)

// Earnings is what the edge has earned, by day, down to the receipts. The hub's statement says what is settled; what both
// sides have signed and the hub has not confirmed is this edge's own knowledge.
type Earnings struct {
	Edge     identity.ID      `json:"edge"`
	At       time.Time        `json:"at,omitzero"`       // of the hub's word; zero: it has not answered yet
	Problem  string           `json:"problem,omitempty"` // why its word is missing, or is not of now
	From     string           `json:"from,omitempty"`    // UTC days that are covered
	To       string           `json:"to,omitempty"`
	Points   accounting.Micro `json:"points"`    // owed by the hub
	Held     accounting.Micro `json:"held"`      // of it, earned within the last HoldDays
	HoldDays int              `json:"hold_days"` // that these are
	Price    accounting.Price `json:"price"`     // of new work
	Waiting  Waiting          `json:"waiting"`
	Days     []EarnedDay      `json:"days"` // newest first
	Cut      bool             `json:"cut"`  // the hub had no room for all receipts in its answer
}

// Waiting is what both sides have signed and the hub has not confirmed.
type Waiting struct {
	Receipts int              `json:"receipts"`
	Bytes    uint64           `json:"bytes"`
	Points   accounting.Micro `json:"points"` // at today's price: a grant issued earlier may have another
}

// EarnedDay is one UTC day. Its sums are of what is settled.
type EarnedDay struct {
	Day      string           `json:"day"` // 2006-01-02
	Up       uint64           `json:"up"`
	Down     uint64           `json:"down"`
	Points   accounting.Micro `json:"points"`
	Held     bool             `json:"held"`
	Receipts []EarnedReceipt  `json:"receipts"` // newest first
}

// The states of what a receipt brings.
const (
	EarnedSettled = "settled" // the hub has credited it
	EarnedWaiting = "waiting" // both sides have signed, the hub has not confirmed
	EarnedRefused = "refused" // the hub does not take it
)

// EarnedReceipt is what one channel brought on one day. The receipt itself counts the whole channel since it opened.
type EarnedReceipt struct {
	Channel accounting.ChannelID `json:"channel"`
	Serial  uint64               `json:"serial"`
	Relay   identity.ID          `json:"relay"`
	At      time.Time            `json:"at"` // settled, or signed where it is not
	Up      uint64               `json:"up"`
	Down    uint64               `json:"down"`
	Points  accounting.Micro     `json:"points"`  // an estimate while it waits
	PerGiB  accounting.Micro     `json:"per_gib"` // the edge's part of the price
	State   string               `json:"state"`
	Why     string               `json:"why,omitempty"` // refused: the rule
	Here    bool                 `json:"here"`          // Receipt can show it
}

// stated is the hub's last statement.
type stated struct {
	mu     sync.Mutex // held while the hub is asked: who comes meanwhile gets the same answer
	asked  time.Time
	last   accounting.Statement
	failed string
}

// Earnings says what the edge has earned in the last month. It asks the hub, and shows its last word where it does not answer.
func (e *Edge) Earnings(ctx context.Context) Earnings {
	if !e.isOpen() {
		return Earnings{Edge: e.ID(), Problem: errNotRunning.Error(), Days: []EarnedDay{}}
	}
	statement, problem := e.statement(ctx)
	earned := earningsOf(e.ID(), statement, e.spool.Pending(maxProofs), e.proofs)
	earned.Problem = problem
	return earned
}

// ReadEarnings is Earnings for a program beside the edge, which may be running or not: it reads the state directory and asks
// the hub itself. What a running edge has heard within the last minute may be missing.
func ReadEarnings(ctx context.Context, hub HubClient, dir, network string, id identity.ID) (Earnings, error) {
	pending, err := accounting.ReadSpool(filepath.Join(dir, spoolDir), network)
	if err != nil {
		return Earnings{}, err
	}
	statement, err := hub.Statement(ctx, accounting.StatementQuery{})
	earned := earningsOf(id, statement, pending, openProofs(dir, network))
	if err != nil {
		earned.Problem = hubProblem(err)
	}
	return earned, nil
}

func (e *Edge) statement(ctx context.Context) (accounting.Statement, string) {
	s := &e.stated
	s.mu.Lock()
	defer s.mu.Unlock()
	now := e.cfg.Clock()
	if !s.asked.IsZero() && now.Sub(s.asked).Abs() < earningsEvery {
		return s.last, s.failed
	}
	ctx, cancel := context.WithTimeout(ctx, earningsWait)
	defer cancel()
	statement, err := e.cfg.Hub.Statement(ctx, accounting.StatementQuery{})
	if err == nil {
		s.last, s.failed = statement, ""
	} else {
		s.failed = hubProblem(err)
	}
	s.asked = now
	return s.last, s.failed
}

// hubProblem says in words for the owner why the hub's word is missing.
func hubProblem(err error) string {
	if code := wire.CodeOf(err); code != wire.OK && code != wire.Internal {
		return code.Meaning()
	}
	return "the hub does not answer"
}

// earningsOf joins the hub's statement with what is kept here.
func earningsOf(edge identity.ID, s accounting.Statement, pending []accounting.Unsettled, kept *proofs) Earnings {
	all := Earnings{
		Edge: edge, At: s.At, From: s.From, To: s.To, Points: s.Points, Held: s.Held, HoldDays: s.HoldDays, Cut: s.Cut,
		Days: []EarnedDay{},
	}
	perGiB := map[uint32]accounting.Micro{}
	for _, p := range s.Prices {
		perGiB[p.ID] = p.Edge
		if p.ID == s.Price {
			all.Price = p
		}
	}
	refs, here := kept.refs(), map[accounting.ChannelID]bool{}
	for id := range refs {
		here[id] = true
	}
	for _, u := range pending {
		here[u.Receipt.Channel] = true
	}
	settled := map[accounting.ChannelID]carried{} // what the hub has credited, as far as is known here
	for _, d := range s.Days {
		day := EarnedDay{Day: d.Day, Up: d.Up, Down: d.Down, Points: d.Micro, Held: d.Held, Receipts: []EarnedReceipt{}}
		for _, l := range d.Lines {
			before := settled[l.Channel]
			settled[l.Channel] = carried{before.up + l.Up, before.down + l.Down}
			day.Receipts = append(day.Receipts, EarnedReceipt{
				Channel: l.Channel, Serial: l.Serial, Relay: l.Relay, At: l.At, Up: l.Up, Down: l.Down, Points: l.Micro,
				PerGiB: perGiB[l.Price], State: EarnedSettled, Here: here[l.Channel],
			})
		}
		all.Days = append(all.Days, day)
	}
	for id, ref := range refs {
		if ref.refused {
			if one, known := kept.find(id); known {
				all.addRefused(one)
			}
		} else {
			settled[id] = carried{max(settled[id].up, ref.up), max(settled[id].down, ref.down)}
		}
	}
	for _, u := range pending {
		all.addWaiting(u.Receipt, u.Channel.Relay, settled[u.Receipt.Channel], s)
	}
	slices.SortFunc(all.Days, func(a, b EarnedDay) int { return cmp.Compare(b.Day, a.Day) })
	for _, d := range all.Days {
		slices.SortStableFunc(d.Receipts, func(a, b EarnedReceipt) int { return b.At.Compare(a.At) })
	}
	return all
}

// carried is the bytes of a channel.
type carried struct{ up, down uint64 }

// addWaiting adds what a receipt counts beyond what is settled.
func (all *Earnings) addWaiting(r accounting.SignedReceipt, relay identity.ID, settled carried, s accounting.Statement) {
	up, down := r.Up-min(r.Up, settled.up), r.Down-min(r.Down, settled.down)
	if up+down == 0 {
		return // the relay was quicker: the hub's word that it has this is on its way
	}
	line := EarnedReceipt{
		Channel: r.Channel, Serial: r.Serial, Relay: relay, At: time.UnixMilli(r.Time).UTC(), Up: up, Down: down,
		Points: s.Earns(up + down), PerGiB: all.Price.Edge, State: EarnedWaiting, Here: true,
	}
	all.Waiting.Receipts++
	all.Waiting.Bytes += up + down
	all.Waiting.Points += line.Points // bounded by what fits the spool
	all.add(line)
}

func (all *Earnings) addRefused(p proof) {
	c, err := accounting.ParseSignedChannel(p.Channel)
	if err != nil {
		return
	}
	r, err := accounting.ParseSignedReceipt(p.Receipt)
	if err != nil {
		return
	}
	all.add(EarnedReceipt{
		Channel: r.Channel, Serial: r.Serial, Relay: c.Relay, At: time.UnixMilli(r.Time).UTC(), Up: r.Up, Down: r.Down,
		State: EarnedRefused, Why: string(p.Refused), Here: true,
	})
}

// add puts a receipt under its day, whose sums stay those of what is settled.
func (all *Earnings) add(line EarnedReceipt) {
	day := line.At.Format(time.DateOnly)
	i := slices.IndexFunc(all.Days, func(d EarnedDay) bool { return d.Day == day })
	if i < 0 {
		i = len(all.Days)
		all.Days = append(all.Days, EarnedDay{Day: day, Held: true, Receipts: []EarnedReceipt{}})
	}
	all.Days[i].Receipts = append(all.Days[i].Receipts, line)
}
