package geo

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type m = map[string]any

// flat is a file of cities as ip-location-db writes it, flatASN one of networks.
func flat() []byte {
	return mmdb(6, m{
		"81.2.69.0/24":      m{"country_code": "GB", "state1": "England", "city": "London"},
		"189.6.0.0/16":      m{"country_code": "BR", "state1": "São Paulo", "city": "São Paulo"},
		"192.168.0.0/16":    m{"country_code": "AU"},
		"2a01:4f8::/32":     m{"country_code": "DE"},
		"100.64.0.0/10":     m{"country_code": "AU"},
		"2001:db8::/32":     m{"country_code": "AU"},
		"64:ff9b::/96":      m{"country_code": "AU"},
		"193.99.144.0/24":   m{"country_code": "D3"},
		"198.51.100.128/25": m{"country_code": "AU"},
	})
}

func flatASN() []byte {
	return mmdb(6, m{
		"81.2.69.0/24":  m{"autonomous_system_number": uint32(20712), "autonomous_system_organization": "Andrews & Arnold Ltd"},
		"2a01:4f8::/32": m{"autonomous_system_number": uint32(24940), "autonomous_system_organization": "Hetzner Online GmbH"},
		"189.6.0.0/16":  m{"autonomous_system_number": uint32(28573)},
	})
}

// nested is a file as MaxMind writes it.
func nested() []byte {
	place := func(traits m) m {
		return m{
			"country":      m{"iso_code": "DE", "names": m{"en": "Germany"}},
			"subdivisions": []any{m{"iso_code": "NW", "names": m{"en": "North Rhine-Westphalia", "de": "Nordrhein-Westfalen"}}},
			"city":         m{"geoname_id": uint32(1), "names": m{"en": "Düsseldorf"}},
			"traits":       traits,
		}
	}
	return mmdb(4, m{
		"93.184.216.0/24": place(m{"user_type": "residential"}),
		"93.184.217.0/24": place(m{"is_hosting_provider": true}),
		"93.184.218.0/24": place(m{"user_type": "business", "autonomous_system_number": uint32(3320), "autonomous_system_organization": "Deutsche Telekom AG"}),
		"93.184.219.0/24": place(m{"user_type": "content_delivery_network"}),
	})
}

func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t *testing.T, paths ...string) *DB {
	t.Helper()
	db, err := Open(paths...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestPlaceReadsBothSchemas(t *testing.T) {
	db := open(t, write(t, "city.mmdb", flat()), write(t, "asn.mmdb", flatASN()), write(t, "maxmind.mmdb", nested()))
	dusseldorf := Place{Country: "de", Region: "northrhinewestphalia", RegionCode: "nw", City: "dusseldorf"}
	with := func(p Place, class Class, asn uint32, org string) Place {
		p.Class, p.ASN, p.Org = class, asn, org
		return p
	}
	for addr, want := range map[string]Place{
		"81.2.69.142":            with(Place{Country: "gb", Region: "england", City: "london"}, Unknown, 20712, "Andrews & Arnold Ltd"),
		"::ffff:81.2.69.142":     with(Place{Country: "gb", Region: "england", City: "london"}, Unknown, 20712, "Andrews & Arnold Ltd"),
		"189.6.1.1":              with(Place{Country: "br", Region: "saopaulo", City: "saopaulo"}, Residential, 28573, ""),
		"2a01:4f8:1::1":          with(Place{Country: "de"}, Hosting, 24940, "Hetzner Online GmbH"),
		"93.184.216.34":          with(dusseldorf, Residential, 0, ""),
		"93.184.217.34":          with(dusseldorf, Hosting, 0, ""),
		"93.184.218.34":          with(dusseldorf, Residential, 3320, "Deutsche Telekom AG"), // by its network: business says neither
		"93.184.219.34":          with(dusseldorf, Hosting, 0, ""),
		"193.99.144.80":          {Class: Unknown}, // D3 is no country
		"9.9.9.9":                {Class: Unknown},
		"2606:4700:4700::1111":   {Class: Unknown}, // not in the file for IPv4 alone either
		"192.168.1.1":            {Class: Unknown}, // in the file, under Australia
		"100.64.0.1":             {Class: Unknown},
		"198.51.100.200":         {Class: Unknown},
		"127.0.0.1":              {Class: Unknown},
		"2001:db8::1":            {Class: Unknown},
		"64:ff9b::5102:458e":     {Class: Unknown},
		"fe80::1%eth0":           {Class: Unknown},
		"::":                     {Class: Unknown},
		"255.255.255.255":        {Class: Unknown},
		"2a01:4f8:1::1%whatever": with(Place{Country: "de"}, Hosting, 24940, "Hetzner Online GmbH"),
	} {
		if diff := cmp.Diff(want, db.Place(netip.MustParseAddr(addr))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", addr, diff)
		}
	}
	if got := db.Place(netip.Addr{}); got != (Place{Class: Unknown}) {
		t.Errorf("no address: got %+v", got)
	}
}

func TestFirstFileWins(t *testing.T) {
	other := mmdb(4, m{"81.2.69.0/24": m{"country_code": "FR", "city": "Paris"}, "9.9.9.0/24": m{"country_code": "CH"}})
	db := open(t, write(t, "a.mmdb", flat()), write(t, "b.mmdb", other))
	for addr, want := range map[string]string{"81.2.69.142": "gb london", "9.9.9.9": "ch "} {
		if p := db.Place(netip.MustParseAddr(addr)); p.Country+" "+p.City != want {
			t.Errorf("%s: got %q %q, want %q", addr, p.Country, p.City, want)
		}
	}
}

func TestNoDatabaseKnowsNothing(t *testing.T) {
	for name, db := range map[string]*DB{"nil": nil, "empty": open(t)} {
		if got := db.Place(netip.MustParseAddr("81.2.69.142")); got != (Place{Class: Unknown}) {
			t.Errorf("%s: got %+v", name, got)
		}
		if err := db.Refresh(); err != nil {
			t.Errorf("%s: refresh: %v", name, err)
		}
		if err := db.Close(); err != nil {
			t.Errorf("%s: close: %v", name, err)
		}
	}
}

func TestOpenRefusesWhatIsNoDatabase(t *testing.T) {
	good := flat()
	for name, data := range map[string][]byte{
		"empty": nil, "text": []byte("country,DE\n"), "cut short": good[:len(good)/2],
		"without records": mmdb(4, m{}),
		"damaged body":    []byte(strings.ReplaceAll(string(good), "\x4ccountry_code", strings.Repeat("\xff", 13))),
	} {
		if db, err := Open(write(t, "bad.mmdb", data)); err == nil {
			db.Close()
			t.Errorf("%s: opened without an error", name)
		}
	}
	if _, err := Open(filepath.Join(t.TempDir(), "missing.mmdb")); err == nil {
		t.Error("a missing file was opened")
	}
}

// A new file is taken into use; a broken one leaves the old in place and is told once; its repair is taken again.
func TestRefreshTakesTheNewFileAndKeepsTheOldOverABrokenOne(t *testing.T) {
	path := write(t, "geo.mmdb", mmdb(4, m{"9.9.9.0/24": m{"country_code": "CH"}}))
	db := open(t, path)
	stamp := time.Now()
	put := func(data []byte) {
		stamp = stamp.Add(time.Minute) // each is newer, whatever the file system's clock counts in
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, stamp, stamp); err != nil {
			t.Fatal(err)
		}
	}
	check := func(step, want string, fails bool) {
		t.Helper()
		if err := db.Refresh(); (err != nil) != fails {
			t.Errorf("%s: refresh: got %v, want an error: %v", step, err, fails)
		}
		if got := db.Place(netip.MustParseAddr("9.9.9.9")).Country; got != want {
			t.Errorf("%s: got %q, want %q", step, got, want)
		}
	}
	check("unchanged", "ch", false)
	put(mmdb(4, m{"9.9.9.0/24": m{"country_code": "US"}}))
	check("changed", "us", false)
	put([]byte("half a downl"))
	check("broken", "us", true)
	check("still broken, and told already", "us", false)
	put(mmdb(4, m{"9.9.9.0/24": m{"country_code": "DE"}}))
	check("repaired", "de", false)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	check("gone", "de", false)
}

func TestNormalise(t *testing.T) {
	for in, want := range map[string]string{
		"Nordrhein-Westfalen": "nordrheinwestfalen", "São Paulo": "saopaulo", "new+york": "newyork", "St. John's": "stjohns",
		"Île-de-France": "iledefrance", "東京": "東京", "": "", "san_antonio": "sanantonio", "Zürich": "zurich",
	} {
		if got := Normalise(in); got != want || Normalise(got) != want {
			t.Errorf("%q: got %q, want %q, and the same again", in, got, want)
		}
	}
}

func TestNamesAreBounded(t *testing.T) {
	db := open(t, write(t, "long.mmdb", mmdb(4, m{"9.9.9.0/24": m{"country_code": "CH", "city": strings.Repeat("é", 120)}})))
	if got := db.Place(netip.MustParseAddr("9.9.9.9")).City; len(got) > maxName || got == "" {
		t.Errorf("got a name of %d bytes, want 1 to %d", len(got), maxName)
	}
}

// The free set that `make geo` fetches is the one that the manual names: what it says is read.
func TestFreeSetIsRead(t *testing.T) {
	path := filepath.Join("..", "..", ".cache", "geo", "country.mmdb")
	if _, err := os.Stat(path); err != nil {
		t.Skip("no free set here: run `make geo`")
	}
	db := open(t, path)
	for addr, want := range map[string]string{"193.99.144.80": "de", "212.58.233.1": "gb", "192.168.1.1": "", "8.8.8.8": "us"} {
		if got := db.Place(netip.MustParseAddr(addr)).Country; got != want {
			t.Errorf("%s: got %q, want %q", addr, got, want)
		}
	}
}

// Whatever a file holds, it is refused or it is read: it never ends the process.
func FuzzDatabase(f *testing.F) {
	for _, seed := range [][]byte{flat(), flatASN(), nested(), mmdb(4, m{})} {
		f.Add(seed, []byte{81, 2, 69, 142})
		f.Add(seed[:len(seed)/2], []byte{9, 9, 9, 9})
	}
	f.Add(flat(), netip.MustParseAddr("2a01:4f8::1").AsSlice())
	f.Fuzz(func(t *testing.T, data, raw []byte) {
		reader, err := parse(data)
		if err != nil {
			return
		}
		addr, _ := netip.AddrFromSlice(raw)
		one := &file{}
		one.reader.Store(reader)
		p := (&DB{files: []*file{one}}).Place(addr)
		if len(p.City) > maxName || len(p.Region) > maxName || len(p.Org) > maxOrg || len(p.Country) != 0 && len(p.Country) != 2 {
			t.Errorf("a place out of bounds: %+v", p)
		}
	})
}

func BenchmarkPlace(b *testing.B) {
	path := filepath.Join(b.TempDir(), "geo.mmdb")
	if err := os.WriteFile(path, flat(), 0o600); err != nil {
		b.Fatal(err)
	}
	db, err := Open(path)
	if err != nil {
		b.Fatal(err)
	}
	addr := netip.MustParseAddr("81.2.69.142")
	b.ReportAllocs()
	for b.Loop() {
		db.Place(addr)
	}
}
