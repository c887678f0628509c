package tunnel

import (
	"sync"
	"time"
)

const (
	// writers is how many streams of a session write at once: while one waits for its next bytes, another has some.
	writers = 2
	// freeWrite in bytes is what needs no turn: quic-go keeps it and returns at once.
	freeWrite = 1 << 10
	// longTurn is how long a write may hold its turn while others wait. One that takes longer is held up by a reader that
	// is slow, or by a line that is, and on such a line turns save nothing.
	longTurn = 4 * time.Millisecond
)

// turns lets few streams of a session write at a time, first come, first served. quic-go sends a packet of each stream
// in turn, so that of thirty-two downloads each reader got thirteen hundred bytes at a time, with a system call and a
// receipt's arithmetic for each. In turns of whole writes, which are of up to 32 KiB, the streams take as much each,
// and the reader finds it in one piece.
//
// A turn is a place, not a lock: who holds it for longer than longTurn loses it to the next, and goes on to write all the
// same. So a stream that its peer does not read holds up the others once, for four milliseconds. The control stream
// takes no turns.
type turns struct {
	mu      sync.Mutex
	holders [writers]*turn
	first   *turn // of those who wait
	last    *turn
	timer   *time.Timer // while some wait, looks after the holders
	armed   bool
}

// turn is a stream's part in it. A stream has one writer at a time.
type turn struct {
	writing sync.Mutex // quic-go would make a second writer wait as well
	next    *turn
	since   time.Time     // when it got its place, if somebody waited then
	granted chan struct{} // made at the first wait; capacity 1
}

// take waits for a place. Every take is followed by a give.
func (q *turns) take(t *turn) {
	t.writing.Lock()
	q.mu.Lock()
	if q.first == nil {
		for i, holder := range q.holders {
			if holder == nil {
				q.holders[i], t.since = t, time.Time{}
				q.mu.Unlock()
				return
			}
		}
	}
	if t.granted == nil {
		t.granted = make(chan struct{}, 1)
	}
	if q.first == nil {
		q.first = t
	} else {
		q.last.next = t
	}
	q.last = t
	q.armLocked()
	q.mu.Unlock()
	<-t.granted
}

// give hands the place on, if it was not taken away.
func (q *turns) give(t *turn) {
	q.mu.Lock()
	for i, holder := range q.holders {
		if holder == t {
			q.nextLocked(i, time.Time{})
		}
	}
	q.mu.Unlock()
	t.writing.Unlock()
}

// nextLocked gives place i to the first who waits.
func (q *turns) nextLocked(i int, now time.Time) {
	t := q.first
	q.holders[i] = t
	if t == nil {
		return
	}
	if q.first, t.next = t.next, nil; q.first == nil {
		q.last = nil
	}
	t.since = now
	t.granted <- struct{}{}
}

// armLocked sees to it that somebody looks after the holders while others wait.
func (q *turns) armLocked() {
	switch {
	case q.armed:
		return
	case q.timer == nil:
		q.timer = time.AfterFunc(longTurn, q.look)
	default:
		q.timer.Reset(longTurn)
	}
	q.armed = true
}

// look takes the places of those who have had them since the last look: from longTurn on, before twice that.
func (q *turns) look() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.armed = false
	now := time.Now()
	for i, holder := range q.holders {
		switch {
		case holder == nil || q.first == nil:
		case holder.since.IsZero(): // nobody has looked since it came
			holder.since = now
		case now.Sub(holder.since) >= longTurn:
			q.nextLocked(i, now)
		}
	}
	if q.first != nil {
		q.armLocked()
	}
}
