package accounting

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// busyTown is a closed book in which everything has happened once.
func busyTown(t testing.TB) *town {
	t.Helper()
	n := newTown(t)
	ctx := t.Context()
	g := n.grant(gib / 4)
	s := n.session(n.edge)
	s.settle(s.receipt(Tally{Grant: g.ID, Up: 1000, Down: 5 << 20, Streams: 1}))
	s.settle(s.receipt(Tally{Grant: g.ID, Up: 2000, Down: 9 << 20, Streams: 2}))
	extended, err := n.book.Renew(ctx, n.relay.ID(), g.ID, gib/8)
	n.must(err)
	s.settle(s.receipt(Tally{Grant: g.ID, Up: 2000, Down: extended.Limit + 999, Streams: 2})) // more than was granted
	_, err = n.book.Release(ctx, n.relay.ID(), g.ID, []Final{{s.id, 3}})
	n.must(err)
	forked := s.last.Receipt
	forked.Time++
	s.settle(s.sign(forked))
	n.must(n.book.Suspend(ctx, n.relay.ID(), ""))
	n.must(n.book.SetLimits(ctx, n.owner, Limits{Rate: 50, Day: gib}))
	other := n.session(n.newKey())
	second := n.grant(gib / 8)
	other.settle(other.receipt(Tally{Grant: second.ID, Down: 77777, Streams: 1}))
	invite, err := n.book.Invite(ctx)
	n.must(err)
	n.must(n.book.RedeemConsent(ctx, invite.Code, n.edge.ID(), Hash{1}))
	n.clock.add(25 * time.Hour)
	n.must(n.book.expireOnce(ctx))
	return n
}

func TestAuditConfirmsAnHonestBook(t *testing.T) {
	n := busyTown(t)
	live, err := Audit(t.Context(), n.cfg.Dir)
	if err != nil {
		t.Fatalf("Audit of an open book: %v, want nil", err)
	}
	if !live.Holds || !live.Live || live.Sealed {
		t.Errorf("Audit of an open book says holds %t, live %t, sealed %t", live.Holds, live.Live, live.Sealed)
	}
	n.must(n.book.Close())
	before := snapshot(t, n.cfg.Dir)
	sealed, err := Audit(t.Context(), n.cfg.Dir)
	if err != nil {
		t.Fatalf("Audit of a closed book: %v, want nil", err)
	}
	if !sealed.Holds || sealed.Live || !sealed.Sealed {
		t.Errorf("Audit of a closed book says holds %t, live %t, sealed %t", sealed.Holds, sealed.Live, sealed.Sealed)
	}
	if diff := cmp.Diff(before, snapshot(t, n.cfg.Dir)); diff != "" {
		t.Errorf("the audit has changed the book (-before +after):\n%s", diff)
	}
	live.Live, live.Sealed = false, true
	if diff := cmp.Diff(live, sealed); diff != "" {
		t.Errorf("the open and the closed book differ (-open +closed):\n%s", diff)
	}
	if sealed.Receipts != 4 || sealed.Channels != 2 || len(sealed.Evidence) != 1 || sealed.Evidence[0].Rule != ErrFork {
		t.Errorf("Audit counts %d receipts, %d channels, evidence %v; want 4, 2, one fork", sealed.Receipts, sealed.Channels, sealed.Evidence)
	}
	if sum := sealed.Available + sealed.Reserved + sealed.Fees + total(sealed.Edges) + total(sealed.Relays); sum != sealed.Deposited {
		t.Errorf("the accounts add up to %s, want the deposits of %s", sum, sealed.Deposited)
	}
}

func total(all []AccountTotal) (sum Micro) {
	for _, a := range all {
		sum += a.Balance
	}
	return sum
}

// F33: the same files give the same report elsewhere and later.
func TestAuditIsTheSameEverywhere(t *testing.T) {
	n := busyTown(t)
	n.must(n.book.Close())
	copied := filepath.Join(t.TempDir(), "copy")
	n.must(os.CopyFS(copied, os.DirFS(n.cfg.Dir)))
	here, err := Audit(t.Context(), n.cfg.Dir)
	n.must(err)
	there, err := Audit(t.Context(), copied)
	n.must(err)
	if here.String() != there.String() {
		t.Errorf("two audits print\n%s\nand\n%s", here, there)
	}
}

// F32: one bit in ten thousand places.
func TestAuditFindsEveryFlippedBit(t *testing.T) {
	flips := 10_000
	if testing.Short() {
		flips = 500
	}
	n := busyTown(t)
	n.must(n.book.Close())
	files := snapshot(t, n.cfg.Dir)
	var names []string
	for name, data := range files {
		if len(data) > 0 {
			names = append(names, name)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range flips {
		name := names[i%len(names)]
		bit := random.IntN(len(files[name]) * 8)
		flip(t, filepath.Join(n.cfg.Dir, name), bit)
		report, err := Audit(t.Context(), n.cfg.Dir)
		var finding *Finding
		if !errors.As(err, &finding) || report.Holds {
			t.Fatalf("bit %d of %s flipped: Audit = %v, want a finding", bit, name, err)
		}
		if finding.File != name {
			t.Fatalf("bit %d of %s flipped: the finding names %s", bit, name, finding.File)
		}
		flip(t, filepath.Join(n.cfg.Dir, name), bit)
	}
}

// flip turns one bit of a file around.
func flip(t testing.TB, path string, bit int) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	_, err = file.ReadAt(b[:], int64(bit/8))
	b[0] ^= 1 << (bit % 8)
	if err == nil {
		_, err = file.WriteAt(b[:], int64(bit/8))
	}
	if err = errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
}

// snapshot is the content of every file below dir.
func snapshot(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[filepath.ToSlash(name)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// Whoever holds the files but not the hub's key can make every checksum right again, and is found all the same.
func TestAuditFindsAForgedBook(t *testing.T) {
	forge := func(change func(n *town, records []Entry) []Entry) func(*testing.T, *town) {
		return func(t *testing.T, n *town) {
			var records []Entry
			n.must(ReadJournal(filepath.Join(n.cfg.Dir, journalDir), func(r Record) error {
				records = append(records, Entry{Type: r.Type, Body: append([]byte(nil), r.Body...)})
				return nil
			}))
			n.must(os.RemoveAll(filepath.Join(n.cfg.Dir, journalDir)))
			j, _, err := OpenJournal(JournalConfig{Dir: filepath.Join(n.cfg.Dir, journalDir)})
			n.must(err)
			_, err = j.Append(change(n, records)...)
			n.must(errors.Join(err, j.Close()))
		}
	}
	at := func(records []Entry, typ uint16) int {
		for i, r := range records {
			if r.Type == typ {
				return i
			}
		}
		return -1
	}
	query := func(query string) func(*testing.T, *town) {
		return func(t *testing.T, n *town) {
			db, err := sql.Open(driver, filepath.Join(n.cfg.Dir, ledgerFile))
			n.must(err)
			_, err = db.Exec(query)
			n.must(errors.Join(err, db.Close()))
		}
	}
	for _, c := range []struct {
		name   string
		tamper func(*testing.T, *town)
		file   string
		why    string
	}{
		{"a deposit is dropped", forge(func(_ *town, r []Entry) []Entry {
			i := at(r, uint16(eventDeposit))
			return append(r[:i:i], r[i+1:]...)
		}), "journal/", "signed for place"},
		{"a deposit is doubled", forge(func(_ *town, r []Entry) []Entry {
			i := at(r, uint16(eventDeposit))
			return append(r[:i+1:i+1], r[i:]...)
		}), "journal/", "signed for place"},
		{"a receipt is dropped", forge(func(_ *town, r []Entry) []Entry {
			i := at(r, recordReceipt)
			return append(r[:i:i], r[i+1:]...)
		}), "journal/", "signed for place"},
		{"a receipt is replaced by a later one", forge(func(_ *town, r []Entry) []Entry {
			i := at(r, recordReceipt)
			j := at(r[i+1:], recordReceipt) + i + 1
			r[i] = r[j]
			return r
		}), "journal/", "signed for another history"},
		{"a receipt's count is raised", forge(func(_ *town, r []Entry) []Entry {
			i := at(r, recordReceipt)
			signed, err := ParseSignedReceipt(r[i].Body)
			if err != nil {
				panic(err)
			}
			signed.Tallies[0].Down++
			signed.Sum()
			signed.Body = signed.Append(nil)
			r[i].Body = signed.Bytes()
			return r
		}), "journal/", "signature"},
		{"the last records are dropped", forge(func(_ *town, r []Entry) []Entry { return r[:len(r)-1] }), ledgerFile, "the journal ends at"},
		{"a balance is raised", query("UPDATE account SET balance = balance + 1 WHERE id LIKE 'edge:%'"), ledgerFile, "table account: row edge:"},
		{"a posting is dropped", query("DELETE FROM posting WHERE rowid = 3"), ledgerFile, "posting of transaction"},
		{"a posting is added", query("INSERT INTO posting VALUES (999, 'network:fee', 0, 0)"), ledgerFile, "postings that no record has caused"},
		{"a suspension is lifted", query("UPDATE edge SET suspended = ''"), ledgerFile, "table edge: row"},
		{"a limit is lifted", query("UPDATE limits SET day = 0"), ledgerFile, "table limits: row"},
		{"a row is dropped", query("DELETE FROM grants"), ledgerFile, "table grants: row"},
		{"a row is added", query("INSERT INTO relay SELECT 'x', proxy, tunnel, region, admitted, suspended FROM relay"), ledgerFile, "row x should not be there"},
		{"a day of usage is changed", query("UPDATE usage SET up = up - 1"), ledgerFile, "table usage: row"},
		{"a line of a statement is changed", query("UPDATE earned SET amount = amount + 1"), ledgerFile, "table earned: row"},
		{"a line of a statement is dropped", query("DELETE FROM earned"), ledgerFile, "table earned: row"},
		{"a trigger is added", query("CREATE TRIGGER more AFTER INSERT ON posting BEGIN SELECT 1; END"), ledgerFile, "its tables are not those of a ledger"},
		{"the ledger is gone", func(t *testing.T, n *town) { n.must(os.Remove(filepath.Join(n.cfg.Dir, ledgerFile))) }, ledgerFile, "missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := busyTown(t)
			n.must(n.book.Close())
			n.must(os.Remove(filepath.Join(n.cfg.Dir, sealFile)))
			c.tamper(t, n)
			report, err := Audit(t.Context(), n.cfg.Dir)
			var finding *Finding
			if !errors.As(err, &finding) || report.Holds {
				t.Fatalf("Audit = %v, want a finding", err)
			}
			if !strings.HasPrefix(finding.File, c.file) || !strings.Contains(finding.Why, c.why) {
				t.Errorf("the finding is %q, want one in %s about %q", finding, c.file, c.why)
			}
			if strings.HasPrefix(finding.File, "journal/") && (finding.Seq == 0 || finding.Offset == 0 || finding.Type == "") {
				t.Errorf("the finding %q does not say which record it is about", finding)
			}
		})
	}
}

func TestAuditThatIsStoppedAccusesNobody(t *testing.T) {
	n := busyTown(t)
	n.must(n.book.Close())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	report, err := Audit(ctx, n.cfg.Dir)
	if finding := (*Finding)(nil); !errors.Is(err, context.Canceled) || errors.As(err, &finding) || report.Holds {
		t.Errorf("got %v, holds %t, want the context's error and no finding", err, report.Holds)
	}
}

func TestAuditSeesThatASealedFileIsGone(t *testing.T) {
	for _, file := range []string{ledgerFile, "journal/" + segmentName(1)} {
		n := busyTown(t)
		n.must(n.book.Close())
		n.must(os.Remove(filepath.Join(n.cfg.Dir, file)))
		var finding *Finding
		if _, err := Audit(t.Context(), n.cfg.Dir); !errors.As(err, &finding) || finding.File != file {
			t.Errorf("%s removed: Audit = %v, want a finding about it", file, err)
		}
	}
}

// A crash leaves a torn write at the end, and a ledger behind the journal. Neither is a fault of the book.
func TestAuditForgivesOnlyWhatACrashLeaves(t *testing.T) {
	n := busyTown(t)
	n.must(n.book.Close())
	n.must(os.Remove(filepath.Join(n.cfg.Dir, sealFile)))
	segment := filepath.Join(n.cfg.Dir, journalDir, segmentName(1))
	whole, err := os.ReadFile(segment)
	n.must(err)
	n.must(os.WriteFile(segment, append(whole, whole[segmentHeader:segmentHeader+60]...), 0o600))
	report, err := Audit(t.Context(), n.cfg.Dir)
	if err != nil || !report.Holds || report.Torn != 60 {
		t.Errorf("Audit with a torn tail = holds %t, torn %d, %v; want true, 60, nil", report.Holds, report.Torn, err)
	}
	n.must(os.WriteFile(segment, whole[:len(whole)-1], 0o600))
	if report, err := Audit(t.Context(), n.cfg.Dir); err == nil || report.Holds {
		t.Error("Audit forgives the loss of a record that the ledger has seen")
	}
}

// A crash between making the next segment and filling it leaves a file without a header, which the next Open removes.
func TestAuditForgivesASegmentThatWasNeverFilled(t *testing.T) {
	for _, left := range []int{0, 1, segmentHeader - 1} {
		n := busyTown(t)
		records, _ := n.book.journal.Head()
		n.must(n.book.Close())
		n.must(os.Remove(filepath.Join(n.cfg.Dir, sealFile)))
		next := filepath.Join(n.cfg.Dir, journalDir, segmentName(records+1))
		n.must(os.WriteFile(next, appendSegmentHeader(nil, chain{seq: records})[:left], 0o600))
		report, err := Audit(t.Context(), n.cfg.Dir)
		if err != nil || !report.Holds || report.Torn != int64(left) {
			t.Errorf("Audit with %d bytes of the next segment = holds %t, torn %d, %v; want true, %d, nil", left, report.Holds, report.Torn, err, left)
		}
		n.open()
		if _, err := os.Stat(next); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("Open leaves %d bytes of a segment: %v", left, err)
		}
	}
}

// The same file says that something is gone when the ledger has seen the record that it should begin with.
func TestAuditNamesASegmentThatWasEmptied(t *testing.T) {
	n := busyTown(t)
	n.book.journal.rollover()
	n.must(n.book.Credit(t.Context(), n.owner, gib))
	records, _ := n.book.journal.Head()
	n.must(n.book.Close())
	n.must(os.Remove(filepath.Join(n.cfg.Dir, sealFile)))
	n.must(os.Truncate(filepath.Join(n.cfg.Dir, journalDir, segmentName(records)), segmentHeader-1))
	var finding *Finding
	if _, err := Audit(t.Context(), n.cfg.Dir); !errors.As(err, &finding) || finding.Seq != records || finding.File != journalDir+"/"+segmentName(records) {
		t.Errorf("Audit = %v, want a finding about record %d in the last segment", err, records)
	}
}

// A hub goes on settling while somebody audits its book.
func TestAuditOfABookThatIsBeingWritten(t *testing.T) {
	n := newTown(t)
	g := n.grant(gib)
	s := n.session(n.edge)
	stop, done := make(chan struct{}), make(chan error, 1)
	var receipts []SignedReceipt
	for i := range uint64(2000) {
		receipts = append(receipts, s.receipt(Tally{Grant: g.ID, Down: (i + 1) * 1000, Streams: 1}))
	}
	go func() {
		for _, r := range receipts {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if _, err := n.book.Settle(t.Context(), n.relay.ID(), []SignedChannel{s.channel}, []SignedReceipt{r}); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for range 5 {
		if report, err := Audit(t.Context(), n.cfg.Dir); err != nil || !report.Live {
			t.Errorf("Audit = live %t, %v; want true, nil", report.Live, err)
		}
	}
	close(stop)
	n.must(<-done)
}
