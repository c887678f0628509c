// Package api is the crawl service's door for programs: Firecrawl's HTTP API, so that its SDKs work unchanged when they
// are pointed here. It knows the crawler by what a Go caller could ask of it and adds nothing of its own but names,
// shapes and manners: an answer of success is 200 and says success, every refusal is JSON with a code, fields that it does
// not know are ignored, and next pages lead back to the host that the client called.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"sward/crawler"
	"sward/crawler/text"
	"sward/internal/wire"
)

const (
	maxRequest    = 1 << 20          // bytes of a request's body
	maxKey        = 256              // bytes of an API key
	accountsRetry = "5"              // seconds, when accounts cannot be asked
	maxListed     = 1000             // jobs in one answer; an account can run fewer
	bodyTimeout   = 30 * time.Second // for a request's body, headers are the server's business
)

// Codes of refusals in the API's bodies: Firecrawl's where it has one.
const (
	apiBadRequest   = "BAD_REQUEST"
	apiInvalidJSON  = "BAD_REQUEST_INVALID_JSON"
	apiTooLarge     = "PAYLOAD_TOO_LARGE"
	apiUnauthorized = "UNAUTHORIZED"
	apiNotFound     = "NOT_FOUND"
	apiMethod       = "METHOD_NOT_ALLOWED"
	apiNotOffered   = "NOT_IMPLEMENTED"
	apiEnded        = "ALREADY_ENDED"
	apiTimeout      = "SCRAPE_TIMEOUT"
	apiUnknown      = "UNKNOWN_ERROR"
)

// Config is the API's world. Crawler and Authorise are required.
type Config struct {
	Crawler *crawler.Crawler
	// Authorise finds the account of a key. Errors carry wire codes.
	Authorise func(ctx context.Context, key string) (crawler.Account, error)
	Log       *slog.Logger // nil: discard
}

// server answers requests.
type server struct {
	cfg Config
	c   *crawler.Crawler
}

// endpoint answers one method of one path for an account that was let in.
type endpoint func(http.ResponseWriter, *http.Request, crawler.Account)

// notOffered are parts of Firecrawl's API that need a browser, a language model or another product.
// An SDK that calls one learns so at once instead of a bare 404.
var notOffered = []string{
	"/v1/", "/v2/map", "/v2/search", "/v2/batch/", "/v2/extract", "/v2/agent", "/v2/browser", "/v2/parse", "/v2/monitor",
	"/v2/crawl/params-preview", "/v2/team/", "/v2/concurrency-check", "/v2/feedback", "/v2/support", "/v2/interact",
}

// New returns the API of a crawler.
func New(cfg Config) http.Handler {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &server{cfg: cfg, c: cfg.Crawler}
	mux := http.NewServeMux()
	for path, methods := range map[string]map[string]endpoint{
		"/v2/scrape":            {"POST": s.postScrape},
		"/v2/scrape/{id}":       {"GET": s.getScrape},
		"/v2/crawl":             {"POST": s.postCrawl},
		"/v2/crawl/active":      {"GET": s.getActive},
		"/v2/crawl/ongoing":     {"GET": s.getActive},
		"/v2/crawl/{id}":        {"GET": s.getCrawl, "DELETE": s.deleteCrawl},
		"/v2/crawl/{id}/errors": {"GET": s.getErrors},
	} {
		mux.Handle(path, s.admit(methods))
	}
	mux.HandleFunc("/v2/crawl/params-preview", absent) // or it would be taken for a job's name
	mux.HandleFunc("/", absent)
	return mux
}

// absent answers for every path without an endpoint.
func absent(w http.ResponseWriter, r *http.Request) {
	for _, prefix := range notOffered {
		if strings.HasPrefix(r.URL.Path+"/", prefix) {
			refuse(w, http.StatusNotImplemented, apiNotOffered, "this network does not offer "+text.Line(r.URL.Path, 100))
			return
		}
	}
	refuse(w, http.StatusNotFound, apiNotFound, "there is nothing at this path")
}

// admit checks method and key, in this order because the first costs nothing.
func (s *server) admit(methods map[string]endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		serve, known := methods[r.Method]
		if !known {
			refuse(w, http.StatusMethodNotAllowed, apiMethod, r.Method+" is not offered at this path")
			return
		}
		scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if key = strings.TrimSpace(key); !strings.EqualFold(scheme, "Bearer") || key == "" || len(key) > maxKey {
			refuse(w, http.StatusUnauthorized, apiUnauthorized, "Unauthorized: send your key as Authorization: Bearer <key>")
			return
		}
		account, err := s.cfg.Authorise(r.Context(), key)
		if err != nil {
			refuseCode(w, wire.CodeOf(err))
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
		serve(w, r, account)
	})
}

// refuseCode answers with a reason of the network.
func refuseCode(w http.ResponseWriter, code wire.Code) {
	switch code {
	case wire.AuthRequired, wire.AuthFailed:
		refuse(w, http.StatusUnauthorized, apiUnauthorized, "Unauthorized: invalid key")
	case wire.BalanceExhausted:
		refuse(w, http.StatusPaymentRequired, "PAYMENT_REQUIRED", "Insufficient credits: "+code.Meaning())
	case wire.PartnerLimit:
		w.Header().Set("Retry-After", accountsRetry)
		refuse(w, http.StatusTooManyRequests, "RATE_LIMITED", code.Meaning())
	case wire.HubAway, wire.Internal:
		w.Header().Set("Retry-After", accountsRetry)
		refuse(w, http.StatusServiceUnavailable, apiUnknown, "accounts cannot be asked at the moment")
	default:
		refuse(w, code.HTTPStatus(), strings.ToUpper(code.Name()), code.Meaning())
	}
}

// failure is the shape of every refusal.
type failure struct {
	Success bool   `json:"success"` // false
	Code    string `json:"code,omitempty"`
	Error   string `json:"error"`
	Details any    `json:"details,omitempty"`
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	answer(w, status, failure{Code: code, Error: message})
}

// broken is for failures that are ours. The partner gets no inside view; the log does.
func (s *server) broken(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return // the partner has gone, and that is why
	}
	s.cfg.Log.Error("crawl API request failed", "method", r.Method, "error", err)
	refuse(w, http.StatusInternalServerError, apiUnknown, "an unexpected error occurred")
}

func answer(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"success":false,"code":"UNKNOWN_ERROR","error":"the answer could not be written"}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff") // documents hold strangers' HTML
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(text) //nolint:errcheck // a partner who has gone reads no error either
}

// decode reads a JSON body. It answers itself and reports false when that fails.
func decode(w http.ResponseWriter, r *http.Request, into any) bool {
	slow := http.NewResponseController(w)
	slow.SetReadDeadline(time.Now().Add(bodyTimeout)) //nolint:errcheck // a writer without deadlines is a test's
	body := json.NewDecoder(r.Body)
	err := body.Decode(into)
	if err == nil {
		switch _, after := body.Token(); {
		case after == nil:
			err = errors.New("there is more than one value")
		case !errors.Is(after, io.EOF):
			err = after
		}
	}
	slow.SetReadDeadline(time.Time{}) //nolint:errcheck // or a long answer would look like a partner who has gone
	if err == nil {
		return true
	}
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		refuse(w, http.StatusRequestEntityTooLarge, apiTooLarge, fmt.Sprintf("the body is longer than %d bytes", tooLarge.Limit))
		return false
	}
	if mistyped, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		refuse(w, http.StatusBadRequest, apiBadRequest, fmt.Sprintf("%s is not a %s", mistyped.Field, mistyped.Type))
		return false
	}
	refuse(w, http.StatusBadRequest, apiInvalidJSON, "the body is not the JSON that is expected: "+text.Line(err.Error(), 200))
	return false
}
