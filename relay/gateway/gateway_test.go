package gateway

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sward/internal/splice"
	"sward/internal/wire"
	"sward/policy"
)

// dummy is a listener in memory: its connections are pipes, so that a test runs in the fake time of a synctest bubble.
type dummy struct {
	conns  chan net.Conn
	closed chan struct{}
	once   *sync.Once
}

func newDummy() dummy {
	return dummy{conns: make(chan net.Conn), closed: make(chan struct{}), once: new(sync.Once)}
}

func (l dummy) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l dummy) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l dummy) Addr() net.Addr { return &net.TCPAddr{} }

// dialIn connects to a running gateway.
func (l dummy) dialIn() net.Conn {
	ours, theirs := net.Pipe()
	l.conns <- theirs
	return ours
}

// pipeConn is an exit in memory.
type pipeConn struct{ net.Conn }

func (pipeConn) Exit() Line { return Line{Edge: exit} }

func (c pipeConn) Join(ctx context.Context, client net.Conn) error {
	return splice.Join(ctx, client, c.Conn, splice.Half{}, splice.Half{}, time.Hour).Err
}

// inBubble runs f against a gateway in fake time, with the far ends of what it dials. The bubble itself is the proof
// that nothing stays behind: it fails while a goroutine is left.
func inBubble(t *testing.T, change func(*Config), f func(t *testing.T, l dummy, sites <-chan net.Conn, stop func() error)) {
	synctest.Test(t, func(t *testing.T) {
		l, sites := newDummy(), make(chan net.Conn, 8)
		cfg := Config{Listener: l, Authorise: authorise, Dial: func(context.Context, Account, policy.Target, Exit) (Conn, error) {
			ours, theirs := net.Pipe()
			sites <- theirs
			return pipeConn{ours}, nil
		}}
		if change != nil {
			change(&cfg)
		}
		g, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- g.Run(ctx) }()
		stop := sync.OnceValue(func() error { cancel(); return <-done })
		f(t, l, sites, stop)
		if err := stop(); err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

// closedAfter reads conn until the other side closes it and says how long that took.
func closedAfter(conn net.Conn) time.Duration {
	start := time.Now()
	io.Copy(io.Discard, conn)
	return time.Since(start)
}

const connect = "CONNECT " + site + ":443 HTTP/1.1\r\nHost: " + site + ":443\r\n"

// C10: a head, or a handshake, has ten seconds from its first byte, however it trickles.
func TestSlowClientIsClosedAtItsDeadline(t *testing.T) {
	for name, beginning := range map[string]string{
		"silent":                  "",
		"HTTP, one byte a second": "GET http://" + site + "/ HTTP/1.1\r\n",
		"SOCKS greeting":          "\x05\x02",
		"SOCKS login":             "\x05\x01\x02\x01\xff",
		"D02 SOCKS name of 255":   loginText(partner, key) + "\x05\x01\x00\x03\xff",
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, l dummy, _ <-chan net.Conn, _ func() error) {
				conn := l.dialIn()
				defer conn.Close()
				var writer sync.WaitGroup
				defer writer.Wait()
				writer.Go(func() {
					if beginning == "" {
						return
					}
					_, err := io.WriteString(conn, beginning)
					for err == nil {
						time.Sleep(time.Second)
						_, err = conn.Write([]byte{'a'})
					}
				})
				if got := closedAfter(conn); got > 10*time.Second+lingerTime {
					t.Errorf("closed after %v, want 10 s", got)
				}
			})
		})
	}
}

// The second request of a connection has no more time for its head than the first.
func TestSlowSecondHeadIsClosedAtItsDeadline(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, l dummy, _ <-chan net.Conn, _ func() error) {
		conn := l.dialIn()
		defer conn.Close()
		r := bufio.NewReader(conn)
		go io.WriteString(conn, get(host))
		if resp, _ := response(t, r, "GET"); resp.StatusCode != 407 {
			t.Fatalf("got %s, want 407", resp.Status)
		}
		time.Sleep(30 * time.Second) // idle, which is allowed
		if _, err := conn.Write([]byte("GET")); err != nil {
			t.Fatalf("after half a minute: %v", err)
		}
		if got := closedAfter(conn); got != 10*time.Second {
			t.Errorf("closed after %v, want 10 s", got)
		}
	})
}

func TestIdleConnectionIsClosed(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, l dummy, _ <-chan net.Conn, _ func() error) {
		conn := l.dialIn()
		defer conn.Close()
		r := bufio.NewReader(conn)
		go io.WriteString(conn, get(host))
		response(t, r, "GET")
		if got := closedAfter(conn); got != time.Minute {
			t.Errorf("closed after %v, want 1 min", got)
		}
	})
}

// C11: a request that stalls, or a site that does, is given the idle time, and the exit is free at once.
func TestStalledRequestIsGivenUp(t *testing.T) {
	for name, c := range map[string]struct {
		sent string
		want wire.Code
	}{
		"body stalls":  {"POST http://" + site + "/ HTTP/1.1\r\n" + host + "\r\n" + basic + "Content-Length: 10\r\n\r\nhalf", wire.BadRequest},
		"site is mute": {get(host, strings.TrimSuffix(basic, "\r\n")), wire.FetchTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, l dummy, sites <-chan net.Conn, _ func() error) {
				conn := l.dialIn()
				defer conn.Close()
				start := time.Now()
				go io.WriteString(conn, c.sent)
				released := make(chan time.Duration, 1)
				go func() { released <- closedAfter(<-sites) }()
				resp, body := response(t, bufio.NewReader(conn), "GET")
				checkRefusal(t, c.want, resp, body)
				if got := time.Since(start); got > time.Minute {
					t.Errorf("answered after %v, want at most 1 min", got)
				}
				if got := <-released; got > time.Minute {
					t.Errorf("exit released after %v, want at most 1 min", got)
				}
			})
		})
	}
}

// A site may think for as long as it is given, whatever came before.
func TestSlowAnswerToAnUploadIsWaitedFor(t *testing.T) {
	for name, sent := range map[string]string{
		"with a length": "Content-Length: 5\r\n\r\nhello",
		"chunked":       "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, l dummy, sites <-chan net.Conn, _ func() error) {
				conn := l.dialIn()
				defer conn.Close()
				go io.WriteString(conn, "POST http://"+site+"/ HTTP/1.1\r\n"+host+"\r\n"+basic+sent)
				go func() {
					far := <-sites
					defer far.Close()
					if r, err := http.ReadRequest(bufio.NewReader(far)); err == nil {
						io.Copy(io.Discard, r.Body)
					}
					time.Sleep(50 * time.Second)
					io.WriteString(far, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
				}()
				if resp, body := response(t, bufio.NewReader(conn), "POST"); resp.StatusCode != 200 || body != "done" {
					t.Errorf("got %s %q, want 200 done", resp.Status, body)
				}
			})
		})
	}
}

// A download of hours is not idle while bytes move, however slowly.
func TestSlowButMovingResponseIsCarried(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, l dummy, sites <-chan net.Conn, _ func() error) {
		conn := l.dialIn()
		defer conn.Close()
		go io.WriteString(conn, get(host, strings.TrimSuffix(basic, "\r\n")))
		go func() {
			far := <-sites
			defer far.Close()
			http.ReadRequest(bufio.NewReader(far))
			io.WriteString(far, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n")
			for range 20 {
				time.Sleep(50 * time.Second)
				far.Write([]byte{'x'})
			}
		}()
		if _, body := response(t, bufio.NewReader(conn), "GET"); body != strings.Repeat("x", 20) {
			t.Errorf("got %q, want 20 bytes", body)
		}
	})
}

// N13: running connections end within the grace if they can; after it they are cut.
func TestStoppingDoorLetsTunnelsFinish(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, l dummy, sites <-chan net.Conn, stop func() error) {
		conn := l.dialIn()
		defer conn.Close()
		r := bufio.NewReader(conn)
		go io.WriteString(conn, connect+basic+"\r\n")
		http.ReadResponse(r, &http.Request{Method: "CONNECT"})
		far := <-sites
		start, stopped := time.Now(), make(chan error, 1)
		go func() { stopped <- stop() }()
		time.Sleep(9 * time.Second)
		go io.WriteString(far, "last")
		if got, err := r.Peek(4); err != nil || string(got) != "last" {
			t.Errorf("after 9 s: got %q, %v, want the tunnel alive", got, err)
		}
		far.Close()
		if err := <-stopped; err != nil || time.Since(start) != 9*time.Second {
			t.Errorf("stopped after %v with %v, want as soon as the tunnel has ended", time.Since(start), err)
		}
	})
}

func TestStoppingDoorCutsWhatOutlivesTheGrace(t *testing.T) {
	for name, sent := range map[string]string{
		"tunnel":         connect + basic + "\r\n",
		"plain request":  get(host, strings.TrimSuffix(basic, "\r\n")),
		"half a head":    "GET http://",
		"half handshake": "\x05\x01\x02",
		"SOCKS tunnel":   loginText(partner, key) + request(socksConnect, socksName, site, 443),
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(c *Config) { c.Grace = time.Second }, func(t *testing.T, l dummy, _ <-chan net.Conn, stop func() error) {
				conn := l.dialIn()
				defer conn.Close()
				go io.Copy(io.Discard, conn)
				io.WriteString(conn, sent)
				synctest.Wait()
				start := time.Now()
				if err := stop(); err != nil || time.Since(start) > 2*time.Second {
					t.Errorf("stopped after %v with %v, want about 1 s", time.Since(start), err)
				}
			})
		})
	}
}

func TestDoorThatIsFullSaysSo(t *testing.T) {
	inBubble(t, func(c *Config) { c.MaxConns = 1 }, func(t *testing.T, l dummy, _ <-chan net.Conn, _ func() error) {
		first := l.dialIn()
		second := l.dialIn()
		resp, body := response(t, bufio.NewReader(second), "GET")
		checkRefusal(t, wire.DoorFull, resp, body)
		first.Close()
		synctest.Wait()
		third := l.dialIn()
		defer third.Close()
		go io.WriteString(third, get(host))
		if resp, _ := response(t, bufio.NewReader(third), "GET"); resp.StatusCode != 407 {
			t.Errorf("with room again: got %s, want 407", resp.Status)
		}
	})
}

// A partner that goes away while its target is dialled is not dialled for any longer.
func TestPartnerThatLeavesStopsTheDial(t *testing.T) {
	left := make(chan error, 1)
	inBubble(t, func(c *Config) {
		c.Dial = func(ctx context.Context, _ Account, _ policy.Target, _ Exit) (Conn, error) {
			<-ctx.Done()
			left <- context.Cause(ctx)
			return nil, ctx.Err()
		}
	}, func(t *testing.T, l dummy, _ <-chan net.Conn, _ func() error) {
		conn := l.dialIn()
		io.WriteString(conn, connect+basic+"\r\n")
		start := time.Now()
		conn.Close()
		if err := <-left; !errors.Is(err, context.Canceled) || time.Since(start) > 0 {
			t.Errorf("dial ended after %v with %v, want at once", time.Since(start), err)
		}
	})
}

func TestListenerThatBreaksEndsRun(t *testing.T) {
	broken := errors.New("wire cut")
	g, err := New(Config{Listener: brokenListener{newDummy(), broken}, Authorise: authorise, Dial: new(door).dial})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Run(t.Context()); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
}

type brokenListener struct {
	dummy
	err error
}

func (l brokenListener) Accept() (net.Conn, error) { return nil, l.err }

// BenchmarkTunnel is one new connection through the door: CONNECT, one small request, its answer.
func BenchmarkTunnel(b *testing.B) {
	d := openDoor(b, http.HandlerFunc(echo))
	b.ReportAllocs()
	for b.Loop() {
		conn, r := d.raw(b, "CONNECT "+site+":80 HTTP/1.1\r\n"+host+":80\r\n"+basic+"\r\n"+get(host, "Connection: close"))
		http.ReadResponse(r, &http.Request{Method: "CONNECT"})
		if _, body := response(b, r, "GET"); !strings.Contains(body, site) {
			b.Fatalf("got %q", body)
		}
		conn.Close()
	}
}

// BenchmarkPlain is one plain request on an open connection: what goproxy, net/http and a new connection behind cost.
func BenchmarkPlain(b *testing.B) {
	d := openDoor(b, http.HandlerFunc(echo))
	conn, r := d.raw(b, "")
	b.ReportAllocs()
	for b.Loop() {
		io.WriteString(conn, get(host, strings.TrimSuffix(basic, "\r\n")))
		if resp, _ := response(b, r, "GET"); resp.StatusCode != http.StatusOK {
			b.Fatalf("got %s", resp.Status)
		}
	}
}
