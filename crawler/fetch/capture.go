package fetch

import (
	"bytes"
	"net"
	"sync"
)

// maxCapture bounds what is kept of each direction: the heads of one exchange. The
// transport reads no more than this before it gives up on a head.
const maxCapture = maxHead + maxInterim

// capture is a connection that keeps the heads which pass through it, byte for byte,
// as an archive wants them (WARC 1.1 §6.3): net/http shows only what it parsed.
type capture struct {
	net.Conn

	mu       sync.Mutex // the transport reads and writes from two goroutines
	stopped  bool
	sent     []byte
	received []byte
}

func (c *capture) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.keep(&c.received, p[:n])
	return n, err
}

func (c *capture) Write(p []byte) (int, error) {
	c.keep(&c.sent, p) // before the write, which may return after the answer has come
	return c.Conn.Write(p)
}

func (c *capture) keep(to *[]byte, p []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stopped {
		*to = append(*to, p[:min(len(p), maxCapture-len(*to))]...)
	}
}

// begin starts the next exchange on a connection that has been used before.
func (c *capture) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent, c.received, c.stopped = nil, nil, false
}

// heads ends the capture and returns the request's head and the final response's,
// each with its empty line. One that is incomplete is nil.
func (c *capture) heads() (request, response []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	request, _ = cutHead(c.sent)
	for rest := c.received; len(rest) > 0; {
		response, rest = cutHead(rest)
		if !isInterim(response) {
			break
		}
		response = nil
	}
	c.sent, c.received = nil, nil
	return bytes.Clone(request), bytes.Clone(response)
}

// cutHead splits after the first empty line, whether its end is CRLF or LF alone
// (RFC 9112 §2.2). Without one there is no head.
func cutHead(b []byte) (head, rest []byte) {
	for i := 0; ; {
		n := bytes.IndexByte(b[i:], '\n')
		if n < 0 {
			return nil, nil
		}
		line := b[i : i+n]
		i += n + 1
		if len(line) == 0 || len(line) == 1 && line[0] == '\r' {
			return b[:i], b[i:]
		}
	}
}

// isInterim reports whether a head is of a 1xx answer that another one follows.
func isInterim(head []byte) bool {
	_, status, ok := bytes.Cut(head, []byte(" "))
	return ok && len(status) > 0 && status[0] == '1' && !bytes.HasPrefix(status, []byte("101"))
}
