package tunnel

import (
	"io"
	"testing"

	"sward/internal/wire"
)

// One proxied request's share of the tunnel: open, one small exchange, close.
func BenchmarkOpenEcho(b *testing.B) {
	edge, relay := pair(b)
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

// A download through the tunnel in copy buffers, both ends in this process.
func BenchmarkBulk(b *testing.B) {
	edge, relay := pair(b)
	near, far := stream(b, relay, edge)
	if !edge.conn.ConnectionState().GSO {
		b.Log("no segmentation offload: half the speed is expected")
	}
	block := make([]byte, 32<<10)
	go func() {
		for {
			if _, err := far.Write(block); err != nil {
				return
			}
		}
	}()
	buf := make([]byte, 32<<10)
	b.SetBytes(1 << 20)
	b.ReportAllocs()
	for b.Loop() {
		for left := 1 << 20; left > 0; {
			n, err := near.Read(buf[:min(left, len(buf))])
			if err != nil {
				b.Fatal(err)
			}
			left -= n
		}
	}
	near.Cut(wire.OK)
}
