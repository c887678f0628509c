package policy

import (
	"bufio"
	"encoding/csv"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"testing"
)

// registryRow is one line of an IANA registry as kept in testdata, which the gate never reads.
type registryRow struct {
	prefix netip.Prefix
	global string // true, false or n/a
}

func loadRegistry(t *testing.T, file string) []registryRow {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := csv.NewReader(bufio.NewReader(f))
	r.Comment, r.LazyQuotes, r.FieldsPerRecord = '#', true, 4
	var rows []registryRow
	for {
		rec, err := r.Read()
		if err == io.EOF {
			return rows
		}
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, registryRow{netip.MustParsePrefix(rec[0]), strings.TrimSpace(rec[3])})
	}
}

// reachable is the registries' answer for a: the most specific row decides; without a row, all of
// IPv4 and 2000::/3 of IPv6 are the public Internet.
func reachable(rows []registryRow, a netip.Addr) bool {
	best := -1
	global := a.Is4() || netip.MustParsePrefix("2000::/3").Contains(a)
	for _, r := range rows {
		if r.prefix.Contains(a) && r.prefix.Bits() > best {
			best, global = r.prefix.Bits(), r.global == "true"
		}
	}
	return global
}

// stricter is where the gate refuses what IANA calls globally reachable, on purpose.
var stricter = []netip.Prefix{
	netip.MustParsePrefix("192.0.0.0/24"),     // anycast answered by the nearest router
	netip.MustParsePrefix("2001::/23"),        // the same
	netip.MustParsePrefix("64:ff9b::/96"),     // NAT64 carries any IPv4 address
	netip.MustParsePrefix("168.63.129.16/32"), // Azure metadata
}

func wantAllowed(rows []registryRow, a netip.Addr) bool {
	for _, p := range stricter {
		if p.Contains(a) {
			return false
		}
	}
	return reachable(rows, a)
}

func TestGateAgreesWithIANAAtEveryBoundary(t *testing.T) {
	for _, file := range []string{"testdata/iana-ipv4-special.csv", "testdata/iana-ipv6-special.csv"} {
		rows := loadRegistry(t, file)
		prefixes := append([]netip.Prefix{netip.MustParsePrefix("2000::/3")}, stricter...)
		for _, r := range rows {
			prefixes = append(prefixes, r.prefix)
		}
		for _, p := range prefixes {
			first, last := p.Masked().Addr(), lastOf(p)
			for _, a := range []netip.Addr{first.Prev(), first, last, last.Next()} {
				if a.IsValid() && a.Is4() == rows[0].prefix.Addr().Is4() {
					compareGate(t, rows, a)
				}
			}
		}
	}
}

func TestGateAgreesWithIANAOnRandomAddresses(t *testing.T) {
	const rounds = 50_000
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 1))
	v4 := loadRegistry(t, "testdata/iana-ipv4-special.csv")
	v6 := loadRegistry(t, "testdata/iana-ipv6-special.csv")
	for range rounds {
		var b [16]byte
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		compareGate(t, v4, netip.AddrFrom4([4]byte(b[:4])))
		compareGate(t, v6, netip.AddrFrom16(b))
		// Uniform addresses seldom meet a small block: start one in three inside a row.
		row := v6[rnd.IntN(len(v6))].prefix
		compareGate(t, v6, inside(row, b))
		row = v4[rnd.IntN(len(v4))].prefix
		compareGate(t, v4, inside(row, b))
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func compareGate(t *testing.T, rows []registryRow, a netip.Addr) {
	t.Helper()
	err := Gate{}.Check(a)
	if got, want := err == nil, wantAllowed(rows, a); got != want {
		t.Errorf("Gate.Check(%s) allowed = %v (%v), the registry says %v", a, got, err, want)
	}
}

// inside keeps the prefix's bits and takes the rest from noise.
func inside(p netip.Prefix, noise [16]byte) netip.Addr {
	base := p.Addr().AsSlice()
	for i := p.Bits(); i < len(base)*8; i++ {
		base[i/8] |= noise[i/8] & (0x80 >> (i % 8))
	}
	a, _ := netip.AddrFromSlice(base)
	return a
}

func lastOf(p netip.Prefix) netip.Addr {
	var ones [16]byte
	for i := range ones {
		ones[i] = 0xff
	}
	return inside(p.Masked(), ones)
}
