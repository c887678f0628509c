package api

import (
	"net/http"

	"sward/crawler"
)

// batchRequest is a list of pages.
type batchRequest struct {
	URLs          []string `json:"urls"`
	AppendToID    string   `json:"appendToId"`
	IgnoreInvalid *bool    `json:"ignoreInvalidURLs"`
	pageRequest

	Webhook  *crawler.Webhook `json:"webhook"`
	Dedupe   string           `json:"dedupe"`
	MaxTime  int              `json:"maxTime"`
	MaxBytes int64            `json:"maxBytes"`
}

// postBatch starts a job of pages that the partner lists, or adds pages to one.
func (s *API) postBatch(w http.ResponseWriter, r *http.Request, a crawler.Account) {
	var q batchRequest
	if !decode(w, r, &q) {
		return
	}
	if err := q.check(); err != nil {
		refuse(w, http.StatusBadRequest, apiBadRequest, err.Error())
		return
	}
	urls, invalid := sift(q.URLs)
	ignore := !isV1(r) // the versions' defaults
	if q.IgnoreInvalid != nil {
		ignore = *q.IgnoreInvalid
	}
	if len(invalid) > 0 && (!ignore || len(urls) == 0) {
		answer(w, http.StatusBadRequest, failure{
			Code: apiBadRequest, Error: "urls holds addresses that cannot be fetched", Details: map[string]any{"invalidURLs": invalid},
		})
		return
	}
	if !s.affords(w, r, a, len(urls)) {
		return
	}
	var j crawler.Job
	if q.AppendToID != "" {
		running, err := s.c.Job(r.Context(), a, q.AppendToID)
		if err == nil && running.Kind != crawler.Batch {
			err = crawler.ErrNoJob
		}
		if err == nil {
			j, err = s.c.Extend(r.Context(), running, urls)
		}
		if err != nil {
			s.refuseStart(w, r, err)
			return
		}
	} else {
		var ok bool
		o := q.order(r)
		o.URLs, o.Webhook, o.Dedupe, o.MaxTime, o.MaxBytes = urls, q.Webhook, q.Dedupe, q.MaxTime, q.MaxBytes
		if j, ok = s.start(w, r, a, crawler.Batch, o); !ok {
			return
		}
	}
	answer(w, http.StatusOK, started{Success: true, ID: j.ID, URL: origin(r) + version(r) + "/batch/scrape/" + j.ID, Invalid: invalid})
}

// sift tells addresses that can be fetched from those that cannot, as they were sent.
func sift(urls []string) (good, bad []string) {
	for _, raw := range urls {
		if known, err := crawler.Address(raw); err == nil {
			good = append(good, known)
		} else {
			bad = append(bad, raw)
		}
	}
	return good, bad
}
