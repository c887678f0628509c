package render

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

const (
	maxRequests = 60       // of one page: at one a second for a host, more do not come in time
	maxBytes    = 24 << 20 // of all that belongs to a page
)

// left are kinds of requests that no picture needs.
var left = map[network.ResourceType]bool{
	network.ResourceTypeMedia: true, network.ResourceTypePrefetch: true, network.ResourceTypeEventSource: true,
	network.ResourceTypeWebSocket: true, network.ResourceTypeManifest: true, network.ResourceTypePing: true,
	network.ResourceTypeCSPViolationReport: true, network.ResourceTypePreflight: true, network.ResourceTypeTextTrack: true,
	network.ResourceTypeOther: true, // the icon of the tab
}

// dropped are fields of an answer that speak of its journey or ask for another one.
var dropped = map[string]bool{
	"Content-Encoding": true, "Content-Length": true, "Transfer-Encoding": true, "Connection": true, "Trailer": true,
	"Set-Cookie": true, "Alt-Svc": true, "Link": true, "Refresh": true, "Nel": true, "Report-To": true, "Reporting-Endpoints": true,
	"Strict-Transport-Security": true, "Clear-Site-Data": true,
}

// visit is one page with what it asks for.
type visit struct {
	page    Page
	working sync.WaitGroup

	mu       sync.Mutex
	main     cdp.FrameID         // the page's own frame, once it was answered
	moved    map[string]Resource // by the address to which a redirect led
	requests int
	bytes    int
}

func newVisit(p Page) *visit { return &visit{page: p, moved: map[string]Resource{}} }

// answer gives a request its answer, or fails it.
func (v *visit) answer(ctx context.Context, e *fetch.EventRequestPaused) {
	r, ok := v.resource(ctx, e)
	if !ok {
		chromedp.Call(ctx, fetch.FailRequest, fetch.FailRequestParams{ //nolint:errcheck // a browser that has gone asks no more
			RequestID: e.RequestID, ErrorReason: network.ErrorReasonAborted,
		})
		return
	}
	reply := fetch.FulfillRequestParams{RequestID: e.RequestID, ResponseCode: int64(r.Status), Body: r.Body}
	if r.URL != "" && r.URL != e.Request.URL && e.Request.URL != v.page.URL {
		// What is in it, a style's images for example, is relative to where it is.
		v.mu.Lock()
		v.moved[r.URL] = r
		v.mu.Unlock()
		reply.ResponseCode, reply.Body = http.StatusFound, nil
		r.Header = http.Header{"Location": {r.URL}, "Access-Control-Allow-Origin": {"*"}}
	}
	for name, values := range r.Header {
		for _, value := range values {
			if !dropped[http.CanonicalHeaderKey(name)] {
				reply.ResponseHeaders = append(reply.ResponseHeaders, &fetch.HeaderEntry{Name: name, Value: strings.ToValidUTF8(value, "")})
			}
		}
	}
	chromedp.Call(ctx, fetch.FulfillRequest, reply) //nolint:errcheck // likewise
}

// resource finds what was asked for: the page itself, which is here, or something that belongs to it.
func (v *visit) resource(ctx context.Context, e *fetch.EventRequestPaused) (Resource, bool) {
	if e.ResourceType == network.ResourceTypeDocument {
		v.mu.Lock()
		first := v.main == ""
		if first {
			v.main = e.FrameID
		}
		again := !first && e.FrameID == v.main
		v.mu.Unlock()
		if first {
			return Resource{URL: v.page.URL, Status: v.page.Status, Header: v.page.Header, Body: v.page.Body}, true
		}
		if again { // the page wants to be another one
			return Resource{}, false
		}
	}
	u, err := url.Parse(e.Request.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || e.Request.Method != http.MethodGet || left[e.ResourceType] {
		return Resource{}, false
	}
	v.mu.Lock()
	r, known := v.moved[e.Request.URL]
	v.requests++
	spent := v.requests > maxRequests || v.bytes > maxBytes
	v.mu.Unlock()
	if known {
		return r, true
	}
	if spent {
		return Resource{}, false
	}
	r, err = v.page.Fetch(ctx, e.Request.URL)
	if err != nil || r.Status == 0 {
		return Resource{}, false
	}
	v.mu.Lock()
	v.bytes += len(r.Body)
	v.mu.Unlock()
	return r, true
}
