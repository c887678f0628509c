package crawler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sward/internal/wire"
)

// ScrapeLinger is how long a scrape goes on for one who waited as long as was agreed and was told to ask again.
const ScrapeLinger = time.Minute

// Refusals of the service, beside those that carry a wire code.
var (
	ErrNoJob = errors.New("no such job")       // or it is another account's
	ErrEnded = errors.New("the job has ended") // and cannot be changed any more

	ErrRepeated = errors.New("the order was given before") // under the same Order.Once
)

// OrderError says what a partner has to change in an order. Its cause may be a *policy.Denied.
type OrderError struct{ Err error }

func (e *OrderError) Error() string { return e.Err.Error() }
func (e *OrderError) Unwrap() error { return e.Err }

// Job is what a partner may know of a job, at one moment.
type Job struct {
	ID      string // UUID
	Kind    Kind
	Account Account
	Order   Order
	State   State
	Failure string // name of the code that ended it, or empty

	Created, Finished, Expires time.Time // Finished is zero while it runs; documents are kept until Expires
	Stalled                    time.Time // since when no edge was to be had; zero: one was

	Waiting string // why nothing has been settled for two minutes, if so: a code and a sentence
	Stopped string // of a completed job that has not all: the bound it reached, limit, max_time or max_bytes

	Bytes      int64 // of the bodies delivered
	Completed  int   // documents delivered …
	Remembered int   // … and of these from memory; the others are charged
	Failed     int   // addresses that came to nothing, not charged
	Total      int   // documents it will come to, as far as is known
	Discovered int   // addresses ever queued
}

func (c *Crawler) view(j *job) Job {
	return Job{
		ID: j.name, Kind: j.kind, Account: j.account, Order: j.order, State: j.state, Failure: j.failure,
		Created: j.created, Finished: j.finished, Expires: c.expiry(j), Stalled: j.stalled,
		Waiting: j.waiting, Stopped: j.stopped, Bytes: j.bytes, Completed: j.completed, Remembered: j.remembered, Failed: j.failed, Total: j.total(), Discovered: j.discovered,
	}
}

// Explain is a job's failure as a sentence.
func (j Job) Explain() string {
	if code, ok := wire.CodeByName(j.Failure); ok {
		return j.Failure + ": " + code.Meaning()
	}
	return j.Failure
}

// Start stores a job, which is durable when Start returns and runs from then on. A wrong order is an *OrderError.
func (c *Crawler) Start(_ context.Context, a Account, k Kind, o Order) (Job, error) {
	if k == Map && o.Limit == nil {
		limit := defaultAddresses
		o.Limit = &limit
	}
	start, err := o.settleAddresses(k)
	if err == nil {
		err = errors.Join(o.check(), c.checkPictures(o.Scrape))
	}
	if err == nil && o.Webhook != nil && c.cfg.DialHook == nil {
		err = errors.New("webhook is not offered here: poll the job's url")
	}
	if err != nil {
		return Job{}, &OrderError{err}
	}
	age := c.cfg.MaxJobAge
	if k == Scrape {
		one := 1
		o.Limit, o.Sitemap, age = &one, "skip", o.Scrape.Patience()+ScrapeLinger+tidyEvery
	}
	if o.MaxTime > 0 && o.MaxTime < int(age/time.Second) { // a number of seconds may be more than a Duration holds
		age = time.Duration(o.MaxTime) * time.Second
	}
	j, err := c.jobs.create(a, k, o, start, c.cfg.Clock(), age)
	if err != nil {
		return Job{}, err
	}
	if k == Scrape {
		select {
		case c.reminding <- j:
		default: // it takes its turn at the host
		}
	}
	signal(c.wake)
	signal(c.timed)
	signal(c.hooked)
	return c.view(j), nil
}

// Job finds a job of an account. Another account's is ErrNoJob, like one that never was.
func (c *Crawler) Job(ctx context.Context, a Account, id string) (Job, error) {
	j, err := c.jobs.byName(ctx, a, id)
	if err != nil {
		return Job{}, err
	}
	return c.view(j), nil
}

// Jobs lists an account's jobs, newest first: the running ones, or the newest n of all.
func (c *Crawler) Jobs(ctx context.Context, a Account, running bool, n int) ([]Job, error) {
	where := "account = ?"
	if running {
		where += " AND state = 0"
	}
	return c.newest(ctx, where, n, a.ID)
}

// JobsBefore lists the newest n of an account's jobs that are older than one of them, or than any if that is empty.
func (c *Crawler) JobsBefore(ctx context.Context, a Account, id string, n int) ([]Job, error) {
	if id == "" {
		return c.Jobs(ctx, a, false, n)
	}
	j, err := c.jobs.byName(ctx, a, id)
	if err != nil {
		return nil, err
	}
	return c.newest(ctx, "account = ? AND id < ?", n, a.ID, j.id)
}

// newest lists the newest n jobs that match a condition, newest first.
func (c *Crawler) newest(ctx context.Context, where string, n int, args ...any) ([]Job, error) {
	found, err := c.jobs.list(ctx, "id IN (SELECT id FROM jobs WHERE "+where+" ORDER BY id DESC LIMIT ?)", append(args, n)...)
	if err != nil {
		return nil, err
	}
	list := make([]Job, 0, len(found))
	for i := len(found) - 1; i >= 0; i-- {
		list = append(list, c.view(found[i]))
	}
	return list, nil
}

// Cancel ends a job. One that has ended otherwise is ErrEnded; one that was cancelled stays so.
func (c *Crawler) Cancel(ctx context.Context, j Job) error {
	row, err := c.jobs.byName(ctx, j.Account, j.ID)
	switch {
	case err != nil:
		return err
	case row.state == Completed || row.state == Failed:
		return fmt.Errorf("%w: %s", ErrEnded, row.state)
	}
	return c.end(ctx, row, Cancelled, wire.OK)
}

// Wait returns the job when it has ended, or as it is when ctx ends, with the cause.
func (c *Crawler) Wait(ctx context.Context, j Job) (Job, error) {
	row, err := c.jobs.byName(ctx, j.Account, j.ID)
	if err != nil {
		return Job{}, err
	}
	done, err := c.jobs.wait(ctx, row.id)
	if err != nil {
		return Job{}, err
	}
	select {
	case <-done:
		return c.Job(ctx, j.Account, j.ID)
	case <-ctx.Done():
		return j, context.Cause(ctx)
	}
}

// expiry is until when the documents can be had.
func (c *Crawler) expiry(j *job) time.Time {
	if j.finished.IsZero() {
		return j.deadline.Add(c.cfg.Keep)
	}
	return j.finished.Add(c.cfg.Keep)
}
