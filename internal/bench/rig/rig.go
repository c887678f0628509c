// Package rig builds the road that the measuring programs drive on: network namespaces for a street, a home and a
// site, joined as a home line joins them, and the built programs running inside.
//
// The three measuring programs ask the same of a machine. A client and a relay stand in the street, an edge in a home
// behind its own addresses, a web site beyond the home. Addresses look public, because an edge refuses private targets
// and has no switch for it; nothing leaves, because no namespace has an uplink. Between street and home lies either a
// plain pair of interfaces or a Link: a user-space line with delay, loss, a rate and a queue, since the kernel's own
// (netem) is not everywhere.
//
// A namespace here has no name: it is a thread that stands in one, and lives as long as that thread and the programs
// that were started from it. Programs die with the thread. So whatever ends the measurement, a signal or a crash,
// nothing stays behind.
package rig

import "errors"

// Addresses of the rig. Street and site look public; the home's are a home's.
const (
	Street = "44.128.0.10" // hub, relay, entries and clients
	second = "44.128.0.11" // hub and relay of a second network, towards which nothing goes by UDP
	Site   = "44.128.1.20" // web site
	dns    = "44.128.1.53" // resolver: not the site's address, for an edge reaches its own DNS server for nobody
	Home   = "192.168.11.2"
	Door   = "192.168.11.1" // the street's end of the home line

	homeToSite = "192.168.12.2"
	siteToHome = "192.168.12.1"

	// SiteName is the web site's name for the home's resolver.
	SiteName = "shop.example"
	// TrapName is a public name with a private address behind it.
	TrapName = "router.example"
)

// ErrMissing says that this machine cannot carry the rig: no root, no namespaces, a tool that is not there.
var ErrMissing = errors.New("skipped")
