package edge

import (
	"context"
	"net"
	"sync/atomic"

	"sward/internal/outside"
	"sward/policy"
)

// lane is one direction of what the owner lends to one connection: its bytes wait for the owner's rate and are taken
// from the caps before they move. It belongs to the one goroutine that moves this direction.
type lane struct {
	volume *volume
	way    policy.Way
	pace   paced
	last   reserved      // of the volume
	moved  *atomic.Int64 // by this stream
	total  *atomic.Int64 // by the edge, since its start
}

func (l *lane) allow(ctx context.Context, limit int) (int, error) {
	n, err := l.pace.allow(ctx, limit)
	if err != nil {
		return 0, err
	}
	if l.last, err = l.volume.reserve(l.way, n); err != nil {
		return 0, outside.Refusal(err)
	}
	return l.last.n, nil
}

// settle takes what moved of the last allowance.
func (l *lane) settle(moved int) {
	l.volume.settle(l.last, moved)
	l.pace.moved(moved)
	l.moved.Add(int64(moved))
	l.total.Add(int64(moved))
}

// lentConn is a crawl's connection to its target.
type lentConn struct {
	net.Conn
	ctx      context.Context // of the batch
	up, down lane
	way      *way
}

// Close forgets the way.
func (c *lentConn) Close() error {
	c.way.forget()
	return c.Conn.Close()
}

// Read takes what may come in.
func (c *lentConn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := c.down.allow(c.ctx, len(p))
	if err != nil {
		return 0, err
	}
	got, err := c.Conn.Read(p[:n])
	c.down.settle(got)
	return got, err
}

// Write sends in pieces that may go out.
func (c *lentConn) Write(p []byte) (sent int, err error) {
	for sent < len(p) {
		n, err := c.up.allow(c.ctx, len(p)-sent)
		if err != nil {
			return sent, err
		}
		wrote, err := c.Conn.Write(p[sent : sent+n])
		c.up.settle(wrote)
		if sent += wrote; err != nil {
			return sent, err
		}
	}
	return sent, nil
}
