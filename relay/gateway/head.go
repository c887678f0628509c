package gateway

import (
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"sward/internal/wire"
	"sward/policy"
)

const (
	// maxFields bounds the header fields of one request: each costs a map entry, whatever its length.
	maxFields = 200
	// maxLengthDigits bounds a Content-Length: 18 digits fit an int64.
	maxLengthDigits = 18
)

// checkHead says whether a request head, CRLF CRLF included, is one that a proxy can pass on without a second reading
// of it being possible. net/http forgives much that RFC 9112 lets a server forgive: bare LF, folded lines, a length
// beside chunked, chunked in HTTP/1.0, a Host that is not the target's. Between a client and a target each of these is
// a way to smuggle a request past whoever reads it the other way, so here it is an error and the end of the connection
// (§2.2, §3.2, §5.2, §6.1, §6.3 and §11.2).
//
// The result is the length of the body that follows, unlimited for a tunnel and for a chunked body.
func checkHead(head []byte) (int64, *wire.Error) {
	requestLine, rest, _ := strings.Cut(string(head), "\r\n")
	method, target, ok := parseRequestLine(requestLine)
	if !ok {
		return 0, wire.Errorf(wire.BadRequest, "the request line is not METHOD target HTTP/1.1")
	}
	f, err := parseFields(strings.TrimSuffix(rest, "\r\n"))
	if err != nil {
		return 0, err
	}
	connect, authority := method == "CONNECT", target
	oldest := strings.HasSuffix(requestLine, "1.0")
	if !connect {
		if authority, err = httpAuthority(target); err != nil {
			return 0, err
		}
	}
	if err := checkAuthority(authority); err != nil {
		if !f.credential { // who has put it into the target is told where it belongs
			return 0, wire.Errorf(wire.AuthRequired, "Proxy-Authorization is missing")
		}
		return 0, err
	}
	if !connect {
		if _, err := url.ParseRequestURI(target); err != nil {
			return 0, wire.Errorf(wire.BadRequest, "the URL is not valid")
		}
		err = f.checkHost(authority, !oldest)
	} else {
		err = f.checkConnectHost()
	}
	if err != nil {
		return 0, err
	}
	length, err := f.bodyLength(connect, oldest)
	if err == nil && f.upgrade && !connect {
		return 0, wire.Errorf(wire.UpgradeDenied, "another protocol needs CONNECT; without Upgrade the request is carried")
	}
	return length, err
}

// parseRequestLine splits a request line of HTTP/1.1 or 1.0 (RFC 9112 §3): single spaces, nothing else between.
func parseRequestLine(line string) (method, target string, ok bool) {
	parts := strings.Split(line, " ")
	if len(parts) != 3 || (parts[2] != "HTTP/1.1" && parts[2] != "HTTP/1.0") || !isTokens(parts[0]) {
		return "", "", false
	}
	for i := range len(parts[1]) {
		if b := parts[1][i]; b <= ' ' || b >= 0x7f {
			return "", "", false
		}
	}
	return parts[0], parts[1], parts[1] != ""
}

// httpAuthority returns host:port of an absolute-form http target (RFC 9112 §3.2.2).
func httpAuthority(target string) (string, *wire.Error) {
	const scheme = "http://"
	if len(target) < len(scheme) || !strings.EqualFold(target[:len(scheme)], scheme) {
		return "", wire.Errorf(wire.BadRequest, "a proxy request names its target as http://host/path, or uses CONNECT")
	}
	if strings.Contains(target, "#") {
		return "", wire.Errorf(wire.BadRequest, "a target has no fragment")
	}
	authority := target[len(scheme):]
	if i := strings.IndexAny(authority, "/?"); i >= 0 {
		authority = authority[:i]
	}
	return withPort(authority), nil
}

// checkAuthority refuses what is no host and port. Where one may not go is the policy's question, asked later.
func checkAuthority(authority string) *wire.Error {
	if strings.Contains(authority, "@") {
		return wire.Errorf(wire.BadHost, "user information does not belong in a target") // and is not repeated here
	}
	if _, err := policy.ParsePort(authority[strings.LastIndexByte(authority, ':')+1:]); err != nil {
		return refusal(err) // also behind a host that is well-formed and refused later
	}
	if _, err := policy.ParseTarget(authority); err != nil {
		if e := refusal(err); e.Code.HTTPStatus() == wire.BadRequest.HTTPStatus() {
			return e
		}
	}
	return nil
}

// withPort gives an http authority its default port.
func withPort(authority string) string {
	if strings.LastIndexByte(authority, ':') > strings.LastIndexByte(authority, ']') {
		return authority
	}
	return authority + ":80"
}

// fields is what the door must know of a header section before it lets it in.
type fields struct {
	hosts, lengths, codings []string
	credential, upgrade     bool
}

// parseFields reads a header section without its last empty line (RFC 9112 §5).
func parseFields(section string) (fields, *wire.Error) {
	var f fields
	for n := 0; section != ""; n++ {
		var line string
		line, section, _ = strings.Cut(section, "\r\n")
		name, value, ok := strings.Cut(line, ":")
		switch {
		case n == maxFields:
			return f, wire.Errorf(wire.HeaderTooLarge, "the head has more than %d fields", maxFields)
		case !ok || !isTokens(name): // a folded line starts with a space, which no name does
			return f, wire.Errorf(wire.BadRequest, "a header field has no proper name")
		case !isFieldValue(value):
			return f, wire.Errorf(wire.BadRequest, "a header field holds a control character")
		}
		value = strings.Trim(value, " \t")
		switch strings.ToLower(name) {
		case "host":
			f.hosts = append(f.hosts, value)
		case "content-length":
			f.lengths = append(f.lengths, value)
		case "transfer-encoding":
			f.codings = append(f.codings, value)
		case "proxy-authorization":
			f.credential = true
		case "expect":
			if !strings.EqualFold(value, "100-continue") { // RFC 9110 §10.1.1 knows no other
				return f, wire.Errorf(wire.BadRequest, "an expectation is 100-continue")
			}
		case "upgrade":
			// RFC 9110 §7.8 lets us pass over an offer. One of HTTP/2 (curl --http2 makes it) is then answered in HTTP/1.1,
			// which is as good; who asks for WebSocket would wait for ever.
			f.upgrade = f.upgrade || !strings.EqualFold(value, "h2c")
		}
	}
	return f, nil
}

// checkHost holds Host against the target: they name the same (RFC 9112 §3.2).
func (f fields) checkHost(authority string, required bool) *wire.Error {
	switch {
	case len(f.hosts) == 0 && !required:
		return nil
	case len(f.hosts) != 1:
		return wire.Errorf(wire.BadRequest, "a request has one Host")
	case !strings.EqualFold(withPort(f.hosts[0]), authority):
		return wire.Errorf(wire.BadRequest, "Host is not the host of the URL")
	}
	return nil
}

// checkConnectHost lets a CONNECT say what it likes in Host, as many clients do, but once and in a host's characters.
func (f fields) checkConnectHost() *wire.Error {
	switch {
	case len(f.hosts) > 1:
		return wire.Errorf(wire.BadRequest, "a request has one Host")
	case len(f.hosts) == 1 && !httpguts.ValidHostHeader(f.hosts[0]):
		return wire.Errorf(wire.BadRequest, "Host holds a character that no host has")
	}
	return nil
}

// bodyLength tells where the body ends, if that can be told in one way only.
func (f fields) bodyLength(connect, oldest bool) (int64, *wire.Error) {
	if len(f.codings) > 0 {
		if connect || oldest || len(f.codings) > 1 || len(f.lengths) > 0 || !strings.EqualFold(f.codings[0], "chunked") {
			return 0, wire.Errorf(wire.BadRequest, "Transfer-Encoding is chunked and nothing else, without a length, in HTTP/1.1")
		}
		return unlimited, nil
	}
	var length int64
	switch {
	case len(f.lengths) > 1:
		return 0, wire.Errorf(wire.BadRequest, "a request has one Content-Length")
	case len(f.lengths) == 1:
		s := f.lengths[0]
		if s == "" || len(s) > maxLengthDigits || strings.Trim(s, "0123456789") != "" {
			return 0, wire.Errorf(wire.BadRequest, "Content-Length is not a number")
		}
		length, _ = strconv.ParseInt(s, 10, 64)
	}
	if !connect {
		return length, nil
	}
	if length > 0 {
		return 0, wire.Errorf(wire.BadRequest, "CONNECT has no body")
	}
	return unlimited, nil
}

// tokenBytes are the characters of a method or field name beside letters and digits (RFC 9110 §5.6.2).
const tokenBytes = "!#$%&'*+-.^_`|~"

func isToken(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || strings.IndexByte(tokenBytes, b) >= 0
}

func isTokens(s string) bool {
	for i := range len(s) {
		if !isToken(s[i]) {
			return false
		}
	}
	return s != ""
}

// isFieldValue refuses control characters, CR and NUL among them, but for the tab (RFC 9110 §5.5).
func isFieldValue(s string) bool {
	for i := range len(s) {
		if b := s[i]; b < ' ' && b != '\t' || b == 0x7f {
			return false
		}
	}
	return true
}
