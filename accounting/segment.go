package accounting

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A segment is one file of a journal:
//
//	magic [8] "SWARDJNL" | version u16 | first u64 | prev [32] | crc u32
//	length u32 | crc u32 | seq u64 | type u16 | prev [32] | body [length]      …and so on, to the end of the file
//
// first is the seq of the first record. prev is the head of the chain before it: the SHA-256 of the record before, from
// its seq to the end of its body, or zero at the start. A crc (Castagnoli) covers all else of its header or record: it
// finds what disks do, the chain finds what people do. The version is in the file name too.
const (
	segmentMagic   = "SWARDJNL"
	segmentVersion = 1
	segmentHeader  = 8 + 2 + 8 + 32 + 4
	segmentPrefix  = "journal-v1-"
	segmentSuffix  = ".seg"

	recordHeader = 4 + 4 + 8 + 2 + 32

	// MaxRecord bounds the body of one record in bytes, so that a damaged length cannot make a reader allocate more.
	MaxRecord = 1 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Record is one entry of a journal, as it is read back.
type Record struct {
	Seq  uint64 // from 1, by 1, across all segments
	Type uint16 // the writer's own
	Body []byte // valid until the next record is read
	Head [32]byte
}

// Damage is where a journal stops being what was written.
type Damage struct {
	Segment string // file name
	Seq     uint64 // of the record that should be there
	Offset  int64  // of its first byte in the segment
	Reason  string
}

func (d *Damage) Error() string {
	return fmt.Sprintf("journal segment %s: record %d at offset %d: %s", d.Segment, d.Seq, d.Offset, d.Reason)
}

// chain is the last record of a journal.
type chain struct {
	seq  uint64
	head [32]byte
}

// append adds a record to b and to the chain.
func (c *chain) append(b []byte, typ uint16, body []byte) []byte {
	start := len(b)
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	b = append(b, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint64(b, c.seq+1)
	b = binary.BigEndian.AppendUint16(b, typ)
	b = append(b, c.head[:]...)
	b = append(b, body...)
	record := b[start:]
	binary.BigEndian.PutUint32(record[4:], recordSum(record))
	c.seq++
	c.head = sha256.Sum256(record[8:])
	return b
}

// recordSum is the crc of a record: everything but the crc itself.
func recordSum(record []byte) uint32 {
	return crc32.Update(crc32.Checksum(record[:4], castagnoli), castagnoli, record[8:])
}

func segmentName(first uint64) string {
	return fmt.Sprintf("%s%020d%s", segmentPrefix, first, segmentSuffix)
}

// segmentNames lists the segments of dir in their order. Other files are left alone.
func segmentNames(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list journal: %w", err)
	}
	var names []string
	for _, e := range entries {
		if n := e.Name(); strings.HasPrefix(n, segmentPrefix) && strings.HasSuffix(n, segmentSuffix) {
			names = append(names, n)
		}
	}
	slices.Sort(names) // zero-padded: the order of names is the order of records
	return names, nil
}

// appendSegmentHeader begins the segment whose first record follows c.
func appendSegmentHeader(b []byte, c chain) []byte {
	start := len(b)
	b = append(b, segmentMagic...)
	b = binary.BigEndian.AppendUint16(b, segmentVersion)
	b = binary.BigEndian.AppendUint64(b, c.seq+1)
	b = append(b, c.head[:]...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// parseSegmentHeader gives the chain before the segment's first record.
func parseSegmentHeader(h []byte) (chain, error) {
	f := fields(h)
	switch magic, version := f.next(8), f.u16(); {
	case string(magic) != segmentMagic:
		return chain{}, errors.New("not a journal segment")
	case version != segmentVersion:
		return chain{}, fmt.Errorf("segment version %d", version)
	}
	c := chain{seq: f.u64() - 1, head: f.id()}
	if f.u32() != crc32.Checksum(h[:segmentHeader-4], castagnoli) {
		return chain{}, errors.New("checksum of the segment's header does not match")
	}
	return c, nil
}

// segmentReader reads the records of one segment and holds them against the chain.
type segmentReader struct {
	name   string
	file   *os.File
	buffer *bufio.Reader
	chain  chain // up to the record read last
	offset int64 // of the next record
	record []byte
}

func openSegment(dir, name string) (*segmentReader, error) {
	file, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return nil, fmt.Errorf("open journal segment: %w", err)
	}
	r := &segmentReader{name: name, file: file, buffer: bufio.NewReaderSize(file, 256<<10)}
	header := make([]byte, segmentHeader)
	if n, err := io.ReadFull(r.buffer, header); err != nil {
		file.Close()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, r.damage(fmt.Sprintf("the segment's header ends after %d bytes", n))
		}
		return nil, fmt.Errorf("read journal segment %s: %w", name, err)
	}
	if r.chain, err = parseSegmentHeader(header); err == nil && name != segmentName(r.chain.seq+1) {
		err = errors.New("the segment has another segment's name")
	}
	if err != nil {
		file.Close()
		return nil, r.damage(err.Error())
	}
	r.offset = segmentHeader
	return r, nil
}

func (r *segmentReader) Close() error { return r.file.Close() }

func (r *segmentReader) damage(reason string) *Damage {
	return &Damage{Segment: r.name, Seq: r.chain.seq + 1, Offset: r.offset, Reason: reason}
}

// next reads a record: io.EOF after the last one, *Damage where there should be one and is not.
func (r *segmentReader) next() (Record, error) {
	r.record = slices.Grow(r.record[:0], recordHeader)[:recordHeader]
	switch n, err := io.ReadFull(r.buffer, r.record); {
	case n == 0 && errors.Is(err, io.EOF):
		return Record{}, io.EOF
	case err != nil:
		return Record{}, r.short(err)
	}
	length := binary.BigEndian.Uint32(r.record)
	if length > MaxRecord {
		return Record{}, r.damage(fmt.Sprintf("length of %d bytes", length))
	}
	r.record = slices.Grow(r.record, int(length))[:recordHeader+int(length)]
	if _, err := io.ReadFull(r.buffer, r.record[recordHeader:]); err != nil {
		return Record{}, r.short(err)
	}
	f := fields(r.record[4:])
	crc, seq, typ, prev := f.u32(), f.u64(), f.u16(), f.id()
	switch {
	case crc != recordSum(r.record):
		return Record{}, r.damage("checksum does not match")
	case seq != r.chain.seq+1:
		return Record{}, r.damage(fmt.Sprintf("record %d is in its place", seq))
	case prev != r.chain.head:
		return Record{}, r.damage("it does not follow the record before it")
	}
	r.chain = chain{seq: seq, head: sha256.Sum256(r.record[8:])}
	r.offset += int64(len(r.record))
	return Record{Seq: seq, Type: typ, Body: f, Head: r.chain.head}, nil
}

func (r *segmentReader) short(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return r.damage("the segment ends within it")
	}
	return fmt.Errorf("read journal segment %s: %w", r.name, err)
}
