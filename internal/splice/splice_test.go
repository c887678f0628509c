package splice

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A client's request may end before the answer begins, and an answer before
// the request: neither end takes the other direction with it.
func TestHalfCloseInBothOrders(t *testing.T) {
	for _, first := range []string{"client", "target"} {
		t.Run(first+" ends first", func(t *testing.T) {
			client, a := tcpPair(t)
			target, b := tcpPair(t)
			result := join(t.Context(), a, b, Half{}, Half{}, time.Minute)

			early, late := client, target
			if first == "target" {
				early, late = target, client
			}
			say(t, early, "question")
			early.CloseWrite()
			if got := hear(t, late); got != "question" {
				t.Errorf("got %q, want question", got)
			}
			say(t, late, "a longer answer") // after the other direction has ended
			late.CloseWrite()
			if got := hear(t, early); got != "a longer answer" {
				t.Errorf("got %q, want a longer answer", got)
			}
			want := Result{AB: 8, BA: 15}
			if first == "target" {
				want = Result{AB: 15, BA: 8}
			}
			if r := <-result; r != want {
				t.Errorf("got %+v, want %+v", r, want)
			}
		})
	}
}

func TestCleanEndLeavesConnectionsOpen(t *testing.T) {
	client, a := tcpPair(t)
	target, b := tcpPair(t)
	result := join(t.Context(), a, b, Half{}, Half{}, 0)
	client.CloseWrite()
	target.CloseWrite()
	if r := <-result; r.Err != nil {
		t.Fatal(r.Err)
	}
	for name, c := range map[string]*net.TCPConn{"a": a, "b": b} {
		if err := c.SetNoDelay(true); err != nil { // any call on the socket
			t.Errorf("%s is closed: %v", name, err)
		}
	}
}

// A reset must arrive as a reset: an answer that was cut is not a short answer.
func TestResetTravelsThrough(t *testing.T) {
	client, a := tcpPair(t)
	target, b := tcpPair(t)
	result := join(t.Context(), a, b, Half{}, Half{}, time.Minute)
	say(t, target, "half of an ans")
	if _, err := io.ReadFull(client, make([]byte, 14)); err != nil {
		t.Fatal(err)
	}
	target.SetLinger(0)
	target.Close()
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("client got %v, want a reset", err)
	}
	if r := <-result; r.BA != 14 || !errors.Is(r.Err, syscall.ECONNRESET) {
		t.Errorf("got %+v, want 14 bytes back and a reset", r)
	}
}

func TestContextEndsBoth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which fails if a goroutine is left
		client, a := memoryPair()
		target, b := memoryPair()
		stopped := errors.New("owner paused")
		ctx, cancel := context.WithCancelCause(t.Context())
		result := join(ctx, a, b, Half{}, Half{}, time.Hour)
		synctest.Wait()
		cancel(stopped)
		if r := <-result; !errors.Is(r.Err, stopped) {
			t.Errorf("got %+v, want the context's cause", r)
		}
		wantReset(t, a, b)
		hear(t, client)
		hear(t, target)
	})
}

func TestIdleEndsBoth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, a := memoryPair()
		_, b := memoryPair()
		began := time.Now()
		result := join(t.Context(), a, b, Half{}, Half{}, time.Minute)
		r := <-result
		if !errors.Is(r.Err, ErrIdle) {
			t.Errorf("got %+v, want ErrIdle", r)
		}
		if lived := time.Since(began); lived < time.Minute || lived > time.Minute*5/4 {
			t.Errorf("lived %v, want 60 to 75 s", lived)
		}
		wantReset(t, a, b)
		hear(t, client)
	})
}

func TestTrafficInOneDirectionKeepsBothAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, a := memoryPair()
		target, b := memoryPair()
		result := join(t.Context(), a, b, Half{}, Half{}, time.Minute)
		client.CloseWrite() // the request is complete, the answer is slow
		for range 10 {
			time.Sleep(55 * time.Second)
			say(t, target, "x")
			io.ReadFull(client, make([]byte, 1))
		}
		target.CloseWrite()
		if r := <-result; r != (Result{BA: 10}) {
			t.Errorf("got %+v, want 10 bytes back and no error", r)
		}
	})
}

func TestAllowErrorCuts(t *testing.T) {
	overLimit := errors.New("grant used up")
	client, a := tcpPair(t)
	target, b := tcpPair(t)
	left := 100
	half := Half{
		Allow: func(_ context.Context, max int) (int, error) {
			if left == 0 {
				return 0, overLimit
			}
			n := min(left, max)
			left -= n
			return n, nil
		},
		Settle: func(reserved, moved int) { left += reserved - moved },
	}
	result := join(t.Context(), a, b, half, Half{}, time.Minute)
	go client.Write(make([]byte, 1000))
	got, _ := io.ReadAll(target)
	r := <-result
	if r.AB != 100 || !errors.Is(r.Err, overLimit) {
		t.Errorf("got %+v, want 100 bytes and the refusal", r)
	}
	if len(got) > 100 {
		t.Errorf("target received %d bytes, 100 were allowed", len(got))
	}
}

func TestAllowIsToldWhenThePairEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a := memoryPair()
		_, b := memoryPair()
		closed := Half{Allow: func(ctx context.Context, _ int) (int, error) {
			<-ctx.Done() // the window never opens
			return 0, context.Cause(ctx)
		}}
		if r := <-join(t.Context(), a, b, closed, Half{}, time.Minute); !errors.Is(r.Err, ErrIdle) {
			t.Errorf("got %+v, want ErrIdle", r)
		}
	})
}

func TestAllowOutOfRangeIsRefused(t *testing.T) {
	for _, n := range []int{-1, 0, bufferSize + 1} {
		_, a := tcpPair(t)
		_, b := tcpPair(t)
		half := Half{Allow: func(context.Context, int) (int, error) { return n, nil }}
		if r := <-join(t.Context(), a, b, half, Half{}, time.Minute); !errors.Is(r.Err, errGrant) {
			t.Errorf("allowance of %d: got %+v, want errGrant", n, r)
		}
	}
}

// Every reservation is settled, with what was written and never with what was
// only read.
func TestCountsAfterTheWrite(t *testing.T) {
	client, a := tcpPair(t)
	_, b := tcpPair(t)
	var reserved, settled, moved int
	half := Half{
		Allow:  func(_ context.Context, max int) (int, error) { reserved += max; return max, nil },
		Settle: func(r, m int) { settled += r; moved += m },
	}
	broken := &brokenWriter{Conn: b, room: 3000}
	result := join(t.Context(), a, broken, half, Half{}, time.Minute)
	go client.Write(make([]byte, 100_000))
	r := <-result
	if r.AB != 3000 || moved != 3000 || !errors.Is(r.Err, errBroken) {
		t.Errorf("got %+v and %d settled as moved, want 3000 and the write's error", r, moved)
	}
	if reserved != settled {
		t.Errorf("reserved %d bytes, settled %d", reserved, settled)
	}
}

func TestQuietDirectionReservesLittle(t *testing.T) {
	client, a := tcpPair(t)
	target, b := tcpPair(t)
	var (
		mu    sync.Mutex
		held  int
		peak  int
		calls int
	)
	half := Half{
		Allow: func(_ context.Context, max int) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			calls++
			held += max
			peak = max
			return max, nil
		},
		Settle: func(r, _ int) { mu.Lock(); held -= r; mu.Unlock() },
	}
	result := join(t.Context(), a, b, half, Half{}, time.Minute)
	const size = 4 << 20
	go func() {
		client.Write(make([]byte, size))
		client.CloseWrite()
	}()
	if n, err := io.Copy(io.Discard, target); n != size || err != nil {
		t.Fatalf("target received %d bytes, %v", n, err)
	}
	target.CloseWrite()
	<-result
	if held != 0 {
		t.Errorf("%d bytes are still reserved", held)
	}
	if peak > bufferSize || calls > size/quietAsk {
		t.Errorf("asked for %d bytes last, %d times: the ask does not grow with the flow", peak, calls)
	}
	for _, c := range []struct{ got, n, want int }{
		{2048, 2048, 4096}, {bufferSize, bufferSize, bufferSize}, {10, bufferSize, quietAsk},
		{5000, 8192, 10000}, {0, bufferSize, quietAsk}, {1, 1, 2}, {30000, bufferSize, bufferSize},
	} {
		if got := nextAsk(c.got, c.n); got != c.want {
			t.Errorf("after a read of %d of %d: asks for %d, want %d", c.got, c.n, got, c.want)
		}
	}
}

// net.Pipe cannot half-close: the end of one direction ends both, cleanly.
func TestConnectionWithoutHalfClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, a := net.Pipe()
		target, b := net.Pipe()
		result := join(t.Context(), a, b, Half{}, Half{}, time.Minute)
		go func() {
			io.WriteString(target, "answer")
			target.Close()
		}()
		if got := hear(t, client); got != "answer" {
			t.Errorf("got %q, want answer", got)
		}
		if r := <-result; r != (Result{BA: 6}) {
			t.Errorf("got %+v, want 6 bytes back and no error", r)
		}
	})
}

func TestManyPairsAtOnceKeepTheirBytes(t *testing.T) {
	var wg sync.WaitGroup
	for i := range 32 {
		client, a := tcpPair(t)
		target, b := tcpPair(t)
		result := join(t.Context(), a, b, Half{}, Half{}, time.Minute)
		question := bytes.Repeat([]byte{byte(i)}, 200_000)
		wg.Go(func() {
			if n, err := io.Copy(target, target); n != int64(len(question)) || err != nil {
				t.Errorf("target %d echoed %d bytes, %v", i, n, err)
			}
			target.CloseWrite()
		})
		wg.Go(func() {
			go func() {
				client.Write(question)
				client.CloseWrite()
			}()
			if got := hear(t, client); got != string(question) {
				t.Errorf("pair %d mixed its bytes with another's", i)
			}
			if r, n := <-result, int64(len(question)); r != (Result{AB: n, BA: n}) {
				t.Errorf("pair %d: got %+v, want %d both ways", i, r, n)
			}
		})
	}
	wg.Wait()
}

func BenchmarkJoin(b *testing.B) {
	client, x := tcpPair(b)
	target, y := tcpPair(b)
	result := join(b.Context(), x, y, Half{}, Half{}, time.Minute)
	go io.Copy(io.Discard, target)
	block := make([]byte, 1<<20)
	b.SetBytes(int64(len(block)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := client.Write(block); err != nil {
			b.Fatal(err)
		}
	}
	client.Close()
	target.Close()
	<-result
}

func join(ctx context.Context, a, b net.Conn, ab, ba Half, idle time.Duration) <-chan Result {
	result := make(chan Result, 1)
	go func() { result <- Join(ctx, a, b, ab, ba, idle) }()
	return result
}

func say(t testing.TB, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Errorf("say %.20q: %v", text, err)
	}
}

// hear is what arrives until the end or a failure.
func hear(t testing.TB, c net.Conn) string {
	t.Helper()
	text, _ := io.ReadAll(c)
	return string(text)
}

// tcpPair is a loopback connection from both of its ends.
func tcpPair(t testing.TB) (far, near *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); s.Close() })
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

// memory is one end of a connection in memory that can half-close and be reset,
// as a tunnel's stream can. It works in fake time.
type memory struct {
	net.Conn // the receiving pipe
	out      net.Conn
	resets   int
}

func memoryPair() (far, near *memory) {
	r1, w1 := net.Pipe()
	r2, w2 := net.Pipe()
	return &memory{Conn: r1, out: w2}, &memory{Conn: r2, out: w1}
}

func (m *memory) Write(p []byte) (int, error) { return m.out.Write(p) }
func (m *memory) CloseWrite() error           { return m.out.Close() }
func (m *memory) Close() error                { return errors.Join(m.out.Close(), m.Conn.Close()) }
func (m *memory) Reset()                      { m.resets++; m.Close() }

func wantReset(t *testing.T, ends ...*memory) {
	t.Helper()
	for i, m := range ends {
		if m.resets != 1 {
			t.Errorf("%s was reset %d times, want once", strings.Split("a b", " ")[i], m.resets)
		}
	}
}

var errBroken = fmt.Errorf("pipe broke")

// brokenWriter fails after room bytes, in the middle of a write.
type brokenWriter struct {
	net.Conn
	room int
}

func (w *brokenWriter) Write(p []byte) (int, error) {
	n := min(len(p), w.room)
	w.room -= n
	if n < len(p) {
		return n, errBroken
	}
	return n, nil
}
