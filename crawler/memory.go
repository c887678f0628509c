package crawler

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"sward/crawler/warc"
	"sward/internal/wire"
)

// remembered is a page as it was when it was last looked at. Its body is in the archive; what a document's provenance
// tells is kept beside it, because the signed statement is as true when the page is handed out again.
//
// Pages that a crawl found by following links are everybody's. An address that a partner named may hold a token that
// nobody else should be able to ask about, so what came of it is for that account alone.
type remembered struct {
	key            []byte
	url            string // where redirects led, canonical
	place          warc.Location
	etag, modified string // validators, empty where there is none that could be sent
	payload        [32]byte
	content        [32]byte // digest of the text, as taken by reading
	reading        []byte
	fetched        time.Time // date of the response in the archive
	checked        time.Time // when it was last known to be what the site says
	span           time.Duration
	how            history
}

// history is how the body came, for the provenance of whoever gets it next.
type history struct {
	Edge    string        `json:"-"` // in a column of its own
	Exit    string        `json:"exit,omitempty"`
	Audited string        `json:"audited"`
	Attest  []byte        `json:"attest,omitempty"`
	Sig     []byte        `json:"sig,omitempty"`
	Hops    []string      `json:"hops,omitempty"`
	Rule    string        `json:"rule,omitempty"`
	Address netip.Addr    `json:"address,omitzero"`
	Started time.Time     `json:"started"`
	Took    time.Duration `json:"took"`
}

// memoryKey names an address in the memory of an account, or of all if owner is empty.
func memoryKey(owner, address string) []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s %s", len(owner), owner, address))
	return sum[:16] // 128 bits: addresses never meet by chance
}

const memoryColumns = `key, url, file, place, length, records, record, etag, modified, payload, content, reading, fetched,
	checked, span, edge, how`

// memoriesOf finds what an account may know of addresses: the newest of its own and of everybody's.
func (c *Crawler) memoriesOf(ctx context.Context, account string, addresses ...string) (map[string]*remembered, error) {
	if len(addresses) == 0 {
		return nil, nil
	}
	var keys []any
	of := make(map[string]string, 2*len(addresses)) // key to address
	for _, address := range addresses {
		for _, owner := range []string{"", account} {
			key := memoryKey(owner, address)
			keys = append(keys, key)
			of[string(key)] = address
		}
	}
	rows, err := c.store.rows(ctx, "SELECT "+memoryColumns+" FROM memory WHERE key IN (?"+strings.Repeat(", ?", len(keys)-1)+")", keys...)
	if err != nil {
		return nil, fmt.Errorf("read memory: %w", err)
	}
	defer rows.Close()
	found := make(map[string]*remembered)
	for rows.Next() {
		m, err := scanMemory(rows)
		if err != nil {
			return nil, fmt.Errorf("read memory: %w", err)
		}
		address := of[string(m.key)]
		if other := found[address]; other == nil || other.checked.Before(m.checked) {
			found[address] = m
		}
	}
	return found, rows.Err()
}

func scanMemory(rows *sql.Rows) (*remembered, error) {
	var m remembered
	var payload, content []byte
	var fetched, checked, span int64
	var how string
	err := rows.Scan(&m.key, &m.url, &m.place.File, &m.place.Offset, &m.place.Length, &m.place.Records, &m.place.ID,
		&m.etag, &m.modified, &payload, &content, &m.reading, &fetched, &checked, &span, &m.how.Edge, &how)
	if err != nil {
		return nil, err
	}
	copy(m.payload[:], payload)
	copy(m.content[:], content)
	m.fetched, m.checked, m.span = time.UnixMilli(fetched), time.UnixMilli(checked), time.Duration(span)*time.Millisecond
	return &m, json.Unmarshal([]byte(how), &m.how)
}

// serves reports whether the page may be handed out as it is. A partner who names no age leaves the choice to us: then a page is
// good until it is likely to have changed, and never longer than fresh.
func (m *remembered) serves(o ScrapeOptions, now time.Time, fresh time.Duration) bool {
	if _, wanted := o.pictured(); wanted { // what belongs to it is asked for under a lease of its host
		return false
	}
	age := max(0, now.Sub(m.checked))
	longest := min(fresh, m.span)
	if o.MaxAge != nil {
		longest = milliseconds(*o.MaxAge)
	} else if o.MinAge > 0 {
		return age >= milliseconds(o.MinAge)
	}
	return age < longest && age >= milliseconds(o.MinAge)
}

// milliseconds is for the API's numbers, none of which are checked to be small.
func milliseconds(n int64) time.Duration {
	return time.Duration(min(n, int64(memoryKeep/time.Millisecond))) * time.Millisecond
}

// conditions are the header fields that ask a site for its page only if it has changed (RFC 9110 §13.1). An address that is
// redirected gets none: they are of the page at the end.
func (m *remembered) conditions(index int) (fields []wire.Field) {
	if m == nil || len(m.how.Hops) > 0 {
		return nil
	}
	if m.etag != "" {
		fields = append(fields, wire.Field{Index: uint16(index), Name: wire.FieldIfNoneMatch, Value: m.etag})
	}
	if m.modified != "" {
		fields = append(fields, wire.Field{Index: uint16(index), Name: wire.FieldIfModifiedSince, Value: m.modified})
	}
	return fields
}

// validator is a site's value in the form in which it can be sent back, or empty.
func validator(value string) string {
	if len(value) > wire.MaxFieldValue || !httpguts.ValidHeaderFieldValue(value) {
		return ""
	}
	return value
}

// How long a page is taken to stay as it is. The span follows the page: it halves when the text was found changed, and
// grows by half when it was not, so that it settles near the page's own rhythm within a few looks.
const (
	firstSpan = 24 * time.Hour
	minSpan   = time.Hour           // asking a site more often is not ours to decide
	maxSpan   = 60 * 24 * time.Hour // and a page that never changed may still
)

// nextSpan is the span after a look that came so long after the last.
func nextSpan(span, since time.Duration, changed bool) time.Duration {
	switch {
	case changed:
		span /= 2
	case since >= span/2: // that nothing changed in a moment tells nothing
		span += span / 2
	}
	return min(max(span, minSpan), maxSpan)
}
