package fetch

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"sward/internal/wire"
)

// Result is the outcome of one URL (wire.Page in Go's units, with its body).
//
// With Code OK there is an answer, whatever its status. With another code there may
// be one all the same: the redirect that led to a refused target, or the part of a
// body that came before a timeout.
type Result struct {
	Index      int // of the URL in Batch.URLs
	Code       wire.Code
	Status     int    // HTTP status of the last answer, zero when there was none
	Flags      uint8  // wire.PageWireTruncated, …: why Body is shorter than the target's
	URL        string // the last one that answered, else the one asked for
	Hops       []string
	Rule       string // the line of robots.txt, or the name of the rule, that decided
	Started    time.Time
	Took       time.Duration
	RetryAfter time.Duration // how long the target asks to be left alone, at most an hour
	CrawlDelay time.Duration // from robots.txt
	Address    netip.Addr    // of the target, zero when unknown
	Request    []byte        // head as sent
	Response   []byte        // head as received, with the coding that Body no longer has
	Body       []byte        // decoded from its content coding; its charset is untouched

	Attest []byte // signed statement of the edge, empty from Fetch or when nothing answered
	Sig    []byte // its signature, for the caller to verify
}

// Header parses the response head. It is an error when there was no response.
func (r Result) Header() (http.Header, error) {
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(r.Response)), nil) //nolint:bodyclose // the content is in Body, there is none to close
	if err != nil {
		return nil, fmt.Errorf("read response head: %w", err)
	}
	return resp.Header, nil
}

// retryAfter reads the Retry-After of an answer that asks for patience (RFC 9110
// §10.2.3): seconds or a date.
func retryAfter(status int, h http.Header, now time.Time) time.Duration {
	if status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable {
		return 0
	}
	value := h.Get("Retry-After")
	if n, err := strconv.ParseUint(value, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(n, uint64(maxRetryAfter/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(at.Sub(now), 0), maxRetryAfter)
	}
	if status == http.StatusTooManyRequests {
		return unaskedBackoff
	}
	return 0
}

// unaskedBackoff follows a 429 that names no time.
const unaskedBackoff = 10 * time.Second
