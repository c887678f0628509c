package gateway

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// Headers of an answer that came through an edge. Like those of a refusal they are never passed on from a target.
const (
	headerEdge    = "Sward-Edge"    // the edge's identity
	headerExit    = "Sward-Exit"    // what is known of its line: a dictionary (RFC 9651 §3.2)
	headerBalance = "Sward-Balance" // bytes that the account can still pay for, once they are few
)

// announce tells in h where an answer comes from, and that it is paid for.
func announce(h http.Header, line Line, who Account) {
	h.Set(headerEdge, line.Edge)
	if exit := line.dictionary(); exit != "" {
		h.Set(headerExit, exit)
	}
	h.Set(headerBillable, "?1")
	if who == nil {
		return
	}
	if bytes, low := who.LowBalance(); low {
		h.Set(headerBalance, strconv.FormatUint(min(bytes, maxInteger), 10))
	}
}

// maxInteger is the largest integer of structured fields (RFC 9651 §3.3.1).
const maxInteger = 999_999_999_999_999

// established is the whole answer to a CONNECT of HTTP/1.
func established(line Line, who Account) string {
	h := http.Header{}
	announce(h, line, who)
	b := new(strings.Builder)
	b.WriteString("HTTP/1.1 200 Connection established\r\n")
	h.Write(b) //nolint:errcheck // into memory
	b.WriteString("\r\n")
	return b.String()
}

// dictionary is the line as the Sward-Exit header has it. What is not known is left out.
func (l Line) dictionary() string {
	var members []string
	add := func(key, value string) {
		if value != "" {
			members = append(members, key+"="+sfText(value))
		}
	}
	add("country", l.Country)
	add("region", l.Region)
	add("city", l.City)
	if l.ASN != 0 {
		members = append(members, "asn="+strconv.FormatUint(uint64(l.ASN), 10))
	}
	add("class", l.Class)
	return strings.Join(members, ", ")
}

// sfText is s as the plainest of the three ways in which structured fields write a text: a token, a string, or, beyond
// ASCII, a display string (RFC 9651 §3.3.4, §3.3.3 and §3.3.8).
func sfText(s string) string {
	switch {
	case strings.Trim(s, "abcdefghijklmnopqrstuvwxyz") == "":
		return s
	case printable(s) == s:
		return sfString(s)
	}
	b := new(strings.Builder)
	b.WriteString(`%"`)
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '%' || c == '"' {
			fmt.Fprintf(b, "%%%02x", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String() + `"`
}
