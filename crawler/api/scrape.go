package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"sward/crawler"
	"sward/internal/wire"
)

// cleanUp is the time a request that has ended may still take to end its job.
const cleanUp = 5 * time.Second

// scrapeRequest is a page to fetch while the partner waits.
type scrapeRequest struct {
	URL       string `json:"url"`
	Execution string `json:"execution"`
	crawler.ScrapeOptions
}

// postScrape is a crawl of one page with somebody waiting for it. It takes its turn at the host like
// every other fetch.
func (s *server) postScrape(w http.ResponseWriter, r *http.Request, a crawler.Account) {
	var q scrapeRequest
	if !decode(w, r, &q) {
		return
	}
	j, ok := s.start(w, r, a, crawler.Scrape, crawler.Order{URL: q.URL, Scrape: q.ScrapeOptions, Execution: q.Execution})
	if !ok {
		return
	}
	patience := q.Patience()
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	if ended, err := s.c.Wait(ctx, j); err == nil {
		s.answerScrape(w, r, ended)
		return
	} else if ctx.Err() == nil {
		s.broken(w, r, err)
		return
	}
	ending, stop := context.WithTimeout(context.WithoutCancel(ctx), cleanUp)
	defer stop()
	err := s.c.Cancel(ending, j)
	if err == nil {
		j, err = s.c.Job(ending, a, j.ID)
	}
	switch {
	case errors.Is(err, crawler.ErrEnded), err == nil && j.State != crawler.Cancelled: // it came at the last moment
		s.answerScrape(w, r, j)
	case err != nil:
		s.broken(w, r, err)
	case !j.Stalled.IsZero():
		refuse(w, http.StatusServiceUnavailable, strings.ToUpper(wire.NoEdge.Name()), wire.NoEdge.Meaning())
	default:
		refuse(w, http.StatusRequestTimeout, apiTimeout, "the page did not come within "+patience.String())
	}
}

// getScrape answers with a page that was scraped before.
func (s *server) getScrape(w http.ResponseWriter, r *http.Request, a crawler.Account) {
	if j, ok := s.find(w, r, a, crawler.Scrape); ok {
		s.answerScrape(w, r, j)
	}
}

func (s *server) answerScrape(w http.ResponseWriter, r *http.Request, j crawler.Job) {
	list, err := s.c.Documents(r.Context(), j, 0, 1)
	if err != nil {
		s.broken(w, r, err)
		return
	}
	if len(list) == 1 {
		answer(w, http.StatusOK, map[string]any{"success": true, "data": list[0]})
		return
	}
	why, err := s.c.Errors(r.Context(), j)
	if err != nil {
		s.broken(w, r, err)
		return
	}
	e := crawler.PageError{Code: j.Failure, Error: j.Explain()}
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
	case crawler.CodeUnsupported:
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
