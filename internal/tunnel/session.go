package tunnel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"sward/internal/identity"
	"sward/internal/wire"
)

// Session is a line to one peer. Its methods may be called from any goroutine,
// but for Control, which has one reader.
type Session struct {
	conn     carrier
	control  line   // set before the session is handed out
	partial  []byte // of a control frame that has not come whole
	peer     identity.ID
	edge     identity.ID // the peer, when it is an edge; named in errors
	log      *slog.Logger
	released chan struct{} // closed when the session has ended and its socket is free

	turns *turns // of the streams' writes; nil where the carrier needs none
	pace  *paced // how fast this end sends; nil where the kernel decides

	renewing chan struct{} // closed by Renew
	renew    sync.Once

	sendMu sync.Mutex // one control frame after another

	mu       sync.Mutex
	open     int           // streams that were handed out and not closed
	draining bool          // one side has said Bye
	quiet    chan struct{} // closed when draining and open is 0
}

func newSession(cfg Config, conn carrier, peer identity.ID, release func()) *Session {
	s := &Session{
		conn:     conn,
		peer:     peer,
		log:      cfg.Log,
		released: make(chan struct{}),
		quiet:    make(chan struct{}),
		renewing: make(chan struct{}),
	}
	if conn.kind() == QUIC {
		s.turns = new(turns)
	}
	if q, ok := conn.(quicCarrier); ok {
		s.pace = control(q.conn, cfg.Yield)
	}
	context.AfterFunc(conn.context(), func() {
		release()
		close(s.released)
	})
	return s
}

// Peer is who is at the other end.
func (s *Session) Peer() identity.ID { return s.peer }

// RemoteAddr is where the peer is.
func (s *Session) RemoteAddr() net.Addr { return s.conn.remoteAddr() }

// Carrier is what the session runs over.
func (s *Session) Carrier() Carrier { return s.conn.kind() }

// Exporter derives 32 bytes that only the two ends of this session know
// (RFC 8446 §7.5). What is signed over them belongs to this session alone.
func (s *Session) Exporter(label string, context []byte) (key [32]byte, err error) {
	state := s.conn.tls()
	b, err := state.ExportKeyingMaterial(label, context, len(key))
	if err != nil {
		return key, fmt.Errorf("export keying material: %w", err)
	}
	return [32]byte(b), nil
}

// Received grows with everything that comes from the peer, whatever it is: one
// whose count stands still has fallen silent.
func (s *Session) Received() uint64 { return s.conn.received() }

// Probe sends m and sees to it that a living peer is heard from within a round trip,
// in Received, even if it has nothing to say to m.
func (s *Session) Probe(m wire.Message) error {
	s.conn.probe()
	return s.Send(m)
}

// RTT is the smoothed round-trip time of the path.
func (s *Session) RTT() time.Duration { return s.conn.rtt() }

// InFlight is how many bytes were sent on this session that the peer has not
// acknowledged; 0 over TCP, where only the kernel knows.
func (s *Session) InFlight() int64 { return s.pace.inFlight() }

// Open opens a stream, sends the frames on it in one write (Open, for a hub
// with Route before it) and waits for Opened: until ctx ends, at most 30 s. A
// refusal is a *wire.Error with the peer's code and the edge that refused; the
// stream is then gone. Without an answer the code is edge_timeout, without a
// session edge_gone, with too many streams stream_limit, after Bye draining.
func (s *Session) Open(ctx context.Context, frames ...wire.Message) (*Stream, wire.Opened, error) {
	var first bytes.Buffer
	for _, f := range frames {
		if err := wire.Write(&first, f); err != nil {
			return nil, wire.Opened{}, err
		}
	}
	if !s.enter() {
		return nil, wire.Opened{}, s.errorf(wire.Draining, "the session takes no new streams")
	}
	raw, err := s.conn.open()
	if err != nil {
		s.leave()
		if errors.Is(err, errFull) {
			return nil, wire.Opened{}, s.errorf(wire.StreamLimit, "")
		}
		return nil, wire.Opened{}, s.errorf(wire.EdgeGone, "")
	}
	st := &Stream{line: raw, session: s}
	opened, err := st.ask(ctx, first.Bytes())
	if err != nil {
		st.Cut(wire.CodeOf(err))
		return nil, opened, err
	}
	return st, opened, nil
}

// Accept returns the next stream that the peer opens. Its first frame is for
// the caller to read, under a deadline. Once the session drains, new streams
// are refused here and Accept waits on. The error is the context's, or Err.
func (s *Session) Accept(ctx context.Context) (*Stream, error) {
	for {
		raw, err := s.conn.accept(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, s.ended(err)
		}
		st := &Stream{line: raw, session: s}
		if s.enter() {
			return st, nil
		}
		st.left.Store(true)                               // never entered
		raw.SetWriteDeadline(time.Now().Add(sendTimeout)) //nolint:errcheck // the write tells
		wire.Write(raw, wire.Opened{Code: wire.Draining}) //nolint:errcheck // the peer sees the stream end
		st.Close()
	}
}

// Drain says Bye: from now on neither side opens streams, and the running ones
// may finish. Wait for them, then Close.
func (s *Session) Drain(code wire.Code, detail string) error {
	s.drain()
	return s.Send(wire.Bye{Code: code, Detail: clip(detail)})
}

// Draining reports whether either side has said Bye.
func (s *Session) Draining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}

// Renew asks the Client that serves this session to dial the next one now. This one
// stays as it is: its Serve drains it when the next can do its work.
func (s *Session) Renew() { s.renew.Do(func() { close(s.renewing) }) }

// Wait returns nil when the session is draining and its last stream has been
// closed here; otherwise, when ctx or the session ends, with that error.
func (s *Session) Wait(ctx context.Context) error {
	select {
	case <-s.quiet:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.Done():
		return s.Err()
	}
}

// Refuse answers Hello with Bye, for this reason, and closes.
func (s *Session) Refuse(code wire.Code, detail string) {
	s.drain()
	s.end(code, detail) // the reason travels in the connection's close, which overtakes a frame
}

// Close ends the session and all its streams, telling the peer why, and returns
// when its socket is free. After a drain that left no stream open, it first
// gives the peer a second to read what was sent last.
func (s *Session) Close(code wire.Code, detail string) {
	select {
	case <-s.quiet:
		s.control.CloseWrite() //nolint:errcheck // the peer reads to the end, and closes
		select {
		case <-s.Done():
		case <-time.After(lingerTimeout):
		}
	default:
	}
	s.end(code, detail)
}

func (s *Session) end(code wire.Code, detail string) {
	s.conn.end(code, clip(detail))
	<-s.released
}

// Done is closed when the session has ended.
func (s *Session) Done() <-chan struct{} { return s.conn.context().Done() }

// Err is why the session ended: a *wire.Error with the code that was given, or
// edge_gone when an edge went without a word. It is nil while the session lives.
func (s *Session) Err() error {
	if s.conn.context().Err() == nil {
		return nil
	}
	return s.ended(s.conn.why())
}

// ended puts the reason of a session's end into the protocol's words.
func (s *Session) ended(err error) error {
	if told, ok := errors.AsType[*lastWord](err); ok {
		return s.errorf(told.code, "%s", clip(told.detail))
	}
	if !s.edge.IsZero() {
		return s.errorf(wire.EdgeGone, "")
	}
	return fmt.Errorf("session with %s ended: %w", s.peer, err)
}

func (s *Session) errorf(c wire.Code, format string, a ...any) *wire.Error {
	e := wire.Errorf(c, format, a...)
	e.Edge = s.edge
	return e
}

// enter counts a new stream in, unless the session is draining.
func (s *Session) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return false
	}
	s.open++
	return true
}

func (s *Session) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
	s.quietLocked()
}

func (s *Session) drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
	s.quietLocked()
}

func (s *Session) quietLocked() {
	if !s.draining || s.open > 0 {
		return
	}
	select {
	case <-s.quiet:
	default:
		close(s.quiet)
	}
}

// clip keeps a sentence within what a frame may carry.
func clip(detail string) string { return detail[:min(len(detail), wire.MaxDetail)] }

// until makes a stream's reads fail when ctx ends, by their deadline. The func
// it returns undoes that.
func until(ctx context.Context, setReadDeadline func(time.Time) error) (undo func()) {
	fired := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(fired)
		setReadDeadline(time.Unix(1, 0)) //nolint:errcheck // a stream that has ended needs none
	})
	return func() {
		if !stop() {
			<-fired
			setReadDeadline(time.Time{}) //nolint:errcheck // likewise
		}
	}
}

func timedOut(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
