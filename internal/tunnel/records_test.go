package tunnel

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"testing/iotest"
)

// script is a connection that gives and takes bytes as a test says.
type script struct {
	net.Conn
	in     io.Reader
	out    bytes.Buffer
	reads  int
	writes int
	broken error
}

func (s *script) Read(p []byte) (int, error) {
	s.reads++
	return s.in.Read(p)
}

func (s *script) Write(p []byte) (int, error) {
	if s.writes++; s.broken != nil {
		return 0, s.broken
	}
	return s.out.Write(p)
}

func TestRecordsKeepOrderAndBytes(t *testing.T) {
	const size = 1 << 20
	rnd := rand.New(rand.NewPCG(1, 2))
	sent := make([]byte, size)
	for i := range sent {
		sent[i] = byte(rnd.Uint32())
	}
	for name, in := range map[string]io.Reader{
		"all at once":   bytes.NewReader(sent),
		"byte by byte":  iotest.OneByteReader(bytes.NewReader(sent)),
		"half of it":    iotest.HalfReader(bytes.NewReader(sent)),
		"error at once": iotest.DataErrReader(bytes.NewReader(sent)),
	} {
		r := &records{Conn: &script{in: in}}
		var got []byte
		for {
			p := make([]byte, 1+rnd.IntN(20_000))
			n, err := r.Read(p)
			got = append(got, p[:n]...)
			if err != nil {
				break
			}
		}
		if !bytes.Equal(got, sent) {
			t.Errorf("%s: %d bytes came, want the %d that were sent", name, len(got), size)
		}
		if r.read != nil {
			t.Errorf("%s: a buffer is held for nothing", name)
		}
	}

	conn := &script{}
	w := &records{Conn: conn}
	for rest := sent; len(rest) > 0; {
		held := rnd.IntN(2) == 0
		if held {
			w.hold()
		}
		for range 1 + rnd.IntN(6) {
			n := min(1+rnd.IntN(20_000), len(rest))
			w.Write(rest[:n])
			rest = rest[n:]
		}
		if held {
			if err := w.flush(); err != nil || w.written != nil {
				t.Fatalf("flush: %v, buffer held: %v", err, w.written != nil)
			}
		}
	}
	if !bytes.Equal(conn.out.Bytes(), sent) {
		t.Errorf("%d bytes left, want the %d that were written", conn.out.Len(), size)
	}
}

func TestRecordsLeaveTogether(t *testing.T) {
	conn := &script{}
	w := &records{Conn: conn}
	w.hold()
	for range 3 {
		w.Write(make([]byte, 16<<10))
	}
	if err := w.flush(); err != nil || conn.writes != 1 {
		t.Errorf("three records took %d writes, %v, want one", conn.writes, err)
	}
	conn.broken = errors.New("broken")
	w.hold()
	if _, err := w.Write([]byte("x")); err != nil {
		t.Errorf("a write that is held failed: %v", err)
	}
	if err := w.flush(); !errors.Is(err, conn.broken) {
		t.Errorf("flush: got %v, want the write's error", err)
	}
}
