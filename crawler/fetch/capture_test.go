package fetch

import (
	"bytes"
	"testing"
)

func TestHeadEndsWithTheFirstEmptyLine(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nA: b\r\n\r\n"
	for name, c := range map[string]struct{ in, want string }{
		"with a body":            {ok + "body\r\n\r\n", ok},
		"without a body":         {ok, ok},
		"LF alone":               {"HTTP/1.1 200 OK\nA: b\n\nbody", "HTTP/1.1 200 OK\nA: b\n\n"},
		"mixed ends of line":     {"HTTP/1.1 200 OK\nA: b\r\n\nbody", "HTTP/1.1 200 OK\nA: b\r\n\n"},
		"a folded line":          {"HTTP/1.1 200 OK\r\nA: b\r\n \r\n\r\n", "HTTP/1.1 200 OK\r\nA: b\r\n \r\n\r\n"},
		"interim answers before": {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n" + ok, ok},
		"an interim answer only": {"HTTP/1.1 100 Continue\r\n\r\n", ""},
		"no empty line":          {"HTTP/1.1 200 OK\r\nA: b\r\n", ""},
		"nothing":                {"", ""},
	} {
		conn := &capture{}
		conn.keep(&conn.received, []byte(c.in))
		if _, got := conn.heads(); string(got) != c.want {
			t.Errorf("%s: head %q, want %q", name, got, c.want)
		}
	}
}

func TestCaptureKeepsNoMoreThanItsBound(t *testing.T) {
	conn := &capture{}
	for range 100 {
		conn.keep(&conn.received, bytes.Repeat([]byte("x"), 1000))
	}
	if got := len(conn.received); got != maxCapture {
		t.Errorf("%d bytes kept, want %d", got, maxCapture)
	}
	conn.heads()
	conn.keep(&conn.received, []byte("of the body"))
	if len(conn.received) != 0 {
		t.Errorf("%q was kept after the heads were taken", conn.received)
	}
}
