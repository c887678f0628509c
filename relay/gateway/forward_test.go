package gateway

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sward/internal/wire"
)

// C12, C14: the site sees what the partner wants it to see, and nothing of the way.
func TestSiteSeesNothingOfTheWay(t *testing.T) {
	seen := make(chan http.Header, 1)
	d := openDoor(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Host", r.Host)
		seen <- r.Header
	}))
	_, r := d.raw(t, get(host, strings.TrimSuffix(basic, "\r\n"),
		"Proxy-Connection: keep-alive", "Connection: keep-alive, X-Private, HTTP2-Settings", "X-Private: 1",
		"Keep-Alive: timeout=5", "TE: trailers", "HTTP2-Settings: AAMAAABk",
		"Via: 1.1 office", "X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https", "X-Real-IP: 203.0.113.9",
		"Forwarded: for=203.0.113.9", "X-Edge-Id: 12D3", "x-edge-trace: 1", "Sward-Edge: 12D3", "Proxy-Trace: 1",
		"Accept-Encoding: br", "Authorization: Bearer T", "Cookie: a=b", "X-Mine: 2"))
	if resp, _ := response(t, r, "GET"); resp.StatusCode != 200 {
		t.Fatalf("got %s, want 200", resp.Status)
	}
	want := http.Header{
		"Host": {site}, "Connection": {"close"}, // our own hop
		"Accept-Encoding": {"br"}, "Authorization": {"Bearer T"}, "Cookie": {"a=b"}, "X-Mine": {"2"},
	}
	if diff := cmp.Diff(want, <-seen); diff != "" {
		t.Errorf("the site's view of the header (-want +got):\n%s", diff)
	}
}

func TestPartnerSeesTheResponseAndNothingOfTheHop(t *testing.T) {
	d := openDoor(t, answerRaw("HTTP/1.1 418 I'm a teapot\r\nSward-Error: paused\r\nSward-Edge: forged\r\nSward-Billable: ?0\r\n"+
		"sward-balance: 0\r\nSWARD-FAULT: relay\r\nProxy-Status: cdn; received-status=418\r\nProxy-Status: Sward; error=dns_error\r\n"+
		"Proxy-Authenticate: Basic realm=phish\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nUpgrade: h2c\r\n"+
		"X-Mine: 2\r\nContent-Encoding: br\r\nContent-Length: 15\r\n\r\nshort and stout"))
	_, r := d.raw(t, get(host, strings.TrimSuffix(basic, "\r\n")))
	resp, body := response(t, r, "GET")
	if resp.StatusCode != 418 || body != "short and stout" {
		t.Errorf("got %s %q, want 418 and the body", resp.Status, body)
	}
	resp.Header.Del("Date")
	want := http.Header{
		"Content-Encoding": {"br"}, "Content-Length": {"15"}, "Sward-Edge": {exit}, "Sward-Billable": {"?1"}, "X-Mine": {"2"},
		"Proxy-Status": {"cdn; received-status=418", "sward; received-status=418"},
	}
	if diff := cmp.Diff(want, resp.Header); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
}

// What stands behind a body is read as more of the header by many a program: nobody speaks in the door's name there either,
// announced or not.
func TestTrailerIsNotInTheDoorsName(t *testing.T) {
	for name, announced := range map[string]string{"announced": "Trailer: Sward-Error, X-Mine, Proxy-Status\r\n", "not announced": ""} {
		t.Run(name, func(t *testing.T) {
			d := openDoor(t, answerRaw("HTTP/1.1 200 OK\r\n"+announced+"Transfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n0\r\n"+
				"Sward-Error: paused\r\nsward-billable: ?0\r\nProxy-Status: sward; error=dns_error\r\n"+
				"Proxy-Authenticate: Basic realm=phish\r\nX-Mine: 2\r\n\r\n"))
			_, r := d.raw(t, get(host, strings.TrimSuffix(basic, "\r\n")))
			resp, body := response(t, r, "GET")
			if body != "whole" {
				t.Errorf("got %q, want the body", body)
			}
			if diff := cmp.Diff(http.Header{"X-Mine": {"2"}}, resp.Trailer); diff != "" {
				t.Errorf("trailer (-want +got):\n%s", diff)
			}
		})
	}
}

// A response that breaks off must look broken: a partner must never store half a page as a whole one.
func TestResponseThatBreaksOffLooksBroken(t *testing.T) {
	for name, head := range map[string]string{
		"with a length": "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf",
		"chunked":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			d := openDoor(t, answerRaw(head))
			_, r := d.raw(t, get(host, strings.TrimSuffix(basic, "\r\n")))
			resp, err := http.ReadResponse(r, nil)
			if err == nil {
				defer resp.Body.Close()
				_, err = io.ReadAll(resp.Body)
			}
			if err == nil {
				t.Error("the partner read it as whole")
			}
		})
	}
}

func TestSiteThatDoesNotAnswerIsNamedAsTheFault(t *testing.T) {
	for name, answer := range map[string]string{"closes": "", "speaks something else": "SSH-2.0-x\r\n\r\n"} {
		t.Run(name, func(t *testing.T) {
			d := openDoor(t, answerRaw(answer))
			_, r := d.raw(t, get(host, strings.TrimSuffix(basic, "\r\n")))
			resp, body := response(t, r, "GET")
			checkRefusal(t, wire.TargetClosed, resp, body)
			if got := resp.Header.Get("Sward-Edge"); got != exit {
				t.Errorf("Sward-Edge: got %q, want %q", got, exit)
			}
		})
	}
}

// answerRaw answers any request with text and closes.
func answerRaw(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			io.WriteString(conn, text)
			conn.Close()
		}
	})
}

// An answer that comes before the whole request was sent is passed on at once.
func TestEarlyAnswerIsHeard(t *testing.T) {
	d := openDoor(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		http.NewResponseController(w).Flush()
	}))
	_, r := d.raw(t, "POST http://"+site+"/ HTTP/1.1\r\n"+host+"\r\n"+basic+"Content-Length: 1000000\r\n\r\nbegin")
	if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 413 {
		t.Errorf("got %v, %v, want 413", resp, err)
	}
}

// C05: chunks of one byte behind 4 KiB of extension each are padding, not a body.
func TestPaddedChunksAreRefused(t *testing.T) {
	d := openDoor(t, http.HandlerFunc(echo))
	chunk := "1;" + strings.Repeat("x", 4000) + "\r\na\r\n"
	_, r := d.raw(t, "POST http://"+site+"/ HTTP/1.1\r\n"+host+"\r\n"+basic+"Transfer-Encoding: chunked\r\n\r\n"+strings.Repeat(chunk, 20))
	resp, body := response(t, r, "POST")
	checkRefusal(t, wire.BadRequest, resp, body)
	if !resp.Close {
		t.Error("the connection stays open, want it closed")
	}
}

func TestExpectationIsKept(t *testing.T) {
	d := openDoor(t, http.HandlerFunc(echo))
	conn, r := d.raw(t, "POST http://"+site+"/ HTTP/1.1\r\n"+host+"\r\n"+basic+"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n")
	if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 100 {
		t.Fatalf("got %v, %v, want 100", resp, err)
	}
	io.WriteString(conn, "hello")
	if resp, body := response(t, r, "POST"); resp.StatusCode != 200 || !strings.HasSuffix(body, "hello") {
		t.Errorf("got %s %q, want 200 and the body", resp.Status, body)
	}
}

// C21: what follows a CONNECT is the tunnel's, to the byte, however early it was sent and whatever it looks like.
func TestBytesBehindConnectAreTheTunnels(t *testing.T) {
	const early = "GET /first HTTP/1.1\r\nHost: other.example\r\nX-Private: 1\r\n\r\n"
	d := openDoor(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %s", r.URL.Path, r.Host, r.Header.Get("X-Private"))
	}))
	for _, ahead := range []int{0, 1, len(early)} {
		conn, r := d.raw(t, "CONNECT "+site+":80 HTTP/1.1\r\n"+host+":80\r\n"+basic+"\r\n"+early[:ahead])
		if resp, err := http.ReadResponse(r, &http.Request{Method: "CONNECT"}); err != nil || resp.StatusCode != 200 {
			t.Fatalf("%d bytes ahead: got %v, %v, want 200", ahead, resp, err)
		}
		io.WriteString(conn, early[ahead:])
		if _, body := response(t, r, "GET"); body != "/first other.example 1" {
			t.Errorf("%d bytes ahead: the site got %q", ahead, body)
		}
	}
	if got := len(d.dials()); got != 3 {
		t.Errorf("dialled %d times for 3 tunnels", got)
	}
}

func TestTunnelEndsOneDirectionAtATime(t *testing.T) {
	d := openDoor(t, answerWhole{})
	conn, r := d.raw(t, "CONNECT "+site+":80 HTTP/1.1\r\n"+host+":80\r\n"+basic+"\r\n")
	if _, err := http.ReadResponse(r, &http.Request{Method: "CONNECT"}); err != nil {
		t.Fatal(err)
	}
	question := "GET / HTTP/1.1\r\nHost: a\r\n\r\n" + strings.Repeat("grass ", 50_000)
	io.WriteString(conn, question)
	conn.CloseWrite()
	got, err := io.ReadAll(r)
	if want := strings.Repeat("grass ", 50_000); err != nil || string(got) != want {
		t.Errorf("got %d bytes, %v, want %d after our end", len(got), err, len(want))
	}
}

// answerWhole reads a connection to its end and then sends all of it back.
type answerWhole struct{}

func (answerWhole) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	var all bytes.Buffer
	bufio.NewReader(io.MultiReader(rw, conn)).WriteTo(&all)
	conn.Write(all.Bytes())
}
