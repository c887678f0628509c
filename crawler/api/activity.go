package api

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"sward/crawler"
)

// maxListed is how many jobs one answer lists at most.
const maxListed = 100

// endpoints are Firecrawl's names for what an account did.
var endpoints = map[crawler.Kind]string{
	crawler.Crawl: "crawl", crawler.Scrape: "scrape", crawler.Batch: "batch_scrape", crawler.Map: "map",
}

// page reads limit and cursor of a list.
func page(r *http.Request) (n int, after string, err error) {
	if n, err = queryInt(r, "limit", maxListed/2); err == nil && (n < 1 || n > maxListed) {
		err = fmt.Errorf("limit is from 1 to %d", maxListed)
	}
	return n, r.URL.Query().Get("cursor"), err
}

// getActivity lists an account's jobs, newest first, of one kind or of all.
func (s *API) getActivity(w http.ResponseWriter, r *http.Request, a crawler.Account) {
	type entry struct {
		ID        string    `json:"id"`
		Endpoint  string    `json:"endpoint"`
		URL       string    `json:"url,omitempty"`
		Status    string    `json:"status"`
		CreatedAt time.Time `json:"created_at"`
		Credits   int       `json:"credits_used"`
	}
	want := r.URL.Query().Get("endpoint")
	s.list(w, r, a, func(j crawler.Job) (any, bool) {
		name := endpoints[j.Kind]
		return entry{j.ID, name, j.Order.URL, j.State.String(), j.Created.UTC(), newStatus(j, time.Now()).CreditsUsed}, want == "" || want == name
	})
}

// getJobs lists an account's jobs with their progress, newest first: what a console shows.
func (s *API) getJobs(w http.ResponseWriter, r *http.Request, a crawler.Account) {
	type entry struct {
		Kind       string `json:"kind"`
		URL        string `json:"url,omitempty"`
		Discovered int    `json:"discovered"` // addresses that were seen
		jobStatus
	}
	s.list(w, r, a, func(j crawler.Job) (any, bool) {
		return entry{endpoints[j.Kind], j.Order.URL, j.Discovered, newStatus(j, time.Now())}, true
	})
}

// list answers with one page of an account's jobs; where a filter takes many away there may be fewer than were asked for,
// and a cursor to go on.
func (s *API) list(w http.ResponseWriter, r *http.Request, a crawler.Account, show func(crawler.Job) (any, bool)) {
	n, after, err := page(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, apiBadRequest, err.Error())
		return
	}
	jobs, err := s.c.JobsBefore(r.Context(), a, after, n+1)
	if errors.Is(err, crawler.ErrNoJob) {
		refuse(w, http.StatusBadRequest, apiBadRequest, "cursor is not one of this account's jobs")
		return
	}
	if err != nil {
		s.broken(w, r, err)
		return
	}
	more := len(jobs) > n
	if more {
		jobs = jobs[:n]
	}
	data := []any{}
	for _, j := range jobs {
		if row, ok := show(j); ok {
			data = append(data, row)
		}
	}
	body := map[string]any{"success": true, "data": data, "has_more": more, "cursor": nil}
	if more {
		body["cursor"] = jobs[len(jobs)-1].ID
	}
	answer(w, http.StatusOK, body)
}
