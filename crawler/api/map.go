package api

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"sward/crawler"
)

const (
	defaultMap     = 5000    // addresses, Firecrawl's default
	maxMap         = 100_000 // addresses, Firecrawl's bound
	mapPatience    = 60 * time.Second
	maxMapPatience = 300 * time.Second
	maxWords       = 32 // of a search among addresses
)

// mapRequest asks for the addresses of a site.
type mapRequest struct {
	URL               string `json:"url"`
	Search            string `json:"search"`
	Sitemap           string `json:"sitemap"`
	IncludeSubdomains *bool  `json:"includeSubdomains"`
	IgnoreQuery       *bool  `json:"ignoreQueryParameters"`
	Limit             *int   `json:"limit"`
	Timeout           int    `json:"timeout"` // milliseconds
	orderV1
}

func (q mapRequest) order(v1 bool) (crawler.Order, error) {
	limit := defaultMap
	if q.Limit != nil {
		limit = *q.Limit
	}
	if limit < 1 || limit > maxMap {
		return crawler.Order{}, fmt.Errorf("limit is from 1 to %d, not %d", maxMap, limit)
	}
	if q.Search != "" {
		limit = max(limit, defaultMap) // the best of a site, not of the first few that were seen
	}
	yes := func(b *bool) bool { return b == nil || *b }
	o := crawler.Order{
		URL: q.URL, Sitemap: q.Sitemap, Limit: &limit, AllowSubdomains: yes(q.IncludeSubdomains), CrawlEntireDomain: true,
		IgnoreQueryParameters: yes(q.IgnoreQuery),
	}
	if v1 {
		o.IgnoreQueryParameters = q.IgnoreQuery != nil && *q.IgnoreQuery
		o = q.translate(o)
	}
	return o, nil
}

// patience is how long the partner waits.
func (q mapRequest) patience() time.Duration {
	if q.Timeout <= 0 {
		return mapPatience
	}
	return min(time.Duration(q.Timeout)*time.Millisecond, maxMapPatience)
}

// postMap lists a site's addresses while the partner waits: what its sitemaps and its start page name.
func (s *API) postMap(w http.ResponseWriter, r *http.Request, a crawler.Account) {
	var q mapRequest
	if !decode(w, r, &q) {
		return
	}
	o, err := q.order(isV1(r))
	if err != nil {
		refuse(w, http.StatusBadRequest, apiBadRequest, err.Error())
		return
	}
	if !s.affords(w, r, a, 1) {
		return
	}
	j, ok := s.start(w, r, a, crawler.Map, o)
	if !ok {
		return
	}
	if j, err = s.await(r, j, q.patience()); err != nil {
		s.broken(w, r, err)
		return
	}
	found, err := s.c.Addresses(r.Context(), j, 0, *o.Limit)
	switch {
	case err != nil:
		s.broken(w, r, err)
	case j.State == crawler.Cancelled && !j.Stalled.IsZero():
		refuseNoEdge(w)
	case j.State == crawler.Cancelled:
		refuse(w, http.StatusRequestTimeout, apiMapTimeout, "the addresses were not together within "+q.patience().String())
	case j.State == crawler.Failed:
		s.answerFailed(w, r, j)
	default:
		answer(w, http.StatusOK, mapped(j.ID, q.pick(found), isV1(r)))
	}
}

// pick orders addresses by how many of the words sought they hold, and keeps as many as were asked for.
func (q mapRequest) pick(found []string) []string {
	words := strings.Fields(strings.ToLower(q.Search))
	words = words[:min(len(words), maxWords)]
	score := make(map[string]int, len(found))
	for _, address := range found {
		plain := strings.ToLower(address)
		if decoded, err := url.PathUnescape(plain); err == nil {
			plain = decoded
		}
		for _, word := range words {
			if strings.Contains(plain, word) {
				score[address]++
			}
		}
	}
	slices.SortStableFunc(found, func(a, b string) int { return score[b] - score[a] })
	if q.Limit != nil {
		return found[:min(len(found), *q.Limit)]
	}
	return found[:min(len(found), defaultMap)]
}

// mapped is the answer in the caller's version: addresses as objects, or as they are.
func mapped(id string, found []string, v1 bool) any {
	type link struct {
		URL string `json:"url"`
	}
	type list struct {
		Success bool   `json:"success"`
		ID      string `json:"id"`
		Links   any    `json:"links"`
	}
	if v1 {
		return list{true, id, append([]string{}, found...)}
	}
	links := make([]link, 0, len(found))
	for _, address := range found {
		links = append(links, link{address})
	}
	return list{true, id, links}
}
