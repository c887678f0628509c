package edge

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sward/internal/wire"
)

// hello is what a TLS client that asks for name sends first.
func hello(t testing.TB, name string) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	defer theirs.Close()
	go func() {
		tls.Client(ours, &tls.Config{ServerName: name, InsecureSkipVerify: name == ""}).Handshake()
		ours.Close()
	}()
	buf := make([]byte, 16<<10)
	theirs.SetDeadline(time.Now().Add(10 * time.Second))
	n, err := theirs.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

// split is a hello in two TLS records: the handshake message goes on in the second (RFC 8446 §5.1).
func split(record []byte) []byte {
	const head = 5
	body, cut := record[head:], 7
	first := append([]byte{record[0], record[1], record[2], 0, byte(cut)}, body[:cut]...)
	rest := len(body) - cut
	return append(append(first, record[0], record[1], record[2], byte(rest>>8), byte(rest)), body[cut:]...)
}

func TestHelloIsReadAsAServerReadsIt(t *testing.T) {
	plain := hello(t, "www.example.com")
	for name, c := range map[string]struct {
		sent []byte
		want string
	}{
		"whole":            {plain, "www.example.com"},
		"in two records":   {split(plain), "www.example.com"},
		"without a name":   {hello(t, ""), ""},
		"with bytes after": {append(bytes.Clone(plain), "early data"...), "www.example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			r := bytes.NewReader(c.sent)
			got, flight, err := readHello(t.Context(), r)
			if err != nil || got != c.want {
				t.Fatalf("got %q, %v, want %q", got, err, c.want)
			}
			rest, _ := io.ReadAll(r)
			if whole := append(flight, rest...); !bytes.Equal(whole, c.sent) {
				t.Errorf("the target would get %d bytes that differ from the %d sent", len(whole), len(c.sent))
			}
		})
	}
}

// B10: what opens with another protocol is no TLS.
func TestWhatIsNotTLSIsNamedSo(t *testing.T) {
	plain := hello(t, "www.example.com")
	for name, sent := range map[string]string{
		"mail":                 "EHLO x\r\n",
		"SSH":                  "SSH-2.0-OpenSSH_9.2\r\n",
		"BitTorrent":           "\x13BitTorrent protocol",
		"HTTP":                 "GET / HTTP/1.1\r\n\r\n",
		"an alert first":       "\x15\x03\x01\x00\x02\x02\x28",
		"a server's hello":     "\x16\x03\x03\x00\x04\x02\x00\x00\x00",
		"a hello cut short":    string(plain[:len(plain)/2]),
		"a hello without end":  "\x16\x03\x01\x40\x00\x01\xff\xff\xff" + strings.Repeat("\x00", maxHello),
		"a head of 0xff bytes": "\x16\xff\xff\xff\xff",
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := readHello(t.Context(), strings.NewReader(sent))
			if wire.CodeOf(err) != wire.ProtoNotTLS {
				t.Errorf("got %v, want %s", err, wire.ProtoNotTLS)
			}
		})
	}
}

func FuzzHello(f *testing.F) {
	plain := hello(f, "www.example.com")
	f.Add(plain)
	f.Add(split(plain))
	f.Add([]byte("EHLO x\r\n"))
	f.Add([]byte{recordHandshake, 3, 1, 0, 0})
	f.Fuzz(func(t *testing.T, sent []byte) {
		_, flight, err := readHello(t.Context(), bytes.NewReader(sent))
		if err == nil && !bytes.HasPrefix(sent, flight) {
			t.Errorf("%x was read as %x", sent, flight)
		}
	})
}

// counted is a site that counts what reaches it.
func countedSite(t *testing.T) (addr string, got *atomic.Int64) {
	t.Helper()
	got = new(atomic.Int64)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n, _ := io.Copy(io.Discard, c)
			got.Add(n)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String(), got
}

// B08, B10: a stream to port 443 that is not what it says is cut with its code before the target gets a byte.
func TestConnectionThatIsNotWhatItSaysIsCut(t *testing.T) {
	r := newTestRelay(t)
	site, got := countedSite(t)
	e, _ := testEdge(t, r, site)
	s := r.next()
	for _, c := range []struct {
		name string
		sent []byte
		want wire.Code
	}{
		{"B08 a bank behind an allowed name", hello(t, "www.chase.com"), wire.SNIMismatch},
		{"B08 a name of the home network", hello(t, "router.local"), wire.SNIMismatch},
		{"B10 mail", []byte("EHLO x\r\n"), wire.ProtoNotTLS},
		{"B10 SSH", []byte("SSH-2.0-x\r\n"), wire.ProtoNotTLS},
		{"B10 BitTorrent", []byte("\x13BitTorrent protocol"), wire.ProtoNotTLS},
	} {
		t.Run(c.name, func(t *testing.T) {
			st, err := s.open(t.Context(), r.grant(), "site.example", 443)
			if err != nil {
				t.Fatal(err)
			}
			defer st.end()
			st.flow.Up(len(c.sent))
			if _, err := st.Write(c.sent); err != nil {
				t.Fatal(err)
			}
			st.SetReadDeadline(time.Now().Add(10 * time.Second))
			_, err = st.drain()
			if told, ok := errors.AsType[*wire.Error](err); !ok || told.Code != c.want {
				t.Errorf("the stream ended with %v, want %s", err, c.want)
			}
		})
	}
	if got.Load() != 0 {
		t.Errorf("%d bytes reached the target, want none", got.Load())
	}
	if refused, _ := e.refusals.recent(""); len(refused) != 5 {
		t.Errorf("the owner is shown %d refusals, want 5", len(refused))
	}
}

// A handshake goes through byte for byte: one that names the target itself, and one for another name that nobody denies,
// as behind a CDN.
func TestHandshakeReachesItsTargetUnchanged(t *testing.T) {
	r := newTestRelay(t)
	testEdge(t, r, echo(t))
	s := r.next()
	for _, name := range []string{"site.example", "other.example.com"} {
		sent := hello(t, name)
		st, err := s.open(t.Context(), r.grant(), "site.example", 443)
		if err != nil {
			t.Fatal(err)
		}
		st.flow.Up(len(sent))
		if _, err := st.Write(sent); err != nil {
			t.Fatal(err)
		}
		back := make([]byte, len(sent))
		st.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.ReadFull(st, back); err != nil || !bytes.Equal(back, sent) {
			t.Errorf("%s: the target got something else, %v", name, err)
		}
		st.flow.Down(len(back))
		st.end()
	}
}
