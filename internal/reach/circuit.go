package reach

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/multiformats/go-multiaddr"

	"sward/internal/identity"
)

const (
	// slotLife is how long an edge's place for circuits lasts, and slotMargin how long before its end it is renewed.
	slotLife   = time.Hour
	slotMargin = 20 * time.Minute
	// maxSlots is how many edges have a place at a relay: all that have a connection.
	maxSlots = relayConns / 2
	// slotsFromOne is how many behind one address, and slotsFromNetwork in one network (ASN): large providers are no
	// attack, so the latter is all.
	slotsFromOne     = 32
	slotsFromNetwork = maxSlots
	// circuitsOfOne is how many circuits one peer may have, calling or called. A relay that calls needs one for each edge,
	// until a hole is punched.
	circuitsOfOne = 256
	// circuitBuffer in bytes is what is copied at once, twice for each circuit: the size at which copying costs no more than
	// the rest of QUIC does.
	circuitBuffer = 16 << 10
	// reserveTimeout bounds asking for a place, the connection included.
	reserveTimeout = 20 * time.Second
	// maxAddrs bounds the addresses of one relay's name.
	maxAddrs = 4
)

// Relay is where a relay's host is.
type Relay struct {
	ID   identity.ID
	Addr string // host:port, UDP and TCP
}

// serveCircuits lets edges have a place at a relay, and relays come to them over it. libp2p's own bound for a circuit, two
// minutes and 128 KiB, is for finding each other; a tunnel that cannot have more than the circuit has it for as long as it
// serves, and the one who calls pays for the bytes like for any (the edge's own relay carries them for nothing: see
// docs/design/reach.md).
func serveCircuits(h host.Host, cfg Config, open *opened) error {
	r, err := relay.New(h, relay.WithACL(acl{cfg}), relay.WithResources(relay.Resources{
		ReservationTTL: slotLife, MaxReservations: maxSlots, MaxCircuits: circuitsOfOne, BufferSize: circuitBuffer,
		MaxReservationsPerIP: slotsFromOne, MaxReservationsPerASN: slotsFromNetwork,
	}))
	if err != nil {
		return err
	}
	open.add(r.Close)
	return nil
}

// acl keeps circuits within the network: from its relays to its edges.
type acl struct{ cfg Config }

func (a acl) AllowReserve(p peer.ID, _ multiaddr.Multiaddr) bool {
	id, err := identity.OfPeer(p)
	return err == nil && a.cfg.Reserve(id) == nil
}

func (a acl) AllowConnect(from peer.ID, _ multiaddr.Multiaddr, to peer.ID) bool {
	id, err := identity.OfPeer(from)
	return err == nil && a.cfg.Callers(id) == nil && a.AllowReserve(to, nil)
}

// slots are the places that an edge has at relays.
type slots struct {
	mu   sync.Mutex
	held map[identity.ID]slot
}

type slot struct{ until time.Time }

// Reserve has a place at a relay, so that others can come over it: a new one when there is none or when its end is near.
func (h *Host) Reserve(ctx context.Context, r Relay) error {
	if h.Reserved(r.ID) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, reserveTimeout)
	defer cancel()
	addrs, err := h.waysToRelay(ctx, r)
	if err != nil {
		return err
	}
	given, err := client.Reserve(ctx, h.host, peer.AddrInfo{ID: r.ID.Peer(), Addrs: addrs})
	if err != nil {
		return fmt.Errorf("reserve a circuit at relay %s: %w", r.ID, err)
	}
	h.slots.mu.Lock()
	defer h.slots.mu.Unlock()
	h.slots.held[r.ID] = slot{given.Expiration}
	return nil
}

// Reserved tells whether others can come over a relay. The place goes with the connection.
func (h *Host) Reserved(relay identity.ID) bool {
	h.slots.mu.Lock()
	defer h.slots.mu.Unlock()
	s, ok := h.slots.held[relay]
	if ok && (time.Until(s.until) < slotMargin || h.host.Network().Connectedness(relay.Peer()) != network.Connected) {
		delete(h.slots.held, relay)
		ok = false
	}
	return ok
}

// waysToRelay are the multiaddrs of a relay's host, the name resolved.
func (h *Host) waysToRelay(ctx context.Context, r Relay) (all []multiaddr.Multiaddr, err error) {
	name, service, err := net.SplitHostPort(r.Addr)
	if err != nil {
		return nil, fmt.Errorf("relay %s: %w", r.ID, err)
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("relay %s: port %q is no number", r.ID, service)
	}
	addrs := []netip.Addr{}
	if literal, err := netip.ParseAddr(name); err == nil {
		addrs = append(addrs, literal)
	} else if addrs, err = h.cfg.Resolve(ctx, name); err != nil {
		return nil, fmt.Errorf("relay %s: %w", r.ID, err)
	}
	for _, a := range addrs[:min(len(addrs), maxAddrs)] {
		ways, err := waysTo(netip.AddrPortFrom(a, uint16(port)))
		if err != nil {
			return nil, err
		}
		all = append(all, ways...)
	}
	return all, nil
}
