package crawler

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"sward/crawler/rights"
)

const (
	memoryKeep = maxSpan   // after the last look; a page is due by then in any case
	maxMemory  = 2_000_000 // pages; at about a kilobyte each two gigabytes
	countEvery = time.Hour // counting two million rows takes a while
)

// note is what a page changes in memory.
type note struct {
	page      remembered
	gone      bool // the page is not to be remembered (any more)
	first     bool // nothing was known before
	confirmed bool // only that it is still the same
}

// forgotten is the note of a page that is not there any more.
func (a arrival) forgotten() *note {
	if a.item.known == nil {
		return nil
	}
	return &note{page: *a.item.known, gone: true}
}

// noteOf says what is to be remembered of a page, or nil: what is cut off is no page, and what a partner does not want to
// be kept is not.
func (c *Crawler) noteOf(o *outcome, a arrival, r rights.Rights, extractor, final string) *note {
	scrape := o.job.order.Scrape
	if a.recalled || a.Status != http.StatusOK || a.truncated() != "" || scrape.StoreInCache != nil && !*scrape.StoreInCache {
		return nil
	}
	h, err := a.Header()
	if err != nil {
		return nil
	}
	n := &note{first: a.item.known == nil, confirmed: a.confirmed != nil, gone: r.NoArchive() || unkept(h)}
	if n.confirmed {
		n.page = *a.item.known
	} else {
		n.page = remembered{
			key: memoryKey(memoryOwner(o.job, a.asked), a.asked), url: final, place: o.place, payload: a.sum, fetched: a.Started,
			how: history{
				Edge: a.edge, Exit: a.exit, Audited: a.audited, Attest: a.Attest, Sig: a.Sig, Hops: a.Hops, Rule: a.Rule,
				Address: a.Address, Started: a.Started, Took: a.Took,
			},
		}
		if a.revisit != nil {
			n.page.fetched = a.item.known.fetched // of the record that has the body
		}
	}
	n.page.checked = c.cfg.Clock() // and not the edge's, which could make a page new for ever
	n.page.content, n.page.reading = o.likeness.sum, readingOf(scrape, extractor)
	n.page.etag, n.page.modified = validator(h.Get("ETag")), validator(h.Get("Last-Modified"))
	return n
}

// memoryOwner is whose memory a page goes into: everybody's, if a crawl found it, or if it is the front page of a site.
func memoryOwner(j *job, address string) string {
	if j.kind != Crawl {
		return j.account.ID
	}
	if address != j.order.URL && address != j.base {
		return ""
	}
	if u, err := url.Parse(address); err == nil && u.Path == "/" && u.RawQuery == "" {
		return ""
	}
	return j.account.ID
}

// readingOf is the way in which a text was taken from a page: texts of two ways differ though the page does not.
func readingOf(o ScrapeOptions, extractor string) []byte {
	how, _ := json.Marshal([]any{extractor, o.mainOnly(), o.textless(), o.IncludeTags, o.ExcludeTags}) // strings and bools: cannot fail
	sum := sha256.Sum256(how)
	return sum[:8]
}

// unkept reads what a site says about copies for others than the reader (RFC 9111 §5.2.2, RFC 9110 §12.5.5).
func unkept(h http.Header) bool {
	for _, line := range h.Values("Cache-Control") {
		for word := range strings.SplitSeq(strings.ToLower(line), ",") {
			name, _, _ := strings.Cut(strings.TrimSpace(word), "=")
			if name == "no-store" || name == "private" {
				return true
			}
		}
	}
	for _, line := range h.Values("Vary") {
		if strings.TrimSpace(line) == "*" {
			return true
		}
	}
	return false
}

// remember applies a note, with the result that it belongs to.
func (t *tx) remember(n *note) error {
	if n == nil {
		return nil
	}
	m := n.page
	if n.gone {
		_, err := t.do("DELETE FROM memory WHERE key = ?", m.key)
		return err
	}
	span := firstSpan
	if !n.first {
		var err error
		if span, err = t.spanAfter(m); err != nil {
			return err
		}
	}
	how, err := json.Marshal(m.how)
	if err != nil {
		return fmt.Errorf("remember page: %w", err)
	}
	if n.confirmed { // unless another job has found something newer since
		_, err := t.do("UPDATE memory SET checked = ?, span = ?, etag = ?, modified = ? WHERE key = ? AND record = ? AND checked < ?",
			m.checked.UnixMilli(), span.Milliseconds(), m.etag, m.modified, m.key, m.place.ID, m.checked.UnixMilli())
		return err
	}
	_, err = t.do(`INSERT INTO memory (`+memoryColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (key) DO UPDATE SET url = excluded.url, file = excluded.file, place = excluded.place, length = excluded.length,
		records = excluded.records, record = excluded.record, etag = excluded.etag, modified = excluded.modified,
		payload = excluded.payload, content = excluded.content, reading = excluded.reading, fetched = excluded.fetched,
		checked = excluded.checked, span = excluded.span, edge = excluded.edge, how = excluded.how`,
		m.key, m.url, m.place.File, m.place.Offset, m.place.Length, m.place.Records, m.place.ID, m.etag, m.modified,
		m.payload[:], m.content[:], m.reading, m.fetched.UnixMilli(), m.checked.UnixMilli(), span.Milliseconds(), m.how.Edge, string(how))
	return err
}

// spanAfter is how long the page is good for after this look.
func (t *tx) spanAfter(m remembered) (time.Duration, error) {
	var payload, content, reading []byte
	var checked, span int64
	err := t.query("SELECT payload, content, reading, checked, span FROM memory WHERE key = ?", m.key).
		Scan(&payload, &content, &reading, &checked, &span)
	if errors.Is(err, sql.ErrNoRows) {
		return firstSpan, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read memory: %w", err)
	}
	before := time.Duration(span) * time.Millisecond
	same := string(payload) == string(m.payload[:])
	if !same && string(reading) != string(m.reading) {
		return before, nil // nobody can tell
	}
	return nextSpan(before, m.checked.Sub(time.UnixMilli(checked)), !same && string(content) != string(m.content[:])), nil
}

// forgetEdge forgets all that an edge brought, which is not to be believed.
func (c *Crawler) forgetEdge(edge string) error {
	return c.forgetMemory(context.Background(), "edge = ?", edge)
}

// forgetMemory removes pages a chunk at a time, so that results never wait long.
func (c *Crawler) forgetMemory(ctx context.Context, where string, args ...any) error {
	args = append(args, tidyChunk)
	for n := int64(tidyChunk); n == tidyChunk; {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		err := c.store.update(func(tx *tx) (err error) {
			n, err = tx.do("DELETE FROM memory WHERE id IN (SELECT id FROM memory WHERE "+where+" LIMIT ?)", args...)
			return err
		})
		if err != nil {
			return fmt.Errorf("forget pages: %w", err)
		}
	}
	return nil
}

// tidyMemory forgets what nobody has looked at for long, and above maxMemory what was looked at least recently.
func (c *Crawler) tidyMemory(ctx context.Context, now time.Time) error {
	old := now.Add(-memoryKeep).UnixMilli()
	if now.Sub(c.counted) >= countEvery {
		var rows, spare int
		if err := c.store.row(ctx, "SELECT count(*) FROM memory").Scan(&rows); err != nil {
			return fmt.Errorf("count memory: %w", err)
		}
		c.counted = now
		if spare = rows - maxMemory; spare > 0 {
			if err := c.store.row(ctx, "SELECT checked FROM memory ORDER BY checked LIMIT 1 OFFSET ?", spare).Scan(&old); err != nil {
				return fmt.Errorf("read memory: %w", err)
			}
		}
	}
	return c.forgetMemory(ctx, "checked < ? ORDER BY checked", old)
}
