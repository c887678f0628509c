package hub

import (
	"testing"
	"time"

	"sward/accounting"
	"sward/internal/identity"
	"sward/policy"
)

func newKey(t *testing.T) identity.Key {
	t.Helper()
	key, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// What was used on a grant is known to the relay's process alone: one that has started again would let it be used from
// the beginning, and what is delivered past its limit nobody pays.
func TestRelayThatCameBackGetsAFreshGrant(t *testing.T) {
	ctx := t.Context()
	cfg := Config{Key: newKey(t), Network: "test", Clock: time.Now}
	book, err := accounting.OpenBook(accounting.BookConfig{Dir: t.TempDir(), Key: cfg.Key, Network: cfg.Network})
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	relay := newKey(t).ID()
	if err := book.AdmitRelay(ctx, accounting.RelayInfo{ID: relay, Tunnel: "127.0.0.1:1", Proxy: "127.0.0.1:2"}); err != nil {
		t.Fatal(err)
	}
	if _, err := book.AddPartner(ctx, "partner", policy.Purpose("market-research").Code()); err != nil {
		t.Fatal(err)
	}
	if err := book.Credit(ctx, "partner", 1<<30); err != nil {
		t.Fatal(err)
	}
	p, k := newPeers(cfg, book), grantKey{"partner", relay}
	var ids []accounting.GrantID
	for session := range 2 {
		p.put(relay, nil)
		for range 2 {
			g, err := p.grant(ctx, k, false)
			if err != nil {
				t.Fatalf("grant in session %d: %v", session, err)
			}
			ids = append(ids, g.ID)
		}
	}
	if ids[0] != ids[1] || ids[2] != ids[3] {
		t.Error("one session was given two grants, want one")
	}
	if ids[0] == ids[2] {
		t.Error("a relay that came back was given the grant of its former session")
	}
}
