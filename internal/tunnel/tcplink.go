package tunnel

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"sward/internal/wire"
)

// The head of yamux's frames: version u8, type u8, flags u16, stream u32, length
// u32. Source: https://github.com/hashicorp/yamux/blob/master/spec.md
const (
	muxHead     = 12
	muxVersion  = 0
	muxData     = 0
	muxWindow   = 1
	muxLastWord = 0x10 // ours: the stream is the code, the body the detail
	muxSYN      = 1

	controlStream = 1

	oneRecord = 16 << 10 // bytes of a frame that TLS writes at once
)

const (
	// farewellTimeout bounds the wait for the frame under way, and for room, when
	// the last word is written.
	farewellTimeout = time.Second
	// lastLook is how long a connection that cannot be written to is still read:
	// the peer's last word may be there.
	lastLook = 100 * time.Millisecond
)

// tcpLink lies between yamux and TLS. It carries what yamux has no frame for, the
// session's last word, and refuses what yamux lets pass, a frame for a stream
// that nobody has opened.
//
// A last word is a frame of yamux's form and of a type of our own, after which
// its sender sends nothing. yamux itself hears no more of it than the end.
type tcpLink struct {
	conn     net.Conn // TLS
	raw      *records // what is under it
	dialer   bool
	closed   chan struct{} // the socket is free
	once     sync.Once
	received atomic.Uint64            // bytes of the peer's
	said     atomic.Pointer[lastWord] // by this side
	heard    atomic.Pointer[lastWord] // from the peer

	sendMu  sync.Mutex    // one frame after another
	closing atomic.Bool   // no frame but the last word; set under deadlineMu
	opened  atomic.Uint32 // the highest stream that this side has opened

	deadlineMu sync.Mutex

	reading chan struct{} // has one place, for who reads; a channel, since the wait is for the clock
	head    [muxHead]byte
	pending []byte // of head, for yamux
	body    uint32 // bytes of the frame's body that have not been read
	theirs  uint32 // the highest stream that the peer has opened
	over    error  // what every later Read returns
}

func newTCPLink(conn net.Conn, raw *records, dialer bool) *tcpLink {
	return &tcpLink{conn: conn, raw: raw, dialer: dialer, closed: make(chan struct{}), reading: make(chan struct{}, 1)}
}

// Read reads for yamux, which asks for one head or one body at a time.
func (l *tcpLink) Read(p []byte) (n int, err error) {
	l.reading <- struct{}{}
	defer func() { <-l.reading }()
	if l.over != nil {
		return 0, l.over
	}
	defer func() { l.over = err }()
	if len(l.pending) == 0 && l.body == 0 {
		if err := l.next(); err != nil {
			return 0, err
		}
	}
	if len(l.pending) > 0 {
		n = copy(p, l.pending)
		l.pending = l.pending[n:]
		return n, nil
	}
	n, err = l.conn.Read(p[:min(len(p), int(l.body))])
	l.body -= uint32(n)
	l.received.Add(uint64(n))
	return n, err
}

// next reads the head of a frame.
func (l *tcpLink) next() error {
	if _, err := io.ReadFull(l.conn, l.head[:]); err != nil {
		return err
	}
	l.received.Add(muxHead)
	kind, flags := l.head[1], binary.BigEndian.Uint16(l.head[2:])
	stream, length := binary.BigEndian.Uint32(l.head[4:]), binary.BigEndian.Uint32(l.head[8:])
	switch {
	case l.head[0] != muxVersion:
	case kind == muxLastWord:
		return l.hear(stream, length)
	case kind > muxWindow: // yamux judges it
	default:
		ours := stream%2 == 1 == l.dialer
		if !ours && flags&muxSYN != 0 {
			l.theirs = max(l.theirs, stream)
		}
		if stream == 0 || ours && stream > l.opened.Load() || !ours && stream > l.theirs {
			return wire.Errorf(wire.ProtocolError, "stream %d was never opened", stream)
		}
		if kind == muxData {
			l.body = length
		}
	}
	l.pending = l.head[:]
	return nil
}

// hear takes the peer's last word.
func (l *tcpLink) hear(code, length uint32) error {
	if code > 1<<16-1 || length > wire.MaxDetail {
		return wire.Errorf(wire.ProtocolError, "a last word of code %d and %d bytes", code, length)
	}
	detail := make([]byte, length)
	if _, err := io.ReadFull(l.conn, detail); err != nil {
		return err
	}
	l.heard.Store(&lastWord{wire.Code(code), string(detail)})
	return io.EOF
}

// Write writes one frame of yamux's, which comes in one piece.
func (l *tcpLink) Write(frame []byte) (int, error) {
	l.sendMu.Lock()
	defer l.sendMu.Unlock()
	if l.closing.Load() {
		return 0, net.ErrClosed
	}
	if len(frame) >= muxHead && frame[1] <= muxWindow && binary.BigEndian.Uint16(frame[2:])&muxSYN != 0 {
		l.opened.Store(max(l.opened.Load(), binary.BigEndian.Uint32(frame[4:]))) // before the peer can answer
	}
	return l.writeLocked(frame)
}

// ready tells whether the control stream's beginning has left.
func (l *tcpLink) ready() bool { return !l.dialer || l.opened.Load() >= controlStream }

// writeControl writes data of the control stream past yamux, and past yamux's count of
// its window: a peer that leaves 256 KiB of control frames unread loses the session.
func (l *tcpLink) writeControl(p []byte, patience time.Duration) (int, error) {
	frame := []byte{muxVersion, muxData, 0, 0}
	frame = binary.BigEndian.AppendUint32(frame, controlStream)
	frame = binary.BigEndian.AppendUint32(frame, uint32(len(p)))
	frame = append(frame, p...)
	l.sendMu.Lock()
	defer l.sendMu.Unlock()
	if l.closing.Load() {
		return 0, net.ErrClosed
	}
	l.SetWriteDeadline(time.Now().Add(patience)) //nolint:errcheck // yamux's own may have passed long ago; it sets a later one
	if _, err := l.writeLocked(frame); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (l *tcpLink) writeLocked(frame []byte) (int, error) {
	if len(frame) <= oneRecord {
		return l.conn.Write(frame)
	}
	l.raw.hold()
	n, err := l.conn.Write(frame)
	if err2 := l.raw.flush(); err == nil && err2 != nil {
		return 0, err2
	}
	return n, err
}

// say sets the last word, for Close to send. The first counts.
func (l *tcpLink) say(w lastWord) { l.said.CompareAndSwap(nil, &w) }

// why is the reason of the end, if yamux's own is err.
func (l *tcpLink) why(err error) error {
	if w := l.heard.Load(); w != nil {
		return w
	}
	if w := l.said.Load(); w != nil {
		return w
	}
	return err
}

// Close sends the last word, if there is one, and waits a moment for the peer to
// close as well: a socket that is closed with something unread in it resets the
// connection, and the peer may lose what it had not read.
func (l *tcpLink) Close() error {
	l.once.Do(func() {
		raw, word := l.raw, l.said.Load()
		if l.heard.Load() != nil {
			word = nil // the peer is no longer reading
		}
		now := time.Now()
		l.deadlineMu.Lock()
		l.closing.Store(true)
		raw.SetWriteDeadline(now.Add(farewellTimeout)) //nolint:errcheck // on an ended connection all that follows fails at once
		l.deadlineMu.Unlock()
		if word == nil {
			raw.SetReadDeadline(now.Add(lastLook)) //nolint:errcheck // likewise
		} else {
			raw.SetReadDeadline(now) //nolint:errcheck // likewise
			l.sendMu.Lock()          // after the frame under way
			if _, err := l.conn.Write(word.append(nil)); err == nil {
				closeWrite(l.conn)
			}
			l.sendMu.Unlock()
		}
		closeWrite(raw)
		go l.part(word != nil) // ends by its deadlines
	})
	return nil
}

// part closes the socket when this side has no more to read from it.
func (l *tcpLink) part(linger bool) {
	defer close(l.closed)
	defer l.raw.Close()
	l.reading <- struct{}{} // which yamux's reader leaves by its deadline
	over := l.over != nil
	if linger {
		l.over = net.ErrClosed
	}
	<-l.reading
	switch {
	case linger:
		l.raw.SetReadDeadline(time.Now().Add(lingerTimeout)) //nolint:errcheck // see Close
		io.CopyN(io.Discard, l.raw, sessionWindow)           //nolint:errcheck // see Close
	case !over:
		time.Sleep(lastLook)
	}
}

// closeWrite ends what is sent on a connection that can say so.
func closeWrite(conn net.Conn) {
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		half.CloseWrite() //nolint:errcheck // the connection ends either way
	}
}

func (w *lastWord) append(b []byte) []byte {
	b = append(b, muxVersion, muxLastWord, 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(w.code))
	b = binary.BigEndian.AppendUint32(b, uint32(len(w.detail)))
	return append(b, w.detail...)
}

// SetWriteDeadline is yamux's bound on one frame. At the end Close has its own.
func (l *tcpLink) SetWriteDeadline(t time.Time) error {
	l.deadlineMu.Lock()
	defer l.deadlineMu.Unlock()
	if l.closing.Load() {
		return nil
	}
	return l.conn.SetWriteDeadline(t)
}

func (l *tcpLink) SetDeadline(t time.Time) error     { return l.conn.SetDeadline(t) }
func (l *tcpLink) SetReadDeadline(t time.Time) error { return l.conn.SetReadDeadline(t) }
func (l *tcpLink) LocalAddr() net.Addr               { return l.conn.LocalAddr() }
func (l *tcpLink) RemoteAddr() net.Addr              { return l.conn.RemoteAddr() }

var _ net.Conn = (*tcpLink)(nil)
