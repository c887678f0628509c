package tunnel

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"sward/internal/wire"
)

// muxFrame is a frame of yamux's, by hand.
func muxFrame(kind uint8, flags uint16, stream, length uint32, body ...byte) []byte {
	b := []byte{muxVersion, kind}
	b = binary.BigEndian.AppendUint16(b, flags)
	b = binary.BigEndian.AppendUint32(b, stream)
	b = binary.BigEndian.AppendUint32(b, length)
	return append(b, body...)
}

// rawPeer is an edge that has proved its key and said Hello, and speaks yamux by
// hand from there.
func rawPeer(t *testing.T, l *Listener) (*tls.Conn, *Session) {
	t.Helper()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	raw.SetDeadline(time.Now().Add(patience))
	conn := tls.Client(raw, edgeConfig(t).recordTLS(nil))
	h := hello()
	h.Version, h.Network, h.Clock = wire.Version, "test", time.Now().UnixMilli()
	var said bytes.Buffer
	wire.Write(&said, h)
	if _, err := conn.Write(muxFrame(muxData, muxSYN, 1, uint32(said.Len()), said.Bytes()...)); err != nil {
		t.Fatal(err)
	}
	s, _, err := l.Accept(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	return conn, s
}

// E03, E04, E05 over TCP: what is no yamux ends the session, before anything is
// allocated for it.
func TestHostileFramesEndTheTCPSession(t *testing.T) {
	const window = 256 << 10 // a stream's first
	l := listen(t, relayConfig(t))
	for name, sent := range map[string][]byte{
		"E03: a frame of 4 GiB":                    muxFrame(muxData, 0, 1, 1<<32-1),
		"E03: a frame of another version":          {7, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0},
		"E03: a frame of an unknown type":          muxFrame(9, 0, 1, 0),
		"E03: a last word beyond all codes":        muxFrame(muxLastWord, 0, 1<<16, 0),
		"E03: a last word beyond all words":        muxFrame(muxLastWord, 0, 1, wire.MaxDetail+1),
		"E03: a last word that ends too early":     muxFrame(muxLastWord, 0, 1, 20, 'o', 'h'),
		"E04: data on a stream never opened":       muxFrame(muxData, 0, 99, 1, 'x'),
		"E04: a window for a stream never opened":  muxFrame(muxWindow, 0, 99, 1),
		"E04: a reset of a stream never opened":    muxFrame(muxWindow, 8, 99, 1),
		"E04: data on the other side's stream":     muxFrame(muxData, 0, 2, 1, 'x'),
		"E04: a new stream of the other side's":    muxFrame(muxData, muxSYN, 2, 1, 'x'),
		"E04: a stream without a number":           muxFrame(muxData, muxSYN, 0, 1, 'x'),
		"E04: a stream opened twice":               muxFrame(muxWindow, muxSYN, 1, 0),
		"E05: more than the window, in one frame":  append(muxFrame(muxWindow, muxSYN, 3, 0), muxFrame(muxData, 0, 3, window+1)...),
		"E05: more than the window, in two frames": append(muxFrame(muxData, muxSYN, 3, window, make([]byte, window)...), muxFrame(muxData, 0, 3, 1, 'x')...),
		"the end inside a head":                    {0, 0, 0},
		"a goodbye of yamux's own":                 muxFrame(3, 0, 0, 1),
	} {
		t.Run(name, func(t *testing.T) {
			conn, s := rawPeer(t, l)
			conn.Write(sent)
			if strings.Contains(name, "end") {
				conn.CloseWrite()
			}
			go io.Copy(io.Discard, conn) //nolint:errcheck // until it is closed
			select {
			case <-s.Done():
			case <-soon(t).Done():
				t.Fatal("the session goes on")
			}
			if got := wire.CodeOf(s.Err()); got != wire.EdgeGone {
				t.Errorf("the session ended with %v, want edge_gone: nothing was said", s.Err())
			}
		})
	}
}

// E05 over TCP: what a peer leaves with a listener unread, on streams that nobody
// accepts, is no more than over QUIC.
func TestUnreadTCPStreamsAreBounded(t *testing.T) {
	const window, most = 256 << 10, 24 << 20
	l := listen(t, relayConfig(t))
	conn, s := rawPeer(t, l)
	go io.Copy(io.Discard, conn) //nolint:errcheck // until it is closed
	before := heapInUse()
	body := make([]byte, window)
	for i := range uint32(maxTCPStreams) {
		if _, err := conn.Write(muxFrame(muxData, muxSYN, 3+2*i, window, body...)); err != nil {
			break // it was refused
		}
	}
	for ctx, last := soon(t), uint64(0); s.Received() != last && ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
		last = s.Received()
	}
	if grown := heapInUse() - before; grown > most {
		t.Errorf("the heap has grown by %d bytes, want at most %d", grown, most)
	}
	s.end(wire.OK, "")
}

// E01 over TCP: ten thousand streams at once are refused but for the limit, cost no
// more than those, and do not end the session.
func TestTCPPeerCannotOpenWithoutEnd(t *testing.T) {
	const many = 10_000
	l := listen(t, relayConfig(t))
	conn, s := rawPeer(t, l)
	refused := make(chan int, 1)
	go func() {
		n := 0
		for head := make([]byte, muxHead); ; {
			if _, err := io.ReadFull(conn, head); err != nil {
				break
			}
			if head[1] == muxData {
				io.CopyN(io.Discard, conn, int64(binary.BigEndian.Uint32(head[8:])))
			}
			if binary.BigEndian.Uint16(head[2:])&8 != 0 {
				if n++; n == many-maxTCPCalls {
					break
				}
			}
		}
		refused <- n
	}()
	before := heapInUse()
	var all []byte
	for i := range uint32(many) {
		all = append(all, muxFrame(muxWindow, muxSYN, 3+2*i, 0)...)
	}
	if _, err := conn.Write(all); err != nil {
		t.Fatal(err)
	}
	if n := <-refused; n != many-maxTCPCalls {
		t.Errorf("%d of %d streams were refused, want all but %d", n, many, maxTCPCalls)
	}
	const most = 16 << 20
	if grown := heapInUse() - before; grown > most {
		t.Errorf("the heap has grown by %d bytes, want at most %d", grown, most)
	}
	if s.Err() != nil {
		t.Errorf("the session ended: %v", s.Err())
	}
	s.end(wire.OK, "")
}

func heapInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse)
}

// E02 over TCP: who connects and does not begin a handshake is one of its place's
// share too, and is let go in time.
func TestHalfOpenTCPIsBounded(t *testing.T) {
	l := listen(t, relayConfig(t))
	for range maxFromOne {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Read(make([]byte, 1)); err == nil || timedOut(err) {
		t.Errorf("one connection too many: got %v, want it closed", err)
	}
}

func TestSilentTCPHandshakeEnds(t *testing.T) {
	inBetween(t, func(t *testing.T, b *between) {
		conn, err := b.cable.dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Error("the listener spoke first")
		}
		if took := time.Since(began); took > handshakeTimeout+time.Second {
			t.Errorf("let go after %v, want %v", took, handshakeTimeout)
		}
	})
}

// A TLS peer of another protocol is no peer, whichever side it is on.
func TestTCPWantsItsProtocol(t *testing.T) {
	l := listen(t, relayConfig(t))
	for name, protocols := range map[string][]string{"none": nil, "another": {"h2"}} {
		config := edgeConfig(t).recordTLS(nil)
		config.NextProtos = protocols
		conn, err := tls.Dial("tcp", l.Addr().String(), config)
		if err != nil {
			continue // refused in the handshake
		}
		conn.SetDeadline(time.Now().Add(patience))
		if _, err := conn.Read(make([]byte, 1)); err == nil || timedOut(err) {
			t.Errorf("%s: got %v, want it closed", name, err)
		}
		conn.Close()
	}
}

// feed is a connection that has come to its end in bytes.
type feed struct {
	net.Conn
	*bytes.Reader
}

func (f feed) Read(p []byte) (int, error) { return f.Reader.Read(p) }

// Whatever comes, the link hands on whole frames as they came, and nothing else.
func FuzzTCPLink(f *testing.F) {
	f.Add(muxFrame(muxData, muxSYN, 1, 3, 'a', 'b', 'c'), true)
	f.Add(muxFrame(muxLastWord, 0, uint32(wire.Paused), 2, 'h', 'i'), false)
	f.Add(append(muxFrame(muxWindow, muxSYN, 2, 9), muxFrame(muxData, 4, 2, 1, 'x')...), true)
	f.Add(muxFrame(muxData, 0, 1<<32-1, 1<<32-1), false)
	f.Fuzz(func(t *testing.T, sent []byte, dialer bool) {
		l := newTCPLink(feed{Reader: bytes.NewReader(sent)}, nil, dialer)
		got, err := io.ReadAll(l)
		if !bytes.HasPrefix(sent, got) {
			t.Errorf("%x became %x", sent, got)
		}
		word := l.heard.Load()
		if word == nil {
			return
		}
		if err != nil || len(word.detail) > wire.MaxDetail {
			t.Errorf("last word %v with error %v", word, err)
		}
		again := word.append(nil)
		want := bytes.Clone(sent[len(got):][:len(again)])
		want[2], want[3] = 0, 0 // flags mean nothing here
		if !bytes.Equal(again, want) {
			t.Errorf("last word %x reads as %x", want, again)
		}
	})
}
