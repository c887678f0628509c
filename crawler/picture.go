package crawler

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"sward/crawler/fetch"
	"sward/crawler/render"
	"sward/internal/wire"
)

// belongTime is for one thing that belongs to a page, its turn at the host included.
const belongTime = 15 * time.Second

// errNoBelonging is for what a page names and may not have.
var errNoBelonging = errors.New("it may not be fetched")

// payerKey finds in a context for whose account a picture is taken: one fetcher serves all, so that it keeps the pace of a
// host whoever asks.
type payerKey struct{}

func (c *Crawler) newPictures() *fetch.Fetcher {
	return c.tunnelBy(func(ctx context.Context, hostport string) (net.Conn, string, error) {
		a, _ := ctx.Value(payerKey{}).(Account)
		return c.cfg.OpenTunnel(ctx, a, hostport, nil)
	}).fetcher
}

// checkPictures refuses what no browser is here for.
func (c *Crawler) checkPictures(o ScrapeOptions) error {
	if _, wanted := o.pictured(); wanted && c.cfg.Pictures == nil {
		return fmt.Errorf("format %q is not offered here: the operator has set up no browser", FormatScreenshot)
	}
	return nil
}

// pictured says whether a picture is wanted, and whether of the whole page.
func (o ScrapeOptions) pictured() (full, wanted bool) {
	full = slices.Contains(o.Formats, FormatFullScreenshot)
	return full, full || slices.Contains(o.Formats, FormatScreenshot)
}

// addPicture adds what a browser shows of the page, drawn from the bytes that are delivered. It waits until the lease's edge
// has asked the host for everything, because two at a time would be rude. A page without its picture is delivered all the
// same, and says so. The caller holds a reader's token, which others have meanwhile: the browser is a process of its own.
func (c *Crawler) addPicture(ctx context.Context, l *lease, d *Document, a arrival, at *url.URL) {
	full, wanted := l.job.order.Scrape.pictured()
	if !wanted || c.cfg.Pictures == nil || l.quiet == nil {
		return
	}
	<-c.readers
	defer func() { c.readers <- struct{}{} }()
	select {
	case <-l.quiet:
	case <-ctx.Done():
		return
	}
	header, err := a.Header()
	if err != nil {
		header = http.Header{}
	}
	// What the picture needs is paid like the page: it is no waste that the refund is reckoned from.
	paid := context.WithValue(context.WithValue(ctx, payerKey{}, l.job.account), billKey{}, nil)
	picture, err := c.cfg.Pictures.Picture(paid, render.Page{
		URL: at.String(), Status: a.Status, Header: header, Body: a.Body, Full: full,
		Fetch: func(ctx context.Context, address string) (render.Resource, error) {
			return c.belonging(ctx, l, address)
		},
	})
	if err != nil {
		d.Warning = "there is no screenshot of this page: the browser failed"
		c.cfg.Log.Debug("no picture", "error", err)
		return
	}
	d.Screenshot = "data:image/png;base64," + base64.StdEncoding.EncodeToString(picture)
}

// belonging fetches something that belongs to a page over the tunnel road: robots.txt, pace and gate hold for it as for a page.
func (c *Crawler) belonging(ctx context.Context, l *lease, address string) (got render.Resource, err error) {
	at, err := url.Parse(address)
	if err != nil {
		return got, err
	}
	if err := reachable(at); err != nil {
		return got, err
	}
	if _, denied := c.cardOf(ctx, at).denies(c.cfg.Agent, at); denied {
		return got, errNoBelonging
	}
	order := fetch.Batch{
		Job: l.job.wireID(), URLs: []string{address}, Delay: l.delay, Deadline: belongTime, Agent: c.cfg.Agent, MaxBody: int64(c.cfg.MaxBody),
	}
	err = c.pictures.Fetch(ctx, order, func(r fetch.Result) error {
		if r.Code != wire.OK {
			return wire.Errorf(r.Code, "%s", r.Code.Meaning())
		}
		header, err := r.Header()
		got = render.Resource{URL: r.URL, Status: r.Status, Header: header, Body: r.Body}
		return err
	})
	return got, err
}
