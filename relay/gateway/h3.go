package gateway

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apernet/quic-go"
	"github.com/apernet/quic-go/http3"
	"github.com/apernet/quic-go/qlogwriter"
	"github.com/apernet/quic-go/quicvarint"
	"golang.org/x/time/rate"

	"sward/internal/wire"
)

const (
	// unverified is how many connections a second may begin without proof that the client is where it says: a round trip
	// more for the honest, when there are many, and no answer that is larger than the question for anyone.
	unverified = 100
	// maxUniStreams is how many one-way streams a client may open: HTTP/3 has three.
	maxUniStreams = 8
	// restPoll is how often a connection that is to be closed is looked at.
	restPoll = 20 * time.Millisecond
	// maxHeadH3 is more than the head of an answer to CONNECT can take on the wire, in bytes. So much of a tunnel that
	// was cut is not charged, because where its head ended is known only when it came to its end.
	maxHeadH3 = 2 << 10
)

// h3conn is one connection of HTTP/3.
type h3conn struct {
	*quic.Conn
	ctx     context.Context // ends with the grace
	acks    *acks
	streams streams
}

// serveH3 serves HTTP/3 until stopping ends. Its connections count among conns, and may outlast it.
func (g *Gateway) serveH3(stopping, lasting context.Context, conns *sync.WaitGroup) error {
	limit := rate.NewLimiter(unverified, unverified)
	transport := &quic.Transport{Conn: g.cfg.PacketConn, VerifySourceAddress: func(net.Addr) bool { return !limit.Allow() }}
	listener, err := transport.Listen(http3.ConfigureTLSConfig(g.tls), &quic.Config{
		HandshakeIdleTimeout: g.cfg.HeaderTime, MaxIdleTimeout: g.cfg.IdleTime,
		MaxIncomingStreams: maxStreams, MaxIncomingUniStreams: maxUniStreams,
		InitialStreamReceiveWindow: streamUpload, MaxStreamReceiveWindow: streamUpload,
		InitialConnectionReceiveWindow: connUpload, MaxConnectionReceiveWindow: connUpload,
		Tracer: func(context.Context, bool, quic.ConnectionID) qlogwriter.Trace { return newAcks() },
	})
	if err != nil {
		return err
	}
	context.AfterFunc(lasting, func() { transport.Close() })
	defer listener.Close()
	for {
		conn, err := listener.Accept(stopping)
		switch {
		case stopping.Err() != nil:
			return nil //nolint:nilerr // it was told to
		case err != nil:
			return err
		}
		select {
		case g.slots <- struct{}{}:
			conns.Go(func() {
				defer func() { <-g.slots }()
				g.serveQUIC(stopping, lasting, conn)
			})
		default:
			e := &wire.Error{Code: wire.DoorFull}
			g.note(e, e)
			conn.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeExcessiveLoad), e.Code.Name()) //nolint:errcheck // it is gone
		}
	}
}

// serveQUIC carries one connection to its end.
func (g *Gateway) serveQUIC(stopping, lasting context.Context, conn *quic.Conn) {
	if g.cfg.Tune != nil {
		g.cfg.Tune(conn)
	}
	c := &h3conn{Conn: conn, ctx: lasting, acks: conn.QlogTrace().(*acks)}
	flooded := func() { conn.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeExcessiveLoad), "") } //nolint:errcheck // it is gone
	bye := func() { conn.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "") }           //nolint:errcheck // it is gone
	server := &http3.Server{
		MaxHeaderBytes: g.cfg.HeaderBytes, IdleTimeout: g.cfg.IdleTime, Logger: slog.New(slog.DiscardHandler),
		// Nothing is taken over here: a stream is met before its head is read and before anything is sent on it.
		StreamDispatcher: func(_ http3.FrameType, s *quic.Stream, _ error) (bool, error) {
			c.acks.hold(s.StreamID())
			context.AfterFunc(s.Context(), func() { c.acks.drop(s.StreamID()) })
			if c.streams.begin() {
				flooded()
			}
			return false, s.SetReadDeadline(time.Now().Add(g.cfg.HeaderTime))
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !c.streams.enter() {
				panic(http.ErrAbortHandler)
			}
			defer c.streams.Done()
			c.streams.met()
			a := &answer{ResponseWriter: w, asked: r.Context()}
			defer func() {
				if c.streams.over(a.given) {
					flooded()
				}
			}()
			s := newH3Stream(a, r, c)
			s.SetReadDeadline(time.Time{}) //nolint:errcheck // on a stream that is gone, as the read will tell
			g.serveRequest(a, r, s)
		}),
	}
	defer context.AfterFunc(lasting, bye)()
	defer context.AfterFunc(stopping, func() {
		go server.Shutdown(lasting) //nolint:errcheck // GOAWAY; it returns with the connection's end
		c.streams.leave()
		c.rest()
		bye()
	})()
	server.ServeQUICConn(conn) //nolint:errcheck // however it ends
	c.streams.leave()
}

// rest waits until what the last streams were given has arrived: a connection that is closed drops it.
func (c *h3conn) rest() {
	for quiet := 0; quiet < 2 && c.Context().Err() == nil && c.ctx.Err() == nil; {
		if quiet++; !c.acks.quiet() {
			quiet = 0
		}
		select {
		case <-time.After(restPoll): // in which what waits to be sent is
		case <-c.Context().Done():
		case <-c.ctx.Done():
		}
	}
}

// h3Stream is a request over HTTP/3. A tunnel takes the stream from the server; a plain request leaves it there.
type h3Stream struct {
	line    *h3conn
	w       *answer
	control *http.ResponseController
	body    io.ReadCloser
	tunnel  *http3.Stream // once it has begun
	ended   atomic.Bool   // by CloseWrite

	mu     sync.Mutex
	given  uint64 // payload
	framed uint64 // the same with the heads of its DATA frames, as it lies in the stream behind the answer's head
	marks  marks  // given ↔ framed
}

var (
	_ requestStream  = (*h3Stream)(nil)
	_ unacknowledger = (*h3Stream)(nil)
)

func newH3Stream(w *answer, r *http.Request, line *h3conn) *h3Stream {
	return &h3Stream{line: line, w: w, control: http.NewResponseController(w), body: r.Body}
}

func (s *h3Stream) LocalAddr() net.Addr  { return s.line.Conn.LocalAddr() }
func (s *h3Stream) RemoteAddr() net.Addr { return s.line.Conn.RemoteAddr() }

func (s *h3Stream) Read(p []byte) (int, error) {
	if s.tunnel != nil {
		return s.tunnel.Read(p)
	}
	return s.body.Read(p)
}

func (s *h3Stream) Write(p []byte) (int, error) {
	n, err := s.tunnel.Write(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.given += uint64(n)
	s.framed += uint64(quicvarint.Len(0)+quicvarint.Len(uint64(len(p)))) + uint64(n)
	s.marks.add(s.given, s.framed)
	return n, err
}

// unacknowledged is how many bytes written to s lie behind the first that the partner has not acknowledged, or in the
// same mark as it.
func (s *h3Stream) unacknowledged() int {
	prefix, end := s.line.acks.of(s.tunnel.StreamID())
	s.mu.Lock()
	defer s.mu.Unlock()
	head := uint64(maxHeadH3)
	if end > 0 {
		head = uint64(end) - s.framed
	}
	return int(s.given - s.marks.within(uint64(prefix)-min(head, uint64(prefix))))
}

// gone reports whether nothing will be acknowledged any more.
func (s *h3Stream) gone() bool { return s.line.Context().Err() != nil }

// acknowledged counts packets of the whole connection.
func (s *h3Stream) acknowledged() uint64 { return s.line.acks.moved() }

// CloseWrite ends the response and leaves the request open.
func (s *h3Stream) CloseWrite() error {
	s.ended.Store(true)
	return s.tunnel.Close()
}

// Reset ends both so that the partner cannot take a cut for an end.
func (s *h3Stream) Reset() error {
	if s.tunnel != nil {
		s.tunnel.CancelRead(quic.StreamErrorCode(http3.ErrCodeConnectError))
		s.tunnel.CancelWrite(quic.StreamErrorCode(http3.ErrCodeConnectError))
	}
	return nil
}

// Close is for a stream that nobody needs any more. What is on its way behind an end arrives.
func (s *h3Stream) Close() error {
	if !s.ended.Load() {
		return s.Reset()
	}
	s.tunnel.CancelRead(quic.StreamErrorCode(http3.ErrCodeNoError))
	return nil
}

func (s *h3Stream) SetDeadline(t time.Time) error {
	return errors.Join(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

func (s *h3Stream) SetReadDeadline(t time.Time) error  { return s.control.SetReadDeadline(t) }
func (s *h3Stream) SetWriteDeadline(t time.Time) error { return s.control.SetWriteDeadline(t) }

// carry runs a tunnel to its end.
func (s *h3Stream) carry(tunnel func(context.Context)) error {
	s.w.WriteHeader(http.StatusOK)
	s.tunnel = s.w.Unwrap().(http3.HTTPStreamer).HTTPStream()
	s.line.acks.hold(s.tunnel.StreamID())
	defer s.line.acks.drop(s.tunnel.StreamID())
	defer s.Close()
	tunnel(s.line.ctx)
	return nil
}

// depart has nothing to wait for: a plain request's handler is the stream's last user.
func (s *h3Stream) depart() {}
