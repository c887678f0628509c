package gateway

import (
	"net"
	"sync"
)

// markStep is how far apart, in bytes of the outer count, marks are kept: with what a socket holds at most, some
// hundreds of them, and nothing is found delivered later than sixteen kibibytes of other bytes after it was.
const markStep = 16 << 10

// marks remembers how a count of bytes (what a stream was given) lies in a larger one that holds it (what the socket was
// given, with TLS, frames and the bytes of other streams). Both only grow. Its owner locks it.
type marks struct {
	queue []mark
	done  uint64 // inner bytes below every mark that has been passed
}

// mark says that inner bytes lie within the first outer ones.
type mark struct{ inner, outer, from uint64 }

// add says that all inner bytes until now lie within the first outer ones.
func (m *marks) add(inner, outer uint64) {
	if last := len(m.queue) - 1; last >= 0 && outer-m.queue[last].from < markStep {
		m.queue[last].inner, m.queue[last].outer = inner, max(outer, m.queue[last].outer)
		return
	}
	m.queue = append(m.queue, mark{inner, outer, outer})
}

// within is how many inner bytes are known to lie within the first outer ones.
func (m *marks) within(outer uint64) uint64 {
	passed := 0
	for passed < len(m.queue) && m.queue[passed].outer <= outer {
		m.done = m.queue[passed].inner
		passed++
	}
	if passed == len(m.queue) {
		m.queue = nil // an idle connection holds no memory here
	} else {
		m.queue = m.queue[passed:]
	}
	return m.done
}

// socket is a partner's TCP connection that counts what it is given, so that what has been acknowledged can be told as
// a position, also after it was closed: a client that has everything closes at once.
type socket struct {
	net.Conn

	mu     sync.Mutex
	given  uint64
	closed bool
	last   uint64 // acknowledged when it was closed
}

func (s *socket) NetConn() net.Conn { return s.Conn }

func (s *socket) Write(p []byte) (int, error) {
	n, err := s.Conn.Write(p)
	s.mu.Lock()
	s.given += uint64(n)
	s.mu.Unlock()
	return n, err
}

// written is how many bytes the system has taken.
func (s *socket) written() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.given
}

// acknowledged is how many of those the partner has. The count is taken before the question, so that a write in between
// makes the answer smaller.
func (s *socket) acknowledged() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return s.last
	}
	return s.acknowledgedLocked()
}

// acknowledgedLocked asks the system. In TLS our end is a record, and no FIN before the last look.
func (s *socket) acknowledgedLocked() uint64 {
	if pending, known := queued(s.Conn, false); known {
		s.last = max(s.last, s.given-min(uint64(pending), s.given))
	}
	return s.last
}

// gone reports whether nothing will be acknowledged any more.
func (s *socket) gone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed || resetByPeer(s.Conn)
}

func (s *socket) Close() error {
	s.mu.Lock()
	if !s.closed {
		s.acknowledgedLocked()
		s.closed = true
	}
	s.mu.Unlock()
	return s.Conn.Close()
}

// reset closes the connection so that the partner cannot take a cut for an end.
func (s *socket) reset() error {
	if tcp, ok := s.Conn.(interface{ SetLinger(seconds int) error }); ok {
		tcp.SetLinger(0) //nolint:errcheck // without it the end is an ordinary one
	}
	return s.Close()
}
