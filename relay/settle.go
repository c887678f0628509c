package relay

import (
	"context"
	"errors"
	"time"

	"sward/internal/wire"
)

const (
	// settleEvery is how often receipts go to the hub.
	settleEvery = 2 * time.Second
	// beatEvery is how often the hub hears from a relay; it counts as away after three missed.
	beatEvery = 10 * time.Second
	// firstBeat is how long a starting relay waits for the hub's first answer.
	firstBeat = 5 * time.Second
)

// settleOnce hands the newest receipt of each channel to the hub. Until the hub has stored them they stay in the spool,
// over a crash too; a repetition costs nothing, since the hub takes the maximum per channel.
func (r *Relay) settleOnce(ctx context.Context) error {
	if err := r.keep.flush(); err != nil {
		return err
	}
	_, err := r.spool.Submit(ctx, r.cfg.Hub.Settle)
	return err
}

// beatOnce tells the hub that this relay is there and takes its orders.
func (r *Relay) beatOnce(ctx context.Context) error {
	beat, told := r.heartbeat()
	orders, err := r.cfg.Hub.Heartbeat(ctx, beat)
	if err != nil {
		return err
	}
	told()
	r.edges.suspend(orders.Suspended)
	r.ordersMu.Lock()
	defer r.ordersMu.Unlock()
	// A hub that has just started has not heard of all: fewer relays than before are believed when they are said twice.
	r.limits.relays.Store(int32(max(orders.Relays, r.orders.Relays, 1)))
	r.orders = orders
	return nil
}

// consents reports whether an owner who agreed to the text with this hash may serve. Before the hub has told which
// texts hold, none does.
func (r *Relay) consents(hash [32]byte) bool {
	r.ordersMu.Lock()
	defer r.ordersMu.Unlock()
	for _, accepted := range r.orders.Consents {
		if accepted == hash {
			return true
		}
	}
	return false
}

// detail is what of err may cross the network: the sentence of a coded error, nothing of any other.
func detail(err error) string {
	var e *wire.Error
	if !errors.As(err, &e) {
		return ""
	}
	return e.Detail[:min(len(e.Detail), wire.MaxDetail)]
}
