// Package splice joins two connections until both directions are done. It is
// the middle of every proxied request, on the relay (partner and tunnel) and on
// the edge (tunnel and target), and it exists once because four things about it
// are easy to get wrong: the end of one direction must not end the other, a
// failure must look like one on both sides and not like a shorter answer,
// nothing may be counted before it was written, and whoever pays for the bytes
// must be asked before they move and not after.
package splice

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// bufferSize of one direction, in bytes. 16 to 128 KiB measured alike, and
	// 256 KiB slower: it falls out of the cache.
	bufferSize = 32 << 10
	// quietAsk is what a direction asks of Allow while little flows. A waiting
	// read holds its reservation, so a hundred quiet streams that each reserved
	// a whole buffer would fill a small window and stop the busy ones.
	quietAsk = 2 << 10
)

var (
	// ErrIdle ends a pair through which nothing has moved for the idle time.
	ErrIdle = errors.New("connection is idle")
	// errGrant: an Allow broke its contract.
	errGrant = errors.New("allowance is out of range")
)

// buffers holds *[bufferSize]byte. io.Copy is not used, because with a
// *net.TCPConn at either end it ignores the buffer it is given.
var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// Half is what watches one direction; either func may be nil.
type Half struct {
	// Allow reserves up to max bytes before each read and returns how many,
	// from 1 to max. It may block until ctx ends. An error cuts the pair.
	Allow func(ctx context.Context, max int) (int, error)
	// Settle follows each Allow, after the write: of the reserved bytes, moved
	// were written, which is 0 when nothing came. Without Allow, reserved is
	// the size of the buffer.
	Settle func(reserved, moved int)
}

// Result says what was written in each direction, in bytes, and why it ended.
// Err is nil when both directions came to their end, otherwise the first cause:
// a connection's error, Allow's, ErrIdle, or the context's cause.
type Result struct {
	AB, BA int64
	Err    error
}

// Join copies a to b under ab and b to a under ba, and returns when both
// directions have ended. At the end of one direction the receiver is told by
// CloseWrite; one that has no CloseWrite is closed, which ends the other
// direction too. After a clean end both connections are still the caller's to
// close. On an error, when ctx ends, or when nothing has moved for idle (0 is
// for ever), both are reset: by their Reset method, with a TCP RST, or by
// Close, so that neither peer takes a cut for an end.
func Join(ctx context.Context, a, b net.Conn, ab, ba Half, idle time.Duration) Result {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p := &pair{a: end{Conn: a}, b: end{Conn: b}}

	wasReset := make(chan struct{})
	stopReset := context.AfterFunc(ctx, func() {
		defer close(wasReset)
		p.a.reset()
		p.b.reset()
	})
	stopWatch := watch(&p.moved, idle, func() { cancel(ErrIdle) })

	var (
		r       Result
		errBack error
		wg      sync.WaitGroup
	)
	wg.Go(func() {
		if r.BA, errBack = p.copy(ctx, &p.a, &p.b, ba); errBack != nil {
			cancel(errBack)
		}
	})
	var err error
	if r.AB, err = p.copy(ctx, &p.b, &p.a, ab); err != nil {
		cancel(err)
	}
	wg.Wait()

	stopWatch()
	if !stopReset() {
		<-wasReset
	}
	if err != nil || errBack != nil {
		r.Err = context.Cause(ctx) // the first of several
	}
	return r
}

// pair is a Join under way.
type pair struct {
	a, b  end
	moved atomic.Int64 // bytes in both directions: the watch compares it
}

// copy moves src to dst until src ends, and returns what was written.
func (p *pair) copy(ctx context.Context, dst, src *end, h Half) (total int64, err error) {
	buf := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buf)
	ask := quietAsk
	for {
		n := bufferSize
		if h.Allow != nil {
			if n, err = h.Allow(ctx, ask); err != nil {
				return total, err
			}
			if n < 1 || n > ask {
				return total, fmt.Errorf("%w: %d of %d bytes", errGrant, n, ask)
			}
		}
		got, readErr := src.Read(buf[:n])
		moved := 0
		if got > 0 {
			if moved, err = dst.Write(buf[:got]); err == nil && moved < got {
				err = io.ErrShortWrite
			}
			total += int64(moved)
			p.moved.Add(int64(moved))
		}
		if h.Settle != nil {
			h.Settle(n, moved)
		}
		switch {
		case err != nil:
			return total, err
		case readErr == io.EOF, readErr != nil && src.closed.Load(): //nolint:errorlint // an end is io.EOF itself (io.Reader): one that is wrapped is a cut
			dst.closeWrite()
			return total, nil
		case readErr != nil:
			return total, readErr
		}
		ask = nextAsk(got, n)
	}
}

// nextAsk doubles what a read filled and follows it down when it did not.
func nextAsk(got, n int) int {
	if got == n {
		return min(2*n, bufferSize)
	}
	return min(max(2*got, quietAsk), bufferSize)
}

// end is one of the two connections.
type end struct {
	net.Conn
	closed atomic.Bool // by closeWrite, for want of a half-close
}

func (e *end) closeWrite() {
	if c, ok := e.Conn.(interface{ CloseWrite() error }); ok {
		c.CloseWrite() //nolint:errcheck // fails when the peer has gone, which the other direction finds out
		return
	}
	e.closed.Store(true)
	e.Close()
}

func (e *end) reset() {
	switch c := e.Conn.(type) {
	case interface{ Reset() error }:
		c.Reset() //nolint:errcheck // it is gone either way
		return
	case interface{ Reset() }:
		c.Reset()
		return
	case interface{ SetLinger(seconds int) error }:
		// Makes Close send RST (RFC 9293 §3.10.4, SO_LINGER).
		c.SetLinger(0) //nolint:errcheck // without it the end is an ordinary one
	}
	e.Close()
}
