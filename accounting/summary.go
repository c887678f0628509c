package accounting

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sward/internal/identity"
	"sward/internal/wire"
)

// beatPatience is how long after its last heartbeat a relay still counts as there.
const beatPatience = time.Minute

// beat is the last that was heard of a relay.
type beat struct {
	Heartbeat
	seen time.Time
}

// Heartbeat notes that a relay is there, takes over the addresses it tells, and returns what it has to obey.
func (b *Book) Heartbeat(ctx context.Context, relay identity.ID, h Heartbeat) (Orders, error) {
	if len(h.Agent) > wire.MaxAgent || len(h.Reach) > maxAddress || h.Edges < 0 || h.Streams < 0 {
		return Orders{}, wire.Errorf(wire.BadRequest, "malformed heartbeat")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.admittedLocked(relay) {
		return Orders{}, errNoRelay
	}
	if err := b.admitLocked(ctx, RelayInfo{ID: relay, Proxy: h.Proxy, Tunnel: h.Tunnel, Region: h.Region}); err != nil {
		return Orders{}, err
	}
	if err := b.homes.note(relay, h.Homes, b.cfg.Clock()); err != nil {
		return Orders{}, err
	}
	if b.beats[relay].Reach != h.Reach {
		b.directory = SignedDirectory{} // signed anew when it is next asked for
	}
	h.Homes = nil // noted
	b.beats[relay] = beat{h, b.cfg.Clock()}
	orders := Orders{Consents: b.cfg.Consents}
	for id := range b.state.barred {
		orders.Suspended = append(orders.Suspended, id)
	}
	slices.SortFunc(orders.Suspended, compareIDs)
	orders.Relays = b.presentLocked()
	for _, r := range b.relaysLocked() {
		orders.Peers = append(orders.Peers, r.ID)
	}
	return orders, nil
}

// presentLocked is how many relays were heard of lately.
func (b *Book) presentLocked() (n int) {
	now := b.cfg.Clock()
	for id, last := range b.beats {
		if now.Sub(last.seen) < beatPatience && b.admittedLocked(id) {
			n++
		}
	}
	return n
}

// admittedLocked reports whether a relay is in the network and not suspended.
func (b *Book) admittedLocked(id identity.ID) bool {
	r := b.state.relays[id]
	return r != nil && r.suspended == ""
}

func (b *Book) admitted(id identity.ID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.admittedLocked(id)
}

// Relays are the relays of the network, ascending by id; the suspended ones are left out.
func (b *Book) Relays() []RelayInfo {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.relaysLocked()
}

func (b *Book) relaysLocked() []RelayInfo {
	var all []RelayInfo
	for _, r := range b.state.relays {
		if r.suspended == "" {
			all = append(all, r.RelayInfo)
		}
	}
	slices.SortFunc(all, func(x, y RelayInfo) int { return compareIDs(x.ID, y.ID) })
	return all
}

// Directory is the network's directory, signed. The same copy serves for a minute, unless something changes.
func (b *Book) Directory(context.Context) (SignedDirectory, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.cfg.Clock()
	if age := now.Sub(b.directory.Issued); b.directory.Body != nil && age >= 0 && age < directoryAge {
		return b.directory, nil
	}
	issued := now.UTC().Truncate(time.Millisecond)
	d := Directory{
		Network:  b.cfg.Network,
		Hub:      b.cfg.Key.ID(),
		Issued:   issued,
		Expires:  issued.Add(directoryLife),
		MinAgent: b.cfg.MinAgent,
		Lists:    b.lists,
		Consents: b.cfg.Consents,
		Price:    b.state.prices[b.state.price],
		Relays:   []DirectoryRelay{},
	}
	for _, r := range b.relaysLocked() {
		if r.Tunnel != "" { // nothing was heard of it yet
			d.Relays = append(d.Relays, DirectoryRelay{ID: r.ID, Tunnel: r.Tunnel, Region: r.Region, Reach: b.beats[r.ID].Reach})
		}
	}
	signed, err := SignDirectory(b.cfg.Key, d)
	if err == nil {
		b.directory = signed
	}
	return signed, err
}

// Summary is the whole network in numbers.
func (b *Book) Summary(context.Context) (Summary, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.state
	sum := Summary{
		Network:   s.network,
		Hub:       s.hub,
		Price:     s.prices[s.price],
		Deposited: -s.ledger.balances[issueAccount],
		Available: s.ledger.sum(kindPartner),
		Reserved:  s.ledger.sum(kindReserve),
		Edges:     s.ledger.sum(kindEdge),
		Relays:    s.ledger.sum(kindRelay),
		Fees:      s.ledger.balances[feeAccount],
		Channels:  len(s.channels),
		Evidence:  len(s.evidence),
		Records:   s.seq,
		EdgeCount: len(s.edges),
	}
	reserved := map[PartnerID]Micro{}
	for _, g := range s.grants {
		if g.phase != grantClosed {
			sum.Grants++
			reserved[g.partner] += s.ledger.balances[reserveAccount(g.ID)]
		}
	}
	for _, p := range s.partners {
		sum.Partners = append(sum.Partners, PartnerTotal{p.name, s.ledger.balances[partnerAccount(p.id)], reserved[p.id]})
	}
	slices.SortFunc(sum.Partners, func(x, y PartnerTotal) int { return cmp.Compare(x.Name, y.Name) })
	for _, e := range s.edges {
		sum.Top = append(sum.Top, EdgeTotal{e.id, s.ledger.balances[account{kindEdge, e.text}], e.suspended})
	}
	slices.SortFunc(sum.Top, func(x, y EdgeTotal) int {
		return cmp.Or(cmp.Compare(y.Points, x.Points), compareIDs(x.Edge, y.Edge))
	})
	sum.Top = sum.Top[:min(len(sum.Top), shownEdges)]
	for _, r := range s.relays {
		last := b.beats[r.ID]
		sum.Relay = append(sum.Relay, RelayStatus{
			RelayInfo: r.RelayInfo, Agent: last.Agent, Edges: last.Edges, Streams: last.Streams, Seen: last.seen.UTC(),
			Points: s.ledger.balances[relayAccount(r.ID)], Suspended: r.suspended,
		})
	}
	slices.SortFunc(sum.Relay, func(x, y RelayStatus) int { return compareIDs(x.ID, y.ID) })
	return sum, nil
}

func compareIDs(x, y identity.ID) int { return slices.Compare(x[:], y[:]) }

// Metrics are the book's figures: each is read when it is asked for.
func (b *Book) Metrics() []prometheus.Collector {
	gauge := func(name, help string, read func(*state) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "sward", Subsystem: "book", Name: name, Help: help}, func() float64 {
			b.mu.Lock()
			defer b.mu.Unlock()
			return read(b.state)
		})
	}
	points := func(m Micro) float64 { return float64(m) / 1e6 }
	return []prometheus.Collector{
		gauge("records", "Records in the journal.", func(s *state) float64 { return float64(s.seq) }),
		gauge("channels", "Channels that can still be settled.", func(s *state) float64 { return float64(len(s.channels)) }),
		gauge("grants", "Grants that are known, closed ones of the last days included.", func(s *state) float64 { return float64(len(s.grants)) }),
		gauge("edges", "Edges that have ever opened a channel or registered.", func(s *state) float64 { return float64(len(s.edges)) }),
		gauge("evidence", "Records of broken rules.", func(s *state) float64 { return float64(len(s.evidence)) }),
		gauge("deposited_points", "Points that partners have paid in.", func(s *state) float64 { return points(-s.ledger.balances[issueAccount]) }),
		gauge("fee_points", "Points that the network has kept.", func(s *state) float64 { return points(s.ledger.balances[feeAccount]) }),
		gauge("stopped", "1 when the book takes nothing any more, because its journal could not be written.", func(*state) float64 {
			if b.failed != nil {
				return 1
			}
			return 0
		}),
		gauge("relays_present", "Relays heard of in the last minute.", func(*state) float64 {
			n, now := 0.0, b.cfg.Clock()
			for _, last := range b.beats {
				if now.Sub(last.seen) < beatPatience {
					n++
				}
			}
			return n
		}),
	}
}
