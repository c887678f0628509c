package relay

import (
	"maps"
	"sync"
	"time"

	"sward/accounting"
	"sward/internal/identity"
	"sward/internal/wire"
)

// What a client cuts off while it waits was carried by an edge and is paid by nobody. An edge lets a relay write off
// sixteen windows of it and an eighth of what it signed for, then it ends the channel, and with it everybody's streams.
// So that one account cannot bring an edge there, an account may cut off half of that: then its requests leave from other
// edges, until it has taken enough, or time has passed.
const (
	// wasteWindows is how many windows an account may waste on a channel. A stream that is cut while its client is behind
	// counts for one, which is the most that an edge can have sent for an account and not been signed for.
	wasteWindows = 8
	// wasteShare of the bytes that the account does take make up for waste: half of what the edge makes up for them.
	wasteShare = 16
	// wasteWindowTime makes up for one window: at this pace a single account needs more than an hour to use up the other
	// half, in which an edge that serves at all has earned more.
	wasteWindowTime = 10 * time.Minute
	// wasteOnce is how long cuts count for one: what is cut at the same moment shares one window.
	wasteOnce = 50 * time.Millisecond
	// maxWasters bounds the accounts that are remembered, and maxWasted the edges of each. Who is forgotten begins anew.
	maxWasters = 4096
	maxWasted  = 256
)

// waste remembers who has cut off what, by account and edge. The zero value is empty.
type waste struct {
	mu sync.Mutex
	of map[tag]map[identity.ID]*wasted
}

// wasted is what one account has wasted on one channel.
type wasted struct {
	meter *accounting.Meter // of the channel: a new one begins anew
	bytes uint64
	last  time.Time // that bytes was brought up to date
	cut   time.Time // that it last grew
}

// ended notes a stream's end: what was delivered on it, and whether its client cut it off while it was behind.
func (w *waste) ended(who tag, edge identity.ID, meter *accounting.Meter, delivered uint64, cut bool, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	x := w.of[who][edge]
	switch {
	case x == nil && !cut:
		return // as most never do
	case x == nil || x.meter != meter:
		x = &wasted{meter: meter, last: now}
		w.put(who, edge, x)
	}
	x.recover(now)
	x.bytes -= min(x.bytes, delivered/wasteShare)
	if cut && now.Sub(x.cut) >= wasteOnce {
		x.bytes, x.cut = x.bytes+window(meter), now
	}
}

func (w *waste) put(who tag, edge identity.ID, x *wasted) {
	if w.of == nil {
		w.of = map[tag]map[identity.ID]*wasted{}
	}
	if w.of[who] == nil {
		dropOne(w.of, maxWasters)
		w.of[who] = map[identity.ID]*wasted{}
	}
	dropOne(w.of[who], maxWasted)
	w.of[who][edge] = x
}

// dropOne makes room in a full map.
func dropOne[K comparable, V any](m map[K]V, most int) {
	if len(m) < most {
		return
	}
	for k := range maps.Keys(m) {
		delete(m, k)
		return
	}
}

// over says no to an account that has wasted too much on the edge's channel, and when to ask again.
func (w *waste) over(who tag, edge identity.ID, meter *accounting.Meter, now time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	x := w.of[who][edge]
	if x == nil || x.meter != meter {
		return nil
	}
	x.recover(now)
	most := wasteWindows * window(meter)
	if x.bytes < most {
		return nil
	}
	e := wire.Errorf(wire.PartnerLimit, "too many of the account's downloads through this edge were cut off by their client")
	e.After = time.Duration(float64(x.bytes-most+1) / float64(window(meter)) * float64(wasteWindowTime))
	return e
}

// recover forgives what time has made up for.
func (x *wasted) recover(now time.Time) {
	forgiven := uint64(max(now.Sub(x.last), 0).Seconds() / wasteWindowTime.Seconds() * float64(window(x.meter)))
	if forgiven > 0 {
		x.bytes, x.last = x.bytes-min(x.bytes, forgiven), now
	}
}

func window(m *accounting.Meter) uint64 { return uint64(m.Window()) }
