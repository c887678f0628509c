package relay

import (
	"context"
	"crypto/rand"
	"sync"
	"time"

	"sward/accounting"
	"sward/internal/wire"
	"sward/policy"
)

const (
	// usageEvery is how often the hub hears what was used for what; what a crash takes is that much of the breakdown, and
	// no money.
	usageEvery = 10 * time.Second
	// maxUsage bounds the rows that wait for the hub. When it is away for so long that they are full, what is used goes
	// into one row of each grant, without country and class, and there are at most as many of those again.
	maxUsage = 16384
)

// usageLog adds up what partners use, by day, country of exit and class of target, for the hub to show them. It is a
// breakdown of the bill and not the bill: that is in the receipts, which two parties sign. Hosts are not in it.
//
// What is added up goes out as increments, each batch with the next number of this process, and again under the same
// number until the hub has said that it has it: so none is counted twice, and none is lost while the process lives.
type usageLog struct {
	run accounting.RunID

	mu      sync.Mutex
	rows    map[accounting.UsageKey]accounting.UsageCounts
	seq     uint64                // of the batch under way
	pending []accounting.UsageRow // that batch; nil when there is none
}

func newUsageLog() *usageLog {
	u := &usageLog{rows: map[accounting.UsageKey]accounting.UsageCounts{}}
	rand.Read(u.run[:])
	return u
}

// tallyUsage adds an ended connection to what the hub is told of its account's use, and to what is known of its shape.
func (r *Relay) tallyUsage(c *conn) {
	up, down := c.flow.Totals()
	r.usage.add(r.usageKey(c.grant.id, c.target, c.Exit().Country), accounting.UsageCounts{Requests: 1, Up: up, Down: down})
	account := c.grant.payer()
	if account == (accounting.AccountTag{}) || c.target.Host.IsZero() {
		return // the hub's: its crawler knows what it does
	}
	if up+down >= scanBytes {
		r.limits.scans.carried(account, c.edge.id, c.target)
	}
	if down < shortDown && r.limits.shorts.ended(account, c.target, r.cfg.Clock()) {
		r.suspect("short", c.grant, account, c.target)
	}
}

// tallyRefused adds a request that was not served.
func (r *Relay) tallyRefused(a *account, target policy.Target) {
	if g := a.current(); g != nil {
		r.usage.add(r.usageKey(g.id, target, ""), accounting.UsageCounts{Requests: 1, Refused: 1})
	}
}

// usageKey is the row that a request counts in. A crawl stream names no target: its pages do, in the crawl API.
func (r *Relay) usageKey(g accounting.GrantID, target policy.Target, country string) accounting.UsageKey {
	class := accounting.ClassCrawl
	if !target.Host.IsZero() {
		class = policy.ClassOf(target.Host)
	}
	return accounting.UsageKey{Grant: g, Day: r.cfg.Clock().UTC().Format(time.DateOnly), Country: country, Class: class}
}

func (u *usageLog) add(key accounting.UsageKey, c accounting.UsageCounts) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, known := u.rows[key]; !known && len(u.rows) >= maxUsage {
		key = accounting.UsageKey{Grant: key.Grant, Day: key.Day, Class: policy.ClassOther}
		if _, known := u.rows[key]; !known && len(u.rows) >= 2*maxUsage {
			return // a hub that takes no reports at all shows none
		}
	}
	u.rows[key] = u.rows[key].Plus(c)
}

// batch is what the hub is to be told next: what it has not confirmed, or else what came up since.
func (u *usageLog) batch() (accounting.UsageReport, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.pending == nil {
		for key, counts := range u.rows {
			u.pending = append(u.pending, accounting.UsageRow{UsageKey: key, UsageCounts: counts})
			delete(u.rows, key)
			if len(u.pending) == accounting.MaxUsageRows {
				break
			}
		}
		if u.pending == nil {
			return accounting.UsageReport{}, false
		}
		u.seq++
	}
	return accounting.UsageReport{Run: u.run, Seq: u.seq, Rows: u.pending}, true
}

// confirmed notes that the hub has batch seq. A relay that stops tells it in two places at once: the later answer to a
// batch is no word on the next.
func (u *usageLog) confirmed(seq uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if seq == u.seq {
		u.pending = nil
	}
}

// reportUsage tells the hub all there is to tell. What the hub refuses for good would be refused again: it is dropped.
func (r *Relay) reportUsage(ctx context.Context) error {
	for {
		report, any := r.usage.batch()
		if !any {
			return nil
		}
		err := r.cfg.Hub.ReportUsage(ctx, report)
		switch wire.CodeOf(err) {
		case wire.OK:
		case wire.BadRequest:
			r.cfg.Log.Warn("the hub does not take a report of usage", "rows", len(report.Rows), "err", err)
		default:
			return err
		}
		r.usage.confirmed(report.Seq)
	}
}
