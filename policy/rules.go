package policy

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Bounds of a rules file, so that a damaged or hostile one is refused before it costs anything.
const (
	maxPorts   = 64
	maxDomains = 10_000 // entries in allow and deny together
)

// mailPorts can never be opened: SMTP submission, POP and IMAP through strangers' homes is spam and
// password guessing, and it costs the owner the reputation of their address.
var mailPorts = map[uint16]bool{
	25: true, 465: true, 587: true, 2525: true, 110: true, 143: true, 993: true, 995: true,
}

// Rules is the owner's policy as it is written in YAML. What is left out is closed: no app, no
// purpose, no port, every category denied. DefaultRules is the starting point for an owner.
type Rules struct {
	Apps     []App     `yaml:"apps"`     // proxy, crawl
	Purposes []Purpose `yaml:"purposes"` // names of the closed list
	Ports    []uint16  `yaml:"ports"`    // target ports; mail ports are refused

	// PlainHTTP opens port 80. It is on by default: much of the open web still redirects from
	// there, and a page fetched so is marked as unauthenticated. TLS content is never readable on
	// the way; plain content is, by the edge and everybody behind it.
	PlainHTTP bool `yaml:"plain_http"`

	// Allow and Deny hold domain rules. "example.com" covers the name and everything below it,
	// "*.example.com" only what is below, "*" everything including bare addresses. The most
	// specific rule decides; between equals the owner's rule wins over a category.
	Allow []string `yaml:"allow,omitempty"`
	Deny  []string `yaml:"deny,omitempty"`

	// Categories opens or closes the built-in lists: name → allow or deny. Left out means deny.
	Categories map[string]Verdict `yaml:"categories,omitempty"`

	// Hours limits sharing to ranges of the owner's clock by weekday: {mon: "22:00-07:00", sat:
	// "00:00-24:00"}. A range that ends before it starts runs into the next day. No hours at all
	// means always; a weekday left out is closed.
	Hours map[string]string `yaml:"hours,omitempty"`
}

// Verdict is what the owner decided about a category.
type Verdict string

// The verdicts.
const (
	Allow Verdict = "allow"
	Deny  Verdict = "deny"
)

// DefaultRules is what an owner starts from: both apps, ports 80 and 443, every purpose but security
// research (whose traffic looks most like an attack), every category denied, no limit of hours.
func DefaultRules() Rules {
	return Rules{
		Apps:      Apps(),
		Purposes:  slices.DeleteFunc(Purposes(), func(p Purpose) bool { return p == "security-research" }),
		Ports:     []uint16{80, 443},
		PlainHTTP: true,
	}
}

// Compile checks every rule and builds the Policy with the built-in lists. The error names the first
// bad rule by its key and value; a policy with one bad rule is no policy.
func (r Rules) Compile() (*Policy, error) { return r.CompileWith(BuiltIn()) }

// CompileWith is Compile with lists to which the hub may have added.
func (r Rules) CompileWith(lists *Lists) (*Policy, error) {
	p := &Policy{
		apps: map[App]bool{}, purposes: map[Purpose]bool{}, ports: map[uint16]bool{},
		plainHTTP: r.PlainHTTP,
	}
	for i, a := range r.Apps {
		if !slices.Contains(Apps(), a) {
			return nil, fmt.Errorf("apps[%d]: %.40q is neither proxy nor crawl", i, a)
		}
		p.apps[a] = true
	}
	for i, u := range r.Purposes {
		if u.Code() == 0 {
			return nil, fmt.Errorf("purposes[%d]: %.40q is not one of %v", i, u, purposes)
		}
		p.purposes[u] = true
	}
	if len(r.Ports) > maxPorts {
		return nil, fmt.Errorf("ports: %d entries, at most %d", len(r.Ports), maxPorts)
	}
	for i, n := range r.Ports {
		if n == 0 || mailPorts[n] {
			return nil, fmt.Errorf("ports[%d]: port %d cannot be opened", i, n)
		}
		p.ports[n] = true
	}
	var err error
	if p.hours, err = parseHours(r.Hours); err != nil {
		return nil, err
	}
	if p.domains, err = compileDomains(r, lists); err != nil {
		return nil, err
	}
	p.digest = r.digest(lists)
	return p, nil
}

// digest hashes a canonical encoding: each list sorted and without repeats, every item prefixed by
// its length, the version of the category lists included. Order and repetition in the file do not
// change it; anything that changes an answer does.
func (r Rules) digest(with *Lists) [32]byte {
	enc := []byte("sward/policy/v1\n")
	list := func(items []string) {
		slices.Sort(items)
		items = slices.Compact(items)
		enc = binary.BigEndian.AppendUint32(enc, uint32(len(items)))
		for _, s := range items {
			enc = binary.BigEndian.AppendUint32(enc, uint32(len(s)))
			enc = append(enc, s...)
		}
	}
	list(stringsOf(r.Apps))
	list(stringsOf(r.Purposes))
	var ports []string
	for _, n := range r.Ports {
		ports = append(ports, fmt.Sprint(n))
	}
	list(ports)
	list([]string{fmt.Sprint(r.PlainHTTP)})
	list(canonicalPatterns(r.Allow))
	list(canonicalPatterns(r.Deny))
	var open []string
	for name, v := range r.Categories {
		if v == Allow {
			open = append(open, name)
		}
	}
	list(open)
	var hours []string
	for _, day := range slices.Sorted(maps.Keys(r.Hours)) {
		hours = append(hours, day+"="+r.Hours[day])
	}
	list(hours)
	lists := with.digest()
	return sha256.Sum256(append(enc, lists[:]...))
}

func stringsOf[S ~string](in []S) []string {
	out := make([]string, len(in))
	for i, s := range in {
		out[i] = string(s)
	}
	return out
}

// weekdays are the keys of Rules.Hours, at their time.Weekday.
var weekdays = [7]string{
	time.Sunday: "sun", time.Monday: "mon", time.Tuesday: "tue", time.Wednesday: "wed",
	time.Thursday: "thu", time.Friday: "fri", time.Saturday: "sat",
}
