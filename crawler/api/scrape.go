package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"sward/crawler"
	"sward/internal/wire"
)

const (
	cleanUp     = 5 * time.Second // a request that has ended may still take to end its job
	resumeAfter = 5               // seconds until a client should ask again; they wait no less
	resumeFor   = 5 * time.Minute // since a scrape's time was over: an older page is not what is asked for
)

// pageRequest is what is asked of pages that are named one by one.
type pageRequest struct {
	wishes
	crawler.ScrapeOptions
	Execution string         `json:"execution"`
	Purpose   string         `json:"purpose"`
	Policy    crawler.Policy `json:"policy"`
}

func (q pageRequest) order(r *http.Request) crawler.Order {
	o := crawler.Order{Scrape: q.ScrapeOptions, Execution: q.Execution, Purpose: q.Purpose, Policy: q.Policy}
	if isV1(r) {
		o.Scrape = scrapeV1(o.Scrape)
	}
	return o
}

// scrapeRequest is a page to fetch while the partner waits.
type scrapeRequest struct {
	URL string `json:"url"`
	pageRequest
}

// postScrape is a crawl of one page with somebody waiting for it. It takes its turn at the host like
// every other fetch.
func (s *API) postScrape(w http.ResponseWriter, r *http.Request, a crawler.Account) {
	var q scrapeRequest
	if !decode(w, r, &q) {
		return
	}
	if err := q.check(); err != nil {
		refuse(w, http.StatusBadRequest, apiBadRequest, err.Error())
		return
	}
	o := q.order(r)
	o.URL = q.URL
	name := resumeName(o)
	j, err := s.c.Held(r.Context(), a, name)
	if err == nil && (j.State == crawler.Cancelled || time.Since(j.Created) > o.Scrape.Patience()+resumeFor) {
		err = crawler.ErrNoJob
	}
	if errors.Is(err, crawler.ErrNoJob) {
		if !s.affords(w, r, a, 1) {
			return
		}
		var ok bool
		if j, ok = s.start(w, r, a, crawler.Scrape, o); !ok {
			return
		}
	} else if err != nil {
		s.broken(w, r, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), o.Scrape.Patience())
	defer cancel()
	if ended, err := s.c.Wait(ctx, j); err == nil {
		s.answerScrape(w, r, ended)
	} else if ctx.Err() == nil {
		s.broken(w, r, err)
	} else {
		s.leave(w, r, j, name)
	}
}

// leave answers that the time is over. The job of a client of version 2 goes on for a while, if an edge is at it: such a
// client sends the same request again when it is told so, and then gets the page instead of another fetch.
func (s *API) leave(w http.ResponseWriter, r *http.Request, j crawler.Job, name string) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(r.Context()), cleanUp)
	defer stop()
	patience := j.Order.Scrape.Patience()
	late := "the page did not come within " + patience.String()
	j, err := s.c.Job(ctx, j.Account, j.ID)
	if err == nil && j.State == crawler.Scraping && j.Stalled.IsZero() && !isV1(r) && r.Context().Err() == nil {
		if err = s.c.Hold(ctx, j, name); err == nil {
			refuseContinues(w, j, late+"; ask again for it")
			return
		}
	}
	if err == nil {
		j, err = s.abandon(ctx, j)
	}
	switch {
	case err != nil:
		s.broken(w, r, err)
	case j.State != crawler.Cancelled:
		s.answerScrape(w, r, j)
	case !j.Stalled.IsZero():
		refuseNoEdge(w)
	default:
		refuse(w, http.StatusRequestTimeout, apiTimeout, late)
	}
}

// resumeName is the same for requests that ask for the same page in the same way.
func resumeName(o crawler.Order) string {
	text, err := json.Marshal(o)
	if err != nil {
		return "" // an order that cannot be written is not taken either
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// abandon ends a job that nobody waits for any more, and returns what became of it: its end may have come first.
func (s *API) abandon(ctx context.Context, j crawler.Job) (crawler.Job, error) {
	if err := s.c.Cancel(ctx, j); err != nil && !errors.Is(err, crawler.ErrEnded) {
		return j, err
	}
	return s.c.Job(ctx, j.Account, j.ID)
}

// await waits for a job's end, and cancels it when the time is over or the partner has gone.
func (s *API) await(r *http.Request, j crawler.Job, patience time.Duration) (crawler.Job, error) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	ended, err := s.c.Wait(ctx, j)
	if err == nil || ctx.Err() == nil {
		return ended, err
	}
	ending, stop := context.WithTimeout(context.WithoutCancel(ctx), cleanUp)
	defer stop()
	return s.abandon(ending, j)
}

func refuseNoEdge(w http.ResponseWriter) {
	refuse(w, http.StatusServiceUnavailable, strings.ToUpper(wire.NoEdge.Name()), wire.NoEdge.Meaning())
}

// getScrape answers with a page that was scraped before, or is still being fetched.
func (s *API) getScrape(w http.ResponseWriter, r *http.Request, a crawler.Account) {
	switch j, ok := s.find(w, r, a, crawler.Scrape); {
	case !ok:
	case j.State == crawler.Scraping:
		refuseContinues(w, j, "the page is still being fetched")
	default:
		s.answerScrape(w, r, j)
	}
}

// refuseContinues tells a client of version 2 that it need only ask again.
func refuseContinues(w http.ResponseWriter, j crawler.Job, message string) {
	w.Header().Set("Retry-After", strconv.Itoa(resumeAfter))
	answer(w, http.StatusRequestTimeout, failure{Code: apiTimeout, Error: message, Details: map[string]any{
		"state": "processing_continues", "retryAfterSeconds": resumeAfter, "id": j.ID,
	}})
}

func (s *API) answerScrape(w http.ResponseWriter, r *http.Request, j crawler.Job) {
	list, err := s.c.Documents(r.Context(), j, 0, 1)
	if err != nil {
		s.broken(w, r, err)
		return
	}
	if len(list) == 1 {
		answer(w, http.StatusOK, map[string]any{"success": true, "data": list[0]})
		return
	}
	s.answerFailed(w, r, j)
}

// answerFailed says why a job that was waited for came to nothing: because of its one page, mostly.
func (s *API) answerFailed(w http.ResponseWriter, r *http.Request, j crawler.Job) {
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
	details := map[string]string{"code": e.Code, "owner": e.Owner}
	if e.Price != "" {
		details["price"] = e.Price
	}
	answer(w, status, failure{Code: code, Error: e.Error, Details: details})
}

// scrapeFailure puts the reason in Firecrawl's words where it has some. Targets' failures are 500 and
// not 502, because SDKs repeat the latter and the network has tried often enough.
func scrapeFailure(name string) (status int, code string) {
	switch name {
	case "", "cancelled", wire.FetchTimeout.Name():
		return http.StatusRequestTimeout, apiTimeout
	case crawler.CodeReserved, crawler.CodeGranted:
		return http.StatusForbidden, strings.ToUpper(name)
	case crawler.CodePayment: // not 402, which speaks of the account
		return http.StatusForbidden, "PAYMENT_REQUIRED_BY_SITE"
	case crawler.CodeNotRemembered:
		return http.StatusNotFound, "SCRAPE_NO_CACHED_DATA"
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
