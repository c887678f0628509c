package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"sward/crawler/text"
	"sward/internal/wire"
)

const (
	accountsRetry = "5"             // seconds after which to come again if accounts cannot be asked
	answerPiece   = 64 << 10        // bytes of an answer that a client has answerWait to take
	answerWait    = 2 * time.Minute // or it is gone: an answer of 10 MiB is in memory until it is read
)

// Codes of refusals in the API's bodies: Firecrawl's where it has one.
const (
	apiBadRequest   = "BAD_REQUEST"
	apiInvalidJSON  = "BAD_REQUEST_INVALID_JSON"
	apiTooLarge     = "PAYLOAD_TOO_LARGE"
	apiUnauthorized = "UNAUTHORIZED"
	apiNotFound     = "NOT_FOUND"
	apiMethod       = "METHOD_NOT_ALLOWED"
	apiNotOffered   = "NOT_OFFERED"
	apiEnded        = "ALREADY_ENDED"
	apiRepeated     = "IDEMPOTENCY_KEY_USED"
	apiNoCredit     = "PAYMENT_REQUIRED"
	apiTimeout      = "SCRAPE_TIMEOUT"
	apiMapTimeout   = "MAP_TIMEOUT"
	apiUnknown      = "UNKNOWN_ERROR"
)

// refuseCode answers with a reason of the network.
func refuseCode(w http.ResponseWriter, code wire.Code) {
	switch code {
	case wire.AuthRequired, wire.AuthFailed:
		refuse(w, http.StatusUnauthorized, apiUnauthorized, "Unauthorized: invalid key")
	case wire.BalanceExhausted:
		refuse(w, http.StatusPaymentRequired, apiNoCredit, "Insufficient credits: "+code.Meaning())
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
func (s *API) broken(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return // the partner has gone, and that is why
	}
	s.log.Error("crawl API request failed", "method", r.Method, "error", err)
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
	h.Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	slow := http.NewResponseController(w)
	for piece := range slices.Chunk(text, answerPiece) {
		slow.SetWriteDeadline(time.Now().Add(answerWait)) //nolint:errcheck // a writer without deadlines is a test's
		if _, err := w.Write(piece); err != nil {
			return // a partner who has gone reads no error either
		}
	}
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
