package api

import (
	"errors"
	"fmt"
	"net/http"

	"sward/crawler"
	"sward/internal/wire"
	"sward/policy"
)

// wishes are fields of Firecrawl's that would change what a partner gets, or what becomes of it, and that this network
// cannot grant. Whatever else is not known is ignored, because every release of the SDKs sends new fields; these are
// refused, because a partner who relies on one is worse served by silence.
type wishes struct {
	IgnoreRobots      bool `json:"ignoreRobotsTxt"`
	ZeroDataRetention bool `json:"zeroDataRetention"`
}

func (q wishes) check() error {
	switch {
	case q.IgnoreRobots:
		return errors.New("ignoreRobotsTxt is not offered: robots.txt is obeyed in every job")
	case q.ZeroDataRetention:
		return errors.New("zeroDataRetention is not offered: results are kept for a day, and what was fetched stays in the archive")
	}
	return nil
}

// started answers the start of a job that is polled.
type started struct {
	Success bool     `json:"success"`
	ID      string   `json:"id"`
	URL     string   `json:"url"`
	Invalid []string `json:"invalidURLs,omitempty"`
	Warning string   `json:"warning,omitempty"`
}

// crawlRequest is an order, and what only clients of version 1 say.
type crawlRequest struct {
	crawler.Order
	wishes
	orderV1
	Prompt string `json:"prompt"`
}

func (s *API) postCrawl(w http.ResponseWriter, r *http.Request, a crawler.Account) {
	var q crawlRequest
	if !decode(w, r, &q) {
		return
	}
	if err := q.check(); err != nil {
		refuse(w, http.StatusBadRequest, apiBadRequest, err.Error())
		return
	}
	o := q.Order
	if isV1(r) {
		o = q.orderV1.translate(o)
	}
	need := 1
	if o.Limit != nil {
		need = *o.Limit
	}
	if !s.affords(w, r, a, need) {
		return
	}
	if j, ok := s.start(w, r, a, crawler.Crawl, o); ok {
		said := started{Success: true, ID: j.ID, URL: origin(r) + version(r) + "/crawl/" + j.ID}
		if q.Prompt != "" {
			said.Warning = "prompt was ignored: no language model reads it here; includePaths and excludePaths say what to crawl"
		}
		answer(w, http.StatusOK, said)
	}
}

// start starts a job, or answers why not and reports false.
func (s *API) start(w http.ResponseWriter, r *http.Request, a crawler.Account, k crawler.Kind, o crawler.Order) (crawler.Job, bool) {
	key, err := idempotencyKey(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, apiBadRequest, err.Error())
		return crawler.Job{}, false
	}
	o.Once = key
	j, err := s.c.Start(r.Context(), a, k, o)
	if err != nil {
		s.refuseStart(w, r, err)
		return j, false
	}
	return j, true
}

func (s *API) refuseStart(w http.ResponseWriter, r *http.Request, err error) {
	if wrong, ok := errors.AsType[*crawler.OrderError](err); ok {
		f := failure{Code: apiBadRequest, Error: wrong.Error()}
		if denied, ok := errors.AsType[*policy.Denied](err); ok {
			f.Details = map[string]string{"rule": denied.Rule} // a destination that nobody may reach keeps its name
		}
		answer(w, http.StatusBadRequest, f)
		return
	}
	if refusal, ok := errors.AsType[*wire.Error](err); ok {
		refuseCode(w, refusal.Code)
		return
	}
	switch {
	case errors.Is(err, crawler.ErrRepeated):
		refuse(w, http.StatusConflict, apiRepeated, "Idempotency key already used")
	case errors.Is(err, crawler.ErrEnded):
		refuse(w, http.StatusConflict, apiEnded, err.Error())
	case errors.Is(err, crawler.ErrNoJob):
		refuse(w, http.StatusNotFound, apiNotFound, "Job not found")
	default:
		s.broken(w, r, err)
	}
}

// maxIdempotency is the longest key of a request that is to be done once, in bytes. Clients send UUIDs.
const maxIdempotency = 128

func idempotencyKey(r *http.Request) (string, error) {
	key := r.Header.Get("X-Idempotency-Key")
	if len(key) > maxIdempotency {
		return "", fmt.Errorf("x-idempotency-key has at most %d bytes", maxIdempotency)
	}
	return key, nil
}
