package tunnel

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/apernet/quic-go"

	"sward/internal/wire"
)

// Stream is one connection through the tunnel. It must be closed, cut or reset:
// until then a drain waits for it.
type Stream struct {
	*quic.Stream
	session *Session
	left    atomic.Bool // counted out of the session
}

var _ net.Conn = (*Stream)(nil)

// ID is the QUIC stream id, by which both ends name the stream in a Done frame.
func (st *Stream) ID() uint64 { return uint64(st.StreamID()) }

// Session is the line that the stream is part of.
func (st *Stream) Session() *Session { return st.session }

// LocalAddr is that of the session.
func (st *Stream) LocalAddr() net.Addr { return st.session.conn.LocalAddr() }

// RemoteAddr is that of the session.
func (st *Stream) RemoteAddr() net.Addr { return st.session.conn.RemoteAddr() }

// Read reads what the peer wrote. A peer that cut the stream with a code is a
// *wire.Error.
func (st *Stream) Read(p []byte) (int, error) {
	n, err := st.Stream.Read(p)
	return n, st.told(err)
}

// Write writes to the peer. A peer that cut the stream with a code is a
// *wire.Error.
func (st *Stream) Write(p []byte) (int, error) {
	n, err := st.Stream.Write(p)
	return n, st.told(err)
}

// CloseWrite ends the direction to the peer, which reads what is under way and
// then io.EOF.
func (st *Stream) CloseWrite() error { return st.Stream.Close() }

// Close ends the stream: the direction to the peer as CloseWrite does, and what
// the peer still sends is not wanted any more.
func (st *Stream) Close() error {
	err := st.Stream.Close()
	st.CancelRead(0)
	st.leave()
	return err
}

// Reset ends both directions at once, without a reason. The peer's reads fail,
// so that it does not take what it has for the whole.
func (st *Stream) Reset() { st.Cut(wire.OK) }

// Cut is a Reset with the reason: code reaches the peer's next read or write.
func (st *Stream) Cut(code wire.Code) {
	st.CancelRead(quic.StreamErrorCode(code))
	st.CancelWrite(quic.StreamErrorCode(code))
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
	if cut, ok := errors.AsType[*quic.StreamError](err); ok && cut.Remote && cut.ErrorCode != 0 {
		return st.session.errorf(wire.Code(cut.ErrorCode), "")
	}
	return err
}

// ask sends the first frames and waits for the answer.
func (st *Stream) ask(ctx context.Context, frames []byte) (opened wire.Opened, err error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	deadline, _ := ctx.Deadline()
	st.SetWriteDeadline(deadline)
	defer st.SetWriteDeadline(time.Time{})
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
