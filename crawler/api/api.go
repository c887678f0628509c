// Package api is the crawl service's door for programs: Firecrawl's HTTP API, so that its SDKs work unchanged when they
// are pointed here. It knows the crawler by what a Go caller could ask of it and adds nothing of its own but names,
// shapes and manners: an answer of success is 200 and says success, every refusal is JSON with a code, fields that it does
// not know are ignored, and next pages lead back to the host that the client called.
package api

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"sward/crawler"
	"sward/crawler/text"
	"sward/internal/wire"
)

const (
	maxRequest  = 1 << 20          // bytes of a request's body
	maxBatch    = 16 << 20         // bytes of a list of addresses: 100,000 of 160
	maxKey      = 256              // bytes of an API key
	bodyTimeout = 30 * time.Second // for a request's body, headers are the server's business
)

// Config is the API's world. Crawler and Authorise are required; what else is nil is not offered.
type Config struct {
	Crawler *crawler.Crawler
	// Authorise finds the account of a key. Errors carry wire codes.
	Authorise func(ctx context.Context, key string) (crawler.Account, error)
	// Credits is what an account can still buy.
	Credits func(context.Context, crawler.Account) (Credits, error)
	// Spent is what an account bought, a month each, oldest first.
	Spent func(context.Context, crawler.Account) ([]Period, error)
	// Search finds pages in the web index.
	Search func(context.Context, Question) ([]Found, error)
	// Export writes the results of a job that was found to be the caller's: the whole answer.
	Export func(http.ResponseWriter, *http.Request, crawler.Job)
	Log    *slog.Logger // nil: discard
}

// API answers requests.
type API struct {
	cfg Config
	c   *crawler.Crawler
	log *slog.Logger
	mux *http.ServeMux

	watchers *watchers
	metrics  metrics
}

// New returns the API of a crawler.
func New(cfg Config) *API {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &API{cfg: cfg, c: cfg.Crawler, log: cfg.Log, mux: http.NewServeMux(), watchers: newWatchers()}
	s.metrics = newMetrics(s.watchers)
	paths := map[string][]route{}
	for _, r := range s.routes() {
		paths[r.Path] = append(paths[r.Path], r)
	}
	for path, routes := range paths {
		s.mux.Handle(path, s.admit(routes))
	}
	s.mux.HandleFunc("/", absent)
	s.mux.HandleFunc("/v2/crawl/params-preview", absent) // or it would be taken for a job's name
	return s
}

func (s *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// Programs in browsers may call from any page: a key is something that they send, not something that a browser adds.
	w.Header().Set("Access-Control-Allow-Origin", "*")
	if r.Method == http.MethodOptions {
		w.Header().Set("Access-Control-Allow-Methods", "GET, HEAD, POST, DELETE")
		w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type, If-Match, If-None-Match, If-Range, Range, X-Idempotency-Key")
		w.Header().Set("Access-Control-Max-Age", "86400")
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Access-Control-Expose-Headers", "Content-Disposition, Content-Range, ETag, Retry-After, Sward-Documents, Sward-Status")
	s.mux.ServeHTTP(w, r)
}

// absent answers for every path without an endpoint.
func absent(w http.ResponseWriter, r *http.Request) {
	for _, prefix := range notOffered {
		if strings.HasPrefix(r.URL.Path+"/", strings.TrimSuffix(prefix, "/")+"/") {
			refuse(w, http.StatusNotFound, apiNotOffered, "this network does not offer "+text.Line(r.URL.Path, 100))
			return
		}
	}
	refuse(w, http.StatusNotFound, apiNotFound, "there is nothing at this path")
}

// admit checks method and key, in this order because the first costs nothing.
func (s *API) admit(routes []route) http.Handler {
	methods := map[string]route{}
	for _, r := range routes {
		methods[r.Method] = r
	}
	allow := strings.Join(slices.Sorted(maps.Keys(methods)), ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to, known := methods[r.Method]
		if !known {
			w.Header().Set("Allow", allow)
			refuse(w, http.StatusMethodNotAllowed, apiMethod, r.Method+" is not offered at this path")
			return
		}
		if to.watch && isUpgrade(r) {
			s.watch(w, r)
			return
		}
		account, err := s.authorise(r, bearer(r))
		if errors.Is(err, errNoKey) {
			refuse(w, http.StatusUnauthorized, apiUnauthorized, "Unauthorized: send your key as Authorization: Bearer <key>")
			return
		}
		if err != nil {
			refuseCode(w, wire.CodeOf(err))
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, to.body)
		c := &counted{ResponseWriter: w}
		to.serve(c, r, account)
		s.metrics.answered(to.Route, c)
	})
}

var errNoKey = errors.New("no key")

func bearer(r *http.Request) string {
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(key)
}

func (s *API) authorise(r *http.Request, key string) (crawler.Account, error) {
	if key == "" || len(key) > maxKey {
		return crawler.Account{}, errNoKey
	}
	return s.cfg.Authorise(r.Context(), key)
}

// isV1 tells the version of a request by its path: handlers serve both.
func isV1(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/v1/") }

// version is the path's first part.
func version(r *http.Request) string {
	if isV1(r) {
		return "/v1"
	}
	return "/v2"
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
