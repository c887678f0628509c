package edge

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"sward/internal/identity"
	"sward/internal/wire"
)

const (
	// maxRelays is how many relays an edge keeps a tunnel to: enough that one may fail and that load spreads, few
	// enough that a relay sees few idle tunnels.
	maxRelays = 4
	// directoryEvery is how often the list of relays is read again, and directoryRetry after a failure.
	directoryEvery = 10 * time.Minute
	directoryRetry = 15 * time.Second
	// consentEvery is how often an edge without agreement looks whether there is one now.
	consentEvery = 2 * time.Second
	// maxHostAddrs bounds the addresses kept out of reach for one of the network's own hosts.
	maxHostAddrs = 16
)

// keepRelays waits for the owner's agreement and then keeps a tunnel to each relay of the list, which it reads again
// from time to time.
func (e *Edge) keepRelays(ctx context.Context) error {
	defer e.setRelays(context.WithoutCancel(ctx), nil)
	if err := e.waitForConsent(ctx); err != nil {
		return nil //nolint:nilerr // the edge was stopped before its owner agreed
	}
	failing := false
	for ctx.Err() == nil {
		wait := directoryEvery
		relays, err := e.listRelays(ctx)
		if err == nil {
			e.setRelays(ctx, relays)
		} else {
			wait = directoryRetry
			if !failing && ctx.Err() == nil {
				e.cfg.Log.Warn("the list of relays cannot be read, will try again", "err", err)
			}
		}
		failing = err != nil
		sleep(ctx, wait)
	}
	return nil
}

// waitForConsent returns when the owner has agreed to the current text.
func (e *Edge) waitForConsent(ctx context.Context) error {
	for told := false; ; told = true {
		_, err := ReadConsent(e.cfg.Dir)
		if err == nil {
			return nil
		}
		if !told {
			e.cfg.Log.Warn("nothing is shared: run sward-edge init", "err", err)
		}
		if sleep(ctx, consentEvery); ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// listRelays is the fixed list, or this edge's choice from the directory.
func (e *Edge) listRelays(ctx context.Context) ([]Relay, error) {
	if len(e.cfg.Relays) > 0 {
		return e.cfg.Relays, nil
	}
	directory, err := e.cfg.Hub.Directory(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]Relay, 0, len(directory.Relays))
	for _, r := range directory.Relays {
		if r.Tunnel != "" && !r.ID.IsZero() {
			all = append(all, Relay{ID: r.ID, Addr: r.Tunnel})
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("the directory lists no relay")
	}
	return chooseRelays(e.ID(), all), nil
}

// chooseRelays takes the relays whose hash with the edge's identity is lowest (rendezvous hashing): edges spread
// evenly, and neither an edge nor a relay can pick its partner without making a new identity for it.
func chooseRelays(edge identity.ID, all []Relay) []Relay {
	rank := func(r Relay) []byte {
		h := sha256.Sum256(append(slices.Clone(edge[:]), r.ID[:]...))
		return h[:]
	}
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b Relay) int { return bytes.Compare(rank(a), rank(b)) })
	return all[:min(len(all), maxRelays)]
}

// setRelays starts and stops links until there is one for each relay of the list, and keeps their addresses out of
// every stream's reach.
func (e *Edge) setRelays(ctx context.Context, want []Relay) {
	if len(want) > 0 { // at the end, what still runs stays away from them as before
		e.gate.setNetwork(e.networkAddrs(ctx, want))
	}
	e.mu.Lock()
	var gone []*link
	for id, l := range e.relays {
		if !slices.Contains(want, l.relay) {
			gone = append(gone, l)
			delete(e.relays, id)
		}
	}
	e.mu.Unlock()
	var ending sync.WaitGroup
	for _, l := range gone {
		ending.Go(func() { l.stop(context.WithoutCancel(ctx)) })
	}
	ending.Wait() // before the next ones start: one of them may take over the socket
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range want {
		if e.relays[r.ID] == nil {
			e.relays[r.ID] = e.startLink(ctx, r, len(e.relays) == 0)
		}
	}
}

// connected is how many tunnels are up.
func (e *Edge) connected() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for _, l := range e.relays {
		if l.status().Connected {
			n++
		}
	}
	return n
}

func (e *Edge) hello() wire.Hello {
	return wire.Hello{
		Version: wire.Version, Role: wire.RoleEdge, Apps: e.apps(), Streams: uint16(e.cfg.Streams),
		Clock: e.cfg.Clock().UnixMilli(), Network: e.cfg.Network, Agent: e.cfg.Agent,
		Consent: ConsentHash(), Policy: e.policy.Digest(),
	}
}

// networkAddrs lists the addresses of the relays and the hub. Names that do not resolve are passed over: this edge does
// not reach such a host either.
func (e *Edge) networkAddrs(ctx context.Context, relays []Relay) []netip.Addr {
	hosts := []string{e.cfg.HubAddr}
	for _, r := range relays {
		hosts = append(hosts, r.Addr)
	}
	seen := map[netip.Addr]bool{}
	for _, hostport := range hosts {
		host, _, err := net.SplitHostPort(hostport)
		if err != nil {
			continue
		}
		if a, err := netip.ParseAddr(host); err == nil {
			seen[a.Unmap()] = true
			continue
		}
		lookup, cancel := context.WithTimeout(ctx, resolveTimeout)
		addrs, err := e.cfg.Resolve(lookup, host)
		cancel()
		if err == nil {
			for _, a := range addrs[:min(len(addrs), maxHostAddrs)] {
				seen[a.Unmap()] = true
			}
		}
	}
	return slices.Collect(maps.Keys(seen))
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
