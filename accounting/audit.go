package accounting

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"sward/internal/daemon"
	"sward/internal/identity"
)

// Finding is where a book does not hold: the first thing in it that is not as it must be.
type Finding struct {
	File   string // below the book's directory
	Seq    uint64 // of the record; 0 where it is about a file or a row
	Offset int64  // of the record in the file
	Type   string // of the record
	Why    string
}

func (f *Finding) Error() string {
	switch {
	case f.Seq == 0:
		return fmt.Sprintf("%s: %s", f.File, f.Why)
	case f.Type == "":
		return fmt.Sprintf("%s: record %d at offset %d: %s", f.File, f.Seq, f.Offset, f.Why)
	}
	return fmt.Sprintf("%s: record %d (%s) at offset %d: %s", f.File, f.Seq, f.Type, f.Offset, f.Why)
}

// Audit proves a book from its files alone: no network, no clock, no key, and nothing in the directory is changed. It
// replays the journal under every rule and signature, adds all amounts up a second time in another way, and holds every
// row of the ledger against the result. The same files give the same report, on any machine and in any year.
//
// If the book does not hold, the error is a *Finding with the first thing that is wrong, and the report says how far it
// held. What an audit cannot know is that whole files are an older state of the book: keep the report, whose head names
// the end of the journal, and compare. An audit that ctx ends early finds nothing: the error is then the context's.
//
// A book that a hub has open can be audited too: what is written meanwhile is left out.
func Audit(ctx context.Context, dir string) (Report, error) {
	a := &audit{dir: dir, journal: filepath.Join(dir, journalDir)}
	a.verifier.state = newState()
	a.recount = newRecount()
	err := a.run(ctx)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("audit: %w", ctx.Err()) // what it could not read any more is no fault of the book
	}
	a.report.fill(a.verifier.state)
	if err == nil {
		a.report.Holds = true
	}
	return a.report, err
}

type audit struct {
	dir, journal string
	live         bool
	seal         *seals
	mirror       *mirror // the ledger's copy; nil until it is open
	verifier     verifier
	recount      *recount
	at           map[uint64]location // where the records are whose signatures are still to be checked
	types        map[uint64]uint16
	report       Report
}

func (a *audit) run(ctx context.Context) error {
	if _, err := os.Stat(a.journal); err != nil {
		return fmt.Errorf("audit: no book in %s: %w", a.dir, err)
	}
	unlock, err := daemon.LockShared(filepath.Join(a.dir, lockFile))
	if a.live = errors.Is(err, daemon.ErrLocked); a.live {
		a.report.Live = true
	} else if err != nil {
		return fmt.Errorf("audit: %w", err)
	} else {
		defer unlock() //nolint:errcheck // the lock of a reader, which ends with the process at the latest
	}
	broken, err := a.checkSeal()
	if err != nil {
		return err
	}
	if broken != nil && filepath.Dir(broken.File) != journalDir {
		return broken
	}
	if broken == nil {
		temp, err := os.MkdirTemp("", "sward-audit-")
		if err != nil {
			return fmt.Errorf("audit: %w", err)
		}
		defer os.RemoveAll(temp)
		if a.mirror, err = openMirror(ctx, a.dir, temp, a.live); err != nil {
			return err
		}
		defer a.mirror.close()
	}
	err = a.replay(ctx)
	if broken != nil {
		if finding := (*Finding)(nil); errors.As(err, &finding) && finding.Seq > 0 {
			return finding // it says more than that a file has changed
		}
		return broken
	}
	if err != nil {
		return err
	}
	return a.recount.compare(a.verifier.state)
}

// checkSeal compares the files with the seal, if there is one. The finding is the first file that differs.
func (a *audit) checkSeal() (*Finding, error) {
	if a.live {
		return nil, nil // it was broken when the hub opened the book
	}
	var err error
	if a.seal, err = readSeal(a.dir); a.seal == nil || err != nil {
		if finding := (*Finding)(nil); errors.As(err, &finding) {
			return finding, nil
		}
		return nil, err
	}
	a.report.Sealed = true
	if network, hub, ok := a.genesis(); ok && !a.seal.signed(network, hub) {
		return &Finding{File: sealFile, Why: "it is not signed by the hub of this book"}, nil
	}
	return a.seal.check(a.dir)
}

// genesis is what the journal's first record says it is, unchecked.
func (a *audit) genesis() (network string, hub identity.ID, ok bool) {
	names, err := segmentNames(a.journal)
	if err != nil || len(names) == 0 {
		return "", hub, false
	}
	r, err := openSegment(a.journal, names[0])
	if err != nil {
		return "", hub, false
	}
	defer r.Close()
	first, err := r.next()
	if err != nil {
		return "", hub, false
	}
	_, e, err := parseEvent(eventKind(first.Type), first.Body)
	opened, ok := e.(*openedEvent)
	if err != nil || !ok {
		return "", hub, false
	}
	return opened.Network, opened.Hub, true
}

// replay goes through the journal, and stops at the point that the ledger has reached to compare the two.
func (a *audit) replay(ctx context.Context) error {
	a.at, a.types = map[uint64]location{}, map[uint64]uint16{}
	if a.mirror != nil && a.mirror.applied == 0 {
		if err := a.mirror.compare(ctx, a.verifier.state); err != nil {
			return err
		}
	}
	err := readJournalFrom(a.journal, 0, [32]byte{}, func(r Record, at location) error { return a.record(ctx, r, at) })
	if damage := (*Damage)(nil); errors.As(err, &damage) {
		err = a.tail(damage)
	}
	if err == nil {
		err = a.named(a.verifier.flush())
	}
	if err == nil {
		err = a.verifier.state.endSettlement()
	}
	if err != nil {
		return err
	}
	switch end := a.verifier.state.seq; {
	case end == 0:
		return &Finding{File: journalDir, Why: "it holds no record"}
	case a.mirror != nil && a.mirror.applied > end:
		return &Finding{File: ledgerFile, Why: fmt.Sprintf("it has seen record %d, but the journal ends at %d", a.mirror.applied, end)}
	}
	return nil
}

func (a *audit) record(ctx context.Context, r Record, at location) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	a.at[r.Seq], a.types[r.Seq] = at, r.Type
	if err := a.named(a.verifier.record(r)); err != nil {
		return err
	}
	if len(a.verifier.pending) == 0 {
		clear(a.at)
		clear(a.types)
	}
	if err := a.recount.record(r); err != nil {
		return &Finding{File: journalDir + "/" + at.segment, Seq: r.Seq, Offset: at.offset, Type: recordName(r.Type), Why: "recount: " + err.Error()}
	}
	a.report.count(r.Type)
	if a.mirror == nil || r.Seq > a.mirror.applied {
		return nil
	}
	if r.Seq < a.mirror.applied {
		return a.mirror.follow(a.verifier.state)
	}
	if err := a.named(a.verifier.flush()); err != nil {
		return err
	}
	if err := a.verifier.state.endSettlement(); err != nil {
		return err
	}
	return a.mirror.compare(ctx, a.verifier.state)
}

// named turns a bad record into a finding that says where it is.
func (a *audit) named(err error) error {
	bad := (*badRecord)(nil)
	if !errors.As(err, &bad) {
		return err
	}
	at := a.at[bad.seq]
	return &Finding{
		File: journalDir + "/" + at.segment, Seq: bad.seq, Offset: at.offset, Type: recordName(a.types[bad.seq]), Why: bad.why.Error(),
	}
}

// tail decides whether damage is the end of a write that was cut short, or is still going on. Such a record was never
// confirmed to anybody, and the ledger has not seen it.
func (a *audit) tail(damage *Damage) error {
	finding := &Finding{File: journalDir + "/" + damage.Segment, Seq: damage.Seq, Offset: damage.Offset, Why: damage.Reason}
	names, err := segmentNames(a.journal)
	if err != nil {
		return err
	}
	if next := a.verifier.state.seq + 1; damage.Offset == 0 && damage.Segment == segmentName(next) && (a.live || unborn(a.journal, damage.Segment)) {
		finding.Seq = next // without its header only the file's name says which record comes first
	}
	if a.seal != nil || damage.Segment != names[len(names)-1] && !a.live || a.mirror == nil || finding.Seq <= a.mirror.applied {
		return finding
	}
	if a.live {
		return nil
	}
	file, err := os.Open(filepath.Join(a.journal, damage.Segment))
	if err != nil {
		return err
	}
	defer file.Close()
	rest, err := io.ReadAll(io.NewSectionReader(file, damage.Offset, maxTail+1))
	if err != nil {
		return err
	}
	if len(rest) > maxTail || holdsRecord(rest, finding.Seq-1) {
		return finding
	}
	a.report.Torn = int64(len(rest))
	return nil
}

func recordName(typ uint16) string {
	switch typ {
	case recordChannel:
		return typeChannel
	case recordReceipt:
		return typeReceipt
	}
	return eventKind(typ).String()
}

// day is a time of the book as the report prints it.
func day(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }
