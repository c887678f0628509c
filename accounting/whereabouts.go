package accounting

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"sward/internal/identity"
	"sward/internal/wire"
)

const (
	// MaxHomes is how many edges one heartbeat can speak of. A relay with more takes turns.
	MaxHomes = 512
	// homeLife is how long the hub believes what was said of an edge: relays say it again every five minutes.
	homeLife = 12 * time.Minute
	// maxHomes bounds the edges of which the hub knows where they are: 200 bytes each, for each of their relays.
	maxHomes = 100_000
	// maxAddress bounds the text of a host and a port.
	maxAddress = wire.MaxHost + len(":65535")
)

// Home is what a relay says of an edge that lets other relays come: how they get there.
type Home struct {
	Edge    identity.ID `json:"edge"`
	Addr    netip.Addr  `json:"addr"`              // from which it comes to the relay
	Port    uint16      `json:"port,omitempty"`    // UDP port at which it can be dialled there
	Circuit bool        `json:"circuit,omitempty"` // it can be called over the relay
}

// Whereabouts is where an edge is to be found.
type Whereabouts struct {
	Addr     netip.Addr       `json:"addr"`
	Port     uint16           `json:"port,omitempty"`
	Circuits []DirectoryRelay `json:"circuits,omitempty"` // over which it can be called
}

// homes is what relays have said. Nothing of it is on disk: after a restart of the hub it is said again.
type homes struct {
	all map[identity.ID]map[identity.ID]homeSeen // by edge, then by relay
}

type homeSeen struct {
	Home
	at time.Time
}

// note takes over what a relay says. An edge that is no more to be reached has neither port nor circuit.
func (h *homes) note(relay identity.ID, said []Home, now time.Time) error {
	if len(said) > MaxHomes {
		return wire.Errorf(wire.BadRequest, "a heartbeat speaks of %d edges, at most %d", len(said), MaxHomes)
	}
	if h.all == nil {
		h.all = map[identity.ID]map[identity.ID]homeSeen{}
	}
	for _, s := range said {
		if s.Edge.IsZero() || !s.Addr.IsValid() {
			return wire.Errorf(wire.BadRequest, "a heartbeat speaks of an edge without saying which, or where")
		}
		if s.Port == 0 && !s.Circuit {
			h.drop(s.Edge, relay)
			continue
		}
		if h.all[s.Edge] == nil {
			if len(h.all) >= maxHomes {
				h.sweep(now)
			}
			if len(h.all) >= maxHomes {
				continue // it can be reached through its own relays as before
			}
			h.all[s.Edge] = map[identity.ID]homeSeen{}
		}
		h.all[s.Edge][relay] = homeSeen{s, now}
	}
	return nil
}

func (h *homes) drop(edge, relay identity.ID) {
	delete(h.all[edge], relay)
	if len(h.all[edge]) == 0 {
		delete(h.all, edge)
	}
}

func (h *homes) sweep(now time.Time) {
	for edge, relays := range h.all {
		for relay, s := range relays {
			if now.Sub(s.at) >= homeLife {
				h.drop(edge, relay)
			}
		}
	}
}

// Whereabouts tells a relay how to get to an edge. An edge of which nobody has said so lately is no_edge.
func (b *Book) Whereabouts(_ context.Context, edge identity.ID) (Whereabouts, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var (
		w      Whereabouts
		newest time.Time
		now    = b.cfg.Clock()
	)
	for relay, s := range b.homes.all[edge] {
		if now.Sub(s.at) >= homeLife || !b.admittedLocked(relay) {
			continue
		}
		if s.at.After(newest) {
			newest, w.Addr = s.at, s.Addr
		}
		if s.Port != 0 && (w.Port == 0 || w.Addr == s.Addr) {
			w.Addr, w.Port = s.Addr, s.Port
		}
		if at := b.beats[relay].Reach; s.Circuit && at != "" {
			w.Circuits = append(w.Circuits, DirectoryRelay{ID: relay, Reach: at})
		}
	}
	if w.Port == 0 && len(w.Circuits) == 0 {
		return Whereabouts{}, wire.Errorf(wire.NoEdge, "no relay says how to get to this edge")
	}
	slices.SortFunc(w.Circuits, func(x, y DirectoryRelay) int { return compareIDs(x.ID, y.ID) })
	return w, nil
}

type whereCall struct {
	Edge identity.ID `json:"edge"`
}

// Whereabouts asks the hub how to get to an edge that has no session with this relay.
func (c *Client) Whereabouts(ctx context.Context, edge identity.ID) (Whereabouts, error) {
	var answer Whereabouts
	return answer, c.call(ctx, http.MethodPost, pathWhere, whereCall{edge}, &answer)
}
