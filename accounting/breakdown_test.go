package accounting

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sward/internal/wire"
)

// countedTown is a town whose hub keeps a breakdown.
func countedTown(t *testing.T) *town {
	t.Helper()
	n := newTown(t)
	n.must(n.book.Close())
	breakdown, err := OpenBreakdown(t.Context(), filepath.Join(t.TempDir(), "usage.db"), []string{"other", "health"})
	n.must(err)
	t.Cleanup(func() { n.must(breakdown.Close()) })
	n.cfg.Breakdown = breakdown
	n.open()
	return n
}

func (n *town) row(g SignedGrant, country, class string, c UsageCounts) UsageRow {
	return UsageRow{UsageKey{Grant: g.ID, Day: n.clock.Now().UTC().Format(time.DateOnly), Country: country, Class: class}, c}
}

func TestReportIsCountedOnceHoweverOftenItIsSaid(t *testing.T) {
	n := countedTown(t)
	g := n.grant(gib / 4)
	one := UsageReport{Run: fill16(1), Seq: 1, Rows: []UsageRow{
		n.row(g, "de", "other", UsageCounts{Requests: 2, Up: 10, Down: 100}),
		n.row(g, "fr", "health", UsageCounts{Requests: 1, Refused: 1}),
		n.row(g, "", "no such class", UsageCounts{Requests: 1, Up: 1, Down: 1}),
	}}
	two := UsageReport{Run: fill16(1), Seq: 2, Rows: []UsageRow{n.row(g, "de", "other", UsageCounts{Requests: 1, Down: 5, Abuse: 1})}}
	restarted := UsageReport{Run: fill16(2), Seq: 1, Rows: two.Rows}
	for _, report := range []UsageReport{one, one, two, one, two, restarted, restarted} {
		n.must(n.book.ReportUsage(t.Context(), n.relay.ID(), report))
	}
	a, err := n.book.UsageBetween(t.Context(), UsageQuery{Name: n.owner, By: []string{"country", "class"}})
	n.must(err)
	want := []UsageGroup{
		{Country: "de", Class: "other", UsageCounts: UsageCounts{Requests: 4, Up: 10, Down: 110, Abuse: 2}, Bytes: 120},
		{Country: "fr", Class: "health", UsageCounts: UsageCounts{Requests: 1, Refused: 1}},
		{Country: "zz", Class: "other", UsageCounts: UsageCounts{Requests: 1, Up: 1, Down: 1}, Bytes: 2},
	}
	if diff := cmp.Diff(want, a.Breakdown); diff != "" {
		t.Errorf("breakdown (-want +got):\n%s", diff)
	}
	if a.Billed != (Billed{}) {
		t.Errorf("%+v were billed for what no receipt says", a.Billed)
	}
}

// A relay speaks of its own grants alone.
func TestReportOnAnotherRelaysGrantCountsNothing(t *testing.T) {
	n := countedTown(t)
	g := n.grant(gib / 4)
	n.must(n.book.ReportUsage(t.Context(), n.newKey().ID(), UsageReport{Run: fill16(1), Seq: 1, Rows: []UsageRow{
		n.row(g, "de", "other", UsageCounts{Requests: 1, Down: 1}),
	}}))
	a, err := n.book.UsageBetween(t.Context(), UsageQuery{Name: n.owner})
	if err != nil || len(a.Breakdown) > 0 {
		t.Errorf("got %+v, %v; want no row", a.Breakdown, err)
	}
}

// What one relay says, however large and however often, leaves a partner's use readable.
func TestRelayThatExaggeratesHidesNoUsage(t *testing.T) {
	n := countedTown(t)
	g := n.grant(gib / 4)
	rows := make([]UsageRow, MaxUsageRows)
	for i := range rows {
		rows[i] = n.row(g, "de", "other", UsageCounts{Requests: maxUsageCount, Refused: maxUsageCount, Up: maxUsageCount, Down: maxUsageCount, Abuse: maxUsageCount})
	}
	for seq := range uint64(42) { // 42 × 800 × 2^48 is more than 2^63
		n.must(n.book.ReportUsage(t.Context(), n.relay.ID(), UsageReport{Run: fill16(1), Seq: seq + 1, Rows: rows}))
	}
	a, err := n.book.UsageBetween(t.Context(), UsageQuery{Name: n.owner, By: []string{"country"}})
	want := []UsageGroup{{
		Country: "de", UsageCounts: UsageCounts{maxUsageSum, maxUsageSum, maxUsageSum, maxUsageSum, maxUsageSum}, Bytes: 2 * maxUsageSum,
	}}
	if diff := cmp.Diff(want, a.Breakdown); err != nil || diff != "" {
		t.Errorf("%v, breakdown (-want +got):\n%s", err, diff)
	}
}

// One question cannot make the hub write down a year of everything.
func TestAnswerAboutUsageIsBounded(t *testing.T) {
	n := countedTown(t)
	g := n.grant(gib / 4)
	report := UsageReport{Run: fill16(1)}
	today := n.clock.Now().UTC()
	tell := func() {
		report.Seq++
		n.must(n.book.ReportUsage(t.Context(), n.relay.ID(), report))
		report.Rows = nil
	}
	for i := range maxUsageGroups + 1 {
		row := n.row(g, string([]byte{'a' + byte(i%26), 'a' + byte(i/26%26)}), "other", UsageCounts{Requests: 1})
		row.Day = today.AddDate(0, 0, -i/(26*26)).Format(time.DateOnly)
		if report.Rows = append(report.Rows, row); len(report.Rows) == MaxUsageRows {
			tell()
		}
	}
	tell()
	_, err := n.book.UsageBetween(t.Context(), UsageQuery{Name: n.owner, By: []string{"day", "country"}})
	if wire.CodeOf(err) != wire.BadRequest || !strings.Contains(err.Error(), "fewer days") {
		t.Errorf("by day and country: got %v, want bad_request that says what to ask instead", err)
	}
	a, err := n.book.UsageBetween(t.Context(), UsageQuery{Name: n.owner, By: []string{"country"}})
	if err != nil || len(a.Breakdown) != 26*26 {
		t.Errorf("by country: got %d lines, %v; want %d", len(a.Breakdown), err, 26*26)
	}
}

func TestReportsAreReadStrictly(t *testing.T) {
	n := countedTown(t)
	g := n.grant(gib / 4)
	good := n.row(g, "de", "other", UsageCounts{Requests: 1})
	bad := func(change func(*UsageRow)) UsageReport {
		row := good
		change(&row)
		return UsageReport{Seq: 1, Rows: []UsageRow{row}}
	}
	for name, report := range map[string]UsageReport{
		"no number":         {Rows: []UsageRow{good}},
		"too many rows":     {Seq: 1, Rows: make([]UsageRow, MaxUsageRows+1)},
		"a day long ago":    bad(func(r *UsageRow) { r.Day = "2026-07-31" }),
		"a day to come":     bad(func(r *UsageRow) { r.Day = "2026-09-09" }),
		"no day":            bad(func(r *UsageRow) { r.Day = "" }),
		"a long country":    bad(func(r *UsageRow) { r.Country = "deu" }),
		"a loud country":    bad(func(r *UsageRow) { r.Country = "DE" }),
		"a long class":      bad(func(r *UsageRow) { r.Class = string(make([]byte, maxClass+1)) }),
		"a count too large": bad(func(r *UsageRow) { r.Down = maxUsageCount + 1 }),
	} {
		if err := n.book.ReportUsage(t.Context(), n.relay.ID(), report); wire.CodeOf(err) != wire.BadRequest {
			t.Errorf("%s: got %v, want bad_request", name, err)
		}
	}
}

func TestUsageQueriesAreReadStrictly(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for want, q := range map[string]UsageQuery{
		"": {}, "from": {From: "22.11.2026"}, "to": {To: "2026-13-01"}, "from is after to": {From: "2026-11-02", To: "2026-11-01"},
		"400 days": {From: "2024-01-01"}, `"host"`: {By: []string{"day", "host"}}, `"day"`: {By: []string{"day", "day"}},
		`"?"`: {By: []string{"\x00"}},
	} {
		err := q.fill(now)
		if want == "" {
			if err != nil || q.From != "2026-10-23" || q.To != "2026-11-22" || len(q.By) != 1 {
				t.Errorf("an empty question became %+v, %v", q, err)
			}
			continue
		}
		if wire.CodeOf(err) != wire.BadRequest || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want bad_request that says %s", q, err, want)
		}
	}
}

// The bill is the ledger's, between the same days.
func TestBillIsTheLedgersOverTheDaysThatWereAskedFor(t *testing.T) {
	n := countedTown(t)
	g := n.grant(gib / 2)
	s := n.session(n.edge)
	s.settle(s.receipt(Tally{Grant: g.ID, Up: 1 << 20, Down: 1 << 20, Streams: 1}))
	u, err := n.book.Usage(t.Context(), n.owner)
	n.must(err)
	a, err := n.book.UsageBetween(t.Context(), UsageQuery{Name: n.owner, From: "2026-09-01", To: "2026-09-01"})
	n.must(err)
	if a.Billed != (Billed{2 << 20, u.Charged}) || len(a.Days) != 1 || a.Today != 2<<20 {
		t.Errorf("billed %+v on %d days, want %d bytes for %s on one", a.Billed, len(a.Days), 2<<20, u.Charged)
	}
	before, err := n.book.UsageBetween(t.Context(), UsageQuery{Name: n.owner, To: "2026-08-31"})
	n.must(err)
	if before.Billed != (Billed{}) {
		t.Errorf("billed %+v before the first day, want nothing", before.Billed)
	}
}

// Whatever a question says, it is refused with a code or it names days and fields that exist.
func FuzzUsageQuery(f *testing.F) {
	f.Add("2026-11-01", "2026-11-22", "day")
	f.Add("", "", "")
	f.Add("22.11.2026", "-1", "host\x00")
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, from, to, by string) {
		q := UsageQuery{From: from, To: to, By: strings.Split(by, ",")}
		if err := q.fill(now); err != nil {
			if wire.CodeOf(err) != wire.BadRequest || len(err.Error()) > 200 {
				t.Errorf("%q %q %q: got %v, want a short bad_request", from, to, by, err)
			}
			return
		}
		first, err1 := time.Parse(time.DateOnly, q.From)
		last, err2 := time.Parse(time.DateOnly, q.To)
		if err1 != nil || err2 != nil || last.Before(first) || len(q.By) == 0 || len(q.By) > 3 {
			t.Errorf("%q %q %q became %+v", from, to, by, q)
		}
	})
}
