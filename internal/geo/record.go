package geo

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/oschwald/maxminddb-golang/v2"
	"golang.org/x/text/unicode/norm"
)

const (
	// maxName bounds a place's name in bytes, maxOrg an organisation's: a database is somebody else's file, and what it
	// says is kept for each edge.
	maxName = 64
	maxOrg  = 128
)

// record holds the fields of both schemas: those of ip-location-db beside each other, those of MaxMind nested. A city is a
// text in one and a map in the other.
type record struct {
	CountryCode string `maxminddb:"country_code"`
	State       string `maxminddb:"state1"`
	City        any    `maxminddb:"city"`
	ASN         uint32 `maxminddb:"autonomous_system_number"`
	Org         string `maxminddb:"autonomous_system_organization"`

	Country struct {
		Code string `maxminddb:"iso_code"`
	} `maxminddb:"country"`
	Subdivisions []struct {
		Code  string `maxminddb:"iso_code"`
		Names struct {
			English string `maxminddb:"en"`
		} `maxminddb:"names"`
	} `maxminddb:"subdivisions"`
	Traits struct {
		UserType string `maxminddb:"user_type"`
		Hosting  bool   `maxminddb:"is_hosting_provider"`
		ASN      uint32 `maxminddb:"autonomous_system_number"`
		Org      string `maxminddb:"autonomous_system_organization"`
	} `maxminddb:"traits"`
}

// parse opens a database that is in memory.
func parse(data []byte) (*maxminddb.Reader, error) {
	reader, err := maxminddb.OpenBytes(data)
	if err != nil {
		return nil, fmt.Errorf("not a usable database: %w", err)
	}
	if v := reader.Metadata.IPVersion; v != 4 && v != 6 {
		return nil, errors.New("not a usable database: neither for IPv4 nor for IPv6")
	}
	if err := probe(reader); err != nil {
		return nil, fmt.Errorf("not a usable database: %w", err)
	}
	return reader, nil
}

// probe reads the first records, so that a file with a good end and a damaged body does not take the place of a good one.
// The library's own Verify would refuse the free sets, whose descriptions are empty.
func probe(reader *maxminddb.Reader) error {
	const enough = 256
	n := 0
	for found := range reader.Networks() {
		var r record
		if err := found.Decode(&r); err != nil {
			return err
		}
		if n++; n == enough {
			break
		}
	}
	if n == 0 {
		return errors.New("it holds no records")
	}
	return nil
}

// look adds to p what reader knows of addr. A record that cannot be read tells nothing: one bad record in a file that is
// otherwise good is no reason to refuse an edge.
func look(reader *maxminddb.Reader, addr netip.Addr, p *Place) {
	if addr.Is6() && reader.Metadata.IPVersion == 4 {
		return
	}
	var r record
	if found := reader.Lookup(addr); !found.Found() || found.Decode(&r) != nil {
		return
	}
	fill(&p.Country, country(first(r.CountryCode, r.Country.Code)))
	if len(r.Subdivisions) > 0 {
		fill(&p.Region, name(r.Subdivisions[0].Names.English))
		fill(&p.RegionCode, name(r.Subdivisions[0].Code))
	}
	fill(&p.Region, name(r.State))
	fill(&p.City, name(cityName(r.City)))
	if asn := max(r.ASN, r.Traits.ASN); p.ASN == 0 {
		p.ASN = asn
	}
	fill(&p.Org, clip(first(r.Org, r.Traits.Org), maxOrg))
	if p.Class == Unknown {
		p.Class = classOfTraits(r.Traits.UserType, r.Traits.Hosting)
	}
}

func fill(to *string, value string) {
	if *to == "" {
		*to = value
	}
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// cityName is the name in either schema.
func cityName(city any) string {
	switch c := city.(type) {
	case string:
		return c
	case map[string]any:
		names, _ := c["names"].(map[string]any)
		english, _ := names["en"].(string)
		return english
	}
	return ""
}

// country is the code if it is one.
func country(code string) string {
	if len(code) != 2 {
		return ""
	}
	code = strings.ToLower(code)
	for i := range len(code) {
		if code[i] < 'a' || code[i] > 'z' {
			return ""
		}
	}
	return code
}

func name(s string) string { return clip(Normalise(clip(s, 4*maxName)), maxName) }

// Normalise is how names of places are compared: lower case, letters and digits alone, marks off. "Nordrhein-Westfalen" is
// nordrheinwestfalen and "São Paulo" is saopaulo, so that both can be typed into a user name.
func Normalise(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, norm.NFKD.String(s))
}

// clip cuts s to at most n bytes, between two characters.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
