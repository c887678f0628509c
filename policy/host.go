package policy

import (
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// Bounds of a name, RFC 1035 section 2.3.4.
const (
	maxName  = 253 // octets of the whole name, without the trailing dot
	maxLabel = 63  // octets of one label
)

// Host is a destination that passed the strict parser: either a lower-case ASCII name of at least
// two labels, or an address. The zero Host is no destination.
type Host struct {
	name string
	addr netip.Addr
}

// Name returns the name in ASCII (IDNA A-labels), or "" when the host is an address.
func (h Host) Name() string { return h.name }

// Addr returns the address when the host was written as one. It has not passed the Gate.
func (h Host) Addr() (netip.Addr, bool) { return h.addr, h.addr.IsValid() }

// IsZero reports whether h is no destination at all.
func (h Host) IsZero() bool { return h.name == "" && !h.addr.IsValid() }

// String gives the name, or the address in canonical form without brackets.
func (h Host) String() string {
	if h.addr.IsValid() {
		return h.addr.String()
	}
	return h.name
}

// ParseHost accepts a name or an address literal (IPv6 without its brackets) and nothing that any
// resolver or C library could read as something else. The errors are *Denied: bad_host for text
// that is not a host; dest_loopback for localhost; dest_name for names that mean something only at
// home (single labels, .local, .internal, …), which are refused before any query is sent.
func ParseHost(s string) (Host, error) {
	if s == "" || len(s) > maxName {
		return Host{}, denied("bad_host", "a host has 1 to %d characters, not %d", maxName, len(s))
	}
	if strings.ContainsRune(s, '%') {
		return Host{}, denied("bad_host", "zone identifiers and escapes are not accepted")
	}
	// netip refuses what inet_aton accepts: octal, hex, short and single-number forms.
	if a, err := netip.ParseAddr(s); err == nil {
		return Host{addr: a}, nil
	}
	name, err := asciiName(s)
	if err != nil {
		return Host{}, err
	}
	labels := strings.Split(name, ".")
	for _, l := range labels {
		if !isLDH(l) {
			return Host{}, denied("bad_host", "%q is not a host name", s)
		}
	}
	if isNumber(labels[len(labels)-1]) {
		return Host{}, denied("bad_host", "%q is an address in a form that is not accepted", s)
	}
	if err := checkSpecialName(name, len(labels)); err != nil {
		return Host{}, err
	}
	return Host{name: name}, nil
}

// strictIDNA is the lookup profile of UTS 46 with its checks on. Hyphens in the third and fourth
// place are allowed because large sites use such names (r3---sn-….example).
var strictIDNA = idna.New(
	idna.MapForLookup(), idna.BidiRule(), idna.CheckJoiners(true), idna.CheckHyphens(false),
	idna.StrictDomainName(true), idna.VerifyDNSLength(true),
)

// asciiName lower-cases s and turns it into A-labels. The name must read back as it was written:
// full-width digits, ideographic full stops and other look-alikes, which UTS 46 would rewrite into
// what they resemble, are refused instead.
func asciiName(s string) (string, error) {
	s = strings.ToLower(s)
	if isASCII(s) && !strings.Contains(s, "xn--") {
		return s, nil
	}
	a, err := strictIDNA.ToASCII(s)
	if err != nil || len(a) > maxName {
		return "", denied("bad_host", "%q is not a valid internationalised name", s)
	}
	if u, err := strictIDNA.ToUnicode(a); err != nil || (s != u && s != a) {
		return "", denied("bad_host", "%q is not written in its normal form", s)
	}
	return a, nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// isLDH is the letters-digits-hyphen rule of RFC 5890 section 2.3.1.
func isLDH(l string) bool {
	if l == "" || len(l) > maxLabel || l[0] == '-' || l[len(l)-1] == '-' {
		return false
	}
	for i := range len(l) {
		c := l[i]
		if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// isNumber tells a last label that inet_aton or a URL parser would read as a number, which makes
// the whole name an address to them (WHATWG URL, "ends in a number").
func isNumber(l string) bool {
	if hex, ok := strings.CutPrefix(l, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(l, "0123456789") == ""
}

// localSuffixes are names that mean something only inside a home, a company or an overlay network:
// RFC 6761 and 6762, RFC 8375, RFC 9476, the private-use .internal, ICANN's collision names, and
// reverse lookups. .test and .example stay out: they resolve nowhere in public, documents and tests
// are written with them, and whatever they resolve to meets the address gate.
var localSuffixes = []string{
	"local", "localdomain", "lan", "home", "corp", "mail", "internal", "intranet", "private",
	"arpa", "onion", "alt", "invalid",
}

func checkSpecialName(name string, labels int) error {
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return denied("dest_loopback", "%q is this computer", name)
	}
	if labels < 2 {
		return denied("dest_name", "%q has a single label and is a local name", name)
	}
	last := name[strings.LastIndexByte(name, '.')+1:]
	for _, s := range localSuffixes {
		if last == s {
			return denied("dest_name", "%q ends in .%s, which is not on the public Internet", name, s)
		}
	}
	return nil
}

// ParsePort accepts a decimal port from 1 to 65535 without sign, space or leading zero. The error
// is *Denied with the rule bad_port.
func ParsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 || s[0] == '0' || s[0] == '+' {
		return 0, denied("bad_port", "%.8q is not a port from 1 to 65535", s)
	}
	return uint16(n), nil
}

// Target is a host and a port.
type Target struct {
	Host Host
	Port uint16
}

// ParseTarget reads host:port or [IPv6]:port, the authority-form of RFC 9112 section 3.2.3. User
// information, paths and fragments do not belong there and are refused with the rest.
func ParseTarget(hostport string) (Target, error) {
	i := strings.LastIndexByte(hostport, ':')
	if i < 0 {
		return Target{}, denied("bad_port", "the port is missing")
	}
	host, port := hostport[:i], hostport[i+1:]
	if inner, ok := strings.CutPrefix(host, "["); ok {
		if inner, ok = strings.CutSuffix(inner, "]"); !ok || !strings.Contains(inner, ":") {
			return Target{}, denied("bad_host", "brackets hold an IPv6 address and nothing else")
		}
		host = inner
	} else if strings.Contains(host, ":") {
		return Target{}, denied("bad_host", "an IPv6 address is written in brackets")
	}
	h, err := ParseHost(host)
	if err != nil {
		return Target{}, err
	}
	p, err := ParsePort(port)
	if err != nil {
		return Target{}, err
	}
	return Target{Host: h, Port: p}, nil
}

// String gives host:port, with brackets around an IPv6 address; ParseTarget reads it back.
func (t Target) String() string {
	port := strconv.Itoa(int(t.Port))
	if a, ok := t.Host.Addr(); ok && a.Is6() {
		return "[" + a.String() + "]:" + port
	}
	return t.Host.String() + ":" + port
}
