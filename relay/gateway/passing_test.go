package gateway

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// parts is a connection that gives its bytes in pieces of a size.
type parts struct {
	net.Conn
	left []byte
	size int
}

func (p *parts) Read(b []byte) (int, error) {
	if len(p.left) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), p.size)], p.left)
	p.left = p.left[n:]
	return n, nil
}

func (p *parts) SetReadDeadline(time.Time) error { return nil }

// P8: whatever arrives, and in whatever pieces, net/http is given only heads that checkHead has passed, each behind the
// body of the one before, and reads the same requests from them.
func FuzzOnlyCheckedHeadsArePassedOn(f *testing.F) {
	post := "POST http://" + site + "/ HTTP/1.1\r\n" + host + "\r\nContent-Length: 5\r\n\r\nhello"
	f.Add([]byte(post+post+get(host)), uint16(1))
	f.Add([]byte(post+get(host, "Content-Length: +5")+post), uint16(7))
	f.Add([]byte("POST http://"+site+"/ HTTP/1.1\r\n"+host+"\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"+post), uint16(4096))
	f.Add([]byte("CONNECT "+site+":443 HTTP/1.1\r\n\r\n\x16\x03\x01"), uint16(3))
	f.Add([]byte(get(host)+"GET http://"+site+"/ HTTP/1.1\n\n"), uint16(64))
	f.Fuzz(func(t *testing.T, sent []byte, size uint16) {
		if len(sent) == 0 || size == 0 {
			return
		}
		want, requests := passedOn(sent)
		c := newClient(&parts{left: bytes.Clone(sent), size: int(size)}, Config{HeaderBytes: 1 << 20, HeaderTime: time.Second, IdleTime: time.Second})
		if _, err := c.first(); err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(c)
		if !bytes.Equal(got, want) {
			t.Fatalf("of %q net/http is given %q, want %q", sent, got, want)
		}
		r := bufio.NewReader(bytes.NewReader(got))
		for n := range requests {
			req, err := http.ReadRequest(r)
			if err != nil {
				t.Fatalf("request %d of %q: %v", n, got, err)
			}
			if n < requests-1 { // the last may be a tunnel, or break off
				if _, err := io.Copy(io.Discard, req.Body); err != nil {
					t.Fatalf("body %d of %q: %v", n, got, err)
				}
			}
		}
	})
}

// passedOn is the same in fewer words: what may reach net/http of what was sent, and how many requests that is.
func passedOn(sent []byte) (passed []byte, requests int) {
	for len(sent) > 0 {
		end := bytes.Index(sent, []byte("\r\n\r\n"))
		head := sent
		if end >= 0 {
			head = sent[:end+4]
		}
		if bytes.Count(head, []byte("\n")) != bytes.Count(head, []byte("\r\n")) {
			return append(passed, refusedHead...), requests + 1
		}
		if end < 0 {
			return passed, requests // it never ended
		}
		length, err := checkHead(head)
		switch requests++; {
		case err != nil:
			return append(passed, refusedHead...), requests
		case length == unlimited:
			return append(passed, sent...), requests
		}
		whole := min(int64(len(head))+length, int64(len(sent)))
		passed, sent = append(passed, sent[:whole]...), sent[whole:]
	}
	return passed, requests
}
