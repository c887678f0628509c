package crawler

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"sward/crawler/text"
	"sward/internal/wire"
)

const (
	maxRequest    = 1 << 20          // bytes of a request's body
	maxKey        = 256              // bytes of an API key
	accountsRetry = "5"              // seconds, when accounts cannot be asked
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

// endpoint answers one method of one path for an account that was let in.
type endpoint func(http.ResponseWriter, *http.Request, Account)

// notOffered are parts of Firecrawl's API that need a browser, a language model or another product.
// An SDK that calls one learns so at once instead of a bare 404.
var notOffered = []string{
	"/v1/", "/v2/map", "/v2/search", "/v2/batch/", "/v2/extract", "/v2/agent", "/v2/browser", "/v2/parse", "/v2/monitor",
	"/v2/crawl/params-preview", "/v2/team/", "/v2/concurrency-check", "/v2/feedback", "/v2/support", "/v2/interact",
}

// Handler serves the crawl API, Firecrawl's version 2: every body says success, success is 200 and
// nothing else, and what is not offered answers in JSON.
func (c *Crawler) Handler() http.Handler {
	mux := http.NewServeMux()
	for path, methods := range map[string]map[string]endpoint{
		"/v2/scrape":            {"POST": c.postScrape},
		"/v2/scrape/{id}":       {"GET": c.getScrape},
		"/v2/crawl":             {"POST": c.postCrawl},
		"/v2/crawl/active":      {"GET": c.getActive},
		"/v2/crawl/ongoing":     {"GET": c.getActive},
		"/v2/crawl/{id}":        {"GET": c.getCrawl, "DELETE": c.deleteCrawl},
		"/v2/crawl/{id}/errors": {"GET": c.getErrors},
	} {
		mux.Handle(path, c.admit(methods))
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
func (c *Crawler) admit(methods map[string]endpoint) http.Handler {
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
		account, err := c.cfg.Authorise(r.Context(), key)
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
func (c *Crawler) broken(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return // the partner has gone, and that is why
	}
	c.cfg.Log.Error("crawl API request failed", "method", r.Method, "error", err)
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
