package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"sward/crawler"
)

const (
	listChunk = 1000    // addresses queued in one transaction, so that results of other jobs never wait long
	maxList   = 100_000 // addresses of a batch
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
	if len(q.URLs) > maxList {
		refuse(w, http.StatusBadRequest, apiBadRequest, fmt.Sprintf("urls has from 1 to %d entries, not %d", maxList, len(q.URLs)))
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
	first := urls[:min(len(urls), listChunk)]
	var j crawler.Job
	if q.AppendToID != "" {
		running, err := s.c.Job(r.Context(), a, q.AppendToID)
		if err == nil && running.Kind != crawler.Batch {
			err = crawler.ErrNoJob
		}
		if err == nil {
			j, err = s.c.Extend(r.Context(), running, first)
		}
		if err != nil {
			s.refuseStart(w, r, err)
			return
		}
	} else {
		var ok bool
		o := q.order(r)
		o.URLs, o.Webhook, o.Dedupe, o.MaxTime, o.MaxBytes = first, q.Webhook, q.Dedupe, q.MaxTime, q.MaxBytes
		if j, ok = s.start(w, r, a, crawler.Batch, o); !ok {
			return
		}
	}
	if err := s.append(r, j, urls[len(first):]); err != nil {
		if q.AppendToID == "" {
			err = errors.Join(err, s.undo(r, j))
		}
		s.refuseStart(w, r, err)
		return
	}
	answer(w, http.StatusOK, started{Success: true, ID: j.ID, URL: origin(r) + version(r) + "/batch/scrape/" + j.ID, Invalid: invalid})
}

// append queues the rest of a list, a chunk at a time. The pages of the chunk before take longer than that, so that the
// job cannot end in between. What could not be appended to a job that runs changes nothing of what it has: the same list
// sent again adds what is missing.
func (s *API) append(r *http.Request, j crawler.Job, urls []string) error {
	for chunk := range slices.Chunk(urls, listChunk) {
		if _, err := s.c.Extend(r.Context(), j, chunk); err != nil {
			return err
		}
	}
	return nil
}

// undo ends a job that could not be queued whole, which its partner does not know, and frees the name of its order: who
// sends it again gets a job.
func (s *API) undo(r *http.Request, j crawler.Job) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(r.Context()), cleanUp)
	defer stop()
	_, err := s.abandon(ctx, j)
	return errors.Join(err, s.c.Forget(ctx, j))
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
