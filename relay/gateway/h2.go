package gateway

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"

	"golang.org/x/net/http2"
)

const (
	// maxStreams is how many requests a client may have under way on one connection of HTTP/2 or HTTP/3. Each takes a
	// slot of the door's, as a connection does.
	maxStreams = 100
	// maxFrame bounds a frame of HTTP/2 that is read, in bytes: the least that a server may set.
	maxFrame = 16 << 10
	// streamUpload and connUpload bound what is held, in bytes, of what a client sends on a stream and on all of one
	// connection, when an edge takes it slowly. One stream that nobody reads leaves room for others.
	streamUpload = 256 << 10
	connUpload   = 1 << 20
)

// h2conn is one connection of HTTP/2. Its streams share a socket, so each remembers where in the sequence of all DATA
// bytes its own end (stream.go), and the connection where in the socket's bytes those lie.
type h2conn struct {
	*sealed
	ctx context.Context // ends with the grace
	let atomic.Uint64   // DATA bytes that have left the streams' queues (scheduler)
	put atomic.Uint64   // DATA bytes that handlers have written, or are about to (counter)

	written struct {
		sync.Mutex
		frames dataFrames
		marks  marks
	}

	streams streams
}

// serveH2 carries one connection of HTTP/2 to its end, which stopping brings near and ctx brings on. The protocol is
// x/net's, with its own bounds on resets, headers and control frames: net/http's serves no connection that is not a
// *tls.Conn of its own listener, and hides what it writes.
//
//nolint:staticcheck // x/net/http2.Server is deprecated in favour of net/http's, see above
func (g *Gateway) serveH2(ctx context.Context, s *sealed, stopping context.Context) {
	c := &h2conn{sealed: s, ctx: ctx}
	base := &http.Server{
		IdleTimeout: g.cfg.IdleTime, MaxHeaderBytes: g.cfg.HeaderBytes, ReadHeaderTimeout: g.cfg.HeaderTime,
		ErrorLog: unheard,
	}
	server := &http2.Server{
		MaxConcurrentStreams: maxStreams, MaxReadFrameSize: maxFrame, IdleTimeout: g.cfg.IdleTime,
		ReadIdleTimeout: g.cfg.IdleTime / 2, PingTimeout: g.cfg.HeaderTime, WriteByteTimeout: g.cfg.IdleTime,
		MaxUploadBufferPerConnection: connUpload, MaxUploadBufferPerStream: streamUpload,
		NewWriteScheduler: func() http2.WriteScheduler { return newScheduler(&c.let) },
	}
	if err := http2.ConfigureServer(base, server); err != nil {
		g.cfg.Log.Warn("HTTP/2 cannot be served", "err", err)
		return
	}
	// A server of one connection says GOAWAY to it when it is shut down, and waits for nothing.
	over, end := context.WithCancel(context.Background())
	end()
	defer context.AfterFunc(stopping, func() { base.Shutdown(over) })() //nolint:errcheck // see above
	defer context.AfterFunc(ctx, func() { c.Close() })()
	server.ServeConn(c, &http2.ServeConnOpts{Context: ctx, BaseConfig: base, Handler: http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			if !c.streams.enter() {
				return
			}
			defer c.streams.Done()
			a := &answer{ResponseWriter: counter{w, &c.put}, asked: r.Context()}
			w = a
			defer func() {
				if c.streams.over(a.given) {
					base.Shutdown(over) //nolint:errcheck // see above
				}
			}()
			g.serveRequest(w, r, newStream(w, r, c))
		})})
	c.streams.leave()
}

func (c *h2conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.written.Lock()
	defer c.written.Unlock()
	c.written.frames.pass(p[:n])
	c.written.marks.add(c.written.frames.total, c.socket.written())
	return n, err
}

// counter counts what a handler is about to write.
type counter struct {
	http.ResponseWriter
	put *atomic.Uint64
}

func (c counter) Write(p []byte) (int, error) {
	c.put.Add(uint64(len(p)))
	return c.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (c counter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// place is a position in the sequence of DATA bytes that lies behind whatever a stream has finished writing. Without a
// scheduler, it is behind what the other streams wait to write as well.
func (c *h2conn) place() uint64 {
	if let := c.let.Load(); let > 0 {
		return let
	}
	return c.put.Load()
}

// delivered is how many DATA bytes of all streams the partner has acknowledged.
func (c *h2conn) delivered() uint64 {
	acknowledged := c.socket.acknowledged()
	c.written.Lock()
	defer c.written.Unlock()
	return c.written.marks.within(acknowledged)
}
