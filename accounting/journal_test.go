package accounting

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// openTestJournal opens the journal in dir and closes it with the test.
func openTestJournal(t testing.TB, cfg JournalConfig) (*Journal, TornTail) {
	t.Helper()
	j, torn, err := OpenJournal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j, torn
}

func appendText(t testing.TB, j *Journal, texts ...string) {
	t.Helper()
	for i, text := range texts {
		if _, err := j.Append(Entry{Type: uint16(i + 1), Body: []byte(text)}); err != nil {
			t.Fatal(err)
		}
	}
}

// journalText is what is in a journal, "seq/type body" for each record.
func journalText(dir string) (texts []string, err error) {
	err = ReadJournal(dir, func(r Record) error {
		texts = append(texts, fmt.Sprintf("%d/%d %s", r.Seq, r.Type, r.Body))
		return nil
	})
	return texts, err
}

func wantText(t *testing.T, dir string, want ...string) {
	t.Helper()
	got, err := journalText(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

// smallJournal writes five records into three segments.
func smallJournal(t *testing.T) (dir string, segments []string) {
	t.Helper()
	dir = t.TempDir()
	j, _ := openTestJournal(t, JournalConfig{Dir: dir, SegmentBytes: segmentHeader + 2*recordHeader})
	appendText(t, j, "one", "two", "", "four", "five")
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := segmentNames(dir)
	if err != nil || len(names) != 3 {
		t.Fatalf("got %d segments, %v; want 3", len(names), err)
	}
	for _, n := range names {
		segments = append(segments, filepath.Join(dir, n))
	}
	return dir, segments
}

func TestJournalKeepsRecordsAcrossOpens(t *testing.T) {
	dir, _ := smallJournal(t)
	wantText(t, dir, "1/1 one", "2/2 two", "3/3 ", "4/4 four", "5/5 five")
	j, torn := openTestJournal(t, JournalConfig{Dir: dir})
	if torn != (TornTail{}) {
		t.Errorf("got torn tail %+v, want none", torn)
	}
	appendText(t, j, "six")
	wantText(t, dir, "1/1 one", "2/2 two", "3/3 ", "4/4 four", "5/5 five", "6/1 six")
}

func TestJournalHeadIsThatOfTheLastRecord(t *testing.T) {
	dir, _ := smallJournal(t)
	var last Record
	if err := ReadJournal(dir, func(r Record) error { last = r; return nil }); err != nil {
		t.Fatal(err)
	}
	j, _ := openTestJournal(t, JournalConfig{Dir: dir})
	if seq, head := j.Head(); seq != last.Seq || head != last.Head {
		t.Errorf("got head %d %x, want %d %x", seq, head, last.Seq, last.Head)
	}
}

func TestJournalRefusesWhatItCouldNotReadBack(t *testing.T) {
	j, _ := openTestJournal(t, JournalConfig{Dir: t.TempDir()})
	if _, err := j.Append(); err == nil {
		t.Error("no entries: got no error")
	}
	if _, err := j.Append(Entry{Body: make([]byte, MaxRecord+1)}); err == nil {
		t.Error("a body past MaxRecord: got no error")
	}
	if seq, err := j.Append(Entry{Body: make([]byte, MaxRecord)}); seq != 1 || err != nil {
		t.Errorf("a body of MaxRecord: got seq %d, %v; want 1", seq, err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Append(Entry{}); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: got %v, want %v", err, ErrClosed)
	}
}

func TestJournalFindsEveryFlippedByte(t *testing.T) {
	dir, segments := smallJournal(t)
	for _, path := range segments {
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for at := range good {
			for _, flip := range []byte{0x01, 0x80, 0xff} {
				bad := bytes.Clone(good)
				bad[at] ^= flip
				if err := os.WriteFile(path, bad, 0o600); err != nil {
					t.Fatal(err)
				}
				_, err := journalText(dir)
				damage, ok := errors.AsType[*Damage](err)
				if !ok || damage.Segment != filepath.Base(path) || damage.Offset > int64(at) {
					t.Errorf("%s byte %d ^ %02x: got %v, want damage there", filepath.Base(path), at, flip, err)
				}
			}
		}
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	wantText(t, dir, "1/1 one", "2/2 two", "3/3 ", "4/4 four", "5/5 five")
}

// Whoever changes a journal by hand can make every checksum right. The chain and the seq are what they meet.
func TestJournalFindsChangedOrder(t *testing.T) {
	write := func(records ...string) []byte {
		var c chain
		b := appendSegmentHeader(nil, c)
		for i, r := range records {
			b = c.append(b, uint16(i+1), []byte(r))
		}
		return b
	}
	good := write("aaa", "bbb", "ccc")
	const size = recordHeader + 3
	a, b, c := good[segmentHeader:][:size], good[segmentHeader+size:][:size], good[segmentHeader+2*size:]
	head := good[:segmentHeader]
	other := write("aaa", "BBB", "ccc")[segmentHeader+size:][:size]
	for name, x := range map[string]struct {
		parts [][]byte
		seq   uint64
	}{
		"first removed":  {[][]byte{head, b, c}, 1},
		"second removed": {[][]byte{head, a, c}, 2},
		"swapped":        {[][]byte{head, a, c, b}, 2},
		"repeated":       {[][]byte{head, a, a, b, c}, 2},
		"replaced":       {[][]byte{head, a, other, c}, 3},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, segmentName(1))
		if err := os.WriteFile(path, bytes.Join(x.parts, nil), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := journalText(dir)
		if damage, ok := errors.AsType[*Damage](err); !ok || damage.Seq != x.seq {
			t.Errorf("%s: got %v, want damage at record %d", name, err, x.seq)
		}
		if _, _, err := OpenJournal(JournalConfig{Dir: dir}); err == nil {
			t.Errorf("%s: opened, want it refused", name)
		}
	}
}

func TestJournalFindsAMissingSegment(t *testing.T) {
	for i := range 2 { // of the last one, only a head kept elsewhere can tell
		dir, segments := smallJournal(t)
		if err := os.Remove(segments[i]); err != nil {
			t.Fatal(err)
		}
		_, err := journalText(dir)
		if damage, ok := errors.AsType[*Damage](err); !ok || damage.Segment != filepath.Base(segments[i+1]) {
			t.Errorf("without segment %d: got %v, want damage in the next", i, err)
		}
	}
}

func TestOpenJournalCutsATornTail(t *testing.T) {
	whole := segmentHeader + recordHeader + len("five")
	for n := range whole {
		dir, segments := smallJournal(t)
		last := segments[2]
		if err := os.Truncate(last, int64(n)); err != nil {
			t.Fatal(err)
		}
		_, readErr := journalText(dir)
		if _, ok := errors.AsType[*Damage](readErr); !ok && n != segmentHeader {
			t.Errorf("last segment cut to %d bytes: strict reading got %v, want damage", n, readErr)
		}
		j, torn, err := OpenJournal(JournalConfig{Dir: dir})
		if err != nil {
			t.Fatalf("last segment cut to %d bytes: %v", n, err)
		}
		wantTorn := TornTail{Segment: filepath.Base(last), Reason: torn.Reason, Bytes: int64(n)}
		switch {
		case n == segmentHeader:
			wantTorn = TornTail{}
		case n > segmentHeader:
			wantTorn.Offset, wantTorn.Bytes = segmentHeader, int64(n-segmentHeader)
		}
		if diff := cmp.Diff(wantTorn, torn); diff != "" {
			t.Errorf("last segment cut to %d bytes: torn tail (-want +got):\n%s", n, diff)
		}
		appendText(t, j, "new")
		j.Close()
		wantText(t, dir, "1/1 one", "2/2 two", "3/3 ", "4/4 four", "5/1 new")
	}
}

func TestOpenJournalCutsWhatAPowerCutLeaves(t *testing.T) {
	dir, segments := smallJournal(t)
	file, err := os.OpenFile(segments[2], os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Write(make([]byte, 4096)); err != nil { // the size reached the disk, the data did not
		t.Fatal(err)
	}
	_, torn := openTestJournal(t, JournalConfig{Dir: dir})
	if torn.Bytes != 4096 {
		t.Errorf("got %+v, want 4096 bytes cut", torn)
	}
	wantText(t, dir, "1/1 one", "2/2 two", "3/3 ", "4/4 four", "5/5 five")
}

func TestOpenJournalNeverCutsAWholeRecord(t *testing.T) {
	dir := t.TempDir()
	j, _ := openTestJournal(t, JournalConfig{Dir: dir})
	appendText(t, j, "one", "two", "three")
	j.Close()
	path := filepath.Join(dir, segmentName(1))
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	second := segmentHeader + recordHeader + len("one")
	for at := second; at < second+recordHeader+len("two"); at++ {
		bad := bytes.Clone(good)
		bad[at] ^= 0xff
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err := OpenJournal(JournalConfig{Dir: dir})
		if damage, ok := errors.AsType[*Damage](err); !ok || damage.Seq != 2 {
			t.Errorf("byte %d: got %v, want damage at record 2", at, err)
		}
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, bad) {
			t.Fatalf("byte %d: the refused segment was changed", at)
		}
	}
}

func TestJournalSharesAnFsyncAndLosesNothing(t *testing.T) {
	dir := t.TempDir()
	j, _ := openTestJournal(t, JournalConfig{Dir: dir, SegmentBytes: 4096})
	const writers, each = 16, 20
	seqs := make([][]uint64, writers)
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for i := range each {
				seq, err := j.Append(Entry{Type: uint16(w), Body: fmt.Appendf(nil, "%d", i)}, Entry{Type: uint16(w), Body: []byte("pair")})
				if err != nil {
					t.Error(err)
					return
				}
				seqs[w] = append(seqs[w], seq)
			}
		})
	}
	group.Wait()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	records := map[uint64]string{}
	if err := ReadJournal(dir, func(r Record) error {
		records[r.Seq] = fmt.Sprintf("%d %s", r.Type, r.Body)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(records) != 2*writers*each {
		t.Errorf("got %d records, want %d", len(records), 2*writers*each)
	}
	for w := range writers {
		for i, seq := range seqs[w] {
			if got, want := records[seq-1], fmt.Sprintf("%d %d", w, i); got != want || records[seq] != fmt.Sprintf("%d pair", w) {
				t.Errorf("record %d: got %q, want %q and its pair behind it", seq-1, got, want)
			}
		}
	}
}

func TestJournalAcceptsNothingAfterTheDiskFailed(t *testing.T) {
	j, _ := openTestJournal(t, JournalConfig{Dir: t.TempDir()})
	appendText(t, j, "one")
	j.file.Close() // as a disk that is gone
	if _, err := j.Append(Entry{Body: []byte("two")}); err == nil {
		t.Error("a write to a dead disk: got no error")
	}
	if _, err := j.Append(Entry{Body: []byte("three")}); err == nil {
		t.Error("a write after the failure: got no error")
	}
	if seq, _ := j.Head(); seq != 1 {
		t.Errorf("head: got %d, want 1", seq)
	}
}

// The test runs itself as a process that appends until it is killed, and then counts what it had been promised.
func TestJournalKeepsItsPromisesThroughKill(t *testing.T) {
	const variable = "SWARD_JOURNAL_TEST_DIR"
	if dir := os.Getenv(variable); dir != "" {
		appendUntilKilled(dir)
	}
	dir := t.TempDir()
	confirmed := uint64(0)
	for range 3 {
		child := exec.Command(os.Args[0], "-test.run=^TestJournalKeepsItsPromisesThroughKill$")
		child.Env = append(os.Environ(), variable+"="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; n < 50 && lines.Scan(); n++ {
			if _, err := fmt.Sscan(lines.Text(), &confirmed); err != nil {
				t.Fatalf("child said %q: %v", lines.Text(), err)
			}
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() { // what it still said before it died
			if strings.TrimSpace(lines.Text()) != "" {
				fmt.Sscan(lines.Text(), &confirmed)
			}
		}
		child.Wait()

		j, _, err := OpenJournal(JournalConfig{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		j.Close()
		last := uint64(0)
		if err := ReadJournal(dir, func(r Record) error {
			last = r.Seq
			if want := strings.Repeat("x", int(r.Seq%1000)); string(r.Body) != want {
				return fmt.Errorf("record %d has %d bytes, want %d", r.Seq, len(r.Body), len(want))
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if confirmed == 0 || last < confirmed {
			t.Fatalf("got %d records after the kill, %d were confirmed", last, confirmed)
		}
	}
}

func appendUntilKilled(dir string) {
	j, _, err := OpenJournal(JournalConfig{Dir: dir, SegmentBytes: 16 << 10})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for seq, _ := j.Head(); ; {
		if seq, err = j.Append(Entry{Body: bytes.Repeat([]byte("x"), int((seq+1)%1000))}); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(seq)
	}
}

func BenchmarkJournalAppendAlone(b *testing.B) {
	j, _ := openTestJournal(b, JournalConfig{Dir: b.TempDir()})
	entry := Entry{Body: make([]byte, 300)}
	b.ReportAllocs()
	b.SetBytes(300)
	for b.Loop() {
		if _, err := j.Append(entry); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkJournalAppendTogether(b *testing.B) {
	j, _ := openTestJournal(b, JournalConfig{Dir: b.TempDir()})
	entry := Entry{Body: make([]byte, 300)}
	b.ReportAllocs()
	b.SetBytes(300)
	b.SetParallelism(128)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := j.Append(entry); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
