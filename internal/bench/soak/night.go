package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"sward/accounting"
	"sward/edge"
	"sward/internal/identity"
	"sward/internal/sandbox"
	"sward/policy"
)

const (
	// beforeShare and afterShare are the parts of a night that lie before its midnight and after it; the rest is the start.
	beforeShare, afterShare = 0.4, 0.25
	leastHalf               = 1500 * time.Millisecond
	openWait                = 60 * time.Second // for the edge to serve
	drainWait               = 60 * time.Second // for streams to end by themselves
)

// home is the resident's side: what lasts from night to night.
type home struct {
	plan
	began time.Time
	clock *clock
	kills int
	ways  counts                // all that crossed the line
	days  map[string]policy.Day // as the edge last wrote them
}

func newHome(p plan) *home {
	return &home{plan: p, began: time.Now(), clock: &clock{}, days: map[string]policy.Day{}}
}

// result is what one night came to, in bytes.
type result struct {
	day, month, lost, crossed int64
	kills                     int
	reason                    string // of refusals, the most frequent
}

// night runs the network over one midnight and checks the books after it.
func (h *home) night(ctx context.Context, n evening, length time.Duration) (result, error) {
	before := max(time.Duration(float64(length)*beforeShare), leastHalf)
	after := max(time.Duration(float64(length)*afterShare), leastHalf)
	midnight := n.date.AddDate(0, 0, 1)
	h.clock.set(midnight.Add(-before - time.Minute)) // while all starts: what is signed then lasts over the leap
	cfg := sandbox.Config{
		Dir: filepath.Join(h.dir, "network"), Edges: 1, Handler: site(), Log: h.log, Clock: h.clock.now,
	}
	var like edge.Config
	cfg.Edge = func(_ int, c *edge.Config) {
		like = *c
		c.Settings.Policy.Apps = nil // the sandbox's own edge serves nothing: the one that is soaked is another
	}
	var r result
	err := sandbox.While(ctx, cfg, func(ctx context.Context, box *sandbox.Sandbox) error {
		e, err := h.move(ctx, box, like)
		if err != nil {
			return err
		}
		load := startLoad(ctx, box.Info())
		steps := func() error {
			h.clock.set(midnight.Add(-before))
			if err := e.Change(e.Settings()); err != nil { // after the leap it has to look at the clock anew
				return err
			}
			if err := h.half(ctx, e, n.kill, before, &r); err != nil {
				return err
			}
			if n.restart {
				if err := e.restart(ctx); err != nil {
					return err
				}
			}
			return h.half(ctx, e, n.killToo, after, &r)
		}
		err = steps()
		r.reason = load.stop()
		return errors.Join(err, e.leave(ctx))
	})
	if err != nil {
		return r, err
	}
	return r, h.audit(n, &r)
}

// half is a time with traffic, and with a kill in its middle or not.
func (h *home) half(ctx context.Context, e *resident, kill bool, length time.Duration, r *result) error {
	if kill {
		if err := wait(ctx, length/2); err != nil {
			return err
		}
		if err := e.kill(ctx); err != nil {
			return err
		}
		h.kills++
		r.kills++
		length /= 2
	}
	return wait(ctx, length)
}

// resident is the edge under soak.
type resident struct {
	home *home
	cfg  edge.Config
	out  func(context.Context, netip.AddrPort) (net.Conn, error)
	*edge.Edge
	line  *line
	stop  context.CancelFunc
	ended chan error
}

// move starts the home's edge in a network that runs.
func (h *home) move(ctx context.Context, box *sandbox.Sandbox, like edge.Config) (*resident, error) {
	dir := filepath.Join(h.dir, "edge")
	key, err := identity.LoadOrCreateKey(filepath.Join(dir, "key"))
	if err != nil {
		return nil, err
	}
	hub, ok := like.Hub.(*accounting.Client)
	if !ok {
		return nil, fmt.Errorf("the sandbox's hub is a %T", like.Hub)
	}
	cfg := like
	cfg.Key, cfg.Dir, cfg.Settings = key, dir, settings()
	cfg.Hub = &accounting.Client{Addr: hub.Addr, Network: hub.Network, Hub: hub.Hub, Key: key, Clock: h.clock.now}
	if agreed, err := edge.Agreed(dir); err != nil {
		return nil, err
	} else if !agreed {
		invite, err := box.Hub().Book.Invite(ctx)
		if err != nil {
			return nil, err
		}
		if err := edge.AgreeByCode(ctx, dir, cfg.Hub, invite.Code, h.clock.now()); err != nil {
			return nil, err
		}
	}
	e := &resident{home: h, cfg: cfg, out: like.Dial}
	return e, e.start(ctx)
}

// start runs the edge on its directory and waits until a relay has it, or its caps stand in the way.
func (e *resident) start(ctx context.Context) error {
	e.line = &line{dial: e.out}
	e.cfg.Dial = e.line.Dial
	var err error
	if e.Edge, err = edge.New(e.cfg); err != nil {
		return err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	e.stop, e.ended = stop, make(chan error, 1)
	go func() { e.ended <- e.Run(running) }()
	for end := time.Now().Add(openWait); ; {
		s := e.Status(ctx)
		if s.Serving || s.Why == "cap_day" || s.Why == "cap_month" {
			return nil
		}
		if time.Now().After(end) || ctx.Err() != nil {
			return fmt.Errorf("the edge does not serve: %s", s.Why)
		}
		if err := wait(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

// end stops the edge in good order and books what crossed its line.
func (e *resident) end() error {
	e.stop()
	err := <-e.ended
	c := e.line.counted()
	e.home.ways.up += c.up
	e.home.ways.down += c.down
	return err
}

func (e *resident) restart(ctx context.Context) error {
	return errors.Join(e.end(), e.start(ctx))
}

// kill is what kill -9 leaves: the line is cut between two bytes, and the next start finds the files as they were then.
func (e *resident) kill(ctx context.Context) error {
	e.line.stop()
	killed := e.cfg.Dir + ".killed"
	if err := image(e.cfg.Dir, killed); err != nil {
		return err
	}
	if err := e.end(); err != nil { // whatever it writes now is thrown away
		return err
	}
	if err := os.RemoveAll(e.cfg.Dir); err != nil {
		return err
	}
	if err := os.Rename(killed, e.cfg.Dir); err != nil {
		return err
	}
	return e.start(ctx)
}

// leave lets the streams end by themselves and stops the edge.
func (e *resident) leave(ctx context.Context) error {
	for end := time.Now().Add(drainWait); e.Status(ctx).Streams > 0; {
		if time.Now().After(end) {
			return errors.Join(errors.New("streams do not end"), e.end())
		}
		if err := wait(ctx, 10*time.Millisecond); err != nil {
			return errors.Join(err, e.end())
		}
	}
	return e.end()
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
