package relay

import (
	"net/netip"
)

const (
	// maxRecent is how many prefixes of an account are remembered, maxAccountsRecent for how many accounts.
	maxRecent         = 8
	maxAccountsRecent = 4096
)

// recent is where an account's last streams left from, so that the next one leaves from elsewhere: a buyer who rotates
// wants other networks, not other houses of one street.
type recent struct {
	prefixes [maxRecent]netip.Prefix
	next     int
}

func (r *recent) has(p netip.Prefix) bool {
	if r == nil || !p.IsValid() {
		return false
	}
	for i := range r.prefixes {
		if r.prefixes[i] == p {
			return true
		}
	}
	return false
}

func (r *recent) add(p netip.Prefix) {
	if !p.IsValid() {
		return
	}
	r.prefixes[r.next] = p
	r.next = (r.next + 1) % maxRecent
}

// recentOf finds what is remembered of an account. Which one is forgotten when there are too many is chance.
func (t *table) recentOf(who tag) *recent {
	if r, ok := t.recents[who]; ok {
		return r
	}
	if len(t.recents) >= maxAccountsRecent {
		for old := range t.recents {
			delete(t.recents, old)
			break
		}
	}
	r := &recent{}
	t.recents[who] = r
	return r
}
