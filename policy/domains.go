package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// domains decides by the most specific rule. Each map is keyed by the suffix a rule was written
// for; a name is looked up whole, then without its first label, and so on, so the first hit is the
// most specific and example.com never covers badexample.com. The cost is the number of labels.
type domains struct {
	exact  map[string]Verdict // owner: the name and everything below it
	below  map[string]Verdict // owner: only what is below ("*.example.com")
	all    Verdict            // owner: "*"; empty when not given
	lists  *Lists
	closed uint32 // categories that the owner has not opened
}

// check returns nil or a *Denied: domain_denied for the owner's rule, category_denied for a list.
func (d *domains) check(h Host) error {
	name := h.Name()
	if name == "" {
		return d.fallback()
	}
	for suffix, below := name, false; ; below = true {
		if below {
			if v, ok := d.below[suffix]; ok {
				return byOwner(v, "*."+suffix)
			}
		}
		if v, ok := d.exact[suffix]; ok {
			return byOwner(v, suffix)
		}
		if d.closed != 0 && d.lists.of(suffix, !below)&d.closed != 0 {
			return denied("category_denied", "%s is listed under %s", suffix, strings.Join(d.closedNames(suffix, !below), ", "))
		}
		_, rest, more := strings.Cut(suffix, ".")
		if !more {
			return d.fallback()
		}
		suffix = rest
	}
}

// closedNames are the closed categories that hold a suffix.
func (d *domains) closedNames(suffix string, whole bool) []string {
	return slices.DeleteFunc(d.lists.namesOf(suffix, whole), func(name string) bool { return bitOf(name)&d.closed == 0 })
}

func (d *domains) fallback() error {
	if d.all == Deny {
		return byOwner(Deny, "*")
	}
	return nil
}

func byOwner(v Verdict, pattern string) error {
	if v == Deny {
		return denied("domain_denied", "the owner denies %s", pattern)
	}
	return nil
}

// errPattern explains the shapes a domain rule may have.
var errPattern = errors.New(`a rule is "example.com", "*.example.com" or "*"`)

// compileDomains reads the owner's rules and the lists that the owner left closed.
func compileDomains(r Rules, lists *Lists) (*domains, error) {
	if n := len(r.Allow) + len(r.Deny); n > maxDomains {
		return nil, fmt.Errorf("allow, deny: %d entries, at most %d", n, maxDomains)
	}
	d := &domains{exact: map[string]Verdict{}, below: map[string]Verdict{}, lists: lists, closed: 1<<len(sortedCategories()) - 1 | unknownBit}
	if err := d.addAll("allow", r.Allow, Allow); err != nil {
		return nil, err
	}
	if err := d.addAll("deny", r.Deny, Deny); err != nil {
		return nil, err
	}
	for name, v := range r.Categories {
		if bitOf(name) == unknownBit {
			return nil, fmt.Errorf("categories: %.40q is not one of %s", name, strings.Join(Categories(), ", "))
		}
		if v != Allow && v != Deny {
			return nil, fmt.Errorf("categories.%s: %.20q is neither allow nor deny", name, v)
		}
		if v == Allow {
			d.closed &^= bitOf(name)
		}
	}
	if d.closed == unknownBit && len(lists.tables) == builtInTables {
		d.closed = 0 // nothing to look up: a gateway, which leaves the name to the owners
	}
	return d, nil
}

func (d *domains) addAll(key string, patterns []string, v Verdict) error {
	for i, p := range patterns {
		if err := d.add(p, v); err != nil {
			return fmt.Errorf("%s[%d]: %.260q: %w", key, i, p, err)
		}
	}
	return nil
}

func (d *domains) add(pattern string, v Verdict) error {
	into, suffix := d.exact, pattern
	if pattern == "*" {
		if d.all != "" && d.all != v {
			return errors.New("both allowed and denied")
		}
		d.all = v
		return nil
	}
	if rest, ok := strings.CutPrefix(pattern, "*."); ok {
		into, suffix = d.below, rest
	}
	suffix, err := parseSuffix(suffix)
	if err != nil {
		return err
	}
	if old, ok := into[suffix]; ok && old != v {
		return errors.New("both allowed and denied")
	}
	into[suffix] = v
	return nil
}

// parseSuffix accepts a name of one or more labels: a whole top-level domain may be ruled.
func parseSuffix(s string) (string, error) {
	name, err := asciiName(s)
	if err != nil || len(name) > maxName {
		return "", errPattern
	}
	for l := range strings.SplitSeq(name, ".") {
		if !isLDH(l) {
			return "", errPattern
		}
	}
	return name, nil
}

// canonicalPatterns gives the form that is hashed; the patterns were accepted before.
func canonicalPatterns(in []string) []string {
	out := make([]string, len(in))
	for i, p := range in {
		star := ""
		if rest, ok := strings.CutPrefix(p, "*."); ok {
			star, p = "*.", rest
		}
		if name, err := parseSuffix(p); err == nil {
			p = name
		}
		out[i] = star + p
	}
	return out
}
