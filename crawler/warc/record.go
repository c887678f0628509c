package warc

import (
	"bytes"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
)

// A record before it is written: named fields in order, and the block they describe.
type record struct {
	fields []field
	block  []byte
}

type field struct{ name, value string }

func (r record) head() []byte {
	var b bytes.Buffer
	b.WriteString("WARC/1.1\r\n")
	for _, f := range r.fields {
		if f.value != "" {
			fmt.Fprintf(&b, "%s: %s\r\n", f.name, f.value)
		}
	}
	fmt.Fprintf(&b, "WARC-Block-Digest: %s\r\nContent-Length: %d\r\n\r\n", sha1Digest(r.block), len(r.block))
	return b.Bytes()
}

// write compresses the record into zip, which is at the start of a member, and ends the member.
func (r record) write(zip *gzip.Writer) error {
	for _, part := range [][]byte{r.head(), r.block, []byte("\r\n\r\n")} {
		if _, err := zip.Write(part); err != nil {
			return fmt.Errorf("compress record: %w", err)
		}
	}
	return zip.Close()
}

// warcinfo is the record that a file starts with.
func warcinfo(id, name string, now time.Time, more ...string) record {
	r := record{
		fields: []field{
			{"WARC-Type", "warcinfo"}, {"WARC-Record-ID", "<" + id + ">"}, {"WARC-Date", now.UTC().Format(warcTime)},
			{"WARC-Filename", name}, {"Content-Type", "application/warc-fields"},
		},
		block: []byte("software: sward\r\nformat: WARC File Format 1.1\r\n" +
			"conformsTo: http://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.1/\r\n"),
	}
	for _, line := range more {
		r.block = append(r.block, line+"\r\n"...)
	}
	return r
}

// Header is the start of a file that is put together of archived records, which keep the name of the warcinfo that they were
// written under. What lines say of the file has the form "name: value".
func Header(id, name string, made time.Time, lines ...string) ([]byte, error) {
	for _, s := range append([]string{id, name}, lines...) {
		if strings.ContainsAny(s, "\r\n") {
			return nil, fmt.Errorf("start WARC file: %.40q is not one line", s)
		}
	}
	var out bytes.Buffer
	err := warcinfo(id, name, made, lines...).write(gzip.NewWriter(&out))
	return out.Bytes(), err
}

func (x Exchange) check() error {
	switch x.Truncated {
	case "", "length", "time", "disconnect", "unspecified":
	default:
		return fmt.Errorf("unknown reason for truncation %q", x.Truncated)
	}
	if x.URL == "" || strings.ContainsFunc(x.URL+x.Address, blank) {
		return errors.New("target address is empty or holds white space")
	}
	if !bytes.HasPrefix(x.Response, []byte("HTTP/")) {
		return errors.New("response does not start with a status line")
	}
	if n := len(x.Response) + len(x.Body); n > maxWARCBlock-maxWARCHeader || len(x.Request) > maxWARCBlock {
		return fmt.Errorf("response of %d bytes is over the limit of %d", n, maxWARCBlock)
	}
	if len(x.Conversion) > maxWARCBlock {
		return fmt.Errorf("conversion of %d bytes is over the limit of %d", len(x.Conversion), maxWARCBlock)
	}
	if o := x.Revisit; o != nil && (o.ID == "" || o.URL == "" || o.Date.IsZero() || strings.ContainsFunc(o.ID+o.URL, blank)) {
		return errors.New("the original of a revisit is not named")
	}
	for name, value := range x.Metadata {
		if name == "" || strings.ContainsAny(name, ": \t\r\n") || strings.ContainsAny(value, "\r\n") {
			return fmt.Errorf("metadata field %.40q is not one line", name)
		}
	}
	return nil
}

// blank is what a field's value may not hold where it is an address.
func blank(r rune) bool { return r <= ' ' || r == 0x7f }

// Profiles of revisit records (WARC 1.1 §6.7).
const (
	sameDigest  = "http://netpreserve.org/warc/1.1/revisit/identical-payload-digest"
	notModified = "http://netpreserve.org/warc/1.1/revisit/server-not-modified"
)

// records builds the records of an exchange: first the response, or the revisit, which is called id; info is the id of
// the file's warcinfo.
func (x Exchange) records(id, info string) []record {
	common := func(kind, id, contentType string) []field {
		return x.fields(kind, id, info, contentType)
	}
	beside := field{"WARC-Concurrent-To", "<" + id + ">"}
	all := []record{x.answer(id, common), {
		fields: append(common("request", NewRecordID(), "application/http;msgtype=request"), beside),
		block:  closedHeader(x.Request),
	}}
	if len(x.Metadata) > 0 {
		metadata := record{fields: append(common("metadata", NewRecordID(), "application/warc-fields"), beside)}
		for _, name := range slices.Sorted(maps.Keys(x.Metadata)) {
			metadata.block = fmt.Appendf(metadata.block, "%s: %s\r\n", name, x.Metadata[name])
		}
		all = append(all, metadata)
	}
	if x.Conversion != nil {
		of := id
		if x.Revisit != nil {
			of = x.Revisit.ID // a conversion is of a payload, and a revisit has none
		}
		all = append(all, x.conversion(NewRecordID(), of, info))
	}
	return all
}

// conversion is what was made of the payload of a record.
func (x Exchange) conversion(id, of, info string) record {
	return record{
		fields: append(x.fields("conversion", id, info, "text/markdown; charset=utf-8"), field{"WARC-Refers-To", "<" + of + ">"}),
		block:  x.Conversion,
	}
}

// fields are those that all records of an exchange start with.
func (x Exchange) fields(kind, id, info, contentType string) []field {
	return []field{
		{"WARC-Type", kind}, {"WARC-Record-ID", "<" + id + ">"}, {"WARC-Date", x.Started.UTC().Format(warcTime)},
		{"WARC-Target-URI", x.URL}, {"WARC-IP-Address", x.Address}, {"WARC-Warcinfo-ID", "<" + info + ">"},
		{"Content-Type", contentType},
	}
}

// answer is the response with its payload, or the revisit that names where the payload is.
func (x Exchange) answer(id string, common func(kind, id, contentType string) []field) record {
	const contentType = "application/http;msgtype=response"
	sum := sha256.Sum256(x.Body)
	digests := []field{
		{"WARC-Payload-Digest", sha1Digest(x.Body)},
		{payloadSHA256, hex.EncodeToString(sum[:])}, // what the edge attests
	}
	if x.Revisit == nil {
		return record{
			fields: append(append(common("response", id, contentType), digests...), field{"WARC-Truncated", x.Truncated}),
			block:  append(archivedHeader(x.Response, len(x.Body)), x.Body...),
		}
	}
	refers := []field{
		{"WARC-Refers-To", "<" + x.Revisit.ID + ">"}, {"WARC-Refers-To-Target-URI", x.Revisit.URL},
		{"WARC-Refers-To-Date", x.Revisit.Date.UTC().Format(warcTime)},
	}
	r := record{fields: append(common("revisit", id, contentType), refers...), block: closedHeader(x.Response)}
	if x.status() == "304" { // the answer is whole: it has no body
		r.fields = append(r.fields, field{"WARC-Profile", notModified})
		return r
	}
	r.fields = append(append(r.fields, digests...), field{"WARC-Profile", sameDigest}, field{"WARC-Truncated", "length"}) // as §6.7.2 has it
	return r
}

// status is the three digits of the response's first line.
func (x Exchange) status() string {
	_, rest, _ := bytes.Cut(x.Response, []byte(" "))
	return string(rest[:min(3, len(rest))])
}

// archivedHeader returns the header block that is true of the archived payload. Where a coding was
// removed, the fields that described the coded bytes keep their value under X-Archive-Orig-, the
// practice of the Internet Archive's tools, and Content-Length tells the archived length.
func archivedHeader(block []byte, payload int) []byte {
	lines := bytes.Split(bytes.TrimRight(block, "\r\n"), []byte("\n"))
	decoded := slices.ContainsFunc(lines, func(line []byte) bool {
		return isField(line, "Content-Encoding") || isField(line, "Transfer-Encoding")
	})
	if !decoded {
		return closedHeader(block)
	}
	var b bytes.Buffer
	for _, line := range lines {
		if isField(line, "Content-Encoding") || isField(line, "Transfer-Encoding") || isField(line, "Content-Length") {
			b.WriteString(original)
		}
		b.Write(bytes.TrimRight(line, "\r"))
		b.WriteString("\r\n")
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n", payload)
	return b.Bytes()
}

func isField(line []byte, name string) bool {
	have, _, found := bytes.Cut(line, []byte(":"))
	return found && strings.EqualFold(string(have), name)
}

// closedHeader ends a header block with exactly one empty line.
func closedHeader(block []byte) []byte {
	return append(bytes.TrimRight(slices.Clone(block), "\r\n"), "\r\n\r\n"...)
}

// payloadSHA256 is a field of ours, beside the SHA-1 that WARC tools compare.
const payloadSHA256 = "Sward-Payload-SHA256"

// sha1Digest is the form of digest that WARC tools compare. It guards against damage, not against
// forgery: that is the work of the SHA-256 and of the edge's signature over it.
func sha1Digest(b []byte) string {
	sum := sha1.Sum(b)
	return "sha1:" + base32.StdEncoding.EncodeToString(sum[:])
}

// NewRecordID returns a random version 4 UUID as a URN (RFC 9562).
func NewRecordID() string {
	var u [16]byte
	rand.Read(u[:]) // never fails (crypto/rand, Go 1.24)
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}
