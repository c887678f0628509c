package edge

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"sward/accounting"
	"sward/internal/identity"
	"sward/internal/wire"
)

const (
	// MaxRelays is how many relays an edge keeps a tunnel to: enough that one may fail and that load spreads, few
	// enough that a relay sees few idle tunnels.
	MaxRelays = 4
	// directoryEvery is how often the list of relays is read again, and directoryRetry after a failure.
	directoryEvery = 10 * time.Minute
	directoryRetry = 15 * time.Second
	// reachDirectoryEvery is how often, while the owner lets relays call and the list names none that takes part: the hub
	// forgets that when it starts again, and hears it within seconds.
	reachDirectoryEvery = time.Minute
	// consentEvery is how often an edge without agreement looks whether there is one now.
	consentEvery = 2 * time.Second
	// maxHostAddrs bounds the addresses kept out of reach for one of the network's own hosts, and maxLookups how many of
	// their names are resolved at once.
	maxHostAddrs = 16
	maxLookups   = 8
)

// keepRelays waits for the owner's agreement and then keeps a tunnel to each relay of the list, which it reads again
// from time to time.
func (e *Edge) keepRelays(ctx context.Context) error {
	defer e.setRelays(context.WithoutCancel(ctx), nil)
	if err := e.waitForConsent(ctx); err != nil {
		return nil //nolint:nilerr // the edge was stopped before its owner agreed
	}
	select {
	case <-e.seal.First(): // no stream before the home has been attacked once
	case <-ctx.Done():
		return nil
	}
	failing := false
	for ctx.Err() == nil {
		wait := directoryEvery
		relays, err := e.readRelays(ctx)
		if err == nil {
			e.setRelays(ctx, relays)
			if e.reachable.wanting() {
				wait = reachDirectoryEvery
			}
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
	for {
		_, err := ReadConsent(e.cfg.Dir)
		if err == nil {
			return nil
		}
		e.noConsent.Do(func() {
			e.cfg.Log.Warn("nothing is shared: run sward-edge init at a terminal, or with --consent-code", "err", err)
		})
		if sleep(ctx, consentEvery); ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// readRelays is whom to keep a tunnel to: the fixed list, or this edge's choice from the directory. All relays of either
// are kept out of every stream's reach.
func (e *Edge) readRelays(ctx context.Context) ([]Relay, error) {
	if len(e.cfg.Relays) > 0 {
		e.keepOff(ctx, e.cfg.Relays)
		e.reachable.setRelays(e.cfg.Relays)
		return withoutReach(e.cfg.Relays), nil
	}
	directory, err := e.cfg.Hub.Directory(ctx)
	if err != nil {
		return nil, err
	}
	if err := e.followLists(ctx, directory.Directory); err != nil {
		e.cfg.Log.Warn("the hub's lists cannot be had, those of before stay in force", "err", err) // and are asked for with the next directory
	}
	all := listed(directory.Directory)
	if len(all) == 0 {
		return nil, fmt.Errorf("the directory lists no relay")
	}
	e.keepOff(ctx, all)
	e.reachable.setRelays(all)
	return withoutReach(chooseRelays(e.ID(), all)), nil
}

// withoutReach are relays as tunnels know them: a link does not end because a libp2p host has moved.
func withoutReach(relays []Relay) []Relay {
	relays = slices.Clone(relays)
	for i := range relays {
		relays[i].Reach = ""
	}
	return relays
}

// RelaysFor are the relays of the directory to which that edge keeps a tunnel.
func RelaysFor(edge identity.ID, d accounting.Directory) []Relay {
	return chooseRelays(edge, listed(d))
}

func listed(d accounting.Directory) []Relay {
	all := make([]Relay, 0, len(d.Relays))
	for _, r := range d.Relays {
		if r.Tunnel != "" && !r.ID.IsZero() {
			all = append(all, Relay{ID: r.ID, Addr: r.Tunnel, Reach: r.Reach})
		}
	}
	return all
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
	return all[:min(len(all), MaxRelays)]
}

// setRelays starts and stops links until there is one for each relay of the list.
func (e *Edge) setRelays(ctx context.Context, want []Relay) {
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
	ending.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range want {
		if e.relays[r.ID] == nil {
			e.relays[r.ID] = e.startLink(ctx, r)
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
		Version: wire.Version, Role: wire.RoleEdge, Apps: e.apps(), Streams: uint16(e.terms().Streams),
		Clock: e.cfg.Clock().UnixMilli(), Network: e.cfg.Network, Agent: e.cfg.Agent,
		Consent: ConsentHash(), Policy: e.terms().policy.Digest(),
	}
}

// keepOff keeps the addresses of the relays and the hub out of every stream's reach. A name that does not resolve now
// leads where it led before.
func (e *Edge) keepOff(ctx context.Context, relays []Relay) {
	hosts := map[string]bool{}
	for _, hostport := range append([]string{e.cfg.HubAddr}, addrsOf(relays)...) {
		if host, _, err := net.SplitHostPort(hostport); err == nil {
			hosts[host] = true
		}
	}
	var mu sync.Mutex
	found := map[string][]netip.Addr{}
	var lookups errgroup.Group
	lookups.SetLimit(maxLookups)
	for host := range hosts {
		lookups.Go(func() error {
			addrs := e.hostAddrs(ctx, host)
			mu.Lock()
			defer mu.Unlock()
			found[host] = addrs
			return nil
		})
	}
	lookups.Wait() //nolint:errcheck // what fails is looked up again
	e.gate.setNetwork(found)
}

// hostAddrs are the addresses of one host of the network, nil if they cannot be found.
func (e *Edge) hostAddrs(ctx context.Context, host string) []netip.Addr {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a.Unmap()}
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	addrs, err := e.cfg.Resolve(ctx, host)
	if err != nil {
		return nil
	}
	addrs = slices.Clone(addrs[:min(len(addrs), maxHostAddrs)])
	for i, a := range addrs {
		addrs[i] = a.Unmap()
	}
	return addrs
}

// relayGate is asked before a relay is dialled. Those that the owner has written down are theirs to choose.
func (e *Edge) relayGate(a netip.Addr) error {
	if len(e.cfg.Relays) > 0 {
		return nil
	}
	return RelayGate(a, e.cfg.HubAddr, e.own())
}

func addrsOf(relays []Relay) []string {
	addrs := make([]string, 0, 2*len(relays))
	for _, r := range relays {
		addrs = append(addrs, r.Addr, r.Reach)
	}
	return addrs
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
