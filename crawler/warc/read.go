package warc

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
)

// Record is one record of a WARC file as Read found it.
type Record struct {
	Type, ID       string // ID without the angle brackets
	URL            string // WARC-Target-URI
	Date           time.Time
	Fields         textproto.MIMEHeader
	Block          []byte // owned by the callee
	Offset, Length int64  // of the gzip member
}

// ErrMalformed is the cause of each complaint of Read about what a record says.
var ErrMalformed = errors.New("malformed WARC record")

// Read calls each for every record of a compressed WARC file, in order, and stops at the first
// error of either. It is strict: one record a gzip member, WARC/1.1, exact lengths, and the block
// digest has to hold. A file that ends inside a record gives an error that wraps
// io.ErrUnexpectedEOF, after each whole record was given.
func Read(r io.Reader, each func(Record) error) error {
	return walk(r, func(rec Record, err error) error {
		if err != nil {
			return err
		}
		return each(rec)
	})
}

// walk is Read that tells each of malformed records too: where the next one starts is known, because the member ended
// well.
func walk(r io.Reader, each func(Record, error) error) error {
	in := &countingReader{r: bufio.NewReader(r)}
	var zip gzip.Reader
	for {
		start := in.n
		err := zip.Reset(in)
		if errors.Is(err, io.EOF) && in.n == start {
			return nil
		}
		var rec Record
		if err == nil {
			zip.Multistream(false)
			rec, err = readRecord(&zip)
		}
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			err = fmt.Errorf("read WARC record at byte %d: %w", start, err)
			if !errors.Is(err, ErrMalformed) {
				return err
			}
		}
		rec.Offset, rec.Length = start, in.n-start
		if err := each(rec, err); err != nil {
			return err
		}
	}
}

// countingReader gives gzip single bytes, so that it takes none beyond its member.
type countingReader struct {
	r *bufio.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

func (c *countingReader) ReadByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

// ReadAt reads the one record at offset, of length bytes, and holds its digests against what they are of.
func ReadAt(r io.ReaderAt, offset, length int64) (Record, error) {
	var found *Record
	err := Read(io.NewSectionReader(r, offset, length), func(rec Record) error {
		if found != nil {
			return fmt.Errorf("%w: there is more than one record at byte %d", ErrMalformed, offset)
		}
		found = &rec
		return nil
	})
	if err == nil && found == nil {
		err = fmt.Errorf("read WARC record at byte %d: %w", offset, io.ErrUnexpectedEOF)
	}
	if err != nil {
		return Record{}, err
	}
	found.Offset = offset
	return *found, found.checkPayload()
}

// Payload splits the HTTP message of a request, response or revisit into its header block, with the empty line that ends
// it, and its body. Of other records all is body.
func (r Record) Payload() (header, body []byte) {
	if !strings.HasPrefix(r.Fields.Get("Content-Type"), "application/http") {
		return nil, r.Block
	}
	if end := bytes.Index(r.Block, []byte("\r\n\r\n")); end >= 0 {
		return r.Block[:end+4], r.Block[end+4:]
	}
	return r.Block, nil
}

// checkPayload holds the digests of a response's payload against it; those of a revisit are of another record's.
func (r Record) checkPayload() error {
	if r.Type != "response" {
		return nil
	}
	_, body := r.Payload()
	if want := r.Fields.Get("WARC-Payload-Digest"); strings.HasPrefix(want, "sha1:") && want != sha1Digest(body) {
		return fmt.Errorf("%w: payload does not match its digest", ErrMalformed)
	}
	sum := sha256.Sum256(body)
	if want := r.Fields.Get(payloadSHA256); want != "" && want != hex.EncodeToString(sum[:]) {
		return fmt.Errorf("%w: payload does not match its SHA-256", ErrMalformed)
	}
	return nil
}

// readRecord reads the single record of a member, to the member's end: only a member that ends well
// is looked at, so that a torn one is never taken for a malformed one.
func readRecord(member io.Reader) (Record, error) {
	whole, err := io.ReadAll(io.LimitReader(member, maxWARCHeader+maxWARCBlock+1))
	if err != nil {
		return Record{}, err
	}
	if len(whole) > maxWARCHeader+maxWARCBlock {
		return Record{}, fmt.Errorf("%w: more than %d bytes", ErrMalformed, maxWARCHeader+maxWARCBlock)
	}
	head, rest, found := bytes.Cut(whole, []byte("\r\n\r\n"))
	if !found || len(head) > maxWARCHeader {
		return Record{}, fmt.Errorf("%w: its fields have no end", ErrMalformed)
	}
	text := textproto.NewReader(bufio.NewReader(io.MultiReader(bytes.NewReader(head), strings.NewReader("\r\n\r\n"))))
	version, err := text.ReadLine()
	if err != nil {
		return Record{}, err
	}
	if version != "WARC/1.1" {
		return Record{}, fmt.Errorf("%w: version %.20q", ErrMalformed, version)
	}
	fields, err := text.ReadMIMEHeader()
	if err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	length, err := strconv.ParseInt(fields.Get("Content-Length"), 10, 64)
	if err != nil || length < 0 || length > maxWARCBlock {
		return Record{}, fmt.Errorf("%w: Content-Length %.20q", ErrMalformed, fields.Get("Content-Length"))
	}
	block, found := bytes.CutSuffix(rest, []byte("\r\n\r\n"))
	if !found || int64(len(block)) != length {
		return Record{}, fmt.Errorf("%w: block is not of the %d bytes announced", ErrMalformed, length)
	}
	if want := fields.Get("WARC-Block-Digest"); want != "" && want != sha1Digest(block) {
		return Record{}, fmt.Errorf("%w: block does not match its digest", ErrMalformed)
	}
	date, err := time.Parse(time.RFC3339Nano, fields.Get("WARC-Date"))
	if err != nil {
		return Record{}, fmt.Errorf("%w: WARC-Date %.40q", ErrMalformed, fields.Get("WARC-Date"))
	}
	id := strings.TrimSuffix(strings.TrimPrefix(fields.Get("WARC-Record-ID"), "<"), ">")
	if id == "" || fields.Get("WARC-Type") == "" {
		return Record{}, fmt.Errorf("%w: WARC-Type or WARC-Record-ID is missing", ErrMalformed)
	}
	return Record{
		Type: fields.Get("WARC-Type"), ID: id, URL: fields.Get("WARC-Target-URI"), Date: date,
		Fields: fields, Block: block,
	}, nil
}
