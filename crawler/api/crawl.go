package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"sward/crawler"
	"sward/internal/wire"
	"sward/policy"
)

// start starts a job, or answers why not and reports false.
func (s *server) start(w http.ResponseWriter, r *http.Request, a crawler.Account, k crawler.Kind, o crawler.Order) (crawler.Job, bool) {
	j, err := s.c.Start(r.Context(), a, k, o)
	if wrong, ok := errors.AsType[*crawler.OrderError](err); ok {
		f := failure{Code: apiBadRequest, Error: wrong.Error()}
		if denied, ok := errors.AsType[*policy.Denied](err); ok {
			f.Details = map[string]string{"rule": denied.Rule} // a destination that nobody may reach keeps its name
		}
		answer(w, http.StatusBadRequest, f)
		return j, false
	}
	if refusal, ok := errors.AsType[*wire.Error](err); ok {
		refuseCode(w, refusal.Code)
		return j, false
	}
	if err != nil {
		s.broken(w, r, err)
		return j, false
	}
	return j, true
}

func (s *server) postCrawl(w http.ResponseWriter, r *http.Request, a crawler.Account) {
	var o crawler.Order
	if !decode(w, r, &o) {
		return
	}
	j, ok := s.start(w, r, a, crawler.Crawl, o)
	if !ok {
		return
	}
	answer(w, http.StatusOK, struct {
		Success bool   `json:"success"`
		ID      string `json:"id"`
		URL     string `json:"url"`
	}{true, j.ID, origin(r) + "/v2/crawl/" + j.ID})
}

// origin is the scheme and host under which the partner reaches us: next pages have to lead back here
// and not to what we happen to be called inside.
func origin(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	// A reverse proxy that ends TLS says so. Nobody but the caller is fooled by a false one.
	if forwarded, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ","); forwarded == "http" || forwarded == "https" {
		scheme = forwarded
	}
	return scheme + "://" + r.Host
}

// jobStatus is the answer to a poll.
type jobStatus struct {
	Success     bool              `json:"success"`
	Status      string            `json:"status"`
	Completed   int               `json:"completed"`
	Total       int               `json:"total"`
	CreditsUsed int               `json:"creditsUsed"`
	CreatedAt   time.Time         `json:"createdAt"`
	CompletedAt *time.Time        `json:"completedAt,omitempty"`
	ExpiresAt   time.Time         `json:"expiresAt"`
	Error       string            `json:"error,omitempty"`
	Next        string            `json:"next,omitempty"`
	Data        []json.RawMessage `json:"data"`
}

func (s *server) getCrawl(w http.ResponseWriter, r *http.Request, a crawler.Account) {
	skip, err := queryInt(r, "skip", 0)
	if err == nil && skip < 0 {
		err = errors.New("skip is not negative")
	}
	limit, limitErr := queryInt(r, "limit", crawler.MaxDocuments)
	if limitErr == nil && limit < 1 {
		limitErr = errors.New("limit is at least 1")
	}
	if err := errors.Join(err, limitErr); err != nil {
		refuse(w, http.StatusBadRequest, apiBadRequest, err.Error())
		return
	}
	j, ok := s.find(w, r, a, crawler.Crawl)
	if !ok {
		return
	}
	st := jobStatus{
		Success: true, Status: j.State.String(), Completed: j.Completed, Total: j.Total, CreditsUsed: j.Completed,
		CreatedAt: j.Created.UTC(), ExpiresAt: j.Expires.UTC(),
	}
	if !j.Finished.IsZero() {
		at := j.Finished.UTC()
		st.CompletedAt = &at
	}
	if j.State == crawler.Failed {
		st.Error = j.Explain()
	}
	// Documents that were settled since the job was read wait for the next poll, so that completed
	// and data agree.
	if st.Data, err = s.c.Documents(r.Context(), j, skip, min(limit, max(0, j.Completed-skip))); err != nil {
		s.broken(w, r, err)
		return
	}
	if served := skip + len(st.Data); len(st.Data) > 0 && served < j.Completed {
		st.Next = origin(r) + r.URL.Path + "?skip=" + strconv.Itoa(served)
		if r.URL.Query().Has("limit") {
			st.Next += "&limit=" + strconv.Itoa(limit)
		}
	}
	answer(w, http.StatusOK, st)
}

func queryInt(r *http.Request, name string, or int) (int, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return or, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("%s is not a number", name)
	}
	return n, nil
}
