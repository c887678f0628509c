// Package warc keeps what was exchanged with sites, in WARC 1.1 files (ISO 28500:2017) that every archive tool reads.
//
// An Archive appends exchanges, each record a gzip member of its own, and repairs a torn end when it is opened; Read walks a
// file strictly, and Check also holds its records against each other. A Location names an exchange for good, and ReadAt
// has its response again without the rest of the file.
package warc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
)

const (
	maxWARCBlock  = 64 << 20 // bytes of one record's block; fetch caps a body far below
	maxWARCHeader = 64 << 10 // bytes of one record's named fields
	minWARCFile   = 1 << 20  // rotating below this would make more files than records

	warcSuffix = ".warc.gz"
	warcName   = "sward-%08d-"              // a serial number: clocks go back, and the newest file must be known
	warcTime   = "2006-01-02T15:04:05.000Z" // WARC 1.1 §5.4, always UTC
)

// Exchange is one request and its answer, as it is archived.
type Exchange struct {
	URL, Address      string // Address is the target's IP address, empty if it is not known
	Started           time.Time
	Request, Response []byte // header blocks: a start line and fields
	Body              []byte // the payload with content and transfer coding removed
	Truncated         string // WARC-Truncated: length, time, disconnect or unspecified; empty if whole
	Metadata          map[string]string

	Revisit    *Original // the page did not change since: its body is not archived again
	Conversion []byte    // what was made of the body, UTF-8 Markdown; nil: nothing
}

// Original is the response that a revisit found unchanged.
type Original struct {
	ID, URL string // of the record, as in its Location; of the page then
	Date    time.Time
}

// Location is where an exchange lies. Its response is a gzip member of its own, so that it can be read without the rest
// of the file; the other records follow it.
type Location struct {
	File           string // name inside the archive's directory
	Offset, Length int64  // of the response
	Records        int64  // bytes from Offset on that all records of the exchange take
	ID             string // of the response record, a URN
}

// Archive appends exchanges to a directory of WARC 1.1 files (ISO 28500:2017). Each record is a gzip
// member; a file starts with its warcinfo record and is followed by another when it is full.
type Archive struct {
	dir      string
	maxBytes int64
	now      func() time.Time

	mu     sync.Mutex
	closed bool
	file   *os.File // nil when there is none to write to
	name   string
	serial int
	size   int64
	info   string // record id of the file's warcinfo
	zip    *gzip.Writer
}

// Open continues the newest file of dir, or starts the first. If a crash tore its last record,
// the file is cut back to its last whole gzip member. A file that is damaged in another way is left
// as it is, for a person to look at, and a new one is started.
func Open(dir string, maxBytes int64, now func() time.Time) (*Archive, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open archive: %w", err)
	}
	if now == nil {
		now = time.Now
	}
	w := &Archive{dir: dir, maxBytes: max(maxBytes, minWARCFile), now: now, zip: gzip.NewWriter(io.Discard)}
	names, err := filepath.Glob(filepath.Join(dir, "*"+warcSuffix))
	if err != nil {
		return nil, fmt.Errorf("open archive: %w", err)
	}
	slices.Sort(names) // names start with a serial number
	if len(names) > 0 {
		newest := names[len(names)-1]
		if _, err := fmt.Sscanf(filepath.Base(newest), warcName, &w.serial); err != nil {
			return nil, fmt.Errorf("open archive: file name %q is not ours", filepath.Base(newest))
		}
		if err := w.resume(newest); err != nil {
			return nil, err
		}
	}
	if w.file == nil {
		if err := w.rotateLocked(); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// resume takes up an existing file if its end is sound after repair and it has room.
func (w *Archive) resume(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("open archive: %w", err)
	}
	var end int64
	var info string
	err = Read(f, func(r Record) error {
		end = r.Offset + r.Length
		if r.Type == "warcinfo" {
			info = r.ID
		}
		return nil
	})
	torn := errors.Is(err, io.ErrUnexpectedEOF)
	if torn {
		if err := errors.Join(f.Truncate(end), f.Sync()); err != nil {
			f.Close()
			return fmt.Errorf("cut torn record off %s: %w", filepath.Base(path), err)
		}
	}
	sound := err == nil || torn
	if _, err := f.Seek(end, io.SeekStart); err != nil || !sound || info == "" || end >= w.maxBytes {
		return f.Close()
	}
	w.file, w.name, w.size, w.info = f, filepath.Base(path), end, info
	return nil
}

// Write appends the records of one exchange in one write, and tells where they lie. It has reached the operating system, not yet the disk: see Sync.
func (w *Archive) Write(x Exchange) (Location, error) {
	if err := x.check(); err != nil {
		return Location{}, fmt.Errorf("archive exchange: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	id := NewRecordID()
	return w.writeLocked(id, func() []record { return x.records(id, w.info) })
}

// Convert appends the conversion of an exchange alone, as what was made of the payload of an earlier record.
func (w *Archive) Convert(x Exchange, of string) (Location, error) {
	if err := x.check(); err != nil {
		return Location{}, fmt.Errorf("archive conversion: %w", err)
	}
	if of == "" || strings.ContainsFunc(of, blank) {
		return Location{}, fmt.Errorf("archive conversion: %q is no record", of)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	id := NewRecordID()
	return w.writeLocked(id, func() []record { return []record{x.conversion(id, of, w.info)} })
}

// writeLocked appends records, of which the first is called id, in one write. They are made when the file is known.
func (w *Archive) writeLocked(id string, records func() []record) (Location, error) {
	if w.closed {
		return Location{}, fmt.Errorf("write archive: %w", os.ErrClosed)
	}
	if w.file == nil || w.size >= w.maxBytes { // nil when the last rotation failed: the disk may have room again
		if err := w.rotateLocked(); err != nil {
			return Location{}, err
		}
	}
	var out bytes.Buffer
	at := Location{File: w.name, Offset: w.size, ID: id}
	for _, r := range records() {
		if err := w.appendLocked(&out, r); err != nil {
			return Location{}, err
		}
		if at.Length == 0 {
			at.Length = int64(out.Len())
		}
	}
	at.Records = int64(out.Len())
	if err := w.flushLocked(out.Bytes()); err != nil {
		return Location{}, err
	}
	return at, nil
}

// OpenFile opens a file of the archive to read, by the name that a Location has.
func (w *Archive) OpenFile(name string) (*os.File, error) {
	if !strings.HasSuffix(name, warcSuffix) || filepath.Base(name) != name {
		return nil, fmt.Errorf("open archive file: %q is no name of one", name)
	}
	f, err := os.Open(filepath.Join(w.dir, name))
	if err != nil {
		return nil, fmt.Errorf("open archive file: %w", err)
	}
	return f, nil
}

// Record reads back the response, or revisit, of an exchange.
func (w *Archive) Record(at Location) (Record, error) {
	f, err := w.OpenFile(at.File)
	if err != nil {
		return Record{}, err
	}
	defer f.Close()
	return ReadAt(f, at.Offset, at.Length)
}

// Sync makes all that was written durable.
func (w *Archive) Sync() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return os.ErrClosed
	}
	if w.file == nil {
		return nil // a rotation that failed had made everything durable before
	}
	return w.file.Sync()
}

// Close makes all durable and closes the file. Closing twice is harmless.
func (w *Archive) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	return w.closeLocked()
}

func (w *Archive) closeLocked() error {
	if w.file == nil {
		return nil
	}
	err := errors.Join(w.file.Sync(), w.file.Close())
	w.file = nil
	return err
}

// rotateLocked ends the current file, durably, and starts the next with its warcinfo record. So
// only the newest file of a directory can have a torn end.
func (w *Archive) rotateLocked() error {
	if err := w.closeLocked(); err != nil {
		return fmt.Errorf("end archive file: %w", err)
	}
	now := w.now().UTC()
	id := NewRecordID()
	w.serial++
	w.name = fmt.Sprintf(warcName, w.serial) + now.Format("20060102T150405Z") + warcSuffix
	f, err := os.OpenFile(filepath.Join(w.dir, w.name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("start archive file: %w", err)
	}
	if dir, err := os.Open(w.dir); err == nil { // the name has to be as durable as what will be in the file
		err = errors.Join(dir.Sync(), dir.Close())
		if err != nil && runtime.GOOS != "windows" { // where a directory cannot be synced
			return fmt.Errorf("start archive file: %w", errors.Join(err, f.Close()))
		}
	}
	w.file, w.size, w.info = f, 0, id
	var out bytes.Buffer
	if err := w.appendLocked(&out, warcinfo(id, w.name, now)); err != nil {
		return err
	}
	return w.flushLocked(out.Bytes())
}

// appendLocked adds one record to out as a gzip member.
func (w *Archive) appendLocked(out *bytes.Buffer, r record) error {
	w.zip.Reset(out)
	return r.write(w.zip)
}

// flushLocked appends whole members. After a failed write (a full disk) the file is cut back, so
// that the next record does not follow half of this one.
func (w *Archive) flushLocked(members []byte) error {
	if _, err := w.file.Write(members); err != nil {
		_, seekErr := w.file.Seek(w.size, io.SeekStart)
		return fmt.Errorf("write archive file: %w", errors.Join(err, w.file.Truncate(w.size), seekErr))
	}
	w.size += int64(len(members))
	return nil
}
