package crawler

import (
	"context"
	"errors"
	"runtime/pprof"
	"sync"
	"time"
)

const (
	maxOutbox  = 20_000           // pages waiting for the index before no more are fetched
	storePause = 10 * time.Second // with a store that does not take results, a full disk for example
)

// schedule keeps up to HostsAtOnce leases at work until ctx ends, and returns when the last has.
func (c *Crawler) schedule(ctx context.Context) error {
	var working sync.WaitGroup
	defer working.Wait()
	slots := make(chan struct{}, c.cfg.HostsAtOnce)
	for failing := false; ; {
		select {
		case <-ctx.Done():
			return nil
		case slots <- struct{}{}:
		}
		l, pause, err := c.lease(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !failing {
			c.cfg.Log.Error("frontier cannot be read, crawling pauses", "error", err)
		}
		if failing = err != nil; failing {
			pause = storePause
		}
		if l == nil {
			<-slots
			c.sleep(ctx, pause)
			continue
		}
		working.Go(func() {
			defer func() { <-slots }()
			pprof.Do(ctx, pprof.Labels("worker", "crawler lease"), func(ctx context.Context) { c.work(ctx, l) })
		})
	}
}

// lease is the frontier's next, unless the index is too far behind.
func (c *Crawler) lease(ctx context.Context) (*lease, time.Duration, error) {
	if c.cfg.Store != nil {
		waiting, err := c.outboxLen(ctx)
		if err != nil || waiting >= maxOutbox {
			return nil, storePause, err
		}
	}
	return c.frontier.next(ctx, c.cfg, c.jobs)
}

// sleep waits until something became due: told by signal, or by the clock.
func (c *Crawler) sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(max(d, time.Millisecond))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-c.wake:
	case <-timer.C:
	}
}

// work fetches a lease, and gives it back when every result is on disk and the host's pause is noted.
func (c *Crawler) work(ctx context.Context, l *lease) {
	defer signal(c.wake)
	defer c.frontier.giveBack(l)
	fetching, stop := context.WithCancel(ctx)
	over := time.AfterFunc(l.job.deadline.Sub(c.cfg.Clock()), stop) // nothing more can be delivered
	pause, err := c.fetchLease(fetching, l)
	over.Stop()
	stop()
	if err == nil {
		now := c.cfg.Clock()
		err = c.store.update(func(tx *tx) error {
			return errors.Join(tx.giveBack(l.job.account, l.waste), tx.rest(l, now.Add(pause), now.Add(min(pause, l.spacing(c.cfg)))))
		})
	}
	if err != nil && ctx.Err() == nil {
		c.cfg.Log.Error("results cannot be stored, the host waits", "error", err)
		select { // with the lease held: otherwise the same pages would be fetched again at once
		case <-ctx.Done():
		case <-time.After(storePause):
		}
	}
}
