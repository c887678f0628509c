package gateway

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// P8: net/http lets in every head that checkHead lets in. What it refused by itself would have none of our codes.
func FuzzServerTakesWhatIsPassedOn(f *testing.F) {
	for _, head := range []string{
		get(host), get(host, "Content-Length: 5", "Expect: 100-continue"), get(host, "Transfer-Encoding: chunked"),
		get(host, "Expect: the best"), get(host, "Max-Forwards: 0"), get("host:"+site+":80", "X-A: \tb\xffc\t"),
		"CONNECT " + site + ":443 HTTP/1.1\r\n\r\n",
		"CONNECT " + site + ":443 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
		"CONNECT " + site + ":443 HTTP/1.1\r\nHost: a b\r\n\r\n",
		"CONNECT " + site + ":443 HTTP/1.0\r\nHost:\r\n\r\n",
		"GET http://" + site + "?q HTTP/1.0\r\n\r\n",
		"TRACE http://[2001:db8::1]:80/ HTTP/1.1\r\nHost: [2001:db8::1]\r\n\r\n",
	} {
		f.Add([]byte(head))
	}
	web := newHandoff(&net.TCPAddr{})
	heard := make(chan *http.Request, 1)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		heard <- r
		w.Header().Set("Connection", "close")
	}), ReadHeaderTimeout: 10 * time.Second, DisableGeneralOptionsHandler: true}
	go server.Serve(web)
	f.Cleanup(func() { server.Close() })
	f.Fuzz(func(t *testing.T, head []byte) {
		if !bytes.HasSuffix(head, []byte("\r\n\r\n")) || bytes.Count(head, []byte("\r\n\r\n")) != 1 {
			return // client.scan gives no other
		}
		if _, err := checkHead(head); err != nil {
			return
		}
		ours, theirs := net.Pipe()
		defer ours.Close()
		web.give(theirs)
		go ours.Write(head)
		resp, err := http.ReadResponse(bufio.NewReader(ours), nil)
		for err == nil && resp.StatusCode == http.StatusContinue {
			resp, err = http.ReadResponse(bufio.NewReader(ours), nil)
		}
		if err != nil {
			t.Fatalf("%q: %v", head, err)
		}
		defer resp.Body.Close()
		select {
		case r := <-heard:
			if method, _, _ := strings.Cut(string(head), " "); r.Method != method {
				t.Errorf("%q: net/http reads the method as %s", head, r.Method)
			}
		default:
			text, _ := io.ReadAll(resp.Body)
			t.Errorf("%q: net/http refuses it by itself: %s %q", head, resp.Status, text)
		}
	})
}
