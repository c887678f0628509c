package tunnel

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"sward/internal/identity"
	"sward/internal/wire"
)

const (
	// maxNodeStreams is how many streams a browser node may carry at once. It has one
	// TCP connection for all of them, and its owner is looking at something else.
	maxNodeStreams = 8
	// maxNodeBuffer bounds what a node may send, in bytes over all streams, before it is
	// read here: twice the window of unsigned bytes that a relay gives it. There is no
	// other flow control on the line, because an honest node never has more under way
	// than its window.
	maxNodeBuffer = 1 << 20
	// nodeIdle ends a session from which nothing has come. A node speaks every 20 s, or
	// its browser would stop it after 30 s.
	nodeIdle = 65 * time.Second
	// streamHead is the stream's number before each frame, u32.
	streamHead = 4
	// maxMessage is the largest message of the line.
	maxMessage = streamHead + frameHead + wire.MaxFrame
)

// errReset is a stream that its node cut without a reason.
var errReset = errors.New("the node reset the stream")

// NodeSession is a line to an edge inside a browser, which can neither speak QUIC nor show
// a certificate: one WebSocket (RFC 6455) with binary messages, each a stream's number and
// one frame. PROTOCOL.md §12 is the normative text. It has the methods of Session; only the
// listener opens streams.
//
// Control is the session's reader: streams get their frames while somebody waits in it.
type NodeSession struct {
	ws       *websocket.Conn
	peer     identity.ID
	exporter [sha256.Size]byte // what the two ends agreed on: hashed into every exporter value
	remote   string
	log      *slog.Logger
	buffered atomic.Int64  // bytes in the streams that were not read yet
	received atomic.Uint64 // messages, and answers to pings
	probing  atomic.Bool
	done     chan struct{}

	mu       sync.Mutex
	streams  map[uint32]*NodeStream
	last     uint32 // the newest stream's number
	draining bool
	err      error // why the session ended; set before done is closed
}

// Peer is who is at the other end.
func (s *NodeSession) Peer() identity.ID { return s.peer }

// Received grows with every message that comes from the node: see Session.
func (s *NodeSession) Received() uint64 { return s.received.Load() }

// Probe sends m and a ping, whose answer Received counts: see Session.
func (s *NodeSession) Probe(m wire.Message) error {
	if !s.probing.Swap(true) {
		go func() { // one at a time, and not for long
			defer s.probing.Store(false)
			ctx, cancel := context.WithTimeout(context.Background(), nodeIdle)
			defer cancel()
			if s.ws.Ping(ctx) == nil {
				s.received.Add(1)
			}
		}()
	}
	return s.Send(m)
}

// Exporter stands where a TLS session has its exporter value (RFC 8446 §7.5), which a browser
// does not show: a hash of the challenge and both identities. It ties what is signed over it
// to this session, but not to the TLS underneath.
func (s *NodeSession) Exporter(label string, context []byte) ([32]byte, error) {
	return sha256.Sum256(slices.Concat(s.exporter[:], []byte(label), context)), nil
}

// Open opens a stream as Session.Open does. Somebody must be in Control meanwhile.
func (s *NodeSession) Open(ctx context.Context, frames ...wire.Message) (*NodeStream, wire.Opened, error) {
	st, err := s.enter()
	if err != nil {
		return nil, wire.Opened{}, err
	}
	opened, err := st.ask(ctx, frames)
	if err != nil {
		st.Cut(wire.CodeOf(err))
		return nil, opened, err
	}
	return st, opened, nil
}

func (s *NodeSession) enter() (*NodeStream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		return nil, s.errorf(wire.EdgeGone, "")
	case s.draining:
		return nil, s.errorf(wire.Draining, "the session takes no new streams")
	case len(s.streams) >= maxNodeStreams || s.last+1 == 0:
		return nil, s.errorf(wire.StreamLimit, "")
	}
	s.last++
	st := &NodeStream{session: s, id: s.last, wake: make(chan struct{}, 1)}
	s.streams[st.id] = st
	return st, nil
}

// Send sends one frame on the control stream.
func (s *NodeSession) Send(m wire.Message) error { return s.send(0, m) }

func (s *NodeSession) send(stream uint32, m wire.Message) error {
	msg := message{stream: stream}
	if err := wire.Write(&msg, m); err != nil {
		return err
	}
	return s.write(msg.bytes)
}

// write sends one message. One that the node does not take in 10 s ends the session.
func (s *NodeSession) write(message []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), sendTimeout)
	defer cancel()
	if err := s.ws.Write(ctx, websocket.MessageBinary, message); err != nil {
		return s.fail(s.errorf(wire.EdgeGone, ""))
	}
	return nil
}

// Control returns the next frame of the control stream, as Session.Control does, and hands
// the frames of other streams to them meanwhile. The end of ctx ends the session.
func (s *NodeSession) Control(ctx context.Context) (wire.Type, []byte, error) {
	for {
		id, frame, err := s.receive(ctx)
		if err != nil {
			return 0, nil, s.broken(err)
		}
		if id != 0 {
			if err := s.deliver(id, frame); err != nil {
				return 0, nil, s.broken(err)
			}
			continue
		}
		if len(frame) == 0 {
			_ = s.fail(io.EOF) // the caller hears of the end itself
			return 0, nil, io.EOF
		}
		t, body := wire.Type(frame[0]), frame[frameHead:]
		if t == wire.TypeBye {
			if _, err := wire.ParseBye(body); err != nil {
				return 0, nil, s.broken(err)
			}
			s.drain()
		}
		return t, body, nil
	}
}

// receive reads one message: a stream's number and one whole frame, or none.
func (s *NodeSession) receive(ctx context.Context) (id uint32, frame []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, nodeIdle)
	defer cancel()
	kind, b, err := s.ws.Read(ctx)
	if err == nil {
		s.received.Add(1)
	}
	switch {
	case err != nil:
		return 0, nil, err
	case kind != websocket.MessageBinary || len(b) < streamHead:
		return 0, nil, wire.Errorf(wire.ProtocolError, "a message without a stream")
	}
	id, frame = uint32(b[0])<<24|uint32(b[1])<<16|uint32(b[2])<<8|uint32(b[3]), b[streamHead:]
	if len(frame) > 0 && !isFrame(frame) {
		return 0, nil, wire.Errorf(wire.ProtocolError, "a message is not one whole frame")
	}
	return id, frame, nil
}

func isFrame(b []byte) bool {
	return len(b) >= frameHead && int(b[1])<<16|int(b[2])<<8|int(b[3]) == len(b)-frameHead
}

// deliver hands a frame to its stream.
func (s *NodeSession) deliver(id uint32, frame []byte) error {
	s.mu.Lock()
	st, known := s.streams[id], id <= s.last
	s.mu.Unlock()
	switch {
	case !known:
		return wire.Errorf(wire.ProtocolError, "stream %d was never opened", id)
	case st == nil:
		return nil // it has ended here, and this was under way
	case len(frame) == 0:
		st.finish(io.EOF)
		return nil
	case wire.Type(frame[0]) == wire.TypeBye:
		bye, err := wire.ParseBye(frame[frameHead:])
		if err != nil {
			return err
		}
		st.finish(st.cause(bye.Code))
		return nil
	}
	if s.buffered.Add(int64(len(frame))) > maxNodeBuffer {
		return wire.Errorf(wire.ProtocolError, "more than %d bytes are under way", maxNodeBuffer)
	}
	st.push(frame)
	return nil
}

// Drain says Bye: from now on no stream is opened, and the running ones may finish.
func (s *NodeSession) Drain(code wire.Code, detail string) error {
	s.drain()
	return s.Send(wire.Bye{Code: code, Detail: clip(detail)})
}

// Draining reports whether either side has said Bye.
func (s *NodeSession) Draining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}

func (s *NodeSession) drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
}

// Refuse answers Hello with Bye, for this reason, and closes.
func (s *NodeSession) Refuse(code wire.Code, detail string) { s.Close(code, detail) }

// Close ends the session and all its streams, telling the node why. It waits 5 s at most for
// the node to close as well.
func (s *NodeSession) Close(code wire.Code, detail string) {
	if s.Err() == nil {
		_ = s.Drain(code, detail) // a node that does not hear it has gone
	}
	_ = s.fail(s.errorf(code, "%s", clip(detail)))             // which Err gives, unless there was one before
	_ = s.ws.Close(websocket.StatusNormalClosure, code.Name()) // a node that does not hear it has gone
}

// Done is closed when the session has ended.
func (s *NodeSession) Done() <-chan struct{} { return s.done }

// Err is why the session ended, nil while it lives.
func (s *NodeSession) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// broken ends a session that cannot go on.
func (s *NodeSession) broken(err error) error {
	fault, told := errors.AsType[*wire.Error](err)
	if !told {
		_ = s.ws.CloseNow() // the line itself has failed: there is nobody to tell
		return s.fail(s.errorf(wire.EdgeGone, ""))
	}
	s.log.Debug("session broke the protocol", "peer", s.peer, "err", err)
	s.Close(fault.Code, fault.Detail)
	return fault
}

// fail notes the end of the session and ends its streams. It returns the first reason.
func (s *NodeSession) fail(err error) error {
	s.mu.Lock()
	if s.err != nil {
		defer s.mu.Unlock()
		return s.err
	}
	s.err, s.draining = err, true
	streams := s.streams
	s.streams = map[uint32]*NodeStream{}
	s.mu.Unlock()
	for _, st := range streams {
		st.finish(s.errorf(wire.EdgeGone, ""))
	}
	close(s.done)
	return err
}

func (s *NodeSession) leave(st *NodeStream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.streams, st.id)
}

func (s *NodeSession) errorf(c wire.Code, format string, a ...any) *wire.Error {
	e := wire.Errorf(c, format, a...)
	e.Edge = s.peer
	return e
}

// message takes what wire.Write writes: one frame, with one call.
type message struct {
	stream uint32
	bytes  []byte
}

func (m *message) Write(frame []byte) (int, error) {
	m.bytes = append([]byte{byte(m.stream >> 24), byte(m.stream >> 16), byte(m.stream >> 8), byte(m.stream)}, frame...)
	return len(frame), nil
}
