package api

import (
	"errors"
	"net/http"
	"slices"
	"time"

	"sward/crawler"
	"sward/internal/wire"
)

// polled are the kinds of jobs whose status is asked for by name.
var polled = []crawler.Kind{crawler.Crawl, crawler.Batch, crawler.Map}

// find answers 404 itself, also for jobs of other accounts and of other kinds.
func (s *API) find(w http.ResponseWriter, r *http.Request, a crawler.Account, kinds ...crawler.Kind) (crawler.Job, bool) {
	j, err := s.c.Job(r.Context(), a, r.PathValue("id"))
	switch {
	case errors.Is(err, crawler.ErrNoJob), err == nil && !slices.Contains(kinds, j.Kind):
		refuse(w, http.StatusNotFound, apiNotFound, "Job not found")
		return j, false
	case err != nil:
		s.broken(w, r, err)
		return j, false
	}
	return j, true
}

func (s *API) deleteJob(w http.ResponseWriter, r *http.Request, a crawler.Account) {
	j, ok := s.find(w, r, a, polled...)
	if !ok {
		return
	}
	switch err := s.c.Cancel(r.Context(), j); {
	case errors.Is(err, crawler.ErrEnded):
		refuse(w, http.StatusConflict, apiEnded, err.Error())
	case err != nil:
		s.broken(w, r, err)
	default:
		answer(w, http.StatusOK, map[string]any{"success": true, "status": crawler.Cancelled.String()})
	}
}

func (s *API) getErrors(w http.ResponseWriter, r *http.Request, a crawler.Account) {
	j, ok := s.find(w, r, a, polled...)
	if !ok {
		return
	}
	list, err := s.c.Errors(r.Context(), j)
	if err != nil {
		s.broken(w, r, err)
		return
	}
	blocked := []string{}
	for _, e := range list {
		if e.Code == wire.RobotsDenied.Name() {
			blocked = append(blocked, e.URL)
		}
	}
	answer(w, http.StatusOK, map[string]any{"success": true, "errors": list, "robotsBlocked": blocked})
}

// export hands a job's results to whoever writes them as a file.
func (s *API) export(w http.ResponseWriter, r *http.Request, a crawler.Account) {
	j, ok := s.find(w, r, a, polled...)
	switch {
	case !ok:
	case s.cfg.Export == nil:
		refuse(w, http.StatusNotFound, apiNotOffered, "this network does not export files")
	default:
		s.cfg.Export(w, r, j)
	}
}

func (s *API) getActive(w http.ResponseWriter, r *http.Request, a crawler.Account) {
	running, err := s.c.Jobs(r.Context(), a, true, crawler.MaxActive)
	if err != nil {
		s.broken(w, r, err)
		return
	}
	type active struct {
		ID      string        `json:"id"`
		TeamID  string        `json:"teamId"`
		URL     string        `json:"url"`
		Created time.Time     `json:"created_at"`
		Options crawler.Order `json:"options"`
	}
	crawls := []active{}
	for _, j := range running {
		if j.Kind == crawler.Crawl {
			crawls = append(crawls, active{j.ID, a.ID, j.Order.URL, j.Created.UTC(), j.Order})
		}
	}
	answer(w, http.StatusOK, map[string]any{"success": true, "crawls": crawls})
}
