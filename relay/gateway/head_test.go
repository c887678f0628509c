package gateway

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"sward/internal/wire"
	"sward/policy"
)

// get is a request head with the given lines after the request line.
func get(lines ...string) string {
	return "GET http://" + site + "/ HTTP/1.1\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n"
}

const host = "Host: " + site

func TestHeadThatCanBeReadTwoWaysIsRefused(t *testing.T) {
	for name, head := range map[string]string{
		"C01 length beside chunked":         get(host, "Content-Length: 5", "Transfer-Encoding: chunked"),
		"C02 two lengths":                   get(host, "Content-Length: 5", "Content-Length: 6"),
		"C02 one length twice":              get(host, "Content-Length: 5", "Content-Length: 5"),
		"C02 signed length":                 get(host, "Content-Length: +5"),
		"C02 hexadecimal length":            get(host, "Content-Length: 0x5"),
		"C02 list of lengths":               get(host, "Content-Length: 5, 5"),
		"C02 empty length":                  get(host, "Content-Length:"),
		"C02 length beyond 64 bits":         get(host, "Content-Length: 99999999999999999999"),
		"C03 unknown coding":                get(host, "Transfer-Encoding: xchunked"),
		"C03 chunked not last":              get(host, "Transfer-Encoding: chunked, identity"),
		"C03 two codings":                   get(host, "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
		"C03 space before colon":            get(host, "Transfer-Encoding : chunked"),
		"C06 folded line":                   get(host, "X-A: 1", " 2"),
		"C06 NUL":                           get(host, "X-A: 1\x002"),
		"C06 CR alone":                      get(host, "X-A: 1\r2"),
		"C06 LF alone":                      get(host, "X-A: 1\n2"),
		"C06 LF alone ends the head":        "GET http://" + site + "/ HTTP/1.1\n" + host + "\n\n",
		"C07 control byte in a name":        get(host, "Foo\x0b: 1"),
		"C07 name in UTF-8":                 get(host, "Größe: 1"),
		"C07 empty name":                    get(host, ": 1"),
		"C07 no colon":                      get(host, "nonsense"),
		"C08 Host missing":                  get("Accept: */*"),
		"C08 Host doubled":                  get(host, host),
		"C08 Host of another site":          get("Host: other.example"),
		"C08 Host with another port":        get("Host: " + site + ":81"),
		"C08 Host doubled in CONNECT":       "CONNECT " + site + ":80 HTTP/1.1\r\n" + host + "\r\n" + host + "\r\n\r\n",
		"C08 Host of no characters of one":  "CONNECT " + site + ":80 HTTP/1.1\r\nHost: a b\r\n\r\n",
		"unknown expectation":               get(host, "Expect: the best"),
		"origin form":                       "GET / HTTP/1.1\r\n" + host + "\r\n\r\n",
		"asterisk form":                     "OPTIONS * HTTP/1.1\r\n" + host + "\r\n\r\n",
		"https in the clear":                "GET https://" + site + "/ HTTP/1.1\r\n" + host + "\r\n\r\n",
		"fragment":                          "GET http://" + site + "/#a HTTP/1.1\r\n" + host + "\r\n\r\n",
		"bad escape":                        "GET http://" + site + "/%zz HTTP/1.1\r\n" + host + "\r\n\r\n",
		"two spaces":                        "GET  http://" + site + "/ HTTP/1.1\r\n" + host + "\r\n\r\n",
		"version 2":                         "PRI * HTTP/2.0\r\n\r\n",
		"version 0.9":                       "GET http://" + site + "/\r\n\r\n",
		"C21 CONNECT with a length":         "CONNECT " + site + ":80 HTTP/1.1\r\n" + host + ":80\r\nContent-Length: 4\r\n\r\n",
		"C21 CONNECT with a chunked body":   "CONNECT " + site + ":80 HTTP/1.1\r\n" + host + ":80\r\nTransfer-Encoding: chunked\r\n\r\n",
		"leading empty line":                "\r\n" + get(host),
		"chunked in a request by HTTP/1.0 ": "POST http://" + site + "/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			d := openDoor(t, http.HandlerFunc(echo))
			conn, r := d.raw(t, strings.Replace(head, "\r\n\r\n", "\r\n"+basic+"\r\n", 1)+"GET http://smuggled.example/ HTTP/1.1\r\n"+basic+"\r\n")
			if head[0] == '\r' {
				if _, err := r.ReadByte(); err == nil {
					t.Error("got an answer, want the connection closed")
				}
				return
			}
			resp, body := response(t, r, "GET")
			if resp.StatusCode != 400 || resp.Header.Get("Sward-Error") != "bad_request" {
				t.Errorf("got %s %q, want 400 bad_request", resp.Status, body)
			}
			conn.CloseWrite()
			if rest, _ := io.ReadAll(r); len(rest) > 0 {
				t.Errorf("after the refusal got %q, want the connection closed", rest)
			}
			if got := d.dials(); len(got) > 0 {
				t.Errorf("dialled %v, want nothing", got)
			}
		})
	}
}

// C09: the head is refused at 64 KiB, and by the number of its fields.
func TestHeadBeyondItsLimitIsRefused(t *testing.T) {
	d := openDoor(t, http.HandlerFunc(echo))
	for name, head := range map[string]string{
		"2 MiB":         get(host, "X-A: "+strings.Repeat("a", 2<<20)),
		"10 000 fields": get(host, strings.Repeat("a:\r\n", 10_000)+"b:"),
		"endless":       "GET http://" + site + "/" + strings.Repeat("a", 80<<10),
	} {
		t.Run(name, func(t *testing.T) {
			conn, r := d.raw(t, "")
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				io.WriteString(conn, head) // fails when the door has heard enough
			}()
			resp, body := response(t, r, "GET")
			if resp.StatusCode != 431 || resp.Header.Get("Sward-Error") != "header_too_large" {
				t.Errorf("got %s %q, want 431 header_too_large", resp.Status, body)
			}
			conn.Close()
			<-sent
		})
	}
}

// A head that fails behind one that is good is answered in its turn, and is the last.
func TestEveryHeadOfAConnectionIsChecked(t *testing.T) {
	d := openDoor(t, http.HandlerFunc(echo))
	good := "POST http://" + site + "/ HTTP/1.1\r\n" + host + "\r\n" + basic + "Content-Length: 5\r\n\r\nhello"
	_, r := d.raw(t, good+good+get(host, basic+"Content-Length: +5")+good)
	for i, want := range []string{"200", "200", "400"} {
		if resp, body := response(t, r, "POST"); resp.Status[:3] != want {
			t.Fatalf("answer %d: got %s %q, want %s", i, resp.Status, body, want)
		}
	}
	if rest, _ := io.ReadAll(r); len(rest) > 0 {
		t.Errorf("after the refusal got %q, want the connection closed", rest)
	}
	if got := len(d.dials()); got != 2 {
		t.Errorf("dialled %d times, want 2", got)
	}
}

// Nobody can tell where a request begins behind a body without a length, so there is none.
func TestChunkedRequestIsTheLastOfItsConnection(t *testing.T) {
	d := openDoor(t, http.HandlerFunc(echo))
	chunked := "POST http://" + site + "/ HTTP/1.1\r\n" + host + "\r\n" + basic + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
	_, r := d.raw(t, chunked+chunked)
	resp, body := response(t, r, "POST")
	if resp.StatusCode != 200 || !strings.HasSuffix(body, "hello") || !resp.Close {
		t.Errorf("got %s, close %v, %q, want 200, close, and the body", resp.Status, resp.Close, body)
	}
	if rest, _ := io.ReadAll(r); len(rest) > 0 {
		t.Errorf("then got %q, want the connection closed", rest)
	}
}

func TestHeadOfAProperRequestPasses(t *testing.T) {
	for _, c := range []struct {
		head string
		body int64
	}{
		{get(host), 0},
		{get("host:" + site + ":80"), 0},
		{get("Host: SITE.example", "X-A: \tb c\t"), 0},
		{get(host, "Content-Length: 007"), 7},
		{get(host, "Transfer-Encoding: Chunked"), unlimited},
		{"GET HTTP://" + site + "?q=%20 HTTP/1.1\r\n" + host + "\r\n\r\n", 0},
		{"GET http://[2001:db8::1]/ HTTP/1.1\r\nHost: [2001:db8::1]\r\n\r\n", 0},
		{"GET http://" + site + "/ HTTP/1.0\r\n\r\n", 0},
		{"CONNECT " + site + ":443 HTTP/1.1\r\nHost: proxy.example\r\nContent-Length: 0\r\n\r\n", unlimited},
		{"CONNECT " + site + ":443 HTTP/1.0\r\n\r\n", unlimited},
	} {
		if body, err := checkHead([]byte(c.head)); err != nil || body != c.body {
			t.Errorf("%q: got %d, %v, want %d", c.head, body, err, c.body)
		}
	}
}

// What checkHead lets in, net/http reads the same way: as one request, to the same host, with the same end.
func FuzzCheckHead(f *testing.F) {
	f.Add([]byte(get(host, "Content-Length: 5")))
	f.Add([]byte(get(host, "Transfer-Encoding: chunked")))
	f.Add([]byte("CONNECT " + site + ":443 HTTP/1.1\r\nHost: a\r\nProxy-Authorization: Basic eDp5\r\n\r\n"))
	f.Add([]byte("0 http://A HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n")) // found: net/http skips it in HTTP/1.0
	f.Add([]byte("CONNECT A:A HTTP/1.0\r\n\r\n"))                              // found: a bad port behind a refused host
	f.Fuzz(func(t *testing.T, head []byte) {
		if !bytes.HasSuffix(head, []byte("\r\n\r\n")) || bytes.Count(head, []byte("\r\n\r\n")) != 1 {
			return // client.scan gives no other
		}
		length, refused := checkHead(head)
		if refused != nil {
			if refused.Code.HTTPStatus() < 400 {
				t.Fatalf("refused with %v", refused)
			}
			return
		}
		rest := bufio.NewReader(bytes.NewReader(head))
		r, err := http.ReadRequest(rest)
		if err != nil {
			t.Fatalf("checkHead passes what net/http refuses: %v\n%q", err, head)
		}
		if rest.Buffered() > 0 {
			t.Errorf("net/http leaves %d bytes of %q", rest.Buffered(), head)
		}
		authority := r.URL.Host
		if r.Method != http.MethodConnect {
			authority = withPort(authority)
			if want := length; want != unlimited && r.ContentLength != want {
				t.Errorf("net/http reads a body of %d bytes, want %d: %q", r.ContentLength, want, head)
			}
			if got := len(r.TransferEncoding) > 0; got != (length == unlimited) {
				t.Errorf("net/http reads chunked as %v: %q", got, head)
			}
		}
		if _, err := policy.ParseTarget(authority); refusal(err).Code.HTTPStatus() == 400 && err != nil {
			t.Errorf("passes a target that does not parse: %v\n%q", err, head)
		}
	})
}

// A credential in the target is neither used nor repeated, and its owner learns where it belongs (D07).
func TestCredentialInTheTargetIsNotRepeated(t *testing.T) {
	d := openDoor(t, http.HandlerFunc(echo))
	for _, c := range []struct {
		head string
		want wire.Code
	}{
		{"GET http://" + partner + ":" + key + "@" + site + "/ HTTP/1.1\r\n" + host + "\r\n\r\n", wire.AuthRequired},
		{"CONNECT " + key + "@" + site + ":443 HTTP/1.1\r\n\r\n", wire.AuthRequired},
		{"GET http://" + site + "/?key=" + key + " HTTP/1.1\r\n" + host + "\r\n\r\n", wire.AuthRequired},
		{"CONNECT " + key + "@" + site + ":443 HTTP/1.1\r\n" + basic + "\r\n", wire.BadHost},
	} {
		_, r := d.raw(t, c.head)
		resp, body := response(t, r, "GET")
		if got := resp.Header.Get("Sward-Error"); got != c.want.Name() {
			t.Errorf("%q: got %s, want %s", c.head, got, c.want)
		}
		if all := fmt.Sprint(resp.Header, body); strings.Contains(all, key) {
			t.Errorf("%q: the answer repeats the key: %s", c.head, all)
		}
	}
}

func BenchmarkCheckHead(b *testing.B) {
	r := httptest.NewRequest("GET", "http://"+site+"/some/page", nil)
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64)")
	r.Header.Set("Accept", "text/html,application/xhtml+xml")
	r.Header.Set("Proxy-Authorization", basicOf(partner, key))
	var head bytes.Buffer
	if err := r.WriteProxy(&head); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(head.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := checkHead(head.Bytes()); err != nil {
			b.Fatal(err)
		}
	}
}
