package api

import (
	"net/http"

	"sward/crawler"
)

// endpoint answers one method of one path for an account that was let in.
type endpoint func(http.ResponseWriter, *http.Request, crawler.Account)

// Route is a method and a path, with the names of its variable parts in braces.
type Route struct{ Method, Path string }

type route struct {
	Route
	serve endpoint
	body  int64 // bytes of the request's body at most
	watch bool  // a WebSocket may be asked for
}

// notOffered are parts of Firecrawl's API that need a browser, a language model or another product.
// An SDK that calls one learns so by a code instead of a bare 404.
var notOffered = []string{
	"/v1/extract/", "/v1/deep-research/", "/v1/llmstxt/", "/v1/agent/", "/v1/generate-llmstxt/",
	"/v2/extract/", "/v2/agent/", "/v2/browser/", "/v2/parse/", "/v2/monitor/", "/v2/crawl/params-preview",
	"/v2/team/threat-protection", "/v2/feedback/", "/v2/support/", "/v2/interact/", "/v2/search/",
}

// Routes are all endpoints that want a key.
func Routes() []Route {
	var list []Route
	for _, r := range new(API).routes() {
		list = append(list, r.Route)
	}
	return list
}

// routes are the endpoints of both versions. Version 1 is that of clients that were built before summer 2025, and differs
// in few names.
func (s *API) routes() []route {
	var list []route
	add := func(method, path string, serve endpoint) *route {
		list = append(list, route{Route: Route{method, path}, serve: serve, body: maxRequest})
		return &list[len(list)-1]
	}
	for _, v := range []string{"/v1", "/v2"} {
		add("POST", v+"/scrape", s.postScrape)
		add("GET", v+"/scrape/{id}", s.getScrape)
		add("POST", v+"/crawl", s.postCrawl)
		add("GET", v+"/crawl/active", s.getActive)
		add("GET", v+"/crawl/ongoing", s.getActive)
		add("POST", v+"/batch/scrape", s.postBatch).body = maxBatch
		for _, job := range []string{v + "/crawl/{id}", v + "/batch/scrape/{id}"} { // one namespace: old clients poll a batch as a crawl
			add("GET", job, s.getStatus).watch = true
			add("DELETE", job, s.deleteJob)
			add("GET", job+"/errors", s.getErrors)
			if v == "/v1" {
				add("DELETE", job+"/errors", s.getErrors) // as client 1.29.3 asks for them
			}
			add("GET", job+"/export", s.export)
			add("HEAD", job+"/export", s.export)
		}
		add("POST", v+"/map", s.postMap)
		add("POST", v+"/search", s.postSearch)
		add("GET", v+"/concurrency-check", s.getConcurrency)
		add("GET", v+"/team/credit-usage", s.getCredits)
		add("GET", v+"/team/credit-usage/historical", s.getSpent)
		add("GET", v+"/team/token-usage", s.getTokens)
		add("GET", v+"/team/token-usage/historical", s.getSpentTokens)
		add("GET", v+"/team/queue-status", s.getQueue)
		add("GET", v+"/team/activity", s.getActivity)
	}
	add("GET", "/v2/jobs", s.getJobs) // ours
	return list
}
