package tunnel

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/libp2p/go-yamux/v5"

	"sward/internal/wire"
)

// One proxied request's share of the tunnel: open, one small exchange, close.
func BenchmarkOpenEcho(b *testing.B) {
	for _, via := range []Carrier{QUIC, TCP} {
		b.Run(via.String(), func(b *testing.B) { benchOpenEcho(b, via) })
	}
}

func benchOpenEcho(b *testing.B, via Carrier) {
	edge, relay := pair(b, via)
	go echo(b.Context(), edge)
	buf := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		st, _, err := relay.Open(b.Context(), target())
		if err != nil {
			b.Fatal(err)
		}
		st.Write(buf)
		if _, err := io.ReadFull(st, buf); err != nil {
			b.Fatal(err)
		}
		st.Close()
	}
}

// Downloads through the tunnel in copy buffers, both ends in this process. The
// rows without a session are what TCP costs: TLS alone, and yamux over TLS.
func BenchmarkBulk(b *testing.B) {
	for _, streams := range []int{1, 32} {
		for _, via := range []Carrier{QUIC, TCP} {
			b.Run(fmt.Sprintf("%s/%d", via, streams), func(b *testing.B) {
				edge, relay := pair(b, via)
				var near, far []io.ReadWriter
				for range streams {
					n, f := stream(b, relay, edge)
					defer n.Cut(wire.OK)
					near, far = append(near, n), append(far, f)
				}
				flood(b, near, far)
			})
		}
		b.Run(fmt.Sprintf("plain-yamux/%d", streams), func(b *testing.B) {
			near, far := plainYamux(b, streams)
			flood(b, near, far)
		})
	}
	b.Run("plain-tls/1", func(b *testing.B) {
		near, far := plainTLS(b)
		flood(b, []io.ReadWriter{near}, []io.ReadWriter{far})
	})
}

// flood sends MiB by MiB from every far end to its near one.
func flood(b *testing.B, near, far []io.ReadWriter) {
	const piece, each = 32 << 10, 1 << 20
	for _, f := range far {
		go func() {
			block := make([]byte, piece)
			for {
				if _, err := f.Write(block); err != nil {
					return
				}
			}
		}()
	}
	var left atomic.Int64
	b.SetBytes(each)
	b.ReportAllocs()
	b.ResetTimer()
	left.Store(int64(b.N) * each)
	var wg sync.WaitGroup
	for _, n := range near {
		wg.Go(func() {
			buf := make([]byte, piece)
			for left.Load() > 0 {
				got, err := n.Read(buf)
				if err != nil {
					b.Error(err)
					return
				}
				left.Add(-int64(got))
			}
		})
	}
	wg.Wait()
	b.StopTimer()
}

// plainTLS is one TLS connection over loopback.
func plainTLS(b *testing.B) (near, far *tls.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		conn, err := l.Accept()
		if err == nil {
			far = tls.Server(conn, relayConfig(b).tls(nil))
			err = far.Handshake()
		}
		if err != nil {
			b.Error(err)
		}
	})
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	near = tls.Client(conn, edgeConfig(b).tls(nil))
	if err := near.Handshake(); err != nil {
		b.Fatal(err)
	}
	wg.Wait()
	b.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

// plainYamux is yamux as it comes, over plainTLS.
func plainYamux(b *testing.B, streams int) (near, far []io.ReadWriter) {
	nearConn, farConn := plainTLS(b)
	config := yamux.DefaultConfig()
	config.LogOutput = io.Discard
	client, err := yamux.Client(nearConn, config, nil)
	if err != nil {
		b.Fatal(err)
	}
	server, err := yamux.Server(farConn, config, nil)
	if err != nil {
		b.Fatal(err)
	}
	for range streams {
		n, err := client.OpenStream(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		f, err := server.AcceptStream()
		if err != nil {
			b.Fatal(err)
		}
		near, far = append(near, n), append(far, f)
	}
	return near, far
}
