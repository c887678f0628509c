package relay

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"sward/accounting"
	"sward/internal/daemon"
	"sward/internal/wire"
)

const (
	heldFile = "grants"
	// orphanWait is how long after its start a relay leaves alone the grants of the process before it. Edges hand in their
	// receipts every fifteen seconds; on a grant that has been released nothing is paid any more.
	orphanWait = 10 * time.Minute
	// maxHeld bounds the grants that are noted, and heldSlack the lines that may be over before the file is written anew.
	maxHeld   = 1 << 16
	heldSlack = 4096
	heldLine  = 1 + 2*len(accounting.GrantID{}) + 1
)

// held notes on disk which grants this relay holds, so that after a crash their rest goes back to the partners in minutes.
// Without it the hub would keep it for receipts that never come until a day after the grants' end.
//
// A line is + or - and a grant. It is written when a grant comes and when the hub has heard of its release, and not
// synced: a process that is killed loses nothing, and what a power cut takes the hub closes in its own time. What was used
// of a grant is not noted: the receipts say that, and the hub has them or gets them from the spool and from the edges.
type held struct {
	path string

	mu    sync.Mutex
	file  *os.File
	ids   map[accounting.GrantID]bool
	lines int
}

// openHeld reads what the process before has left, and begins the file with that.
func openHeld(path string) (*held, error) {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open list of grants: %w", err)
	}
	h := &held{path: path, ids: map[accounting.GrantID]bool{}}
	for line := range bytes.Lines(text) {
		var id accounting.GrantID
		if len(line) != heldLine || id.UnmarshalText(line[1:heldLine-1]) != nil {
			continue // the end of a write that was cut short
		}
		switch line[0] {
		case '+':
			h.ids[id] = len(h.ids) < maxHeld
		case '-':
			delete(h.ids, id)
		}
	}
	maps.DeleteFunc(h.ids, func(_ accounting.GrantID, kept bool) bool { return !kept })
	return h, h.rewriteLocked()
}

// rewriteLocked writes the file anew: a line for each grant.
func (h *held) rewriteLocked() error {
	var text []byte
	for id := range h.ids {
		text = appendHeld(text, '+', id)
	}
	if err := daemon.WriteFile(h.path, text, 0o600); err != nil {
		return err
	}
	file, err := os.OpenFile(h.path, os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if h.file != nil {
		h.file.Close()
	}
	h.file, h.lines = file, len(h.ids)
	return nil
}

func appendHeld(b []byte, sign byte, id accounting.GrantID) []byte {
	return append(hex.AppendEncode(append(b, sign), id[:]), '\n')
}

// take notes a grant that has come, give one whose release the hub has heard of. A list that cannot be written costs a
// partner a day's wait for a rest after a crash, and nothing now.
func (h *held) take(id accounting.GrantID) error { return h.note('+', id) }
func (h *held) give(id accounting.GrantID) error { return h.note('-', id) }

func (h *held) note(sign byte, id accounting.GrantID) error {
	if h == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case sign == '-':
		delete(h.ids, id)
	case len(h.ids) >= maxHeld:
		return nil
	default:
		h.ids[id] = true
	}
	if h.lines++; h.lines > 2*len(h.ids)+heldSlack {
		return h.rewriteLocked()
	}
	_, err := h.file.Write(appendHeld(nil, sign, id))
	return err
}

func (h *held) all() []accounting.GrantID {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Keys(h.ids))
}

func (h *held) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.file.Close()
}

// orphans are the grants of the process before, and from when on they may be released.
type orphans struct {
	ids  []accounting.GrantID
	from time.Time
}

// releaseOrphans gives back the rest of the grants of the process before, once the edges have had time to hand in what
// they hold on them. The receipts that are still in the spool are named, so that the hub waits for them.
func (r *Relay) releaseOrphans(ctx context.Context) {
	if len(r.orphans.ids) == 0 || r.cfg.Clock().Before(r.orphans.from) {
		return
	}
	var unsettled []accounting.Receipt
	for _, u := range r.spool.Pending(maxHeld) {
		unsettled = append(unsettled, u.Receipt.Receipt)
	}
	for len(r.orphans.ids) > 0 {
		id := r.orphans.ids[0]
		if !r.holds(id) { // the hub has not brought it again
			on := slices.DeleteFunc(slices.Clone(unsettled), func(receipt accounting.Receipt) bool {
				return !slices.ContainsFunc(receipt.Tallies, func(t accounting.Tally) bool { return t.Grant == id })
			})
			_, err := r.cfg.Hub.Release(ctx, id, newest(on))
			if wire.CodeOf(err) == wire.HubAway {
				return
			}
			r.gone(id)
		}
		r.orphans.ids = r.orphans.ids[1:]
	}
}

// holds reports whether a grant is in use in this process.
func (r *Relay) holds(id accounting.GrantID) bool {
	r.grantsMu.Lock()
	defer r.grantsMu.Unlock()
	return r.grants[id] != nil
}

// gone strikes a grant off the list.
func (r *Relay) gone(id accounting.GrantID) {
	if err := r.held.give(id); err != nil {
		r.cfg.Log.Warn("the list of grants cannot be written", "err", err)
	}
}
