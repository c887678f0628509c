package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"sward/crawler"
)

const (
	defaultResults1 = 5 // version 1's
	defaultResults  = 10
	maxResults      = 100
	maxQuestion     = 500 // bytes, Firecrawl's bound
	maxDomains      = 50  // entries of includeDomains and excludeDomains
	searchPatience  = 60 * time.Second
)

// Question is a search of the web index.
type Question struct {
	Text  string
	Limit int
}

// Found is a page of the web index.
type Found struct {
	URL, Title, Description string // Description is plain text
}

// QuestionError says what a partner has to change in a question.
type QuestionError struct{ Err error }

func (e *QuestionError) Error() string { return e.Err.Error() }
func (e *QuestionError) Unwrap() error { return e.Err }

type searchRequest struct {
	Query          string                 `json:"query"`
	Limit          *int                   `json:"limit"`
	Timeout        int                    `json:"timeout"` // milliseconds
	IncludeDomains []string               `json:"includeDomains"`
	ExcludeDomains []string               `json:"excludeDomains"`
	TBS            string                 `json:"tbs"`
	Sources        []source               `json:"sources"`
	Scrape         *crawler.ScrapeOptions `json:"scrapeOptions"`
	Purpose        string                 `json:"purpose"`
	Policy         crawler.Policy         `json:"policy"`
}

// source is where to search: "web" or {"type":"web"}.
type source string

func (s *source) UnmarshalJSON(b []byte) error {
	var f crawler.Format // the same two spellings
	err := f.UnmarshalJSON(b)
	*s = source(f)
	return err
}

// check fills in the version's defaults.
func (q *searchRequest) check(v1 bool) error {
	if q.Limit == nil {
		n := defaultResults
		if v1 {
			n = defaultResults1
		}
		q.Limit = &n
	}
	switch {
	case strings.TrimSpace(q.Query) == "":
		return errors.New("query is required")
	case len(q.Query) > maxQuestion:
		return fmt.Errorf("query has at most %d bytes", maxQuestion)
	case *q.Limit < 1 || *q.Limit > maxResults:
		return fmt.Errorf("limit is from 1 to %d, not %d", maxResults, *q.Limit)
	case len(q.IncludeDomains) > 0 && len(q.ExcludeDomains) > 0:
		return errors.New("includeDomains and excludeDomains cannot both be given")
	case max(len(q.IncludeDomains), len(q.ExcludeDomains)) > maxDomains:
		return fmt.Errorf("includeDomains and excludeDomains have at most %d entries", maxDomains)
	}
	return nil
}

// admits tells whether a page lies in the domains that were asked for.
func (q *searchRequest) admits(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	host := u.Hostname()
	within := func(domain string) bool {
		domain = strings.TrimPrefix(strings.ToLower(domain), "www.")
		return host == domain || strings.HasSuffix(host, "."+domain)
	}
	if len(q.IncludeDomains) > 0 {
		return slices.ContainsFunc(q.IncludeDomains, within)
	}
	return !slices.ContainsFunc(q.ExcludeDomains, within)
}

func (q *searchRequest) unmet() string {
	var names []string
	if q.TBS != "" {
		names = append(names, "tbs")
	}
	for _, s := range q.Sources {
		if s != "web" {
			names = append(names, "source "+string(s))
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "these options were ignored because this network searches the pages that it crawled: " + strings.Join(names, ", ")
}

// postSearch answers from the web index, and fetches the pages found where their text is asked for.
func (s *API) postSearch(w http.ResponseWriter, r *http.Request, a crawler.Account) {
	if s.cfg.Search == nil {
		refuse(w, http.StatusNotFound, apiNotOffered, "this network has no search")
		return
	}
	var q searchRequest
	if !decode(w, r, &q) {
		return
	}
	if err := q.check(isV1(r)); err != nil {
		refuse(w, http.StatusBadRequest, apiBadRequest, err.Error())
		return
	}
	found, err := s.look(r.Context(), q)
	if wrong, ok := errors.AsType[*QuestionError](err); ok {
		refuse(w, http.StatusBadRequest, apiBadRequest, wrong.Error())
		return
	}
	if err != nil {
		s.broken(w, r, err)
		return
	}
	results := make([]map[string]any, 0, len(found))
	for i, f := range found {
		results = append(results, map[string]any{"url": f.URL, "title": f.Title, "description": f.Description, "position": i + 1})
	}
	warning, credits := q.unmet(), 0
	if q.Scrape != nil && len(q.Scrape.Formats) > 0 && len(found) > 0 {
		if !s.affords(w, r, a, len(found)) {
			return
		}
		late, n, err := s.addPages(r, a, q, results)
		if err != nil {
			s.refuseStart(w, r, err)
			return
		}
		if credits = n; late {
			warning = strings.TrimSpace(warning + " not all pages came in time")
		}
	}
	body := map[string]any{"success": true, "data": map[string]any{"web": results}, "creditsUsed": credits}
	if isV1(r) {
		body["data"] = results
	}
	if warning != "" {
		body["warning"] = warning
	}
	answer(w, http.StatusOK, body)
}

// look asks the index for more than is wanted where domains are to be left out.
func (s *API) look(ctx context.Context, q searchRequest) ([]Found, error) {
	ask := Question{Text: q.Query, Limit: *q.Limit}
	if len(q.IncludeDomains)+len(q.ExcludeDomains) > 0 {
		ask.Limit = maxResults
	}
	all, err := s.cfg.Search(ctx, ask)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(f Found) bool { return !q.admits(f.URL) })
	return all[:min(len(all), *q.Limit)], nil
}

// addPages fetches what was found and puts each page's document beside its result. It reports whether the time was over
// before all had come, and what they cost: pages from memory nothing.
func (s *API) addPages(r *http.Request, a crawler.Account, q searchRequest, results []map[string]any) (late bool, credits int, err error) {
	o := crawler.Order{Scrape: *q.Scrape, Purpose: q.Purpose, Policy: q.Policy}
	if isV1(r) {
		o.Scrape = scrapeV1(o.Scrape)
	}
	at := map[string]map[string]any{}
	for _, result := range results {
		address, _ := result["url"].(string)
		o.URLs = append(o.URLs, address)
		at[address] = result
	}
	patience := searchPatience
	if q.Timeout > 0 {
		patience = min(time.Duration(q.Timeout)*time.Millisecond, maxMapPatience)
	}
	j, err := s.c.Start(r.Context(), a, crawler.Batch, o)
	if err != nil {
		return false, 0, err
	}
	if j, err = s.await(r, j, patience); err != nil {
		return false, 0, err
	}
	for came := 0; came < j.Completed; {
		chunk, err := s.c.Documents(r.Context(), j, came, crawler.MaxDocuments)
		if err != nil || len(chunk) == 0 {
			return false, 0, err
		}
		for _, text := range chunk {
			var document map[string]json.RawMessage
			var meta struct {
				SourceURL string `json:"sourceURL"`
			}
			if json.Unmarshal(text, &document) == nil && json.Unmarshal(document["metadata"], &meta) == nil && at[meta.SourceURL] != nil {
				for name, value := range document {
					at[meta.SourceURL][name] = value
				}
			}
		}
		came += len(chunk)
	}
	return j.State == crawler.Cancelled, newStatus(j, time.Now()).CreditsUsed, s.nameFailures(r.Context(), j, at)
}

// nameFailures says beside each page that did not come why.
func (s *API) nameFailures(ctx context.Context, j crawler.Job, at map[string]map[string]any) error {
	list, err := s.c.Errors(ctx, j)
	for _, e := range list {
		if at[e.URL] != nil {
			at[e.URL]["metadata"] = map[string]any{"sourceURL": e.URL, "error": e.Code + ": " + e.Error}
		}
	}
	return err
}
