package render

import (
	"bytes"
	"context"
	"errors"
	"image/color"
	"image/png"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// newRenderer skips where there is no browser.
func newRenderer(t *testing.T) *Renderer {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			r, err := New(Config{Binary: path})
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
	}
	t.Skip("skipped: there is no chromium")
	return nil
}

// site answers for what belongs to a page, and remembers what was asked for.
type site struct {
	mu    sync.Mutex
	asked []string
	of    map[string]Resource
}

func (s *site) fetch(_ context.Context, url string) (Resource, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, url)
	if r, ok := s.of[url]; ok {
		return r, nil
	}
	return Resource{}, errors.New("robots.txt or the gate says no")
}

func html(body string) Page {
	return Page{URL: "https://site.test/", Status: 200, Header: http.Header{"Content-Type": {"text/html; charset=utf-8"}, "Content-Encoding": {"br"}},
		Body: []byte("<!doctype html><html><head>" + body + "</html>")}
}

func TestPictureShowsThePageAndWhatBelongsToIt(t *testing.T) {
	r := newRenderer(t)
	css := Resource{URL: "https://cdn.test/v2/style.css", Status: 200, Header: http.Header{"Content-Type": {"text/css"}},
		Body: []byte(`body { margin: 0; height: 3000px; background: url("back.svg") }`)}
	s := &site{of: map[string]Resource{
		"https://cdn.test/style.css":   css, // moved: what it names is beside where it went
		"https://cdn.test/v2/back.svg": {URL: "https://cdn.test/v2/back.svg", Status: 200, Header: http.Header{"Content-Type": {"image/svg+xml"}}, Body: []byte(`<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"><rect width="10" height="10" fill="#0a0"/></svg>`)},
	}}
	p := html(`<link rel="stylesheet" href="https://cdn.test/style.css"></head><body>`)
	p.Full, p.Fetch = true, s.fetch
	picture, err := r.Picture(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		t.Fatal(err)
	}
	if size := decoded.Bounds().Size(); size.X != width || size.Y != 3000 {
		t.Errorf("the picture has %v, want %d × 3000", size, width)
	}
	if got := color.RGBAModel.Convert(decoded.At(600, 2500)); got != (color.RGBA{0, 0xaa, 0, 0xff}) {
		t.Errorf("the background is %v, want the style's green (asked for %v)", got, s.asked)
	}
}

// TestPageReachesNothingByItself is a page that tries every way out that a browser has.
func TestPageReachesNothingByItself(t *testing.T) {
	r := newRenderer(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var reached atomic.Int32
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			reached.Add(1)
			c.Close()
		}
	}()
	at := l.Addr().String()
	u, err := net.ListenPacket("udp", at) // for WebRTC and HTTP/3
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	go func() {
		for {
			if _, _, err := u.ReadFrom(make([]byte, 1500)); err != nil {
				return
			}
			reached.Add(1)
		}
	}()
	s := &site{}
	p := html(strings.ReplaceAll(`</head><body style="background:#00f"><img src="http://AT/img"><iframe src="http://AT/frame"></iframe>
<link rel="preconnect" href="http://AT/"><link rel="dns-prefetch" href="//AT"><script>
new WebSocket("ws://AT/ws"); fetch("http://AT/get"); fetch("http://AT/post", {method: "POST", body: "x"}); navigator.sendBeacon("http://AT/beacon", "x")
try { new RTCPeerConnection({iceServers: [{urls: "stun:AT"}]}).createDataChannel("x") } catch {}
try { let c = new RTCPeerConnection({iceServers: [{urls: ["stun:AT", "turn:AT?transport=tcp", "turn:AT"], username: "x", credential: "x"}]}); c.createDataChannel("x"); c.createOffer().then(o => c.setLocalDescription(o)) } catch {}
try { let w = open("http://AT/popup"); w = open("about:blank"); w.document.write("<img src=http://AT/popup-img><script>new WebSocket('ws://AT/popup-ws')<\/script>") } catch {}
try { let a = document.createElement("a"); a.href = "http://AT/download"; a.download = "x"; document.body.append(a); a.click() } catch {}
try { new SharedWorker(URL.createObjectURL(new Blob(["fetch('http://AT/shared'); new WebSocket('ws://AT/ws3')"]))) } catch {}
try { let f = document.createElement("form"); f.action = "http://AT/form"; f.target = "_blank"; f.method = "post"; document.body.append(f); f.submit() } catch {}
try { new EventSource("http://AT/events") } catch {}
try { new Worker(URL.createObjectURL(new Blob(["fetch('http://AT/worker'); new WebSocket('ws://AT/ws2')"]))) } catch {}
try { new WebTransport("https://AT/wt") } catch {}
fetch("file:///etc/passwd").catch(() => {}); setTimeout(() => location = "http://AT/away", 50)
</script>`, "AT", at))
	p.URL, p.Fetch = "http://site.test/", s.fetch
	picture, err := r.Picture(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		t.Fatal(err)
	}
	if got := color.RGBAModel.Convert(decoded.At(1000, 700)); got != (color.RGBA{0, 0, 0xff, 0xff}) {
		t.Errorf("the page is %v, want its own blue: it went elsewhere", got)
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("%d connections came to a listener on this machine, want none", n)
	}
	for _, url := range s.asked {
		if !slices.Contains([]string{"http://" + at + "/img", "http://" + at + "/frame", "http://" + at + "/get", "http://" + at + "/worker", "http://" + at + "/events"}, url) {
			t.Errorf("the crawler was asked for %s", url)
		}
	}
}

func TestEndlessPageEnds(t *testing.T) {
	r := newRenderer(t)
	s := &site{}
	p := html(`</head><body><script>setInterval(() => fetch("/" + Math.random()), 1); setTimeout(() => { for (;;) {} }, 100)</script>`)
	p.Fetch = s.fetch
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	started := time.Now()
	_, err := r.Picture(ctx, p)
	if took := time.Since(started); err == nil && took > 8*time.Second || took > 8*time.Second {
		t.Errorf("it took %s, want about the deadline's 3 s", took)
	}
	if len(s.asked) > maxRequests {
		t.Errorf("%d requests, limit %d", len(s.asked), maxRequests)
	}
}
