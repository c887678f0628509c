// Package render takes the picture of a page as a browser shows it.
//
// The browser is a stranger's program that runs strangers' programs, so it is given nothing: no network, no profile, no
// environment, and no rights of the hub's user. It is started for one page and killed after it. Every request that the page
// makes is stopped before it leaves the browser and answered from here (intercept.go): the page itself with the bytes that
// were delivered, so that the picture is of what was paid for, and what belongs to it, styles, images, scripts, through
// Page.Fetch, which is the crawler's own polite way out, with robots.txt, pace and address gate. What is not stopped that
// way, a WebSocket for example, meets a proxy that does not exist.
package render

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

const (
	width, height = 1280, 800              // pixels of the window: a common desk
	maxHeight     = 8_000                  // pixels of a picture of a whole page: ten screens
	maxPicture    = 6 << 20                // bytes of a picture: a document is read whole into memory by whoever gets it
	loadTime      = 20 * time.Second       // for the page and what belongs to it; what has not come by then is left out
	pictureTime   = 10 * time.Second       // to start the browser, and to draw
	quietTime     = 300 * time.Millisecond // after loading: fonts and layout settle
)

// ErrNoPicture tells why there is no picture of a page. The page itself is not to blame, nor lost.
var ErrNoPicture = errors.New("no picture could be taken")

// Config is a renderer's world. Binary is required.
type Config struct {
	Binary string // Chromium, or a program like it
	AtOnce int    // browsers at the same time, each some 300 MB of memory; default 1
}

// Renderer takes pictures. It is safe for concurrent use.
type Renderer struct {
	binary string
	slots  chan struct{}
}

// New returns a renderer. It looks whether the program is there, and does not start it.
func New(c Config) (*Renderer, error) {
	binary, err := exec.LookPath(c.Binary)
	if err != nil {
		return nil, fmt.Errorf("chromium: %w", err)
	}
	return &Renderer{binary: binary, slots: make(chan struct{}, max(c.AtOnce, 1))}, nil
}

// Page is a page that has been fetched.
type Page struct {
	URL    string // without fragment
	Status int
	Header http.Header
	Body   []byte // without content coding
	Full   bool   // the whole page, not only its first screen

	// Fetch gets what belongs to the page. It has the last word on whether and when that may be asked for.
	Fetch func(ctx context.Context, url string) (Resource, error)
}

// Resource is something that belongs to a page.
type Resource struct {
	URL    string // that answered in the end
	Status int
	Header http.Header
	Body   []byte // without content coding
}

// Picture returns a PNG of the page. Its error is an ErrNoPicture, unless ctx has ended.
func (r *Renderer) Picture(ctx context.Context, p Page) ([]byte, error) {
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	limited, cancel := context.WithTimeout(ctx, loadTime+pictureTime)
	defer cancel()
	picture, err := r.take(limited, p)
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrNoPicture, err)
	}
	return picture, nil
}

func (r *Renderer) take(ctx context.Context, p Page) ([]byte, error) {
	ctx, stop, err := r.start(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	v := newVisit(p)
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(width, height)); err != nil { // starts it
		return nil, fmt.Errorf("start the browser: %w", err)
	}
	listening, hush := context.WithCancel(ctx)
	defer func() { hush(); v.working.Wait() }()
	paused := chromedp.Events(listening, fetch.RequestPaused)
	v.working.Go(func() {
		for event, err := range paused {
			if err != nil {
				return
			}
			v.working.Go(func() { v.answer(listening, &event) })
		}
	})
	if _, err := chromedp.Call(ctx, fetch.Enable, fetch.EnableParams{}); err != nil { // every request
		return nil, err
	}
	loading, enough := context.WithTimeout(ctx, loadTime)
	defer enough()
	if err := chromedp.Do(loading, chromedp.Navigate(p.URL), chromedp.Sleep(quietTime)); err != nil && loading.Err() == nil {
		return nil, fmt.Errorf("open the page: %w", err)
	}
	return capture(ctx, p.Full)
}

// capture draws what is there. A whole page that makes too large a picture is cut to its first screen.
func capture(ctx context.Context, full bool) ([]byte, error) {
	order := page.CaptureScreenshotParams{}
	if full {
		size, err := chromedp.Call(ctx, page.GetLayoutMetrics, cdp.Empty{})
		if err != nil {
			return nil, err
		}
		beyond := true
		order.CaptureBeyondViewport = &beyond
		order.Clip = &page.Viewport{Width: width, Height: min(max(size.CSSContentSize.Height, height), maxHeight), Scale: 1}
	}
	drawn, err := chromedp.Call(ctx, page.CaptureScreenshot, order)
	if err != nil {
		return nil, fmt.Errorf("draw: %w", err)
	}
	if len(drawn.Data) <= maxPicture {
		return drawn.Data, nil
	}
	if full {
		return capture(ctx, false)
	}
	return nil, fmt.Errorf("the picture has %d bytes, limit %d", len(drawn.Data), maxPicture)
}
