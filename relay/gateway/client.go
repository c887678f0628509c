package gateway

import (
	"bytes"
	"io"
	"math"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sward/internal/wire"
)

const (
	// unlimited is how many bytes may pass when a tunnel, or a body without a length, follows.
	unlimited = math.MaxInt64
	// headStep is how much a head's buffer grows by: most heads fit the first.
	headStep = 2 << 10
	// lingerTime and lingerBytes bound how long the rest of a refused request is read, so that the refusal is not
	// overtaken by the reset that unread bytes cause (RFC 9112 §9.6).
	lingerTime  = 500 * time.Millisecond
	lingerBytes = 1 << 20
)

// client is a partner's connection. Read stands between the socket and net/http: it passes a request head on only when
// the whole of it has arrived in time and has passed checkHead, and then just the bytes that belong to the request.
// In place of a head that fails it passes refusedHead, so that the refusal is answered in its turn, like any request.
// As a tunnel it passes everything.
type client struct {
	net.Conn
	headBytes int
	headTime  time.Duration
	idleTime  time.Duration

	// Owned by the reader: net/http never reads twice at once.
	buf     []byte // received and not yet passed on
	scanned int    // bytes of buf known not to end the head
	ready   int64  // bytes that may be passed on before the next head
	last    bool   // no request follows

	tunnel atomic.Bool // net/http has let go of it
	ended  atomic.Bool // by CloseWrite
	fault  atomic.Pointer[wire.Error]

	mu     sync.Mutex
	asked  time.Time // read deadline that net/http set
	headBy time.Time // read deadline of the head on its way; zero between heads

	finished chan struct{} // closed when net/http has ended with it
	finish   func()
}

func newClient(conn net.Conn, cfg Config) *client {
	c := &client{
		Conn: conn, headBytes: cfg.HeaderBytes, headTime: cfg.HeaderTime, idleTime: cfg.IdleTime,
		finished: make(chan struct{}),
	}
	c.finish = sync.OnceFunc(func() { close(c.finished) })
	c.setHeadBy(time.Now().Add(cfg.HeaderTime))
	return c
}

// NetConn is the socket, or what stands for one (tls.go, stream.go), for those who ask what has been acknowledged.
func (c *client) NetConn() net.Conn { return c.Conn }

// from is the address that the partner comes from.
func (c *client) from() netip.Addr {
	at, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap()
}

// first waits for the first byte and leaves it to be read.
func (c *client) first() (byte, error) {
	c.buf = make([]byte, 1, headStep)
	if _, err := io.ReadFull(c.Conn, c.buf); err != nil {
		return 0, err
	}
	return c.buf[0], nil
}

func (c *client) Read(p []byte) (int, error) {
	if c.ready == 0 {
		if err := c.readHead(); err != nil {
			return 0, err
		}
	}
	if int64(len(p)) > c.ready {
		p = p[:c.ready]
	}
	var n int
	var err error
	if len(c.buf) > 0 {
		n = copy(p, c.buf)
		c.buf = c.buf[n:]
	} else {
		c.buf = nil // between requests a connection holds no memory here
		n, err = c.Conn.Read(p)
	}
	if c.ready != unlimited {
		c.ready -= int64(n)
	}
	return n, err
}

// readHead fills buf until it holds a whole head. It may be called again after an error: net/http interrupts a read by
// its deadline.
func (c *client) readHead() error {
	if c.last {
		return io.EOF
	}
	for {
		head, err := c.scan()
		switch {
		case err != nil:
			c.refuse(err)
			return nil
		case head > 0:
			c.setHeadBy(time.Time{})
			if c.ready, err = checkHead(c.buf[:head]); err != nil {
				c.refuse(err)
				return nil
			}
			if c.ready != unlimited {
				c.ready += int64(head)
			}
			c.scanned = 0
			return nil
		}
		c.buf = slices.Grow(c.buf, headStep)
		n, readErr := c.Conn.Read(c.buf[len(c.buf):cap(c.buf)])
		if n == 0 && readErr != nil {
			return readErr
		}
		if len(c.buf) == 0 {
			c.setHeadBy(time.Now().Add(c.headTime))
		}
		c.buf = c.buf[:len(c.buf)+n]
	}
}

// scan looks for the end of the head in what is new of buf, and returns its length, 0 when there is none yet. A line
// that ends without CR is refused where it stands, for its head would never end.
func (c *client) scan() (int, *wire.Error) {
	for {
		i := bytes.IndexByte(c.buf[c.scanned:], '\n')
		if i < 0 {
			c.scanned = len(c.buf)
			break
		}
		at := c.scanned + i
		if at == 0 || c.buf[at-1] != '\r' {
			return 0, wire.Errorf(wire.BadRequest, "a line ends without CR")
		}
		c.scanned = at + 1
		if bytes.HasSuffix(c.buf[:at+1], []byte("\r\n\r\n")) {
			return at + 1, nil
		}
	}
	if len(c.buf) >= c.headBytes {
		return 0, wire.Errorf(wire.HeaderTooLarge, "the head is longer than %d bytes", c.headBytes)
	}
	return 0, nil
}

// refusedHead is what net/http is given for a head that failed. ServeHTTP knows it by its URI and by fault.
const (
	refusedURI  = "http://refused.invalid/"
	refusedHead = "GET " + refusedURI + " HTTP/1.1\r\nHost: refused.invalid\r\nConnection: close\r\n\r\n"
)

func (c *client) refuse(e *wire.Error) {
	c.setHeadBy(time.Time{})
	c.fault.Store(e)
	c.buf, c.ready, c.last = []byte(refusedHead), int64(len(refusedHead)), true
}

// rest is called between two requests. After a body of unknown length nobody here can tell where the next head begins,
// so there is none.
func (c *client) rest() {
	if c.ready == unlimited {
		c.ready, c.last, c.buf = 0, true, nil
	}
}

// becomeTunnel makes c a plain connection, with the bytes that a parser has read ahead put back.
func (c *client) becomeTunnel(ahead []byte) {
	c.buf = slices.Concat(ahead, c.buf)
	c.ready = unlimited
	c.tunnel.Store(true)
	c.setHeadBy(time.Time{})
	c.clearDeadlines()
}

// Write gives a partner that does not read its answer the idle time; a tunnel has its own limits.
func (c *client) Write(p []byte) (int, error) {
	if !c.tunnel.Load() {
		c.Conn.SetWriteDeadline(time.Now().Add(c.idleTime))
	}
	return c.Conn.Write(p)
}

// SetReadDeadline keeps what net/http asks for apart from the deadline of a head: the earlier one counts, and net/http's
// way of interrupting a read, a deadline in the past, is never lost.
func (c *client) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = t
	return c.setReadDeadlineLocked()
}

func (c *client) setHeadBy(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.headBy = t
	c.setReadDeadlineLocked() //nolint:errcheck // fails only on a closed connection, as the read will
}

func (c *client) setReadDeadlineLocked() error {
	t := c.asked
	if !c.headBy.IsZero() && (t.IsZero() || c.headBy.Before(t)) {
		t = c.headBy
	}
	return c.Conn.SetReadDeadline(t)
}

// clearDeadlines fails only on a closed connection, as the next read or write will.
func (c *client) clearDeadlines() { c.SetDeadline(time.Time{}) } //nolint:errcheck // see above

func (c *client) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.Conn.SetWriteDeadline(t)
}

// CloseWrite ends our direction and leaves the partner's open.
func (c *client) CloseWrite() error {
	c.ended.Store(true)
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}

// Reset ends the connection so that the partner cannot take a cut for an end.
func (c *client) Reset() error {
	if own, ok := c.Conn.(interface{ Reset() error }); ok {
		return own.Reset()
	}
	if tcp, ok := c.Conn.(interface{ SetLinger(seconds int) error }); ok {
		tcp.SetLinger(0) //nolint:errcheck // without it the end is an ordinary one
	}
	return c.Close()
}

// linger lets a refusal arrive before the connection closes.
func (c *client) linger() {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		half.CloseWrite() //nolint:errcheck // the partner has gone, which is as good
	}
	c.Conn.SetReadDeadline(time.Now().Add(lingerTime))
	io.CopyN(io.Discard, c.Conn, lingerBytes) //nolint:errcheck // however it ends
}
