package crawler

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sward/crawler/warc"
	"sward/internal/wire"
)

const (
	maxGroup  = 64     // results in one transaction: one fsync for all of them
	maxErrors = 10_000 // rows of errors of one job; further failures are only counted
	maxAvoid  = 5      // edges remembered against one address
)

// fate is what becomes of an address.
type fate int

const (
	deliver fate = iota // its document goes to the partner
	skip                // it holds nothing for the partner, and that is no failure
	fail                // for good
	retry               // later, through another edge; counts as an attempt
	wait                // later; nobody tried, so it does not
	ruin                // the job cannot go on (its account is closed or empty)
)

// outcome is what fetching one address came to. It is settled as a whole or not at all.
type outcome struct {
	job  *job
	item item
	fate fate

	document []byte        // JSON; with deliver
	bytes    int64         // of the body; with deliver
	place    warc.Location // of the records with its body; with deliver
	beside   warc.Location // of the records that are of this job alone; empty: there are none
	page     []byte        // packed, for the outbox, with deliver and fail; nil: not for the index
	links    []lead
	final    string // where redirects led, canonical; empty: they did not
	moved    bool   // the start address led to another host, which is now the job's

	code   string // why not, a code's name
	owner  wire.Owner
	detail string
	price  string // that the site asks, with codePayment

	note     *note     // what is remembered of the page beyond the job; nil: nothing new
	free     bool      // with deliver: it came from memory, and costs nothing
	likeness *likeness // with deliver: what its text is known again by; nil: it is no matter
	ready    time.Time // with retry and wait
	avoid    []string  // edges not to be asked again
}

// settlement is an outcome on its way through the settler.
type settlement struct {
	outcome
	done chan error
}

// settle stores an outcome, returns when it is on disk, and says what the address came to in the end: a page that another
// address has brought before is no delivery.
func (c *Crawler) settle(o outcome) (fate, error) {
	s := &settlement{outcome: o, done: make(chan error, 1)}
	c.settling <- s // the settler outlives all who call this
	err := <-s.done
	return s.fate, err
}

// settleAll is the one writer of results: what arrives together is committed together.
func (c *Crawler) settleAll(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-c.settling:
			group := []*settlement{s}
			for len(group) < maxGroup && len(c.settling) > 0 {
				group = append(group, <-c.settling)
			}
			err := c.settleGroup(ctx, group)
			for _, s := range group {
				if err != nil && len(group) > 1 {
					s.done <- c.settleGroup(ctx, []*settlement{s}) // one that cannot be stored does not hold up the rest
					continue
				}
				s.done <- err
			}
		}
	}
}

// settleGroup makes the archive durable first, because documents name places in it.
func (c *Crawler) settleGroup(ctx context.Context, group []*settlement) error {
	if err := c.archive.Sync(); err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	ended := make(map[*job]State)
	fates := make([]fate, len(group))
	err := c.store.update(func(tx *tx) error {
		for i, s := range group {
			o := s.outcome // a copy: what is undone with the transaction is settled anew
			done, err := tx.settle(&o, c.cfg.Clock())
			if err != nil {
				return err
			}
			fates[i] = o.fate
			if done != Scraping {
				ended[s.job] = done
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	for i, f := range fates {
		group[i].fate = f
		c.metrics.settled(f)
	}
	for j, state := range ended {
		c.over(ctx, j.id, j.account, state)
	}
	signal(c.wake)
	signal(c.filled)
	if slices.ContainsFunc(group, func(s *settlement) bool { return s.job.order.Webhook != nil }) {
		signal(c.hooked)
	}
	return nil
}

// settle applies one outcome: document, state of the address, new addresses, counters, and the end of
// the job if this was the last. It returns the job's new state, or Scraping.
func (t *tx) settle(o *outcome, now time.Time) (State, error) {
	// The counters in o.job are from the time of the lease. Those of the row decide.
	j := &job{id: o.job.id}
	var deadline int64
	err := t.query("SELECT kind, state, deadline, quota, bytes, completed, failed, discovered FROM jobs WHERE id = ?", j.id).
		Scan(&j.kind, &j.state, &deadline, &j.quota, &j.bytes, &j.completed, &j.failed, &j.discovered)
	if errors.Is(err, sql.ErrNoRows) || err == nil && j.state != Scraping {
		o.fate = skip // cancelled in the meantime: nobody waits for this
		return Scraping, nil
	}
	if err != nil {
		return 0, err
	}
	if now.UnixMilli() >= deadline {
		o.fate = skip // it came too late
		return t.late(o.job, now)
	}
	switch o.fate {
	case retry, wait:
		return Scraping, t.postpone(o, now)
	case ruin:
		_, err := t.finish(j.id, Failed, o.code, now)
		return Failed, err
	}
	if o.fate == deliver && j.kind == Map && o.final != "" { // the address that it leads to is listed in its place
		end, err := newLead(o.final, kindPage, o.item.depth, o.job.order)
		if err != nil {
			return 0, err
		}
		o.fate, o.links = skip, append([]lead{end}, o.links...)
	}
	if open, err := t.open(o.item.id); err != nil || !open {
		o.fate = skip // another address led to the same page first, and took the document
		return Scraping, err
	}
	if o.fate == deliver {
		first, err := t.firstAt(o)
		if err != nil {
			return 0, err
		}
		if !first || j.completed >= j.quota {
			o.fate = skip
		}
		if err := t.dedupe(o); err != nil {
			return 0, err
		}
		if most := o.job.order.MaxBytes; o.fate == deliver && most > 0 && j.bytes+o.bytes > most {
			o.fate = skip
			return Completed, t.stop(j.id, stoppedBytes, now)
		}
	}
	state := map[fate]int{deliver: urlDone, skip: urlSkipped, fail: urlFailed}[o.fate]
	if state == urlDone && j.kind == Map {
		state = urlListed
	}
	if _, err := t.do("UPDATE urls SET state = ? WHERE id = ?", state, o.item.id); err != nil {
		return 0, err
	}
	if err := t.record(o, j, now); err != nil {
		return 0, err
	}
	if err := errors.Join(t.keepText(o), t.remember(o.note)); err != nil {
		return 0, err
	}
	if _, err := t.discover(j, o.links, o.item.id, now); err != nil {
		return 0, err
	}
	return t.conclude(j, now)
}

// open reports whether nothing has come of an address yet. It is asked before o takes anything: what an address takes that has
// had its page would be lost to the job.
func (t *tx) open(id int64) (bool, error) {
	var state int
	err := t.query("SELECT state FROM urls WHERE id = ?", id).Scan(&state)
	return err == nil && state == urlQueued, err
}

// firstAt reports whether the page at the end of o's redirects is new to the job, and takes it: the
// address that was redirected to will not be fetched again.
func (t *tx) firstAt(o *outcome) (bool, error) {
	if o.final == "" || o.job.kind == Batch { // what a partner lists twice, he gets twice
		return true, nil
	}
	end, err := newLead(o.final, kindPage, o.item.depth, o.job.order)
	if err != nil {
		return false, err
	}
	var other, state int64
	err = t.query("SELECT id, state FROM urls WHERE job = ? AND key = ?", o.job.id, end.key).Scan(&other, &state)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		_, err := t.do(`INSERT INTO urls (job, key, kind, url, host, depth, via, state, ready_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)`,
			o.job.id, end.key, kindPage, end.url, end.host, end.depth, o.item.id, urlSkipped)
		return true, err
	case err != nil:
		return false, err
	case other == o.item.id: // the same page by another spelling
		return true, nil
	case state == urlQueued:
		if _, err := t.do("UPDATE urls SET state = ? WHERE id = ?", urlSkipped, other); err != nil {
			return false, err
		}
		_, err := t.do("UPDATE jobs SET pages = pages - 1 WHERE id = ?", o.job.id)
		return true, err
	case state == urlFailed:
		return true, nil
	default:
		return false, nil
	}
}

// record writes what the partner gets to see, and takes the address off the job's queue.
func (t *tx) record(o *outcome, j *job, now time.Time) error {
	pages, seeds := 1, 0
	if o.item.kind != kindPage {
		pages, seeds = 0, 1
	}
	completed, failed, free, bytes := 0, 0, 0, int64(0)
	switch o.fate {
	case deliver:
		completed, bytes = 1, o.bytes
		if o.free {
			free = 1
		}
		if j.kind == Map {
			break
		}
		if _, err := t.do(`INSERT INTO documents (job, seq, url, size, archive_file, archive_at, archive_bytes,
			beside_file, beside_at, beside_bytes, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			j.id, j.completed, o.item.id, len(o.document), o.place.File, o.place.Offset, o.place.Records,
			o.beside.File, o.beside.Offset, o.beside.Records, pack(o.document)); err != nil {
			return err
		}
		if err := t.emit(j.id, eventPage, int64(j.completed), now); err != nil {
			return err
		}
	case fail:
		if o.item.kind != kindPage {
			break // a site without sitemap has failed nobody
		}
		failed = 1
		if j.failed < maxErrors {
			var row int64
			if err := t.query("INSERT INTO errors (job, url, code, owner, detail, price, at) VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id",
				j.id, o.item.url, o.code, string(o.owner), o.detail, o.price, now.UnixMilli()).Scan(&row); err != nil {
				return err
			}
			if err := t.emit(j.id, eventPageFailed, row, now); err != nil {
				return err
			}
		}
	}
	if o.page != nil && (o.fate == deliver || o.fate == fail) {
		if _, err := t.do("INSERT INTO outbox (page) VALUES (?)", o.page); err != nil {
			return err
		}
	}
	j.completed += completed
	_, err := t.do(`UPDATE jobs SET pages = pages - ?, seeds = seeds - ?, completed = completed + ?, failed = failed + ?,
		remembered = remembered + ?, bytes = bytes + ?, stalled = 0, progress = ?, waiting = '' WHERE id = ?`,
		pages, seeds, completed, failed, free, bytes, now.UnixMilli(), j.id)
	if err == nil && o.moved {
		_, err = t.do("UPDATE jobs SET base = ? WHERE id = ?", o.final, j.id)
	}
	return err
}

// postpone queues the address again.
func (t *tx) postpone(o *outcome, now time.Time) error {
	if o.code == wire.PartnerCap.Name() {
		return t.hold(o.job.id, wire.PartnerCap, now)
	}
	attempt := 0
	stalled := now.UnixMilli()
	if o.fate == retry {
		attempt, stalled = 1, 0
	}
	avoid := o.avoid[max(0, len(o.avoid)-maxAvoid):]
	if _, err := t.do("UPDATE urls SET attempt = attempt + ?, ready_at = ?, avoid = ? WHERE id = ? AND state = 0",
		attempt, o.ready.UnixMilli(), strings.Join(avoid, " "), o.item.id); err != nil {
		return err
	}
	// stalled keeps its first time: the job waits since then.
	_, err := t.do("UPDATE jobs SET stalled = CASE WHEN CAST(?1 AS BIGINT) = 0 OR stalled = 0 THEN ?1 ELSE stalled END WHERE id = ?2", stalled, o.job.id)
	return err
}

// conclude ends the job when it has all it asked for or nothing is left to fetch.
func (t *tx) conclude(j *job, now time.Time) (State, error) {
	var kind Kind
	var state State
	var completed, failed, left int
	err := t.query("SELECT kind, state, completed, failed, pages + seeds FROM jobs WHERE id = ?", j.id).Scan(&kind, &state, &completed, &failed, &left)
	if err != nil || state != Scraping || completed < j.quota && left > 0 {
		return Scraping, err
	}
	if completed == 0 && failed > 0 && kind != Batch { // a site that nothing could be had of is not a success
		var code string
		if err := t.query("SELECT code FROM errors WHERE job = ? ORDER BY id DESC LIMIT 1", j.id).Scan(&code); err != nil {
			return Scraping, err
		}
		_, err = t.finish(j.id, Failed, code, now)
		return Failed, err
	}
	if left > 0 {
		return Completed, t.stop(j.id, stoppedLimit, now)
	}
	_, err = t.finish(j.id, Completed, "", now)
	return Completed, err
}
