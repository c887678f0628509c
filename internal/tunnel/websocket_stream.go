package tunnel

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"sward/internal/wire"
)

// errPiece refuses a write that is not one frame: the line carries frames, not bytes.
var errPiece = wire.Errorf(wire.ProtocolError, "a stream to a node carries whole frames")

// NodeStream is a stream of a NodeSession. It reads like any connection; each Write must be
// one whole frame, as wire.Write makes it. It has one reader. It must be closed, cut or reset.
type NodeStream struct {
	session *NodeSession
	id      uint32
	wake    chan struct{} // one slot: there is something new for the reader

	mu     sync.Mutex
	in     []byte
	end    error // after in: io.EOF, or why the stream was cut
	sent   bool  // the end was sent
	closed bool  // by this side
	readBy time.Time
}

var _ net.Conn = (*NodeStream)(nil)

// ID is the stream's number, by which both ends name it in a Done frame.
func (st *NodeStream) ID() uint64 { return uint64(st.id) }

// Read reads what the node wrote. A node that cut the stream with a code is a *wire.Error.
func (st *NodeStream) Read(p []byte) (int, error) {
	for {
		n, deadline, end := st.take(p)
		switch {
		case !deadline.IsZero() && !time.Now().Before(deadline):
			return 0, os.ErrDeadlineExceeded
		case n > 0 || len(p) == 0:
			st.session.buffered.Add(int64(-n))
			return n, nil
		case end != nil:
			return 0, end
		}
		st.await(deadline)
	}
}

// take moves what has come to p, unless the deadline has passed.
func (st *NodeStream) take(p []byte) (n int, deadline time.Time, end error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.readBy.IsZero() || time.Now().Before(st.readBy) {
		n = copy(p, st.in)
		st.in = st.in[n:]
	}
	return n, st.readBy, st.end
}

// await waits for something new, or for the deadline.
func (st *NodeStream) await(deadline time.Time) {
	var expired <-chan time.Time
	if !deadline.IsZero() {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case <-st.wake:
	case <-expired:
	}
}

// push adds a frame for the reader, unless nobody reads any more.
func (st *NodeStream) push(frame []byte) {
	st.mu.Lock()
	unwanted := st.closed || st.end != nil
	if !unwanted {
		st.in = append(st.in, frame...)
	}
	st.mu.Unlock()
	if unwanted {
		st.session.buffered.Add(-int64(len(frame)))
	}
	st.signal()
}

// finish ends the reader's direction. A cut drops what was not read: it is no whole answer.
func (st *NodeStream) finish(end error) {
	st.mu.Lock()
	dropped := 0
	if st.end == nil {
		st.end = end
		if !errors.Is(end, io.EOF) {
			dropped, st.in = len(st.in), nil
		}
	}
	st.mu.Unlock()
	st.session.buffered.Add(-int64(dropped))
	st.signal()
}

func (st *NodeStream) signal() {
	select {
	case st.wake <- struct{}{}:
	default: // it is signalled already
	}
}

// Write sends one frame.
func (st *NodeStream) Write(frame []byte) (int, error) {
	st.mu.Lock()
	over, end := st.sent, st.end
	st.mu.Unlock()
	switch {
	case end != nil && !errors.Is(end, io.EOF):
		return 0, end
	case over:
		return 0, net.ErrClosed
	case !isFrame(frame):
		return 0, errPiece
	}
	m := message{stream: st.id}
	m.Write(frame) //nolint:errcheck // it only keeps it
	if err := st.session.write(m.bytes); err != nil {
		return 0, err
	}
	return len(frame), nil
}

// CloseWrite ends the direction to the node: a message without a frame.
func (st *NodeStream) CloseWrite() error {
	if st.over() {
		return nil
	}
	m := message{stream: st.id}
	m.Write(nil) //nolint:errcheck // see Write
	return st.session.write(m.bytes)
}

// Close ends the stream; what the node still sends is not wanted any more.
func (st *NodeStream) Close() error {
	wanted := st.shut()
	err := st.CloseWrite()
	if wanted {
		err = st.session.send(st.id, wire.Bye{})
	}
	st.session.leave(st)
	return err
}

// Reset ends both directions at once, without a reason.
func (st *NodeStream) Reset() { st.Cut(wire.OK) }

// Cut is a Reset with the reason.
func (st *NodeStream) Cut(code wire.Code) {
	wanted, over := st.shut(), st.over()
	if wanted || !over {
		_ = st.session.send(st.id, wire.Bye{Code: code}) // a session that has ended needs no word
	}
	st.session.leave(st)
}

// over marks the end as sent, and tells whether it was.
func (st *NodeStream) over() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	over := st.sent
	st.sent = true
	return over
}

// shut drops what was not read, and tells whether the node might send more.
func (st *NodeStream) shut() (wanted bool) {
	st.mu.Lock()
	wanted = !st.closed && st.end == nil
	dropped := len(st.in)
	st.closed, st.in = true, nil
	if wanted {
		st.end = net.ErrClosed
	}
	st.mu.Unlock()
	st.session.buffered.Add(-int64(dropped))
	st.signal()
	return wanted
}

// SetDeadline is SetReadDeadline: a write ends by itself, with the session, in 10 s.
func (st *NodeStream) SetDeadline(t time.Time) error { return st.SetReadDeadline(t) }

// SetReadDeadline ends reads that wait at t.
func (st *NodeStream) SetReadDeadline(t time.Time) error {
	st.mu.Lock()
	st.readBy = t
	st.mu.Unlock()
	st.signal()
	return nil
}

// SetWriteDeadline does nothing: see SetDeadline.
func (st *NodeStream) SetWriteDeadline(time.Time) error { return nil }

// LocalAddr names the line: it has no address of its own that means anything.
func (st *NodeStream) LocalAddr() net.Addr { return nodeAddr("relay") }

// RemoteAddr is that of the session.
func (st *NodeStream) RemoteAddr() net.Addr { return nodeAddr(st.session.remote) }

type nodeAddr string

func (nodeAddr) Network() string  { return "websocket" }
func (a nodeAddr) String() string { return string(a) }

// cause is what a node's Bye on a stream means to the reader.
func (st *NodeStream) cause(code wire.Code) error {
	if code == wire.OK {
		return errReset
	}
	return st.session.errorf(code, "")
}

// ask sends the first frames and waits for the answer, as Stream.ask does.
func (st *NodeStream) ask(ctx context.Context, frames []wire.Message) (opened wire.Opened, err error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	defer until(ctx, st.SetReadDeadline)()
	for _, f := range frames {
		if err := st.session.send(st.id, f); err != nil {
			return opened, err
		}
	}
	opened, err = readOpened(st)
	switch {
	case err == nil:
		err = opened.Err()
		if refusal, ok := errors.AsType[*wire.Error](err); ok {
			refusal.Edge = st.session.peer
		}
		return opened, err
	case errors.Is(ctx.Err(), context.Canceled):
		return opened, ctx.Err()
	case timedOut(err):
		return opened, st.session.errorf(wire.EdgeTimeout, "no answer to open")
	}
	if _, ok := errors.AsType[*wire.Error](err); ok {
		return opened, err
	}
	return opened, st.session.errorf(wire.EdgeGone, "")
}
