package accounting

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
)

const (
	// defaultSegment is where a segment ends and the next one begins: small enough to copy, large enough that a year
	// is not a hundred thousand files.
	defaultSegment = 64 << 20
	// maxBatch is where a batch that waits for its fsync is full: the last call to enter it may pass it.
	maxBatch = 1 << 20
	// maxAppend bounds one call, and with maxBatch what waits in memory and what a crash can tear.
	maxAppend = 16 << 20
)

// ErrClosed answers an append to a journal or spool that has been closed.
var ErrClosed = errors.New("journal is closed")

// JournalConfig says where a journal is.
type JournalConfig struct {
	Dir          string // made if missing, 0700
	SegmentBytes int64  // a segment that has reached it is the last one no more; 0 is 64 MiB
}

// Journal is an append-only sequence of records in segment files. What Append has returned for is on disk; what a crash
// tears is cut off at the next open; and every other change to a byte, or to the order, of any record is found when the
// journal is read. What it cannot find alone is that its end is missing: keep [Journal.Head] elsewhere for that.
//
// Safe for concurrent use by one process. Two processes must not open one directory.
type Journal struct {
	cfg JournalConfig

	writing sync.Mutex // held over each write and fsync; taken before mu
	file    *os.File   // the last segment; under writing
	size    int64      // of it; under writing

	mu      sync.Mutex
	next    *batch // is being filled
	last    chain  // the last record in next
	durable chain  // the last record on disk
	closed  bool
	failed  error // the disk's; after it nothing is accepted, because what is on disk is not known any more
}

// Entry is a record to be.
type Entry struct {
	Type uint16 // the writer's own
	Body []byte // at most MaxRecord
}

// TornTail tells what OpenJournal cut off: the rest of a write that a crash interrupted. None of it had been confirmed
// to a writer. The zero TornTail is none.
type TornTail struct {
	Segment string
	Offset  int64 // where the segment ends now
	Bytes   int64
	Reason  string
}

// batch is the records that share an fsync. Its first writer commits it, the others wait.
type batch struct {
	before  chain // the chain in front of it
	records []byte
	taken   chan struct{} // closed when it is being written: it grows no more
	done    chan struct{} // closed when it is on disk, or err says why not
	err     error
}

func newBatch(before chain) *batch {
	return &batch{before: before, taken: make(chan struct{}), done: make(chan struct{})}
}

// OpenJournal opens the journal in cfg.Dir, or begins one. It reads the last segment only: [ReadJournal] reads all. A
// torn tail is cut off and reported. Damage that is not a torn tail is a *Damage error, and nothing is changed.
func OpenJournal(cfg JournalConfig) (*Journal, TornTail, error) {
	if cfg.SegmentBytes <= 0 {
		cfg.SegmentBytes = defaultSegment
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, TornTail{}, fmt.Errorf("open journal: %w", err)
	}
	j := &Journal{cfg: cfg}
	name, end, torn, err := recoverEnd(cfg.Dir)
	if err != nil {
		return nil, TornTail{}, err
	}
	j.last, j.durable, j.next = end, end, newBatch(end)
	if name == "" {
		return j, torn, nil // the first commit begins the first segment
	}
	j.file, err = os.OpenFile(filepath.Join(cfg.Dir, name), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return nil, TornTail{}, fmt.Errorf("open journal: %w", err)
	}
	info, err := j.file.Stat()
	if err != nil {
		j.file.Close()
		return nil, TornTail{}, fmt.Errorf("open journal: %w", err)
	}
	j.size = info.Size()
	return j, torn, nil
}

// Append writes the entries, in this order and without others between them, and returns the seq of the last one when
// they are on disk. All of a call's records together are at most 16 MiB. Entries of concurrent calls share an fsync. A crash before it returns can leave any number of the
// entries, from the first on.
func (j *Journal) Append(entries ...Entry) (uint64, error) {
	b, seq, first, err := j.enqueue(entries)
	switch {
	case err != nil:
		return 0, err
	case first:
		j.commit(b)
	default:
		<-b.done
	}
	if b.err != nil {
		return 0, b.err
	}
	return seq, nil
}

// enqueue puts the entries into the batch that is being filled. first says that the batch was empty: the caller must
// then commit it.
func (j *Journal) enqueue(entries []Entry) (b *batch, seq uint64, first bool, err error) {
	need := 0
	for _, e := range entries {
		if len(e.Body) > MaxRecord {
			return nil, 0, false, fmt.Errorf("journal record of %d bytes: more than %d", len(e.Body), MaxRecord)
		}
		need += recordHeader + len(e.Body)
	}
	if need == 0 || need > maxAppend {
		return nil, 0, false, fmt.Errorf("journal append of %d bytes: not within 1 and %d", need, maxAppend)
	}
	j.mu.Lock()
	for len(j.next.records) >= maxBatch {
		full := j.next
		j.mu.Unlock()
		<-full.taken
		j.mu.Lock()
	}
	defer j.mu.Unlock()
	if j.closed {
		return nil, 0, false, ErrClosed
	}
	if j.failed != nil {
		return nil, 0, false, fmt.Errorf("journal has failed before: %w", j.failed)
	}
	b = j.next
	first = len(b.records) == 0
	for _, e := range entries {
		b.records = j.last.append(b.records, e.Type, e.Body)
	}
	return b, j.last.seq, first, nil
}

// commit writes a batch and confirms it to all who wait. While an earlier batch is being written this one goes on
// filling: that is the group.
func (j *Journal) commit(b *batch) {
	j.writing.Lock()
	defer j.writing.Unlock()
	j.mu.Lock()
	err, end := j.failed, j.last
	j.next = newBatch(end)
	close(b.taken)
	j.mu.Unlock()

	if err == nil {
		err = j.write(b)
	}
	j.mu.Lock()
	if err == nil {
		j.durable = end
	} else {
		j.failed = err
	}
	j.mu.Unlock()
	b.err = err
	close(b.done)
}

// write puts the batch at the end of the last segment, or of a new one. Called with writing held.
func (j *Journal) write(b *batch) error {
	records := b.records
	fresh := j.file == nil || j.size >= j.cfg.SegmentBytes
	if fresh {
		if err := j.rotate(b.before); err != nil {
			return err
		}
		records = append(appendSegmentHeader(nil, b.before), records...)
	}
	n, err := j.file.Write(records)
	j.size += int64(n)
	if err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	if fresh {
		return syncDir(j.cfg.Dir)
	}
	return nil
}

// rotate makes the file of the segment that follows c.
func (j *Journal) rotate(c chain) error {
	file, err := os.OpenFile(filepath.Join(j.cfg.Dir, segmentName(c.seq+1)), os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("begin journal segment: %w", err)
	}
	if j.file != nil {
		if err := j.file.Close(); err != nil {
			file.Close()
			return fmt.Errorf("end journal segment: %w", err)
		}
	}
	j.file, j.size = file, 0
	return nil
}

// rollover makes the next append begin a segment.
func (j *Journal) rollover() {
	j.writing.Lock()
	defer j.writing.Unlock()
	j.size = j.cfg.SegmentBytes
}

// dropBefore removes the segments that end before record seq, for a writer that has written all of their worth again.
func (j *Journal) dropBefore(seq uint64) error {
	names, err := segmentNames(j.cfg.Dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if name >= segmentName(seq) {
			break
		}
		if err := os.Remove(filepath.Join(j.cfg.Dir, name)); err != nil {
			return fmt.Errorf("trim journal: %w", err)
		}
	}
	return syncDir(j.cfg.Dir)
}

// Head is the last record on disk: its seq, 0 if there is none, and the head of the chain. Whoever keeps it elsewhere
// can tell later that nothing before it was changed or cut off.
func (j *Journal) Head() (uint64, [32]byte) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.durable.seq, j.durable.head
}

// Close waits for what was accepted to be on disk. Later appends are refused.
func (j *Journal) Close() error {
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return nil
	}
	j.closed = true
	b, waiting := j.next, len(j.next.records) > 0
	j.mu.Unlock()
	if waiting {
		<-b.done
	}
	j.writing.Lock()
	defer j.writing.Unlock()
	if j.file == nil {
		return nil
	}
	return j.file.Close()
}

// syncDir makes a new or removed name in dir durable. Windows has no such call and needs none.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync journal directory: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync journal directory: %w", err)
	}
	return nil
}
