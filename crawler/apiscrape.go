package crawler

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"sward/internal/wire"
)

// cleanUp is the time a request that has ended may still take to end its job.
const cleanUp = 5 * time.Second

// scrapeRequest is a page to fetch while the partner waits.
type scrapeRequest struct {
	URL       string `json:"url"`
	Execution string `json:"execution"`
	ScrapeOptions
}

// postScrape is a crawl of one page with somebody waiting for it. It takes its turn at the host like
// every other fetch.
func (c *Crawler) postScrape(w http.ResponseWriter, r *http.Request, a Account) {
	var q scrapeRequest
	if !decode(w, r, &q) {
		return
	}
	start, err := startAddress(q.URL)
	one := 1
	o := Order{URL: start, Limit: &one, Sitemap: "skip", Scrape: q.ScrapeOptions, Execution: q.Execution}
	if err == nil {
		err = o.check()
	}
	if err != nil {
		refuseOrder(w, err)
		return
	}
	patience := q.timeout()
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	j, err := c.jobs.create(a, Scrape, o, start, c.cfg.Clock(), patience+tidyEvery)
	if errors.Is(err, errTooMany) {
		refuseCode(w, wire.PartnerLimit)
		return
	}
	if err != nil {
		c.broken(w, r, err)
		return
	}
	done, err := c.jobs.wait(ctx, j.id)
	if err != nil {
		c.broken(w, r, err)
		return
	}
	signal(c.wake)
	select {
	case <-done:
		c.answerScrape(w, r, j.id)
	case <-ctx.Done():
		ending, stop := context.WithTimeout(context.WithoutCancel(ctx), cleanUp)
		defer stop()
		err := c.end(ending, j, Cancelled, wire.OK)
		if err == nil {
			j, err = c.jobs.byID(ending, j.id)
		}
		switch {
		case err != nil:
			c.broken(w, r, err)
		case !j.stalled.IsZero():
			refuse(w, http.StatusServiceUnavailable, strings.ToUpper(wire.NoEdge.Name()), wire.NoEdge.Meaning())
		default:
			refuse(w, http.StatusRequestTimeout, apiTimeout, "the page did not come within "+patience.String())
		}
	}
}

// getScrape answers with a page that was scraped before.
func (c *Crawler) getScrape(w http.ResponseWriter, r *http.Request, a Account) {
	if j := c.find(w, r, a, Scrape); j != nil {
		c.answerScrape(w, r, j.id)
	}
}

func (c *Crawler) answerScrape(w http.ResponseWriter, r *http.Request, id int64) {
	list, err := c.documents(r.Context(), id, 0, 1)
	if err != nil {
		c.broken(w, r, err)
		return
	}
	if len(list) == 1 {
		answer(w, http.StatusOK, map[string]any{"success": true, "data": list[0]})
		return
	}
	why, err := c.errors(r.Context(), id)
	if err != nil {
		c.broken(w, r, err)
		return
	}
	j, err := c.jobs.byID(r.Context(), id)
	if err != nil {
		c.broken(w, r, err)
		return
	}
	e := PageError{Code: j.failure, Error: explain(j.failure)}
	if len(why) > 0 {
		e = why[len(why)-1]
	}
	status, code := scrapeFailure(e.Code)
	answer(w, status, failure{Code: code, Error: e.Error, Details: map[string]string{"code": e.Code, "owner": e.Owner}})
}

// scrapeFailure puts the reason in Firecrawl's words where it has some. Targets' failures are 500 and
// not 502, because SDKs repeat the latter and the network has tried often enough.
func scrapeFailure(name string) (status int, code string) {
	switch name {
	case "", "cancelled":
		return http.StatusRequestTimeout, apiTimeout
	case codeUnsupported:
		return http.StatusUnprocessableEntity, "SCRAPE_UNSUPPORTED_FILE_ERROR"
	}
	known, ok := wire.CodeByName(name)
	if !ok {
		return http.StatusInternalServerError, "SCRAPE_SITE_ERROR"
	}
	switch {
	case known == wire.DNSError || known == wire.DNSNotFound:
		return http.StatusInternalServerError, "SCRAPE_DNS_RESOLUTION_ERROR"
	case known == wire.TLSError:
		return http.StatusInternalServerError, "SCRAPE_SSL_ERROR"
	case known == wire.BalanceExhausted:
		return http.StatusPaymentRequired, "PAYMENT_REQUIRED"
	case known == wire.NoEdge || known == wire.HubAway:
		return http.StatusServiceUnavailable, strings.ToUpper(name)
	case known.Owner() == wire.OwnerPolicy:
		return http.StatusForbidden, strings.ToUpper(name)
	default:
		return http.StatusInternalServerError, "SCRAPE_SITE_ERROR"
	}
}
