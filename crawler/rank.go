package crawler

import (
	"time"

	"sward/crawler/link"
)

// The order in which addresses of one host and job are fetched: what a site says of itself first, then by distance from
// the start, and within that by what the site says of the page and by how many pages lead to it. A rank stands in ready_at
// until the address has to wait for something; it is a time long past.
const (
	rankEnd  = 1_000_000 // ranks are below it, times are not
	rankStep = 1_000     // between two depths
	rankMid  = 700       // of a page of which nothing is known, within its depth
	rankSite = 200       // up or down from there, by what the sitemap says
	rankLink = 40        // up for each further page that leads to it …
	rankTop  = 100       // … as long as it stays behind this
)

// rank is an address's first one. Entries of a sitemap come with the pages that the start page names.
func (l lead) rank() int {
	if l.kind != kindPage {
		return 0
	}
	depth := min(max(l.depth, 1), rankEnd/rankStep-1)
	return depth*rankStep + rankMid - int(l.worth*rankSite)
}

// News and age of a page, as far as a sitemap's dates tell them.
const (
	news     = 7 * 24 * time.Hour
	oldAge   = 2 * 365 * 24 * time.Hour
	ageShare = 0.3 // of a page's worth; the rest is its priority's
)

// worth is what a sitemap says of a page, from -1 to 1.
func worth(said link.Said, now time.Time) float64 {
	w := (said.Priority - 0.5) * 2 * (1 - ageShare)
	switch age := now.Sub(said.Modified); {
	case said.Modified.IsZero():
	case age < news:
		w += ageShare
	case age > oldAge:
		w -= ageShare
	}
	return w
}

// raise lifts addresses that were known already, by one link. size is that of the chunk they are of: the statement has as
// many places, so that it is one of few.
func (t *tx) raise(j *job, keys []string, size int) error {
	if len(keys) == 0 || j.kind == Batch {
		return nil
	}
	args := []any{rankLink, j.id}
	for i := range size {
		args = append(args, []byte(keys[min(i, len(keys)-1)]))
	}
	_, err := t.do(`UPDATE urls SET ready_at = ready_at - ? WHERE job = ? AND key IN (`+repeat("?", size)+`)
		AND state = 0 AND ready_at > ? AND ready_at < ? AND ready_at % ? >= ?`, append(args, rankStep, rankEnd, rankStep, rankTop+rankLink)...)
	return err
}
