package accounting

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// crashDir and crashRound tell a child process of TestBookSurvivesKill which book to write and which keys to use.
const (
	crashDir   = "SWARD_TEST_CRASH_DIR"
	crashRound = "SWARD_TEST_CRASH_ROUND"
)

// crashTown is the town that parent and child agree on.
func crashTown(t testing.TB, dir string, round int) *town {
	n := &town{t: t, clock: &clock{now: time.Now()}, owner: "acme"}
	hub := n.newKey()
	n.relay, n.edge = n.newKey(), n.newKey()
	n.cfg = BookConfig{Dir: dir, Network: "test", Key: hub, Price: testPrice}
	n.drawn += uint64(round) * 1000 // a new process has new channel keys
	return n
}

// TestCrashChild is no test: it is the process that TestBookSurvivesKill kills. It says what has been confirmed to it.
func TestCrashChild(t *testing.T) {
	dir := os.Getenv(crashDir)
	if dir == "" {
		t.Skip("runs as a child of TestBookSurvivesKill only")
	}
	round, err := strconv.Atoi(os.Getenv(crashRound))
	if err != nil {
		t.Fatal(err)
	}
	n := crashTown(t, dir, round)
	n.open()
	s := n.session(n.edge)
	g := n.grant(gib / 64)
	fmt.Printf("channel %x\n", s.channel.Bytes())
	for i := uint64(1); ; i++ {
		if g.Limit < i*4096 {
			more, err := n.book.Renew(t.Context(), n.relay.ID(), g.ID, gib/64)
			n.must(err)
			g = more.SignedGrant
		}
		r := s.receipt(Tally{Grant: g.ID, Down: i * 4096, Streams: 1})
		if got := s.settle(r); got.Serial != r.Serial || got.Refused != "" {
			t.Fatalf("Settle = %+v", got)
		}
		fmt.Printf("receipt %x\n", r.Bytes())
	}
}

// G06, G12: killed at any moment, the book keeps what it has confirmed, and no money is made or lost.
func TestBookSurvivesKill(t *testing.T) {
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	dir := filepath.Join(t.TempDir(), "book")
	n := crashTown(t, dir, 0)
	n.open()
	n.must(n.book.AdmitRelay(t.Context(), RelayInfo{ID: n.relay.ID()}))
	_, err := n.book.AddPartner(t.Context(), n.owner, 1)
	n.must(err)
	n.must(n.book.Credit(t.Context(), n.owner, 64*gib))
	n.must(n.book.Close())
	for round := 1; round <= rounds; round++ {
		channel, last := killed(t, dir, round, round*7)
		if report, err := Audit(t.Context(), dir); err != nil || report.Sealed || report.Live {
			t.Fatalf("round %d: Audit after the kill: %v (sealed %t, live %t), want nil", round, err, report.Sealed, report.Live)
		}
		n.open()
		n.conserved()
		points, seq := n.book.PointsOf(n.edge.ID()), n.book.state.seq
		got, err := n.book.Settle(t.Context(), n.relay.ID(), []SignedChannel{channel}, []SignedReceipt{last})
		if err != nil || len(got) != 1 || got[0].Serial < last.Serial || got[0].Refused != "" {
			t.Fatalf("round %d: the last confirmed receipt has serial %d, but the book answers %+v, %v", round, last.Serial, got, err)
		}
		if n.book.PointsOf(n.edge.ID()) != points || n.book.state.seq != seq {
			t.Errorf("round %d: settling the same again has changed the book", round)
		}
		n.must(n.book.Close())
		if report, err := Audit(t.Context(), dir); err != nil || !report.Sealed {
			t.Fatalf("round %d: Audit after the close: %v, want nil and a seal", round, err)
		}
	}
}

// killed runs a child until it has had some receipts confirmed, kills it, and returns the last one.
func killed(t *testing.T, dir string, round, receipts int) (SignedChannel, SignedReceipt) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestCrashChild$", "-test.timeout=60s")
	child.Env = append(os.Environ(), crashDir+"="+dir, crashRound+"="+strconv.Itoa(round))
	var failure bytes.Buffer
	child.Stderr = &failure
	out, err := child.StdoutPipe()
	if err == nil {
		err = child.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var channel SignedChannel
	var last SignedReceipt
	lines := bufio.NewScanner(out)
	for seen := 0; lines.Scan(); {
		kind, text, _ := strings.Cut(lines.Text(), " ")
		record, _ := hex.DecodeString(text)
		switch kind {
		case "channel":
			channel, err = ParseSignedChannel(record)
		case "receipt":
			last, err = ParseSignedReceipt(record)
			if seen++; seen == receipts {
				child.Process.Kill() // what is still in the pipe was confirmed too, and is read
			}
		default:
			t.Logf("child: %s", lines.Text())
		}
		if err != nil {
			break // a line that the kill has cut
		}
	}
	io.Copy(io.Discard, out)
	child.Wait()
	if last.Serial == 0 {
		t.Fatalf("the child has settled nothing: %s", failure.String())
	}
	return channel, last
}

// The ledger is a projection: whatever becomes of it, the journal gives it back.
func TestLedgerComesBackFromTheJournal(t *testing.T) {
	n := busyTown(t)
	ledger := filepath.Join(n.cfg.Dir, ledgerFile)
	n.must(n.book.Close())
	old, err := os.ReadFile(ledger)
	n.must(err)
	n.open()
	s := n.session(n.newKey())
	g := n.grant(gib / 8)
	s.settle(s.receipt(Tally{Grant: g.ID, Down: 1 << 20}))
	n.must(n.book.Close())
	want, err := Audit(t.Context(), n.cfg.Dir)
	n.must(err)
	for name, damage := range map[string]func() error{
		"gone":         func() error { return os.Remove(ledger) },
		"an older one": func() error { return os.WriteFile(ledger, old, 0o600) },
	} {
		n.must(damage())
		n.open()
		n.conserved()
		n.must(n.book.Close())
		got, err := Audit(t.Context(), n.cfg.Dir)
		if err != nil || got.String() != want.String() {
			t.Errorf("%s: Audit = %v,\n%s\nwant\n%s", name, err, got, want)
		}
	}
}

func TestBookOfAnotherHubIsNotOpened(t *testing.T) {
	n := newTown(t)
	n.must(n.book.Close())
	for name, change := range map[string]func(*BookConfig){
		"another hub":     func(c *BookConfig) { c.Key = n.relay },
		"another network": func(c *BookConfig) { c.Network = "main" },
	} {
		cfg := n.cfg
		change(&cfg)
		if book, err := OpenBook(cfg); err == nil {
			t.Errorf("%s: OpenBook takes the book, want an error", name)
			n.must(book.Close())
		}
	}
	n.open()
}

func TestBookIsOpenedOnce(t *testing.T) {
	n := newTown(t)
	if book, err := OpenBook(n.cfg); err == nil {
		n.must(book.Close())
		t.Error("a second OpenBook takes an open book, want an error")
	}
}

func TestLedgerAheadOfTheJournalIsNotOpened(t *testing.T) {
	n := newTown(t)
	n.must(n.book.Close())
	segment := filepath.Join(n.cfg.Dir, journalDir, segmentName(1))
	n.must(os.Truncate(segment, segmentHeader))
	if book, err := OpenBook(n.cfg); err == nil {
		n.must(book.Close())
		t.Error("OpenBook takes a book whose journal has lost its records, want an error")
	}
}
