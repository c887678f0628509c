package edge

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"sward/accounting"
	"sward/internal/identity"
	"sward/internal/wire"
)

const (
	// maxGrants bounds the table. Grants are signed by the hub and live a day at most: this is more partners than one
	// home serves in a day.
	maxGrants = 4096
	// grantWait is how long a stream at its grant's limit waits for a later version to arrive on the control stream.
	grantWait = 12 * time.Second
)

// grants are the hub's promises this edge has served on, each with what has gone through on it. The edge stops at a
// grant's limit by itself: beyond it the hub pays nobody.
type grants struct {
	network string
	hub     identity.ID
	clock   func() time.Time

	mu   sync.Mutex
	byID map[accounting.GrantID]*grant
}

// grant is one promise in its latest version. What changes is under the table's lock.
type grant struct {
	table *grants
	id    accounting.GrantID // the same in all versions

	latest   accounting.SignedGrant
	verified [32]byte      // SHA-256 of the bytes of latest: the same bytes are not verified twice
	used     uint64        // moved, or reserved to be moved
	streams  int           // running
	lastUse  time.Time     // for eviction
	raised   chan struct{} // closed when a later version arrives
}

func newGrants(network string, hub identity.ID, clock func() time.Time) *grants {
	return &grants{network: network, hub: hub, clock: clock, byID: map[accounting.GrantID]*grant{}}
}

// accept checks a signed grant that relay brought, and enters it or its later version into the table. The error is a
// *wire.Error with grant_invalid.
func (t *grants) accept(relay identity.ID, document []byte) (*grant, error) {
	hash := sha256.Sum256(document)
	signed, err := accounting.ParseSignedGrant(document)
	if err != nil {
		return nil, wire.Errorf(wire.GrantInvalid, "%v", err)
	}
	if signed.Relay != relay {
		return nil, wire.Errorf(wire.GrantInvalid, "the grant is for another relay")
	}
	now := t.clock()
	if err := signed.CheckTime(now); err != nil {
		return nil, wire.Errorf(wire.GrantInvalid, "%v", err)
	}
	t.mu.Lock()
	g := t.byID[signed.ID]
	known := g != nil && g.verified == hash
	t.mu.Unlock()
	if !known {
		if err := signed.Verify(t.network, t.hub); err != nil {
			return nil, wire.Errorf(wire.GrantInvalid, "%v", err)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if g = t.byID[signed.ID]; g == nil {
		if err := t.makeRoomLocked(now); err != nil {
			return nil, err
		}
		g = &grant{table: t, id: signed.ID, raised: make(chan struct{})}
		t.byID[signed.ID] = g
	}
	g.lastUse = now
	if signed.Limit >= g.latest.Limit && signed.NotAfter >= g.latest.NotAfter {
		g.latest, g.verified = signed, hash
		close(g.raised)
		g.raised = make(chan struct{})
	}
	return g, nil
}

// makeRoomLocked forgets grants that ran out, or else the one unused for longest.
func (t *grants) makeRoomLocked(now time.Time) error {
	if len(t.byID) < maxGrants {
		return nil
	}
	var oldest *grant
	for id, g := range t.byID {
		if g.streams > 0 {
			continue
		}
		if g.latest.CheckTime(now) != nil {
			delete(t.byID, id)
		} else if oldest == nil || g.lastUse.Before(oldest.lastUse) {
			oldest = g
		}
	}
	if len(t.byID) < maxGrants {
		return nil
	}
	if oldest == nil {
		return wire.Errorf(wire.StreamLimit, "too many grants are in use")
	}
	delete(t.byID, oldest.id)
	return nil
}

// enter and leave bracket a stream.
func (g *grant) enter() { g.count(1) }
func (g *grant) leave() { g.count(-1) }

func (g *grant) count(n int) {
	g.table.mu.Lock()
	defer g.table.mu.Unlock()
	g.streams += n
	g.lastUse = g.table.clock()
}

// reserve takes up to limit bytes from the grant. At the limit it waits a moment for a later version. The error is a
// *wire.Error with over_limit, or ctx's.
func (g *grant) reserve(ctx context.Context, limit int) (int, error) {
	var timeout <-chan time.Time
	for {
		n, raised := g.tryReserve(limit)
		if n > 0 {
			return n, nil
		}
		if timeout == nil {
			timer := time.NewTimer(grantWait)
			defer timer.Stop()
			timeout = timer.C
		}
		select {
		case <-raised:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-timeout:
			return 0, wire.Errorf(wire.OverLimit, "the grant is used up and no later version of it came")
		}
	}
}

func (g *grant) tryReserve(limit int) (int, <-chan struct{}) {
	g.table.mu.Lock()
	defer g.table.mu.Unlock()
	n := min(uint64(limit), g.latest.Limit-min(g.used, g.latest.Limit))
	g.used += n
	return int(n), g.raised
}

// giveBack returns what was reserved and did not move.
func (g *grant) giveBack(n int) {
	g.table.mu.Lock()
	defer g.table.mu.Unlock()
	g.used -= uint64(n)
}

// purpose is the code of what the partner's traffic is for; the hub does not change it between versions.
func (g *grant) purpose() uint16 {
	g.table.mu.Lock()
	defer g.table.mu.Unlock()
	return g.latest.Purpose
}
