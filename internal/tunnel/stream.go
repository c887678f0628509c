package tunnel

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"sward/internal/wire"
)

// Stream is one connection through the tunnel. It must be closed, cut or reset:
// until then a drain waits for it.
type Stream struct {
	line
	session *Session
	turn    turn
	left    atomic.Bool // counted out of the session
}

var _ net.Conn = (*Stream)(nil)

// ID is the carrier's number for the stream, the same at both ends, by which they
// name it in a Done frame.
func (st *Stream) ID() uint64 { return st.id() }

// Session is the line that the stream is part of.
func (st *Stream) Session() *Session { return st.session }

// LocalAddr is that of the session.
func (st *Stream) LocalAddr() net.Addr { return st.session.conn.localAddr() }

// RemoteAddr is that of the session.
func (st *Stream) RemoteAddr() net.Addr { return st.session.conn.remoteAddr() }

// Read reads what the peer wrote. A peer that cut the stream with a code is a
// *wire.Error.
func (st *Stream) Read(p []byte) (int, error) {
	n, err := st.line.Read(p)
	return n, st.told(err)
}

// Write writes to the peer. A peer that cut the stream with a code is a
// *wire.Error.
func (st *Stream) Write(p []byte) (int, error) {
	if q := st.session.turns; q != nil && len(p) > freeWrite {
		q.take(&st.turn)
		defer q.give(&st.turn)
	}
	n, err := st.line.Write(p)
	return n, st.told(err)
}

// Close ends the stream: the direction to the peer as CloseWrite does, and what
// the peer still sends is not wanted any more.
func (st *Stream) Close() error {
	err := st.line.close()
	st.leave()
	return err
}

// Reset ends both directions at once, without a reason. The peer's reads fail,
// so that it does not take what it has for the whole.
func (st *Stream) Reset() { st.Cut(wire.OK) }

// Cut is a Reset with the reason: code reaches the peer's next read or write.
func (st *Stream) Cut(code wire.Code) {
	st.line.cut(code)
	st.leave()
}

func (st *Stream) leave() {
	if !st.left.Swap(true) {
		st.session.leave()
	}
}

// told turns a peer's cut with a code into a *wire.Error.
func (st *Stream) told(err error) error {
	if err == nil {
		return nil
	}
	if cut, ok := errors.AsType[*cutError](err); ok && cut.code != wire.OK {
		return st.session.errorf(cut.code, "")
	}
	return err
}

// ask sends the first frames and waits for the answer.
func (st *Stream) ask(ctx context.Context, frames []byte) (opened wire.Opened, err error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	deadline, _ := ctx.Deadline()
	st.SetWriteDeadline(deadline)          //nolint:errcheck // a stream that has ended says so at the write
	defer st.SetWriteDeadline(time.Time{}) //nolint:errcheck // likewise
	defer until(ctx, st.SetReadDeadline)()
	if _, err = st.Write(frames); err == nil {
		opened, err = readOpened(st)
	}
	switch {
	case err == nil:
		err = opened.Err()
		if refusal, ok := errors.AsType[*wire.Error](err); ok && refusal.Edge == (wire.ID{}) {
			refusal.Edge = st.session.edge
		}
		return opened, err
	case errors.Is(ctx.Err(), context.Canceled):
		return opened, ctx.Err()
	case ctx.Err() != nil, timedOut(err):
		return opened, st.session.errorf(wire.EdgeTimeout, "no answer to open")
	}
	if _, ok := errors.AsType[*wire.Error](err); ok {
		return opened, err
	}
	return opened, st.session.errorf(wire.EdgeGone, "")
}

// readOpened skips frames of other types, but not for ever.
func readOpened(r io.Reader) (opened wire.Opened, err error) {
	var (
		t    wire.Type
		body []byte
	)
	for range maxSkipped {
		if t, body, err = wire.ReadFrame(r, body); err != nil {
			return opened, err
		}
		if t == wire.TypeOpened {
			return wire.ParseOpened(body)
		}
	}
	return opened, wire.Errorf(wire.ProtocolError, "open was not answered")
}
