package relay

import (
	"net"
	"net/netip"
	"slices"

	"sward/internal/geo"
	"sward/relay/gateway"
)

// Where is the place that a stream is to leave from; the zero value is anywhere.
type Where struct {
	Country string // ISO 3166-1 alpha-2 in lower case, or "eu"
	Region  string // as geo.Normalise writes it, by name or code
	City    string
	ASN     uint32
	Class   geo.Class
}

func whereOf(exit gateway.Exit) Where {
	return Where{
		Country: exit.Country, Region: geo.Normalise(exit.Region), City: geo.Normalise(exit.City), ASN: exit.ASN,
	}
}

func (w Where) anywhere() bool { return w == Where{} }

// holds reports whether p is such a place. What is not known of p is no match.
func (w Where) holds(p geo.Place) bool {
	return (w.Country == "" || w.Country == p.Country || w.Country == union && inUnion(p.Country)) &&
		(w.Region == "" || w.Region == p.Region || w.Region == p.RegionCode) &&
		(w.City == "" || w.City == p.City) && (w.ASN == 0 || w.ASN == p.ASN) && (w.Class == "" || w.Class == p.Class)
}

// union is the word for any member state of the European Union.
const union = "eu"

var unionStates = []string{
	"at", "be", "bg", "cy", "cz", "de", "dk", "ee", "es", "fi", "fr", "gr", "hr", "hu", "ie", "it", "lt", "lu", "lv", "mt", "nl",
	"pl", "pt", "ro", "se", "si", "sk",
}

func inUnion(country string) bool {
	_, in := slices.BinarySearch(unionStates, country)
	return in
}

// lineOf is what a partner is told of the edge's line.
func lineOf(c Candidate) gateway.Line {
	p := c.Place
	return gateway.Line{
		Edge: c.ID.String(), Country: p.Country, Region: p.Region, City: p.City, ASN: p.ASN, Class: string(p.Class),
	}
}

// addressOf is where e comes from: for an agent the source of its tunnel. A browser's node comes through the operator's
// own TLS proxy, and what that writes into a header anybody could write, so its address is not known.
func addressOf(e *edge) netip.Addr {
	line, ok := e.session.(interface{ RemoteAddr() net.Addr })
	if !ok || e.class == classExtension {
		return netip.Addr{}
	}
	from, err := netip.ParseAddrPort(line.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return from.Addr().Unmap().WithZone("")
}

// prefixOf is what neighbours share: a /24 or a /48, as one provider gives to one site or to one street. Addresses that
// are not public have none: everybody in a sandbox has the same.
func prefixOf(a netip.Addr) netip.Prefix {
	if !a.IsValid() || a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() {
		return netip.Prefix{}
	}
	bits := 24
	if a.Is6() {
		bits = 48
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
