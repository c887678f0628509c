// Package geo tells where an address is and what kind of line it is, from databases in MaxMind's format.
//
// A relay asks once for each session of an edge, so that a partner can choose the country its request leaves from and be
// told what it got. The databases are the operator's: GeoLite2 or GeoIP2 with MaxMind's nested fields, or the free sets of
// ip-location-db with flat ones. Several are laid over each other, a file of countries and one of networks say; where two
// tell the same thing the first file wins.
//
// What a database says is a hint: free sets put the same address into three countries. Nothing here is proof, and nothing
// here is what an edge says of itself.
package geo

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
)

// maxFile bounds one database in bytes: the largest in use, cities for both families, has 150 MiB.
const maxFile = 512 << 20

// Place is what is known of an address. What is not known is empty, and Class is Unknown.
type Place struct {
	Country    string // ISO 3166-1 alpha-2 in lower case
	Region     string // the largest subdivision, as [Normalise] writes names
	RegionCode string // ISO 3166-2 without the country, in the same form: "ca", "by"
	City       string // as Region
	ASN        uint32 // of the network that announces the address
	Org        string // who runs that network, for people to read
	Class      Class
}

// DB is a store of one or more files, read into memory: a mapped file that is cut short while it is in use would end the
// process. A nil DB knows nothing.
type DB struct {
	mu    sync.Mutex // one Refresh at a time
	files []*file
}

// file is one database.
type file struct {
	path   string
	reader atomic.Pointer[maxminddb.Reader]

	// Of the content in use, or of the last that was refused; Refresh's.
	size     int64
	modified time.Time
}

// Open reads the databases at paths.
func Open(paths ...string) (*DB, error) {
	db := &DB{}
	for _, path := range paths {
		f := &file{path: path}
		if err := f.load(); err != nil {
			return nil, err
		}
		db.files = append(db.files, f)
	}
	return db, nil
}

// Close lets go of the databases; a closed DB knows nothing.
func (db *DB) Close() error {
	if db == nil {
		return nil
	}
	for _, f := range db.files {
		f.reader.Store(nil) // what is being asked right now goes on with the old content
	}
	return nil
}

// Refresh reads those files again that have changed since. One that cannot be used leaves its last content in place, and
// is told once: it is read again when it has changed again.
func (db *DB) Refresh() error {
	if db == nil {
		return nil
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	var failed []error
	for _, f := range db.files {
		info, err := os.Stat(f.path)
		switch {
		case err != nil: // gone for the moment between two versions, or for good: what was read still holds
			continue
		case info.Size() == f.size && info.ModTime().Equal(f.modified):
			continue
		}
		failed = append(failed, f.load())
	}
	return errors.Join(failed...)
}

// load reads f whole and takes it into use if it is a database.
func (f *file) load() error {
	info, err := os.Stat(f.path)
	if err != nil {
		return fmt.Errorf("geo: %w", err)
	}
	f.size, f.modified = info.Size(), info.ModTime()
	if info.Size() > maxFile {
		return fmt.Errorf("geo: %s has %d bytes, and no database has more than %d", f.path, info.Size(), maxFile)
	}
	data, err := os.ReadFile(f.path)
	if err != nil {
		return fmt.Errorf("geo: %w", err)
	}
	reader, err := parse(data)
	if err != nil {
		return fmt.Errorf("geo: %s: %w", f.path, err)
	}
	f.reader.Store(reader)
	return nil
}

// Place looks addr up. An address that is not of the public Internet is nowhere, whatever a database says: some list
// private ranges under the country of the registry that reserved them.
func (db *DB) Place(addr netip.Addr) Place {
	p := Place{Class: Unknown}
	addr = addr.Unmap().WithZone("")
	if db == nil || !public(addr) {
		return p
	}
	for _, f := range db.files {
		if reader := f.reader.Load(); reader != nil {
			look(reader, addr, &p)
		}
	}
	if p.Class == Unknown {
		p.Class = classOf(p.ASN)
	}
	return p
}

// special are ranges inside the global ones that are no single place: documentation, benchmarks, shared and translated
// addresses (IANA's special-purpose registries).
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("192.88.99.0/24"), netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("3fff::/20"),
}

// global is all that IANA has given out of IPv6.
var global = netip.MustParsePrefix("2000::/3")

func public(addr netip.Addr) bool {
	if !addr.IsGlobalUnicast() || addr.IsPrivate() || addr.Is6() && !global.Contains(addr) {
		return false
	}
	for _, p := range special {
		if p.Contains(addr) {
			return false
		}
	}
	return true
}
