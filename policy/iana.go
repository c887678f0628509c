package policy

import "net/netip"

// block is one row of the gate's table: addresses that must not be dialled, the rule that says so
// and what they are for.
type block struct {
	prefix netip.Prefix
	rule   string
	what   string
}

// globalUnicast is the only IPv6 space IANA assigns for use on the Internet (RFC 4291, RFC 3587).
var globalUnicast = netip.MustParsePrefix("2000::/3")

// blocks is everything inside the dialable spaces that is not the public Internet. It follows the
// IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890, RFC 8190) as of October 2025 and
// is stricter in three places: all of 192.0.0.0/24 and 2001::/23 (their reachable members are
// anycast services that the nearest router answers), the retired 6to4 anycast prefix, and the
// public address on which Azure serves metadata. The test compares it with the registries
// themselves, kept separately in testdata.
var blocks = []block{
	row("0.0.0.0/8", "dest_unspecified", `"this network"`),
	row("10.0.0.0/8", "dest_private", "a private network"),
	row("100.64.0.0/10", "dest_shared", "shared by a provider's customers"),
	row("127.0.0.0/8", "dest_loopback", "this computer"),
	row("168.63.129.16/32", "dest_special", "a cloud's metadata service"),
	row("169.254.0.0/16", "dest_linklocal", "the local link"),
	row("172.16.0.0/12", "dest_private", "a private network"),
	row("192.0.0.0/24", "dest_special", "IETF protocol assignments"),
	row("192.0.2.0/24", "dest_special", "documentation"),
	row("192.88.99.0/24", "dest_special", "retired 6to4 relays"),
	row("192.168.0.0/16", "dest_private", "a private network"),
	row("198.18.0.0/15", "dest_special", "benchmarking"),
	row("198.51.100.0/24", "dest_special", "documentation"),
	row("203.0.113.0/24", "dest_special", "documentation"),
	row("224.0.0.0/4", "dest_multicast", "multicast"),
	row("240.0.0.0/4", "dest_special", "reserved"),
	row("255.255.255.255/32", "dest_special", "broadcast"),

	row("::/128", "dest_unspecified", "no address"),
	row("::1/128", "dest_loopback", "this computer"),
	row("100::/64", "dest_special", "discard-only"),
	row("100:0:0:1::/64", "dest_special", "a dummy prefix"),
	row("2001::/23", "dest_special", "IETF protocol assignments"),
	row("2001:db8::/32", "dest_special", "documentation"),
	row("3fff::/20", "dest_special", "documentation"),
	row("5f00::/16", "dest_special", "segment routing"),
	row("fc00::/7", "dest_ula", "a private network"),
	row("fe80::/10", "dest_linklocal", "the local link"),
	row("fec0::/10", "dest_special", "the retired site-local space"),
	row("ff00::/8", "dest_multicast", "multicast"),
}

// embedding is an IPv6 form that carries an IPv4 address.
type embedding struct {
	prefix netip.Prefix
	what   string
	inner  func([16]byte) netip.Addr
}

// embeddings lists every such form with a well-known prefix. Prefixes of a provider's own NAT64
// cannot be known here; such homes fail safe, because an A record is asked for and dialled.
var embeddings = []embedding{
	form("::ffff:0:0/96", "IPv4-mapped (RFC 4291)", at(12)),
	form("::/96", "IPv4-compatible (RFC 4291)", at(12)),
	form("::ffff:0:0:0/96", "IPv4-translated (RFC 2765)", at(12)),
	form("64:ff9b::/96", "NAT64 (RFC 6052)", at(12)),
	form("64:ff9b:1::/48", "local-use NAT64 (RFC 8215)", splitAt(6)),
	form("2002::/16", "6to4 (RFC 3056)", at(2)),
	form("2001::/32", "Teredo (RFC 4380)", teredo),
}

func row(prefix, rule, what string) block {
	return block{netip.MustParsePrefix(prefix), rule, what}
}

func form(prefix, what string, inner func([16]byte) netip.Addr) embedding {
	return embedding{netip.MustParsePrefix(prefix), what, inner}
}

// at reads four octets in one piece.
func at(i int) func([16]byte) netip.Addr {
	return func(b [16]byte) netip.Addr { return netip.AddrFrom4([4]byte(b[i : i+4])) }
}

// splitAt reads four octets around octet 8, which RFC 6052 section 2.2 keeps zero.
func splitAt(i int) func([16]byte) netip.Addr {
	return func(b [16]byte) netip.Addr { return netip.AddrFrom4([4]byte{b[i], b[i+1], b[9], b[10]}) }
}

// teredo reads the client's address, which is stored inverted.
func teredo(b [16]byte) netip.Addr {
	return netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]})
}
