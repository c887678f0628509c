package crawler

import (
	"context"
	"net"
	"sync"
	"time"

	"sward/crawler/fetch"
	"sward/internal/wire"
)

// overTunnel fetches the whole batch from here, through an edge that sees only ciphertext.
func (b *batch) overTunnel(ctx context.Context) {
	var avoid []string
	if len(b.l.items) > 0 {
		avoid = b.l.items[0].avoid
	}
	road := b.c.newTunnel(b.l.job.account, avoid)
	err := road.fetcher.Fetch(ctx, b.ask(), func(r fetch.Result) error {
		b.arrive(ctx, arrival{Result: r, item: b.l.items[r.Index], asked: b.l.items[r.Index].url, exit: road.exit()})
		return nil
	})
	b.missing(road.exit(), err)
}

// tunnel is a fetcher whose connections leave through edges.
type tunnel struct {
	fetcher *fetch.Fetcher

	mu   sync.Mutex
	last string // the edge of the newest connection
}

func (t *tunnel) exit() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last
}

// newTunnel returns the second road, for an account and around some edges.
func (c *Crawler) newTunnel(a Account, avoid []string) *tunnel {
	return c.tunnelBy(func(ctx context.Context, hostport string) (net.Conn, string, error) {
		return c.cfg.OpenTunnel(ctx, a, hostport, avoid)
	})
}

func (c *Crawler) tunnelBy(open func(ctx context.Context, hostport string) (conn net.Conn, edge string, err error)) *tunnel {
	t := &tunnel{}
	t.fetcher = fetch.New(fetch.Config{
		Roots: c.cfg.Roots, Agent: c.cfg.Agent, Log: c.cfg.Log, Now: c.cfg.Clock,
		Timeout: c.cfg.PageTimeout, MaxBody: int64(c.cfg.MaxBody),
		Dial: func(ctx context.Context, _, hostport string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, openTimeout)
			defer cancel()
			conn, edge, err := open(ctx, hostport)
			if err != nil {
				if wire.CodeOf(err) == wire.Internal { // the road's trouble, not the target's
					return nil, wire.Errorf(wire.HubAway, "%v", err)
				}
				return nil, err
			}
			t.mu.Lock()
			t.last = edge
			t.mu.Unlock()
			return conn, nil
		},
	})
	return t
}

// sleep waits for d, and reports whether ctx lasted as long.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
