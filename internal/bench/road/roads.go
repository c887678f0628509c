package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/elazarl/goproxy"
	"github.com/quic-go/quic-go"

	"sward/internal/identity"
	"sward/internal/sandbox"
)

// blobURL is the origin as every road's client names it.
const blobURL = "http://" + sandbox.SiteName + "/blob"

// road is a way from the client to the origin.
type road struct {
	name string
	dial func(ctx context.Context) (net.Conn, error) // a connection that ends at the origin
}

// client makes HTTP requests over the road; each of its connections is one trip of it.
func (r road) client() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return r.dial(ctx) },
		DisableCompression: true, MaxIdleConnsPerHost: 64,
	}}
}

// serveBlob answers n bytes.
func serveBlob(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.FormValue("n"), 10, 64)
	if err != nil || n < 0 {
		http.Error(w, "n is how many bytes to send", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	w.Header().Set("Content-Type", "application/octet-stream")
	chunk := make([]byte, 64<<10)
	for n > 0 {
		k, err := w.Write(chunk[:min(n, int64(len(chunk)))])
		if n -= int64(k); err != nil {
			return
		}
	}
}

// makeRoads builds Sward's road and its peers', all to the sandbox's site.
func makeRoads(ctx context.Context, box *sandbox.Sandbox) (roads []road, stop func(), err error) {
	addresses, err := box.World().Resolve(ctx, sandbox.SiteName)
	if err != nil {
		return nil, nil, err
	}
	origin := func(ctx context.Context) (net.Conn, error) {
		return box.World().Dial(ctx, netip.AddrPortFrom(addresses[0], 80))
	}
	info := box.Info()
	credentials := base64.StdEncoding.EncodeToString([]byte(info.Partner + ":" + info.Key))
	plain, stopProxy, err := plainProxy(ctx, origin)
	if err != nil {
		return nil, nil, err
	}
	bare, stopBare, err := bareQUIC(ctx, origin)
	if err != nil {
		stopProxy()
		return nil, nil, err
	}
	return []road{
		{"direct", origin},
		{"goproxy", func(ctx context.Context) (net.Conn, error) { return connect(ctx, plain, "") }},
		{"quic", func(ctx context.Context) (net.Conn, error) { return (&net.Dialer{}).DialContext(ctx, "tcp", bare) }},
		{"sward", func(ctx context.Context) (net.Conn, error) {
			return connect(ctx, info.Socks, "Proxy-Authorization: Basic "+credentials+"\r\n")
		}},
	}, func() { stopBare(); stopProxy() }, nil
}

// connect opens a CONNECT tunnel to the origin through an HTTP proxy.
func connect(ctx context.Context, proxy, headers string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", proxy)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(c, "CONNECT %s:80 HTTP/1.1\r\nHost: %s:80\r\n%s\r\n", sandbox.SiteName, sandbox.SiteName, headers)
	r := bufio.NewReader(c)
	answer, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect}) //nolint:bodyclose // its content is c
	if err != nil {
		c.Close()
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		c.Close()
		return nil, fmt.Errorf("CONNECT through %s: %s", proxy, answer.Status)
	}
	return c, nil // the origin speaks only when asked: nothing is left in r
}

// plainProxy is goproxy alone.
func plainProxy(ctx context.Context, origin func(context.Context) (net.Conn, error)) (address string, stop func(), err error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	proxy := goproxy.NewProxyHttpServer()
	proxy.ConnectDial = func(string, string) (net.Conn, error) { return origin(ctx) }
	server := &http.Server{Handler: proxy, ReadHeaderTimeout: 10 * time.Second}
	go server.Serve(l) //nolint:errcheck // ends with Close
	return l.Addr().String(), func() { server.Close() }, nil
}

// bareQUIC is the least that covers the same hops: TCP in, one QUIC stream on one authenticated connection, TCP out.
func bareQUIC(ctx context.Context, origin func(context.Context) (net.Conn, error)) (address string, stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		if err != nil {
			cancel()
		}
	}()
	key, err := identity.NewKey()
	if err != nil {
		return "", nil, err
	}
	tlsConfig := key.TLSConfig(nil)
	tlsConfig.NextProtos = []string{"bare"}
	inner, err := quic.ListenAddr("127.0.0.1:0", tlsConfig, &quic.Config{MaxIncomingStreams: 1024})
	if err != nil {
		return "", nil, err
	}
	outer, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		inner.Close()
		return "", nil, err
	}
	go func() { // the far end: each stream becomes a connection to the origin
		conn, err := inner.Accept(ctx)
		for err == nil {
			var stream *quic.Stream
			if stream, err = conn.AcceptStream(ctx); err == nil {
				go func() {
					if c, err := origin(ctx); err == nil {
						pipe(stream, c)
					}
				}()
			}
		}
	}()
	conn, err := quic.DialAddr(ctx, inner.Addr().String(), tlsConfig, nil)
	if err != nil {
		outer.Close()
		inner.Close()
		return "", nil, err
	}
	go func() { // the near end
		for {
			c, err := outer.Accept()
			if err != nil {
				return
			}
			go func() {
				if stream, err := conn.OpenStreamSync(ctx); err == nil {
					pipe(stream, c)
				}
			}()
		}
	}()
	return outer.Addr().String(), func() { cancel(); outer.Close(); conn.CloseWithError(0, ""); inner.Close() }, nil
}

// pipe copies both ways with 32 KiB buffers, half-closing as each side ends.
func pipe(stream *quic.Stream, c net.Conn) {
	defer c.Close()
	var up sync.WaitGroup
	up.Go(func() {
		io.CopyBuffer(struct{ io.Writer }{c}, stream, make([]byte, 32<<10)) //nolint:errcheck // a broken copy is a closed one
		if t, ok := c.(*net.TCPConn); ok {
			t.CloseWrite() //nolint:errcheck // the origin has gone
		}
	})
	io.CopyBuffer(stream, struct{ io.Reader }{c}, make([]byte, 32<<10)) //nolint:errcheck // see above
	stream.Close()
	up.Wait()
}
