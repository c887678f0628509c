package relay

import (
	"context"
	"net/netip"
	"strconv"
	"testing"

	"sward/accounting"
	"sward/internal/wire"
)

// keyHub knows one partner and counts the grants that it reserves.
type keyHub struct {
	Hub
	sign    func() accounting.SignedGrant
	granted int
}

func (h *keyHub) Authorise(_ context.Context, name, key string, _ uint64) (accounting.Allowance, error) {
	if name != "partner" || key != "right" {
		return accounting.Allowance{}, wire.Errorf(wire.AuthFailed, "name or key are wrong")
	}
	h.granted++
	return accounting.Allowance{SignedGrant: h.sign(), Terms: accounting.Terms{Limits: accounting.Unlimited()}}, nil
}

// Each grant is balance that is reserved for minutes: who guesses keys at the door must not make a partner's pile up.
func TestGuessedKeysCostAPartnerNothing(t *testing.T) {
	r, _, _, sign := grantRelay(t, firstGrant)
	hub := &keyHub{sign: func() accounting.SignedGrant { return sign(firstGrant) }}
	r.cfg.Hub, r.accounts = hub, newAccounts()
	home := netip.MustParseAddr("198.51.100.7")
	for n := range 3 * maxAccounts {
		guesser := netip.AddrFrom4([4]byte{192, 0, byte(n >> 8), byte(n)}) // as many as there are guesses, or they would be stopped
		if _, err := r.authorise(t.Context(), "partner", strconv.Itoa(n), guesser); wire.CodeOf(err) != wire.AuthFailed {
			t.Fatalf("wrong key: got %v, want auth_failed", err)
		}
		if n%maxStrangers == 0 {
			if _, err := r.authorise(t.Context(), "partner", "right", home); err != nil {
				t.Fatalf("right key after %d wrong ones: %v", n, err)
			}
		}
	}
	if hub.granted != 1 {
		t.Errorf("the hub reserved %d grants for one partner, want 1", hub.granted)
	}
	if n := len(r.accounts.strangers); n > maxStrangers {
		t.Errorf("%d wrong keys are remembered, want at most %d", n, maxStrangers)
	}
}
