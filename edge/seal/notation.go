package seal

import (
	"fmt"
	"net/netip"
	"strings"
)

// notation is one way to write an address, with the attack's id in the catalogue; empty for the plain ones.
type notation struct{ id, host string }

// notations are the ways to write a: as it is, and so that a filter overlooks what some resolver, C library or network
// would still understand.
func notations(a netip.Addr) []notation {
	if !a.Is4() {
		text := a.String()
		return []notation{
			{"", text},
			{"", a.StringExpanded()},
			{"A12", text + "%lo"},
			{"A12", text + "%25eth0"},
			{"A31", "[" + text + "]"},
		}
	}
	b := a.As4()
	n := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	dotted := a.String()
	all := []notation{
		{"", dotted},
		{"A15", fmt.Sprintf("%d", n)},
		{"A15", fmt.Sprintf("%#x", n)},
		{"A15", fmt.Sprintf("%#o.%d.%d.%d", b[0], b[1], b[2], b[3])},
		{"A15", fmt.Sprintf("%#x.%#x.%#x.%#x", b[0], b[1], b[2], b[3])},
		{"A15", fmt.Sprintf("%d.%d", b[0], n&0xffffff)},
		{"A15", fmt.Sprintf("%d.%d.%d", b[0], b[1], n&0xffff)},
		{"A16", fmt.Sprintf("%#x.%d", b[0], n&0xffffff)},
		{"A16", fmt.Sprintf("%#o", n)},
		{"A16", dotted + "."},
		{"A16", fullWidth(dotted)},
		{"A16", strings.ReplaceAll(dotted, ".", "。")},
		{"A31", "user@" + dotted},
		{"A31", dotted + "/path"},
		{"A31", "http://" + dotted},
		{"A31", "[" + dotted + "]"},
	}
	for _, e := range embedded(b) {
		all = append(all, notation{e.id, e.host})
	}
	return all
}

// embedded are the IPv6 addresses that carry b, by their standards.
func embedded(b [4]byte) []notation {
	at := func(id, prefix string, place int) notation {
		a := netip.MustParseAddr(prefix).As16()
		copy(a[place:], b[:])
		return notation{id, netip.AddrFrom16(a).String()}
	}
	local := netip.MustParseAddr("64:ff9b:1::").As16() // RFC 6052 §2.2: octet 8 stays zero in a /48
	local[6], local[7], local[9], local[10] = b[0], b[1], b[2], b[3]
	teredo := netip.MustParseAddr("2001:0:4136:e378:8000:63bf::").As16()
	for i := range b {
		teredo[12+i] = ^b[i]
	}
	return []notation{
		at("A06", "::ffff:0:0", 12),
		at("A07", "::", 12),
		at("A07", "::ffff:0:0:0", 12),
		at("A08", "64:ff9b::", 12),
		at("A08", "64:ff9b:1::", 12),
		{"A08", netip.AddrFrom16(local).String()},
		at("A10", "2002::", 2),
		{"A11", netip.AddrFrom16(teredo).String()},
	}
}

// fullWidth writes digits as their full-width forms, which UTS 46 reads as digits.
func fullWidth(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r - '0' + '０'
		}
		return r
	}, s)
}
