package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"sward/crawler"
)

// jobStatus is the answer to a poll.
type jobStatus struct {
	Success     bool              `json:"success"`
	ID          string            `json:"id"`
	Status      string            `json:"status"`
	Completed   int               `json:"completed"`
	Total       int               `json:"total"`
	Failed      int               `json:"failed"`            // ours, as the next three: pages that came to nothing, which cost nothing
	Bytes       int64             `json:"bytes"`             // of the bodies delivered
	Waiting     string            `json:"waiting,omitempty"` // why nothing has come for a while
	Stopped     string            `json:"stopped,omitempty"` // the bound that ended a job which has not all
	CreditsUsed int               `json:"creditsUsed"`
	CreatedAt   time.Time         `json:"createdAt"`
	CompletedAt *time.Time        `json:"completedAt,omitempty"`
	Duration    int64             `json:"duration"` // seconds
	ExpiresAt   time.Time         `json:"expiresAt"`
	Error       string            `json:"error,omitempty"`
	Next        string            `json:"next,omitempty"`
	Data        []json.RawMessage `json:"data,omitzero"` // nil in a list of jobs
}

func newStatus(j crawler.Job, now time.Time) jobStatus {
	s := jobStatus{
		Success: true, ID: j.ID, Status: j.State.String(), Completed: j.Completed, Total: j.Total, Failed: j.Failed,
		Bytes: j.Bytes, Waiting: j.Waiting, Stopped: j.Stopped,
		CreditsUsed: j.Completed - j.Remembered, CreatedAt: j.Created.UTC(), ExpiresAt: j.Expires.UTC(),
	}
	if !j.Finished.IsZero() {
		at := j.Finished.UTC()
		s.CompletedAt, now = &at, at
	}
	s.Duration = int64(now.Sub(j.Created).Seconds())
	if j.Kind == crawler.Map {
		s.CreditsUsed = 0 // addresses cost nothing
	}
	if j.State == crawler.Failed {
		s.Error = j.Explain()
	}
	return s
}

// fill adds documents from skip on, and says how many were served up to then. Documents that were settled since the job
// was read wait for the next poll, so that completed and data agree.
func (s *API) fill(ctx context.Context, st *jobStatus, j crawler.Job, skip, limit int) (served int, err error) {
	st.Data, err = s.c.Documents(ctx, j, skip, min(limit, max(0, j.Completed-skip)))
	return skip + len(st.Data), err
}

func (s *API) getStatus(w http.ResponseWriter, r *http.Request, a crawler.Account) {
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
	j, ok := s.find(w, r, a, polled...)
	if !ok {
		return
	}
	st := newStatus(j, time.Now())
	served, err := s.fill(r.Context(), &st, j, skip, limit)
	if err != nil {
		s.broken(w, r, err)
		return
	}
	if len(st.Data) > 0 && served < j.Completed {
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
