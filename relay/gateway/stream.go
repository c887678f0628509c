package gateway

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// errLeft is what a stream says to whoever uses it after its end.
var errLeft = errors.New("the stream has ended")

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// chunkSize is how much of a tunnel is written at once, in bytes: what splice reads.
const chunkSize = 32 << 10

// chunks are buffers for what is being written. A write that fails may leave its bytes with HTTP/2 for a moment longer,
// so that buffer is not used again.
var chunks = sync.Pool{New: func() any { return new([chunkSize]byte) }}

// stream is a request over HTTP/2, as a connection. The response cannot be ended while the request goes on, but by its
// handler's return: so the target's end is the end of both.
type stream struct {
	line    *h2conn
	w       http.ResponseWriter
	control *http.ResponseController
	body    io.ReadCloser

	using sync.RWMutex // held for reading by who uses w, for writing as the handler leaves
	left  bool         // the handler has: w is no more

	ended atomic.Bool   // by CloseWrite
	cut   atomic.Bool   // by Reset or Close before that
	once  sync.Once     // of over
	over  chan struct{} // closed by either

	mu    sync.Mutex
	given uint64
	marks marks // given ↔ the line's DATA bytes
}

var (
	_ requestStream  = (*stream)(nil)
	_ unacknowledger = (*stream)(nil)
	_ abandoner      = (*stream)(nil)
)

func newStream(w http.ResponseWriter, r *http.Request, line *h2conn) *stream {
	return &stream{line: line, w: w, control: http.NewResponseController(w), body: r.Body, over: make(chan struct{})}
}

// NetConn is the connection that carries the stream.
func (s *stream) NetConn() net.Conn    { return s.line }
func (s *stream) LocalAddr() net.Addr  { return s.line.LocalAddr() }
func (s *stream) RemoteAddr() net.Addr { return s.line.RemoteAddr() }

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.body.Read(p)
	if err != nil && s.ended.Load() {
		return n, io.EOF // nobody is left who could take more
	}
	return n, err
}

// Write returns when p is on its way: past the client's windows, and in the connection's buffer at the worst.
func (s *stream) Write(p []byte) (int, error) {
	s.using.RLock()
	defer s.using.RUnlock()
	for sent := 0; ; {
		n := min(len(p)-sent, chunkSize)
		if err := s.writeChunk(p[sent : sent+n]); err != nil {
			return sent, err
		}
		if sent += n; sent == len(p) {
			return sent, nil
		}
	}
}

func (s *stream) writeChunk(p []byte) error {
	if s.left {
		return errLeft
	}
	chunk := chunks.Get().(*[chunkSize]byte)
	if _, err := s.w.Write(chunk[:copy(chunk[:], p)]); err != nil {
		return err
	}
	if err := s.control.Flush(); err != nil {
		return err
	}
	chunks.Put(chunk)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.given += uint64(len(p))
	s.marks.add(s.given, s.line.place())
	return nil
}

// unacknowledged is how many bytes written to s lie in frames of which the partner has not acknowledged everything.
func (s *stream) unacknowledged() int {
	delivered := s.line.delivered()
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.given - s.marks.within(delivered))
}

// CloseWrite ends the response, and with it the request.
func (s *stream) CloseWrite() error {
	s.ended.Store(true)
	s.once.Do(func() { close(s.over) })
	return nil
}

// Reset ends the stream by RST_STREAM, which also frees who waits for it.
func (s *stream) Reset() error {
	s.once.Do(func() {
		s.cut.Store(true)
		s.SetDeadline(longAgo) //nolint:errcheck // it is gone either way
		close(s.over)
	})
	return nil
}

// Close is for a stream that nobody needs any more.
func (s *stream) Close() error { return s.Reset() }

// abandon closes the whole connection: its client has taken nothing from the socket for so long that the bytes which
// wait there cannot be taken back in another way.
func (s *stream) abandon() { s.line.socket.reset() } //nolint:errcheck // it is gone either way

// carry lets the handler go as soon as the target has ended, which ends the response, though the partner's last
// acknowledgements are still waited for.
func (s *stream) carry(tunnel func(context.Context)) error {
	s.w.WriteHeader(http.StatusOK)
	if err := s.control.Flush(); err != nil {
		return err
	}
	s.line.streams.Go(func() {
		defer s.Close()
		tunnel(s.line.ctx)
	})
	<-s.over
	s.depart()
	if s.cut.Load() {
		panic(http.ErrAbortHandler)
	}
	return nil
}

// depart waits until nobody uses the response any more and forbids it from then on. The handler returns after it.
func (s *stream) depart() {
	s.using.Lock()
	defer s.using.Unlock()
	s.left = true
}

func (s *stream) SetDeadline(t time.Time) error {
	return errors.Join(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

func (s *stream) SetReadDeadline(t time.Time) error {
	return s.set(t, s.control.SetReadDeadline)
}

func (s *stream) SetWriteDeadline(t time.Time) error {
	return s.set(t, s.control.SetWriteDeadline)
}

func (s *stream) set(t time.Time, deadline func(time.Time) error) error {
	s.using.RLock()
	defer s.using.RUnlock()
	if s.left {
		return errLeft
	}
	return deadline(t)
}
