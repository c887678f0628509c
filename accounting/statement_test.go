package accounting

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func (n *town) statement(q StatementQuery) Statement {
	n.t.Helper()
	s, err := n.book.Statement(n.t.Context(), n.edge.ID(), q)
	n.must(err)
	return s
}

// earnAcrossMidnight settles two receipts of one channel, one on each side of midnight, and one of another channel.
func earnAcrossMidnight(t *testing.T) (n *town, first, second *session) {
	n = newTown(t)
	n.clock.add(11*time.Hour + 50*time.Minute) // 23:50
	g := n.grant(gib / 2)
	first = n.session(n.edge)
	first.settle(first.receipt(Tally{Grant: g.ID, Up: 1 << 20, Down: gib/8 - 1<<20}))
	n.clock.add(20 * time.Minute)
	first.settle(first.receipt(Tally{Grant: g.ID, Up: 1 << 20, Down: gib/4 - 1<<20}))
	second = n.session(n.edge)
	second.settle(second.receipt(Tally{Grant: g.ID, Down: gib / 16}))
	return n, first, second
}

func TestStatementNamesTheReceiptEachPointRestsOn(t *testing.T) {
	n, first, second := earnAcrossMidnight(t)
	got := n.statement(StatementQuery{})
	at := n.clock.Now()
	want := Statement{
		Edge: n.edge.ID(), At: at, From: "2026-08-03", To: "2026-09-02", Points: 218_750, Held: 218_750, HoldDays: 7,
		Price: 1, Prices: []Price{testPrice},
		Days: []StatementDay{
			{UsageDay: UsageDay{Day: "2026-09-02", Down: gib/8 + gib/16, Micro: 131_250}, Held: true, Lines: []StatementLine{
				{Channel: first.id, Serial: 2, Relay: n.relay.ID(), At: at, Price: 1, Down: gib / 8, Micro: 87_500},
				{Channel: second.id, Serial: 1, Relay: n.relay.ID(), At: at, Price: 1, Down: gib / 16, Micro: 43_750},
			}},
			{UsageDay: UsageDay{Day: "2026-09-01", Up: 1 << 20, Down: gib/8 - 1<<20, Micro: 87_500}, Held: true, Lines: []StatementLine{
				{Channel: first.id, Serial: 1, Relay: n.relay.ID(), At: at.Add(-20 * time.Minute), Price: 1, Up: 1 << 20, Down: gib/8 - 1<<20, Micro: 87_500},
			}},
		},
	}
	if string(first.id[:]) > string(second.id[:]) { // of one moment, by channel
		lines := want.Days[0].Lines
		lines[0], lines[1] = lines[1], lines[0]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("statement (-want +got):\n%s", diff)
	}
	if got.Earns(gib) != testPrice.Edge {
		t.Errorf("a GiB earns %d, want %d", got.Earns(gib), testPrice.Edge)
	}
	if other, err := n.book.Statement(t.Context(), n.relay.ID(), StatementQuery{}); err != nil || len(other.Days) != 0 || other.Points != 0 {
		t.Errorf("somebody else's statement = %+v, %v", other, err)
	}
	if old := n.statement(StatementQuery{From: "2026-09-01", To: "2026-09-01"}); len(old.Days) != 1 || len(old.Days[0].Lines) != 1 {
		t.Errorf("statement of one day = %+v", old)
	}
	for _, bad := range []StatementQuery{{From: "yesterday"}, {From: "2026-09-02", To: "2026-09-01"}, {From: "2020-01-01", To: "2026-09-01"}} {
		if _, err := n.book.Statement(t.Context(), n.edge.ID(), bad); err == nil {
			t.Errorf("a statement for %+v, want a refusal", bad)
		}
	}
}

func TestStatementHoldsEarningsForAWeek(t *testing.T) {
	n, _, _ := earnAcrossMidnight(t)
	n.clock.add(6 * 24 * time.Hour) // 8 September: the first day is over a week old
	s := n.statement(StatementQuery{})
	if s.Held != 131_250 || !s.Days[0].Held || s.Days[1].Held {
		t.Errorf("held %d, days held %v and %v; want 131250, true, false", s.Held, s.Days[0].Held, s.Days[1].Held)
	}
}

func TestStatementLinesAreForgottenAndTheBookStillHolds(t *testing.T) {
	n, _, _ := earnAcrossMidnight(t)
	n.clock.add(earnedDays * 24 * time.Hour)
	n.must(n.book.Credit(t.Context(), n.owner, gib)) // any event of a new day
	s := n.statement(StatementQuery{From: "2026-09-01"})
	if len(s.Days) != 2 || len(s.Days[0].Lines) != 2 || len(s.Days[1].Lines) != 0 || s.Days[1].Micro != 87_500 {
		t.Errorf("after %d days: %+v, want the first day's lines gone and its sum there", earnedDays, s.Days)
	}
	n.must(n.book.Close())
	if report, err := Audit(t.Context(), n.cfg.Dir); err != nil || !report.Holds {
		t.Errorf("Audit = %+v, %v", report, err)
	}
}

func TestLedgerFromBeforeTheLinesIsMadeAnew(t *testing.T) {
	n, _, _ := earnAcrossMidnight(t)
	want := n.statement(StatementQuery{})
	n.must(n.book.Close())
	n.must(os.Remove(filepath.Join(n.cfg.Dir, sealFile)))
	db, err := sql.Open(driver, filepath.Join(n.cfg.Dir, ledgerFile))
	n.must(err)
	_, err = db.Exec("DROP TABLE earned")
	n.must(errors.Join(err, db.Close()))
	if report, err := Audit(t.Context(), n.cfg.Dir); err != nil || !report.Holds {
		t.Errorf("Audit of the old ledger = %+v, %v", report, err)
	}
	n.open()
	if diff := cmp.Diff(want, n.statement(StatementQuery{})); diff != "" {
		t.Errorf("statement of the ledger that was made anew (-want +got):\n%s", diff)
	}
	n.conserved()
}

func TestEdgeReadsItsOwnStatement(t *testing.T) {
	n, first, _ := earnAcrossMidnight(t)
	got, err := n.client(n.serve(), n.edge).Statement(t.Context(), StatementQuery{From: "2026-09-01", To: "2026-09-01"})
	n.must(err)
	if len(got.Days) != 1 || len(got.Days[0].Lines) != 1 || got.Days[0].Lines[0].Channel != first.id {
		t.Errorf("statement over the network = %+v", got)
	}
}
