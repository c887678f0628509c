package sandbox

import (
	"context"
	"fmt"
	"time"

	"sward/accounting"
	"sward/internal/identity"
)

// Earned is what one edge has been credited.
type Earned struct {
	Edge   identity.ID
	Points accounting.Micro
	Bytes  uint64
}

// Settled waits until no receipt is on its way any more and returns what each edge earned, in the order of the edges.
func (s *Sandbox) Settled(ctx context.Context, atMost time.Duration) ([]Earned, error) {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	for pending := true; pending; {
		pending = false
		for _, r := range s.Relays() {
			pending = pending || !r.Settled()
		}
		if pending {
			select {
			case <-ctx.Done():
				return nil, fmt.Errorf("receipts are still on their way after %s", atMost)
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	var all []Earned
	for _, e := range s.Info().Edges {
		id, err := identity.ParseID(e.ID)
		if err != nil {
			return nil, err
		}
		account, err := s.Hub().Book.EdgeAccount(ctx, id)
		if err != nil {
			return nil, err
		}
		all = append(all, Earned{Edge: id, Points: account.Points, Bytes: account.Bytes})
	}
	return all, nil
}
