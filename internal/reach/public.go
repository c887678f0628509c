package reach

import (
	"net/netip"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/multiformats/go-multiaddr"
)

// public is what AutoNAT has found out: at which addresses others could dial this host. It takes eight servers or more to
// be sure of one within seconds; with fewer it may never be, and then a relay's knock (Knock) decides.
type public struct {
	mu   sync.Mutex
	at   []netip.AddrPort
	done sync.WaitGroup
}

// watch follows AutoNAT's events until the host is closed.
func (p *public) watch(h *Host) error {
	events, err := h.host.EventBus().Subscribe(new(event.EvtHostReachableAddrsChanged))
	if err != nil {
		return err
	}
	p.done.Go(func() {
		defer events.Close()
		for {
			select {
			case e, ok := <-events.Out():
				if !ok {
					return
				}
				p.set(e.(event.EvtHostReachableAddrsChanged).Reachable)
			case <-h.closed:
				return
			}
		}
	})
	return nil
}

func (p *public) wait() { p.done.Wait() }

func (p *public) set(reachable []multiaddr.Multiaddr) {
	var at []netip.AddrPort
	for _, a := range reachable {
		if _, err := a.ValueForProtocol(multiaddr.P_QUIC_V1); err != nil {
			continue
		}
		if one, err := addrPortOf(a); err == nil {
			at = append(at, one)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at = at
}

// Confirmed are the UDP addresses at which AutoNAT has seen that others can dial this host.
func (h *Host) Confirmed() []netip.AddrPort {
	h.public.mu.Lock()
	defer h.public.mu.Unlock()
	return slices.Clone(h.public.at)
}
