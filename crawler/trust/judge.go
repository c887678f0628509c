package trust

import "slices"

// Finding is what comparing a page with other readings of it came to, from the best to the worst.
type Finding uint8

// The findings.
const (
	Same    Finding = iota // or it differs only where the other readings differ from each other
	Unclear                // the other readings are so unlike that nothing follows
	Numbers                // only numbers differ: an edge may have changed them, and so may a counter have
	Altered                // it says what no other reading says, where they agree
)

const (
	nearby  = 6 // words: places of change that stand no further apart are one place, an advertisement for example
	swollen = 3 // times as long as the readings have it: what may be new, or not be there yet, at such a place, and
	surplus = 4 // so many words more
)

// Judge compares a page with one or more other readings of the same address. One other reading cannot tell what changes
// by itself, so that every difference from it counts.
func Judge(page Reading, others ...Reading) Finding {
	worst, steady := Altered, false
	for i, o := range others {
		places, agree := changing(o, others, i)
		steady = steady || agree
		if page.Status != o.Status {
			continue
		}
		found, ok := diff(page.words, o.words)
		if ok && len(found) == 0 {
			return Same
		}
		if !ok || !agree {
			continue
		}
		rest := slices.DeleteFunc(found, func(h hunk) bool { return excused(h, places, page, o, others) })
		switch {
		case len(rest) == 0:
			return Same
		case numbersOnly(page, o, rest):
			worst = Numbers
		}
	}
	if !steady {
		return Unclear
	}
	return worst
}

// changing lists the places of a reading at which the others have something else, in its own words. It reports whether
// enough of it stands still to say anything.
func changing(o Reading, others []Reading, self int) (places []hunk, steady bool) {
	if len(others) == 1 {
		return nil, true
	}
	for j, other := range others {
		if j == self || other.Status != o.Status {
			continue
		}
		found, ok := diff(other.words, o.words)
		if !ok {
			continue
		}
		steady = true
		places = append(places, found...)
	}
	slices.SortFunc(places, func(a, b hunk) int { return a.b0 - b.b0 })
	var joined []hunk
	moving := 0
	for _, p := range places {
		if n := len(joined); n > 0 && p.b0-joined[n-1].b1 <= nearby {
			last := &joined[n-1]
			last.b1 = max(last.b1, p.b1)
			last.a1 += p.a1 - p.a0 // as a length: a0 and a1 of several readings do not compare
			continue
		}
		joined = append(joined, hunk{0, p.a1 - p.a0, p.b0, p.b1})
	}
	for _, p := range joined {
		moving += p.b1 - p.b0
	}
	return joined, steady && 2*moving <= len(o.words)
}

// excused reports whether a difference stands where the site itself says now this and now that, and leads to nobody new:
// to a host that another reader met too, unless the place is one where each reader meets others.
func excused(h hunk, places []hunk, page, o Reading, others []Reading) bool {
	for _, p := range places {
		longest := max(p.a1-p.a0, p.b1-p.b0)
		if h.b1 < p.b0 || h.b0 > p.b1 || max(h.a1-h.a0, h.b1-h.b0) > swollen*longest+surplus {
			continue
		}
		fresh := func(m mention) bool { return known(m.host, others) == 0 }
		once := func(m mention) bool { return known(m.host, others) == 1 }
		return !slices.ContainsFunc(page.mentions(h.a0, h.a1), fresh) || slices.ContainsFunc(o.mentions(p.b0, p.b1), once)
	}
	return false
}

// known counts the readings in which a host is mentioned.
func known(host uint64, readings []Reading) (n int) {
	for _, r := range readings {
		if r.knows(host) {
			n++
		}
	}
	return n
}

func numbersOnly(page, other Reading, hunks []hunk) bool {
	for _, h := range hunks {
		if !slices.Equal(page.numbered[h.a0:h.a1], other.numbered[h.b0:h.b1]) {
			return false
		}
	}
	return true
}

// Distance is how many words two readings differ by; beyond maxEdits that is no longer counted.
func Distance(a, b Reading) int {
	found, ok := diff(a.words, b.words)
	if !ok || a.Status != b.Status {
		return maxEdits + 1
	}
	n := 0
	for _, h := range found {
		n += h.a1 - h.a0 + h.b1 - h.b0
	}
	return n
}
