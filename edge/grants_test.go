package edge

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sward/accounting"
	"sward/internal/identity"
	"sward/internal/wire"
)

// grantBook is a table with the keys to sign grants for it.
type grantBook struct {
	*grants
	hub   identity.Key
	relay identity.ID
	now   time.Time
}

func newGrantBook(t *testing.T) *grantBook {
	t.Helper()
	b := &grantBook{hub: mustKey(t), relay: mustKey(t).ID(), now: noon}
	b.grants = newGrants(testNetwork, b.hub.ID(), func() time.Time { return b.now })
	return b
}

func (b *grantBook) sign(id byte, limit uint64, life time.Duration) []byte {
	return accounting.SignGrant(testNetwork, b.hub, accounting.Grant{
		ID: accounting.GrantID{id, 1}, Issuer: b.hub.ID(), Relay: b.relay, Purpose: 1, Limit: limit,
		Issued: b.now.UnixMilli(), NotAfter: b.now.Add(life).UnixMilli(), MaxChannels: 1,
	}).Bytes()
}

func TestParallelStreamsNeverPassAGrant(t *testing.T) {
	const limit = 1_000_003
	b := newGrantBook(t)
	g, err := b.accept(b.relay, b.sign(1, limit, time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	var moved atomic.Int64
	var streams sync.WaitGroup
	for i := range 16 {
		streams.Go(func() {
			for {
				n, _ := g.tryReserve(1000 + i)
				if n == 0 {
					return
				}
				g.giveBack(n / 2)
				moved.Add(int64(n - n/2))
			}
		})
	}
	streams.Wait()
	if got := moved.Load(); got > limit || got < limit-16*1016 {
		t.Errorf("16 streams moved %d bytes on a grant of %d", got, limit)
	}
}

func TestAGrantOnlyGrows(t *testing.T) {
	b := newGrantBook(t)
	small, large := b.sign(1, 1000, time.Hour), b.sign(1, 5000, time.Hour)
	g, err := b.accept(b.relay, large)
	if err != nil {
		t.Fatal(err)
	}
	same, err := b.accept(b.relay, small) // an older version, overtaken on its way
	if err != nil || same != g {
		t.Fatalf("an older version: got %v, %v; want the grant that is known", same, err)
	}
	if n, _ := g.tryReserve(1 << 20); n != 5000 {
		t.Errorf("the older version shrank the limit to %d, want 5000", n)
	}
}

func TestAStreamWaitsAtTheLimitForALaterVersion(t *testing.T) {
	b := newGrantBook(t)
	g, err := b.accept(b.relay, b.sign(1, 10, time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := g.reserve(t.Context(), 100); n != 10 || err != nil {
		t.Fatalf("first: got %d, %v; want 10", n, err)
	}
	got := make(chan int, 1)
	go func() {
		n, _ := g.reserve(t.Context(), 100)
		got <- n
	}()
	if _, err := b.accept(b.relay, b.sign(1, 60, time.Hour)); err != nil {
		t.Fatal(err)
	}
	if n := <-got; n != 50 {
		t.Errorf("after the extension: got %d, want 50", n)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(wire.Errorf(wire.Paused, "test"))
	if _, err := g.reserve(ctx, 1); wire.CodeOf(err) != wire.Paused {
		t.Errorf("a cut stream at the limit: got %v, want %s", err, wire.Paused)
	}
}

func TestGrantTableIsBoundedAndKeepsWhatRuns(t *testing.T) {
	b := newGrantBook(t)
	busy, err := b.accept(b.relay, b.sign(1, 1000, 24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	busy.enter()
	if n, _ := busy.tryReserve(700); n != 700 {
		t.Fatalf("reserved %d, want 700", n)
	}
	for i := len(b.byID); i < maxGrants; i++ { // signing each would take seconds
		id := accounting.GrantID{2, byte(i), byte(i >> 8)}
		b.byID[id] = &grant{table: b.grants, id: id, lastUse: b.now.Add(time.Duration(i)), raised: make(chan struct{})}
		b.byID[id].latest.NotAfter = b.now.Add(time.Minute).UnixMilli()
	}
	b.now = b.now.Add(2 * time.Minute)
	if _, err := b.accept(b.relay, b.sign(3, 1000, time.Hour)); err != nil {
		t.Fatal(err)
	}
	if len(b.byID) != 2 {
		t.Errorf("%d grants are kept, want the busy one and the new one", len(b.byID))
	}
	again, err := b.accept(b.relay, b.sign(1, 1000, 23*time.Hour))
	if err != nil || again != busy {
		t.Fatalf("the busy grant was forgotten: %v", err)
	}
	if n, _ := again.tryReserve(1000); n != 300 {
		t.Errorf("the busy grant has %d left, want 300", n)
	}
}

func TestGrantRefusalsHaveOneCode(t *testing.T) {
	b := newGrantBook(t)
	good := b.sign(1, 1000, time.Hour)
	if _, err := b.accept(mustKey(t).ID(), good); wire.CodeOf(err) != wire.GrantInvalid {
		t.Errorf("for another relay: got %v, want %s", err, wire.GrantInvalid)
	}
	for i := range good {
		bad := append([]byte(nil), good...)
		bad[i] ^= 0x40
		var refused *wire.Error
		if _, err := b.accept(b.relay, bad); !errors.As(err, &refused) || refused.Code != wire.GrantInvalid {
			t.Fatalf("byte %d flipped: got %v, want %s", i, err, wire.GrantInvalid)
		}
	}
	if len(b.byID) != 0 {
		t.Errorf("%d bad grants were kept", len(b.byID))
	}
}
