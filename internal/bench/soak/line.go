package main

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
)

// errCut is what every socket of a line says after it was cut.
var errCut = errors.New("the line is cut")

// counts are bytes that crossed the edge's sockets towards the site, by way.
type counts struct{ up, down int64 }

func (c counts) total() int64 { return c.up + c.down }

// line is the edge's way out, with a counter beside it that knows nothing of caps, and a switch that cuts it between two
// bytes.
type line struct {
	dial func(context.Context, netip.AddrPort) (net.Conn, error)

	mu    sync.RWMutex // held for reading while bytes move, so that a cut comes between two reads
	cut   bool
	count struct {
		sync.Mutex
		counts
	}
}

func (l *line) Dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	conn, err := l.dial(ctx, to)
	if err != nil {
		return nil, err
	}
	return &lineConn{Conn: conn, line: l}, nil
}

// counted is what has crossed so far.
func (l *line) counted() counts {
	l.count.Lock()
	defer l.count.Unlock()
	return l.count.counts
}

// stop cuts the line: when it returns, no byte moves any more, and no read is under way that could bring one.
func (l *line) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = true
}

func (l *line) add(up, down int) {
	l.count.Lock()
	defer l.count.Unlock()
	l.count.up += int64(up)
	l.count.down += int64(down)
}

// lineConn counts what one connection moved. A read that waits for the site must not hold up the cut, so bytes that come in
// during one are taken after asking again: a cut line drops them, as a killed process would have.
type lineConn struct {
	net.Conn
	line *line
}

func (c *lineConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.line.mu.RLock()
	defer c.line.mu.RUnlock()
	if c.line.cut {
		return 0, errCut
	}
	c.line.add(0, n)
	return n, err
}

func (c *lineConn) Write(p []byte) (int, error) {
	c.line.mu.RLock()
	defer c.line.mu.RUnlock()
	if c.line.cut {
		return 0, errCut
	}
	n, err := c.Conn.Write(p)
	c.line.add(n, 0)
	return n, err
}

// CloseWrite ends the way to the site.
func (c *lineConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Conn.Close()
}
