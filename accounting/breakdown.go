package accounting

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"sward/internal/identity"
	"sward/internal/wire"
)

const (
	// MaxUsageRows bounds a report: at 250 bytes of JSON a row it stays below the bound of a call.
	MaxUsageRows = 800
	// usageMemory is how long days are kept: a year, and a month to look at it.
	usageMemory = 400
	// usageSkew is how many days late a report may be: the hub was away, and what was used before is still waiting.
	usageSkew = 31
	maxClass  = 32 // bytes of a class's name
	// maxUsageGroups bounds an answer: at 200 bytes of JSON a line it stays below the bound of one. All countries of a year
	// by day are 70,000 lines, which are asked for in parts.
	maxUsageGroups = 20_000
)

// ClassCrawl is the class of crawl streams, which name no target.
const ClassCrawl = "crawl"

// RunID names one process of a relay, whose reports are numbered from 1.
type RunID [16]byte

// String is the ID in hexadecimal.
func (id RunID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText writes the text form.
func (id RunID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads the text form.
func (id *RunID) UnmarshalText(text []byte) error { return unhex(id[:], text) }

// UsageKey is what a relay counts under. The grant says whose it is: the hub knows, and a relay reports only on grants
// that name it.
type UsageKey struct {
	Grant   GrantID `json:"grant"`
	Day     string  `json:"day"`               // 2006-01-02, UTC
	Country string  `json:"country,omitempty"` // of the exit, ISO 3166-1 alpha-2 in lower case; empty: not known
	Class   string  `json:"class"`             // of the target
}

// UsageCounts are what it counts.
type UsageCounts struct {
	Requests uint64 `json:"requests"` // connections and plain requests, refused ones included
	Refused  uint64 `json:"refused"`  // of them
	Up       uint64 `json:"up"`       // bytes that reached targets
	Down     uint64 `json:"down"`     // bytes that reached the partner
	Abuse    uint64 `json:"abuse"`    // times that it looked like abuse
}

// Plus is the sum.
func (c UsageCounts) Plus(d UsageCounts) UsageCounts {
	return UsageCounts{c.Requests + d.Requests, c.Refused + d.Refused, c.Up + d.Up, c.Down + d.Down, c.Abuse + d.Abuse}
}

// UsageRow is one increment.
type UsageRow struct {
	UsageKey
	UsageCounts
}

// UsageReport is a batch of increments. The same number of the same run is the same batch.
type UsageReport struct {
	Run  RunID      `json:"run"`
	Seq  uint64     `json:"seq"`
	Rows []UsageRow `json:"rows"`
}

// Breakdown keeps what relays say that partners used, by day, country of exit and class of target. It is no money: what
// a partner pays stands in receipts that two parties have signed, and no audit looks here. A relay can lie in it, and the
// sums can be off by what was under way when a process died; the ledger beside it says what was billed.
type Breakdown struct {
	classes []string

	mu   sync.Mutex // one report at a time: SQLite has one writer
	db   *sql.DB
	days string // the day on which the old ones were last thrown away
}

const breakdownSchema = `
CREATE TABLE IF NOT EXISTS used (partner TEXT, day TEXT, country TEXT, class TEXT, requests INTEGER, refused INTEGER, up INTEGER,
	down INTEGER, abuse INTEGER, PRIMARY KEY (partner, day, country, class)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reports (relay TEXT PRIMARY KEY, run TEXT, seq INTEGER) WITHOUT ROWID;
`

// OpenBreakdown opens or makes the file. Classes are all that a target can have: with the countries they bound the rows of
// a partner's day, whatever relays say. Any other is counted as "other".
func OpenBreakdown(ctx context.Context, path string, classes []string) (*Breakdown, error) {
	db, err := openDatabase(path, "rwc", "journal_mode(WAL)", "synchronous(NORMAL)")
	if err != nil {
		return nil, err
	}
	if _, err := db.ExecContext(ctx, breakdownSchema); err != nil {
		return nil, errors.Join(fmt.Errorf("open breakdown of usage %s: %w", path, err), db.Close())
	}
	return &Breakdown{classes: append(slices.Clone(classes), ClassCrawl), db: db}, nil
}

// Close closes the file.
func (d *Breakdown) Close() error { return d.db.Close() }

// add enters a report once. holder tells whose a grant is.
func (d *Breakdown) add(ctx context.Context, relay identity.ID, report UsageReport, now time.Time, holder func(GrantID) (PartnerID, bool)) error {
	if len(report.Rows) > MaxUsageRows || report.Seq == 0 {
		return wire.Errorf(wire.BadRequest, "a report has 1 to %d rows and a number", MaxUsageRows)
	}
	for _, row := range report.Rows {
		if err := row.check(now); err != nil {
			return err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	tx, err := d.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := d.write(ctx, tx, relay, report, now, holder); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

func (d *Breakdown) write(ctx context.Context, tx *sql.Tx, relay identity.ID, report UsageReport, now time.Time, holder func(GrantID) (PartnerID, bool)) error {
	var run string
	var seq int64
	err := tx.QueryRowContext(ctx, "SELECT run, seq FROM reports WHERE relay = ?", relay.String()).Scan(&run, &seq)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if run == report.Run.String() && report.Seq <= uint64(seq) {
		return nil // said again: it is counted
	}
	for _, row := range report.Rows {
		partner, known := holder(row.Grant)
		if !known {
			continue // forgotten since, or not this relay's to speak of
		}
		const add = `INSERT INTO used VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9) ON CONFLICT (partner, day, country, class) DO UPDATE SET
			requests = min(requests + ?5, ?10), refused = min(refused + ?6, ?10), up = min(up + ?7, ?10),
			down = min(down + ?8, ?10), abuse = min(abuse + ?9, ?10)`
		if _, err := tx.ExecContext(ctx, add, partner.String(), row.Day, row.Country, d.class(row.Class),
			int64(row.Requests), int64(row.Refused), int64(row.Up), int64(row.Down), int64(row.Abuse), int64(maxUsageSum)); err != nil {
			return err
		}
	}
	const note = "INSERT INTO reports VALUES (?,?,?) ON CONFLICT (relay) DO UPDATE SET run = excluded.run, seq = excluded.seq"
	if _, err := tx.ExecContext(ctx, note, relay.String(), report.Run.String(), int64(report.Seq)); err != nil {
		return err
	}
	if today := now.UTC().Format(time.DateOnly); d.days != today {
		oldest := now.UTC().AddDate(0, 0, -usageMemory).Format(time.DateOnly)
		if _, err := tx.ExecContext(ctx, "DELETE FROM used WHERE day < ?", oldest); err != nil {
			return err
		}
		d.days = today
	}
	return nil
}

// class is c if there is such a class.
func (d *Breakdown) class(c string) string {
	const other = "other"
	if slices.Contains(d.classes, c) {
		return c
	}
	return other
}

const (
	// maxUsageCount bounds one increment.
	maxUsageCount = 1 << 48
	// maxUsageSum is where a sum stays, however often a relay that lies adds to it: past what an integer of the database holds
	// it would become another type, and the partner's use could not be read any more.
	maxUsageSum = 1 << 53
)

func (r UsageRow) check(now time.Time) error {
	day, err := time.Parse(time.DateOnly, r.Day)
	today := now.UTC().Truncate(24 * time.Hour)
	if err != nil || day.After(today.AddDate(0, 0, 1)) || day.Before(today.AddDate(0, 0, -usageSkew)) {
		return wire.Errorf(wire.BadRequest, "a row's day is not one of these days")
	}
	if r.Country != "" && (len(r.Country) != 2 || strings.Trim(r.Country, "abcdefghijklmnopqrstuvwxyz") != "") {
		return wire.Errorf(wire.BadRequest, "a country is two small letters")
	}
	if len(r.Class) > maxClass {
		return wire.Errorf(wire.BadRequest, "a class has at most %d bytes", maxClass)
	}
	for _, n := range []uint64{r.Requests, r.Refused, r.Up, r.Down, r.Abuse} {
		if n > maxUsageCount {
			return wire.Errorf(wire.BadRequest, "a count is too large for one report")
		}
	}
	return nil
}

// UsageGroup is a sum of the breakdown. A field that was not asked for is empty.
type UsageGroup struct {
	Day     string `json:"day,omitempty"`
	Country string `json:"country,omitempty"` // "zz" when it is not known
	Class   string `json:"class,omitempty"`
	UsageCounts
	Bytes uint64 `json:"bytes"` // up and down
}

// unknownCountry is what ISO 3166-1 leaves to its users for "unknown".
const unknownCountry = "zz"

// groups adds up a partner's rows between two days, both included, by some of day, country and class.
func (d *Breakdown) groups(ctx context.Context, p PartnerID, from, to string, by []string) ([]UsageGroup, error) {
	rows, err := d.db.QueryContext(ctx, `SELECT day, country, class, requests, refused, up, down, abuse FROM used
		WHERE partner = ? AND day BETWEEN ? AND ?`, p.String(), from, to)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	type key struct{ day, country, class string }
	sums := map[key]UsageCounts{}
	for rows.Next() {
		var day, country, class string
		var c UsageCounts
		if err := rows.Scan(&day, &country, &class, &c.Requests, &c.Refused, &c.Up, &c.Down, &c.Abuse); err != nil {
			return nil, err
		}
		var k key
		for _, field := range by {
			switch field {
			case "day":
				k.day = day
			case "country":
				if k.country = country; country == "" {
					k.country = unknownCountry
				}
			case "class":
				k.class = class
			}
		}
		if sums[k] = sums[k].Plus(c); len(sums) > maxUsageGroups {
			return nil, wire.Errorf(wire.BadRequest, "that is more than %d lines: ask for fewer days, or by fewer of day, country and class", maxUsageGroups)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	all := make([]UsageGroup, 0, len(sums))
	for k, c := range sums {
		all = append(all, UsageGroup{k.day, k.country, k.class, c, c.Up + c.Down})
	}
	slices.SortFunc(all, func(x, y UsageGroup) int {
		return strings.Compare(x.Day+" "+x.Country+" "+x.Class, y.Day+" "+y.Country+" "+y.Class)
	})
	return all, nil
}
