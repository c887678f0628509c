package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"sward/internal/identity"
	"sward/internal/tunnel"
	"sward/internal/wire"
)

// stormWait is how long the edges of a restarted relay may take to come back before the measurement gives up.
const stormWait = 2 * time.Minute

// arrivals notes when each edge greeted the relay last.
type arrivals struct {
	mu    sync.Mutex
	at    []time.Time
	fresh chan struct{} // one slot
}

func (a *arrivals) add() {
	a.mu.Lock()
	a.at = append(a.at, time.Now())
	a.mu.Unlock()
	select {
	case a.fresh <- struct{}{}:
	default: // it is told already
	}
}

// await waits for n of them.
func (a *arrivals) await(ctx context.Context, n int) ([]time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, stormWait)
	defer cancel()
	for {
		a.mu.Lock()
		at := slices.Clone(a.at)
		a.mu.Unlock()
		if len(at) >= n {
			return at, nil
		}
		select {
		case <-a.fresh:
		case <-ctx.Done():
			return nil, fmt.Errorf("%d of %d edges came within %v", len(at), n, stormWait)
		}
	}
}

// measureStorm ends a relay that has many edges, starts it again, and looks on as they come back.
func (p plan) measureStorm(ctx context.Context, out io.Writer, name string, end func(*relayProcess)) error {
	r, err := startRelay(ctx, "")
	if err != nil {
		return err
	}
	came := &arrivals{fresh: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(ctx)
	var clients sync.WaitGroup
	defer clients.Wait()
	defer cancel()
	for range p.storm {
		client, err := p.stormEdge(r.addr, came)
		if err != nil {
			r.kill()
			return err
		}
		clients.Go(func() { client.Run(ctx) }) //nolint:errcheck // it ends with ctx
	}
	if _, err := came.await(ctx, p.storm); err != nil {
		r.kill()
		return err
	}
	end(r)
	came.mu.Lock()
	came.at = nil
	came.mu.Unlock()
	began := time.Now() // edges that were told may come before the relay says that it is up
	if r, err = startRelay(ctx, r.addr); err != nil {
		return err
	}
	defer r.kill()
	at, err := came.await(ctx, p.storm)
	if err != nil {
		return err
	}
	now, err := r.look()
	if err != nil {
		return err
	}
	slices.SortFunc(at, time.Time.Compare)
	since := func(share float64) float64 {
		return at[min(int(share*float64(len(at))), len(at)-1)].Sub(began).Seconds()
	}
	fmt.Fprintf(out, "| %d | %s | %.1f | %.1f | %.1f | %.1f | %d | %.1f |\n",
		p.storm, name, since(0), since(0.5), since(0.9), since(1), densest(at, time.Second), now.CPU.Seconds())
	return nil
}

// densest is the most of them within d.
func densest(at []time.Time, d time.Duration) (most int) {
	first := 0
	for i := range at {
		for at[i].Sub(at[first]) >= d {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

// stormEdge is an edge's client with a life of its own.
func (p plan) stormEdge(addr string, came *arrivals) (*tunnel.Client, error) {
	key, err := identity.NewKey()
	if err != nil {
		return nil, err
	}
	cfg := tunnel.Config{Key: key, Network: network}
	return tunnel.NewClient(tunnel.ClientConfig{
		Dial: func(ctx context.Context) (*tunnel.Session, wire.Welcome, error) {
			return tunnel.Dial(ctx, cfg, nil, addr, relayKey.ID(), wire.Hello{
				Role: wire.RoleEdge, Apps: wire.AppsOf(wire.AppProxy), Streams: 64, Agent: "scale", Consent: consent,
			})
		},
		Serve: func(ctx context.Context, s *tunnel.Session, _ wire.Welcome) error {
			came.add()
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			go func() { // a crash is noticed by what is sent into it
				for wait(ctx, p.status) == nil {
					s.Send(wire.Status{Apps: wire.AppsOf(wire.AppProxy)}) //nolint:errcheck // Control hears of it
				}
			}()
			for {
				if _, _, err := s.Control(ctx); err != nil {
					return err
				}
			}
		},
	})
}
