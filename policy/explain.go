package policy

import (
	"fmt"
	"strings"
)

// Finding is one rule that has a say about a request.
type Finding struct {
	Rule   string `json:"rule"`   // of a refusal, its name as in Denied; else "allowed"
	Allows bool   `json:"allows"` // what it says
	Where  string `json:"where"`  // the key of the settings that it stands under and its value, or what it is built into
	Text   string `json:"text"`   // one sentence
}

// Explanation is a request's verdict with everything that led to it.
type Explanation struct {
	Allowed bool      `json:"allowed"`
	Decided Finding   `json:"decided"` // the rule that gave the verdict
	Others  []Finding `json:"others"`  // that have a say too: they come after it, or are less specific
}

const (
	allowed = "allowed"
	builtIn = "built in"
)

func allows(where, format string, args ...any) Finding {
	return Finding{Rule: allowed, Allows: true, Where: where, Text: fmt.Sprintf(format, args...)}
}

func refuses(where string, err *Denied) Finding {
	return Finding{Rule: err.Rule, Where: where, Text: err.Detail}
}

// Explain gives the verdict of Check with the rule that decided and all others that have a say. The order is that of
// Check: app, hours, purpose, address, port, and then what is said of the name. There the most specific rule wins: the one
// that names the most labels of it; of two that name the same, the owner's own wins over a list, and one for "*.example.com"
// over one for "example.com". "*" comes last. A refusal of an earlier door stands, however specific a later rule is. A
// request without an app or a purpose passes those doors unasked.
func (p *Policy) Explain(r Request) Explanation {
	doors := p.doors(r)
	domains := p.domains.findings(r.Target.Host)
	// A door that lets pass decides nothing; the first rule about the name does, unless a door is shut.
	e := Explanation{Decided: domains[0], Others: domains[1:]}
	if len(doors) > 0 {
		e = Explanation{Decided: doors[0], Others: append(doors[1:], domains...)}
	}
	e.Allowed = e.Decided.Allows
	return e
}

// doors are the refusals of all that is asked before the name.
func (p *Policy) doors(r Request) (shut []Finding) {
	add := func(where string, err error) {
		if d, ok := err.(*Denied); ok { //nolint:errorlint // the functions of this package return nothing else
			shut = append(shut, refuses(where, d))
		}
	}
	if r.App != "" {
		add("policy.apps", p.checkApp(r.App))
	}
	add("policy.hours", p.checkHours(r.Time))
	if r.Purpose != "" {
		add("policy.purposes", p.checkPurpose(r.Purpose))
	}
	add(builtIn, checkHost(r.Target.Host))
	add(portKey(r.Target.Port), p.checkPort(r.Target.Port))
	return shut
}

// portKey is what the owner would change to have a port open.
func portKey(port uint16) string {
	switch {
	case mailPorts[port]:
		return builtIn
	case port == plainPort:
		return "policy.ports, policy.plain_http"
	}
	return "policy.ports"
}

// findings are all rules about a name, the deciding one first. There is always one.
func (d *domains) findings(h Host) []Finding {
	name := h.Name()
	var all, silent []Finding
	for suffix, more := name, name != ""; more; _, suffix, more = strings.Cut(suffix, ".") {
		if v, ok := d.below[suffix]; ok && suffix != name {
			all = append(all, owners(v, "*."+suffix))
		}
		if v, ok := d.exact[suffix]; ok {
			all = append(all, owners(v, suffix))
		}
		for _, category := range d.lists.namesOf(suffix, suffix == name) {
			if bitOf(category)&d.closed == 0 {
				silent = append(silent, allows("policy.categories."+category, "%s is listed under %s, which the owner has opened: the list has no say", suffix, category))
				continue
			}
			all = append(all, refuses("policy.categories."+category, denied("category_denied", "%s is listed under %s", suffix, category)))
		}
	}
	if d.all != "" {
		all = append(all, owners(d.all, "*"))
	} else {
		all = append(all, allows(builtIn, "no rule and no list denies it"))
	}
	return append(all, silent...)
}

// owners is a rule that the owner wrote.
func owners(v Verdict, pattern string) Finding {
	if err, ok := byOwner(v, pattern).(*Denied); ok { //nolint:errorlint // it returns nothing else
		return refuses("policy.deny: "+pattern, err)
	}
	return allows("policy.allow: "+pattern, "the owner allows %s", pattern)
}
