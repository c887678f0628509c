package fetch

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"sward/internal/wire"
)

// How long and how much of robots.txt is kept.
const (
	robotsLife      = 24 * time.Hour   // of a file, or of its absence (RFC 9309 §2.4)
	robotsRetry     = 10 * time.Minute // of a file that could not be read: each URL must not try again
	maxSites        = 1000             // origins
	maxSitesBytes   = 32 << 20         // bytes of parsed files, roughly: an edge may be a small computer
	robotsRedirects = 5                // followed (§2.3.1.2)
	robotsTimeout   = 20 * time.Second // for each request
)

// robotsCache holds the robots.txt of origins (scheme, host and port).
type robotsCache struct {
	now func() time.Time

	mu    sync.Mutex
	sites map[string]*site
	bytes int
}

// site is one origin. Holding turn, by a value in it, guards robots, err and expires.
type site struct {
	turn    chan struct{}
	robots  *Robots
	err     error // a *wire.Error with robots_unreachable: nothing is allowed
	expires time.Time

	size int // bytes counted in robotsCache.bytes, under its lock
}

func newRobotsCache(now func() time.Time) *robotsCache {
	return &robotsCache{now: now, sites: make(map[string]*site)}
}

// get is the robots.txt of origin, read with read if it is not known or too old. One
// reader per origin at a time; the others wait for its file.
func (c *robotsCache) get(ctx context.Context, origin string, read func(context.Context) (*Robots, error)) (*Robots, error) {
	s := c.site(origin)
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if c.now().Before(s.expires) {
		return s.robots, s.err
	}
	r, err := read(ctx)
	switch {
	case err == nil:
		s.robots, s.err, s.expires = r, nil, c.now().Add(robotsLife)
		c.resize(s, r.size)
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case codeOf(err).Owner() != wire.OwnerTarget:
		return nil, err // our own refusal: it may be another one next time
	default:
		s.robots, s.err, s.expires = nil, unreachable(err), c.now().Add(robotsRetry)
		c.resize(s, 0)
	}
	return s.robots, s.err
}

// unreachable forbids everything (§2.3.1.4), and names what went wrong as the rule.
func unreachable(err error) error {
	if e, ok := errors.AsType[*wire.Error](err); ok && e.Code == wire.RobotsUnreachable {
		return e
	}
	return wire.Errorf(wire.RobotsUnreachable, "%s", codeOf(err).Name())
}

func (c *robotsCache) site(origin string) *site {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.sites[origin]
	if !ok {
		c.evictLocked(maxSites - 1)
		s = &site{turn: make(chan struct{}, 1)}
		c.sites[origin] = s
	}
	return s
}

func (c *robotsCache) resize(s *site, size int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bytes += size - s.size
	s.size = size
	c.evictLocked(maxSites)
}

// evictLocked forgets sites that nobody is using until both bounds hold. Which ones
// does not matter: a site in use is in use for a whole batch.
func (c *robotsCache) evictLocked(most int) {
	for origin, s := range c.sites {
		if len(c.sites) <= most && c.bytes <= maxSitesBytes {
			return
		}
		if len(s.turn) == 0 {
			c.bytes -= s.size
			s.size = 0
			delete(c.sites, origin)
		}
	}
}

// readRobots gets the robots.txt that governs u (RFC 9309 §2.3). A nil error with
// empty rules is "unavailable": all is allowed. An error forbids all.
func (v *visit) readRobots(ctx context.Context, u *url.URL) (*Robots, error) {
	at := &url.URL{Scheme: u.Scheme, Host: u.Host, Path: robotsPath}
	for range robotsRedirects + 1 {
		if err := v.allow(at); err != nil {
			return nil, err
		}
		r, next, err := v.askRobots(ctx, at)
		if next == nil {
			return r, err
		}
		if at, err = parseURL(next.String()); err != nil {
			return nil, err
		}
	}
	return &Robots{}, nil
}

// askRobots makes one request: it returns the file, or where to look instead.
func (v *visit) askRobots(ctx context.Context, at *url.URL) (*Robots, *url.URL, error) {
	// One byte more than is parsed shows that the file goes on.
	x, err := v.transport.do(ctx, at, limits{wire: maxRobots + 1, body: maxRobots + 1, total: robotsTimeout, idle: v.limits.idle}, v.fields(at))
	if err != nil {
		return nil, nil, err
	}
	defer x.close()
	switch location := x.header.Get("Location"); {
	case x.status/100 == 2:
		file, err := io.ReadAll(x.body)
		if err == nil {
			err = x.body.err
		}
		if err != nil {
			return nil, nil, err
		}
		return Parse(file), nil, nil
	case x.status/100 == 3 && location != "":
		next, err := at.Parse(location)
		if err != nil {
			return nil, nil, err
		}
		return nil, next, nil
	case x.status >= 500 || x.status == http.StatusTooManyRequests:
		// §2.3.1.3 lets a crawler take a 429 for "no rules"; it asks for less, not more.
		return nil, nil, wire.Errorf(wire.RobotsUnreachable, "status %d", x.status)
	}
	return &Robots{}, nil, nil
}
