package edge

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"sward/internal/wire"
)

// Hold is a reason for which the edge serves nothing now, though its owner has not paused it: the machine runs on its
// battery, the line is metered, the seal is broken.
type Hold struct {
	Name  string    `json:"name"` // stable: battery, metered, vpn, busy, seal, …
	Text  string    `json:"text"` // one sentence for the owner
	Since time.Time `json:"since"`
}

// holds are those in force.
type holds struct {
	clock func() time.Time

	mu  sync.Mutex
	all map[string]Hold
}

// put adds a hold or gives it another text; it tells whether it is new.
func (h *holds) put(name, text string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	before, known := h.all[name]
	if !known {
		before = Hold{Name: name, Since: h.clock()}
	}
	before.Text = text
	if h.all == nil {
		h.all = map[string]Hold{}
	}
	h.all[name] = before
	return !known
}

func (h *holds) drop(name string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, known := h.all[name]
	delete(h.all, name)
	return known
}

// list is all of them, by name.
func (h *holds) list() []Hold {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.SortedFunc(maps.Values(h.all), func(a, b Hold) int { return strings.Compare(a.Name, b.Name) })
}

func (h *holds) any() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.all) > 0
}

// hold stops serving for a reason: running streams are cut and the relays are told. Relays and partners hear that the
// edge pauses, and not why: that is the owner's affair.
func (e *Edge) hold(name, text string) {
	if e.holds.put(name, text) {
		e.cfg.Log.Info("sharing is held", "reason", name)
		e.live.cutAll(wire.Errorf(wire.Paused, "this edge is held by its machine"))
		e.announce()
	}
}

// release takes a reason back.
func (e *Edge) release(name string) {
	if e.holds.drop(name) {
		e.cfg.Log.Info("the reason to hold sharing is over", "reason", name)
		e.announce()
	}
}
