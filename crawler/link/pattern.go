package link

import "strings"

// Pattern is the path of an Allow or Disallow line, and of the files that borrow its language (Content-Usage, tdmrep.json,
// RSL): literal pieces with anything in between, from the start of the path, to its end if the line says so with "$".
type Pattern struct {
	text     string // canonical; each "*" in it is the wildcard
	anchored bool
}

// ParsePattern reads the path of a rule. Every text is a pattern.
func ParsePattern(value string) Pattern {
	text, anchored := strings.CutSuffix(value, "$")
	return Pattern{text: canonical(text, true), anchored: anchored}
}

// Octets is how specific the pattern is: of those that match, the longest decides (RFC 9309 §2.2.2).
func (p Pattern) Octets() int {
	if p.anchored {
		return len(p.text) + 1
	}
	return len(p.text)
}

// Match reports whether the pattern fits a canonical path. Taking each piece where
// it first occurs is enough, since "*" is the only wildcard: nothing backtracks, and
// a hostile pattern costs no more than its own length and that of the path.
func (p Pattern) Match(path string) bool {
	piece, more, wild := strings.Cut(p.text, "*")
	rest, ok := strings.CutPrefix(path, piece)
	if !ok {
		return false
	}
	if !wild {
		return !p.anchored || rest == ""
	}
	for {
		piece, more, wild = strings.Cut(more, "*")
		if !wild && p.anchored {
			return strings.HasSuffix(rest, piece)
		}
		if _, rest, ok = strings.Cut(rest, piece); !ok {
			return false
		}
		if !wild {
			return true
		}
	}
}

// CanonicalPath is a path and query in the form in which patterns are compared.
func CanonicalPath(path string) string { return canonical(path, false) }

// canonical gives one spelling to paths that mean the same (RFC 9309 §2.2.2): what
// need not be escaped is not, what is not ASCII is, and hex digits are capitals.
// Reserved characters keep the form they have, except those that RFC 3986 §3.4 lets
// stand in a query: there "%2F" and "/" are the same. In a pattern "*" stays; in a
// path it becomes "%2A", which is how a pattern writes the character itself.
func canonical(s string, isPattern bool) string {
	var b strings.Builder
	b.Grow(len(s))
	inQuery := false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			octet := unhex(s[i+1])<<4 | unhex(s[i+2])
			if isUnreserved(octet) || inQuery && strings.IndexByte(":/?@", octet) >= 0 {
				b.WriteByte(octet)
			} else {
				escape(&b, octet)
			}
			i += 2
		case c == '*' && isPattern:
			b.WriteByte(c)
		case isUnreserved(c) || strings.IndexByte(":/?#[]@!&'()+,;=", c) >= 0:
			inQuery = inQuery || c == '?'
			b.WriteByte(c)
		default:
			escape(&b, c)
		}
	}
	return b.String()
}

// isUnreserved is RFC 3986 §2.3.
func isUnreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~'
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&^0x20 - 'A' + 10
}

func escape(b *strings.Builder, c byte) {
	const digits = "0123456789ABCDEF"
	b.WriteByte('%')
	b.WriteByte(digits[c>>4])
	b.WriteByte(digits[c&15])
}
