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

func (x Exchange) check() error {
	switch x.Truncated {
	case "", "length", "time", "disconnect", "unspecified":
	default:
		return fmt.Errorf("unknown reason for truncation %q", x.Truncated)
	}
	if x.URL == "" || strings.ContainsFunc(x.URL+x.Address, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return errors.New("target address is empty or holds white space")
	}
	if !bytes.HasPrefix(x.Response, []byte("HTTP/")) {
		return errors.New("response does not start with a status line")
	}
	if n := len(x.Response) + len(x.Body); n > maxWARCBlock-maxWARCHeader || len(x.Request) > maxWARCBlock {
		return fmt.Errorf("response of %d bytes is over the limit of %d", n, maxWARCBlock)
	}
	for name, value := range x.Metadata {
		if name == "" || strings.ContainsAny(name, ": \t\r\n") || strings.ContainsAny(value, "\r\n") {
			return fmt.Errorf("metadata field %.40q is not one line", name)
		}
	}
	return nil
}

// records builds the records of an exchange, the response first; info is the id of the file's
// warcinfo.
func (x Exchange) records(info string) []record {
	id := NewRecordID()
	common := func(kind, id, contentType string) []field {
		return []field{
			{"WARC-Type", kind}, {"WARC-Record-ID", "<" + id + ">"}, {"WARC-Date", x.Started.UTC().Format(warcTime)},
			{"WARC-Target-URI", x.URL}, {"WARC-IP-Address", x.Address}, {"WARC-Warcinfo-ID", "<" + info + ">"},
			{"Content-Type", contentType},
		}
	}
	beside := field{"WARC-Concurrent-To", "<" + id + ">"}
	sum := sha256.Sum256(x.Body)
	all := []record{{
		fields: append(common("response", id, "application/http;msgtype=response"),
			field{"WARC-Payload-Digest", sha1Digest(x.Body)},
			field{"Sward-Payload-SHA256", hex.EncodeToString(sum[:])}, // what the edge attests
			field{"WARC-Truncated", x.Truncated}),
		block: append(archivedHeader(x.Response, len(x.Body)), x.Body...),
	}, {
		fields: append(common("request", NewRecordID(), "application/http;msgtype=request"), beside),
		block:  closedHeader(x.Request),
	}}
	if len(x.Metadata) == 0 {
		return all
	}
	metadata := record{fields: append(common("metadata", NewRecordID(), "application/warc-fields"), beside)}
	for _, name := range slices.Sorted(maps.Keys(x.Metadata)) {
		metadata.block = fmt.Appendf(metadata.block, "%s: %s\r\n", name, x.Metadata[name])
	}
	return append(all, metadata)
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
			b.WriteString("X-Archive-Orig-")
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
