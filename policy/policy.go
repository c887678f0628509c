// Package policy answers one question, may this happen?, and names the rule that answered.
//
// It is pure: no sockets, no files, no clock of its own. Three callers ask it. The gateway asks
// whether a partner may reach a target, the edge asks whether its owner allows it, the crawler asks
// whether a job may fetch a page. Because all three ask the same functions, a refusal carries the
// same name wherever it is shown, and what the owner reads on the dashboard is what the partner got.
//
// A request passes through four doors, cheapest first. ParseTarget (host.go) turns text into a
// host and a port, or refuses: names are LDH or IDNA with at least two labels, addresses are
// written in full. Policy.Check (below) applies the owner's rules: apps, hours, purposes, ports,
// domains and categories. Gate.CheckAll (gate.go) looks at every address the name resolved to and
// lets only the public Internet pass: this is what keeps a stranger out of the home network. Caps
// (volume.go) leases bytes before they flow. Nothing here may be switched off for private addresses.
package policy

import (
	"errors"
	"fmt"
	"time"
)

// ErrDenied is what every refusal of this package is, for callers that branch on it with errors.Is.
var ErrDenied = errors.New("denied by policy")

// Denied is a refusal. Rule is a stable name, equal to the wire code of the same name, and is what
// metrics count; Detail is one sentence for the person who reads it and may name the host.
type Denied struct {
	Rule   string
	Detail string
}

// Error gives the rule and the sentence.
func (d *Denied) Error() string { return d.Rule + ": " + d.Detail }

// Unwrap makes errors.Is(err, ErrDenied) true.
func (d *Denied) Unwrap() error { return ErrDenied }

func denied(rule, format string, args ...any) *Denied {
	return &Denied{Rule: rule, Detail: fmt.Sprintf(format, args...)}
}

// Request is what somebody wants to do through a home connection.
type Request struct {
	App     App
	Purpose Purpose
	Target  Target
	Time    time.Time // now, in the owner's time zone: hours are read from its wall clock
}

// Policy is the compiled form of Rules. It is immutable and safe for concurrent use.
type Policy struct {
	apps      map[App]bool
	purposes  map[Purpose]bool
	ports     map[uint16]bool
	plainHTTP bool
	hours     *week // nil: always open
	domains   *domains
	digest    [32]byte
}

// plainPort is the port on which traffic is taken to be unencrypted: a proxy sees no more than this.
const plainPort = 80

// Check returns nil, or a *Denied naming the first rule that refuses. A target that is an address
// also passes the public-Internet part of the address gate here, so that a gateway can refuse it
// without asking an edge; the edge checks again with its own addresses. [Policy.Explain] says more, and costs more.
func (p *Policy) Check(r Request) error {
	if err := p.checkApp(r.App); err != nil {
		return err
	}
	if err := p.checkHours(r.Time); err != nil {
		return err
	}
	if err := p.checkPurpose(r.Purpose); err != nil {
		return err
	}
	if err := checkHost(r.Target.Host); err != nil { // before the port: that it is somebody's home says more than which door
		return err
	}
	if err := p.checkPort(r.Target.Port); err != nil {
		return err
	}
	return p.domains.check(r.Target.Host)
}

func (p *Policy) checkApp(a App) error {
	if !p.apps[a] {
		return denied("app_denied", "the owner does not share for %q", a)
	}
	return nil
}

func (p *Policy) checkHours(t time.Time) error {
	if !p.Open(t) {
		return denied("out_of_hours", "the owner does not share at this hour")
	}
	return nil
}

func (p *Policy) checkPurpose(u Purpose) error {
	if !p.purposes[u] {
		return denied("purpose_denied", "the owner does not accept the purpose %q", u)
	}
	return nil
}

func checkHost(h Host) error {
	if h.IsZero() {
		return denied("bad_host", "no host")
	}
	if a, ok := h.Addr(); ok {
		return (Gate{}).Check(a)
	}
	return nil
}

func (p *Policy) checkPort(port uint16) error {
	switch {
	case mailPorts[port]:
		return denied("port_mail", "port %d carries mail", port)
	case !p.ports[port]:
		return denied("port_not_allowed", "port %d is not open", port)
	case port == plainPort && !p.plainHTTP:
		return denied("plain_http_denied", "unencrypted HTTP is switched off")
	}
	return nil
}

// Open tells whether the owner shares at t, read in t's own time zone.
func (p *Policy) Open(t time.Time) bool { return p.hours == nil || p.hours.open(t) }

// Digest identifies the rules and the category lists they were compiled with: two policies with the
// same digest give the same answers. It travels in channels and receipts as the policy hash.
func (p *Policy) Digest() [32]byte { return p.digest }
