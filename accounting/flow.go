package accounting

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"sward/internal/wire"
)

const (
	// maxFlows bounds the streams that a channel keeps account of at once, those that one side has ended included. A
	// session opens fewer; a peer that never ends its streams meets it.
	maxFlows = 16384
	// maxEarly bounds the Dones that are kept for streams this side has not registered yet. A peer that sends more has
	// only itself to blame for what is not written off.
	maxEarly = 256

	// signDeadline is how long a stream waits at the window without a single new receipt before the peer counts as one
	// that has stopped signing. Receipts come every 2 s from a slow peer.
	signDeadline = 10 * time.Second

	// A stream of the edge that waits at the window asks for another Count, at first after two milliseconds, then ever
	// later: when the last Count went out, what it spoke of had not reached the partner yet, so the relay's answer was
	// small, and without new bytes nothing else makes a Count due.
	firstAsk = 2 * time.Millisecond
	lastAsk  = 250 * time.Millisecond

	// minAllow in bytes: near the window a stream gets at least this much, or nothing, so that it does not go on in
	// crumbs.
	minAllow = 4 << 10
	// What a peer says it could not deliver is never paid, so it may say so of sixteen windows and an eighth of what it
	// has signed for; then the channel ends. All that can be under way when every partner hangs up at once is one window.
	writeOffWindows = 16
	writeOffShare   = 8
)

// Flow is one stream of a channel, as this side counts it.
type Flow struct {
	meter    *Meter
	tally    *tally
	stream   uint64
	up, down atomic.Uint64
	closed   atomic.Bool // by this side; written under the meter's mu
	told     bool        // the peer has sent its Done; under the meter's mu
	toldSize uint64      // what it said; under the meter's mu
}

// earlyDones remembers the last Dones for unknown streams: a stream's end may overtake its beginning, because control
// frames and streams are not ordered among themselves.
type earlyDones struct {
	bytes  map[uint64]uint64
	oldest []uint64
}

func (e *earlyDones) put(d wire.Done) {
	if _, known := e.bytes[d.Stream]; known {
		return
	}
	if e.bytes == nil {
		e.bytes = map[uint64]uint64{}
	}
	if len(e.oldest) == maxEarly {
		delete(e.bytes, e.oldest[0])
		e.oldest = e.oldest[1:]
	}
	e.bytes[d.Stream] = d.Bytes
	e.oldest = append(e.oldest, d.Stream)
}

// Flow registers a stream that is about to carry bytes on grant g. stream is the id that both sides know it by. Refusals:
// expired, field (a stream twice), crowded (streams, or grants for one receipt).
func (m *Meter) Flow(stream uint64, g GrantID) (*Flow, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.tallies[g]
	switch {
	case m.fault != nil:
		return nil, m.fault
	case m.draining || m.Expired(m.cfg.Now()):
		return nil, fmt.Errorf("stream %d on channel %s: %w", stream, m.id, ErrExpired)
	case m.flows[stream] != nil:
		return nil, fmt.Errorf("stream %d on channel %s, which has it already: %w", stream, m.id, ErrField)
	case len(m.flows) >= maxFlows || t == nil && len(m.tallies) >= MaxTallies:
		return nil, fmt.Errorf("stream %d on channel %s: %w", stream, m.id, ErrCrowded)
	}
	if t == nil {
		t = &tally{grant: g}
		m.tallies[g] = t
		m.grants.Add(1)
		at, _ := slices.BinarySearchFunc(m.sorted, g, func(t *tally, g GrantID) int { return bytes.Compare(t.grant[:], g[:]) })
		m.sorted = slices.Insert(m.sorted, at, t)
	}
	t.streams++
	f := &Flow{meter: m, tally: t, stream: stream}
	f.toldSize, f.told = m.early.bytes[stream]
	m.flows[stream] = f
	m.open.Add(1)
	return f, nil
}

// Allow says how many of most bytes may move now, in either direction, and waits while that is none: while the channel's
// unsigned bytes fill its window. Where several partners share the channel, one partner's unsigned bytes stop at half
// of what the others leave: those that open streams and read nothing cannot stop everybody.
//
// Nothing is reserved, because a stream that waits for its peer must not hold what others could use; instead no call is
// allowed more than its part of the window. What a side may lose is therefore the window, and what was allowed and had
// not moved yet: as much again when all open streams move at once.
//
// Refusals: expired, and unsigned when no receipt was signed for ten seconds of waiting.
func (f *Flow) Allow(ctx context.Context, most int) (int, error) {
	if most <= 0 {
		return 0, nil
	}
	m := f.meter
	if m.over() {
		return 0, fmt.Errorf("stream on channel %s: %w", m.id, ErrExpired)
	}
	if n := f.room(most); n > 0 {
		return n, nil
	}
	deadline := time.NewTimer(signDeadline)
	defer deadline.Stop()
	wait := firstAsk
	ask := time.NewTimer(wait)
	defer ask.Stop()
	for {
		m.mu.Lock()
		progress := m.progress
		m.mu.Unlock()
		if n := f.room(most); n > 0 { // looked at after progress was taken: a wake in between is not missed
			return n, nil
		}
		select {
		case <-progress:
			deadline.Reset(signDeadline)
			wait = firstAsk
			ask.Reset(wait)
		case <-ask.C:
			if m.cfg.Side == EdgeSide {
				m.signalDue()
			}
			wait = min(2*wait, lastAsk)
			ask.Reset(wait)
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-deadline.C:
			return 0, fmt.Errorf("stream on channel %s: no receipt for %s: %w", m.id, signDeadline, ErrUnsigned)
		}
	}
}

// room is how many of most bytes the window has for this stream now.
func (f *Flow) room(most int) int {
	m := f.meter
	free := int64(m.cfg.Channel.Window) - m.unsigned.Load()
	if free <= 0 {
		return 0
	}
	if m.grants.Load() > 1 && f.tally.unsigned.Load() >= free {
		return 0
	}
	part := free / (2 * int64(max(m.open.Load(), 1))) // two directions each
	if part < minAllow {
		part = min(minAllow, free)
	}
	return int(min(int64(most), part))
}

// Up counts n bytes towards the target, after they were written.
func (f *Flow) Up(n int) { f.count(&f.up, &f.tally.up, n) }

// Down counts n bytes towards the partner, after they were written.
func (f *Flow) Down(n int) { f.count(&f.down, &f.tally.down, n) }

func (f *Flow) count(stream, grant *atomic.Uint64, n int) {
	if n <= 0 || f.closed.Load() {
		return
	}
	m := f.meter
	stream.Add(uint64(n))
	grant.Add(uint64(n))
	f.tally.unsigned.Add(int64(n))
	m.unsigned.Add(int64(n))
	if m.cfg.Side == EdgeSide && m.fresh.Add(int64(n)) >= int64(m.cfg.Channel.Step) {
		m.signalDue()
	}
}

// Totals are the bytes of the stream as this side counted them.
func (f *Flow) Totals() (up, down uint64) { return f.up.Load(), f.down.Load() }

// Close ends the stream on this side, after its last byte was counted, and gives the word to send to the peer: this
// side's final count in the direction it has authority over. Later calls give the same word.
func (f *Flow) Close() wire.Done {
	m := f.meter
	m.mu.Lock()
	defer m.mu.Unlock()
	if !f.closed.Swap(true) {
		m.open.Add(-1)
		_, passed := f.directions()
		switch {
		case f.told:
			if err := m.end(f); err != nil && m.fault == nil {
				m.fault = err
			}
		case passed.Load() == 0: // nothing of it can be written off, so nothing the peer says will matter
			delete(m.flows, f.stream)
		}
	}
	own, _ := f.directions()
	return wire.Done{Stream: f.stream, Bytes: own.Load()}
}

// directions are the stream's counts: of the direction that this side has authority over, and of the one in which it
// passed bytes on to the peer.
func (f *Flow) directions() (own, passed *atomic.Uint64) {
	if f.meter.cfg.Side == EdgeSide {
		return &f.up, &f.down
	}
	return &f.down, &f.up
}

// PeerDone takes the peer's final count of a stream in the direction it has authority over, which replaces this side's
// own there: what this side passed on and the peer could not deliver is written off. A Done for a stream that has been
// settled already changes nothing. Every error ends the channel. Refusals: told, regression, write_off.
func (m *Meter) PeerDone(d wire.Done) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.flows[d.Stream]
	switch {
	case f == nil:
		m.early.put(d)
		return nil
	case f.told:
		return nil
	}
	f.told, f.toldSize = true, d.Bytes
	if f.closed.Load() {
		return m.end(f)
	}
	return nil // this side may still be counting: Close settles it
}

// end settles a stream that both sides have ended. Called with mu held.
func (m *Meter) end(f *Flow) error {
	delete(m.flows, f.stream)
	_, passed := f.directions()
	own := passed.Load()
	if f.toldSize >= own {
		// A few bytes more are those that were written and not counted before the end: the smaller count holds.
		if f.toldSize > own+tolerance(own) {
			return fmt.Errorf("stream %d on channel %s: %d bytes said to be delivered, %d were sent: %w", f.stream, m.id, f.toldSize, own, ErrTold)
		}
		return nil
	}
	lost := own - f.toldSize
	t, count, committed := f.tally, &f.tally.down, f.tally.signed.Down
	if m.cfg.Side == RelaySide {
		count, committed = &t.up, m.offeredUp(t)
	}
	limit := writeOffWindows*uint64(m.cfg.Channel.Window) + (m.last.Up+m.last.Down)/writeOffShare
	switch {
	case count.Load()-lost < committed:
		return fmt.Errorf("stream %d on channel %s: %d bytes undelivered, which were signed for: %w", f.stream, m.id, lost, ErrRegression)
	case m.written+lost > limit:
		return fmt.Errorf("stream %d on channel %s: %d bytes undelivered after %d others: %w", f.stream, m.id, lost, m.written, ErrWriteOff)
	}
	m.written += lost
	count.Add(-lost)
	m.settled(t, lost)
	m.wake()
	return nil
}

// offeredUp is what a receipt says of a grant's bytes up, one that the edge may still sign included.
func (m *Meter) offeredUp(t *tally) uint64 {
	if m.pending != nil {
		for _, p := range m.pending.Tallies {
			if p.Grant == t.grant {
				return p.Up
			}
		}
	}
	return t.signed.Up
}
