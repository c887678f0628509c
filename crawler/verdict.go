package crawler

import (
	"net/http"
	"strconv"
	"time"

	"sward/internal/wire"
)

// Patience with one address and with one host.
const (
	maxAttempts     = 5                // fetches of one address, each through another edge where there is one
	maxHostFailures = 8                // batches in a row that reached nothing; with doubling pauses several minutes
	maxBackoff      = 10 * time.Minute // also of a Retry-After: a target must not park a job for ever
)

// Names of failures that are not wire codes because no peer says them: they are read off the answer.
const (
	codeHTTP        = "http_"            // and the status
	codeUnsupported = "unsupported_type" // the answer is not text
	codeTampered    = "edge_tampered"    // every edge that was asked delivered something else than it signed
	codeScope       = "out_of_scope"     // redirected to where the job does not go
)

// judge says what a code of an edge or a road means for an address, before attempts are counted.
func judge(code wire.Code) fate {
	switch code {
	case wire.OK:
		return deliver
	case wire.BalanceExhausted, wire.AuthRequired, wire.AuthFailed:
		return ruin
	case wire.PartnerCap, wire.NoEdge, wire.HubAway, wire.Draining, wire.DoorFull, wire.NoConsent, wire.Paused, wire.OutOfHours, wire.CapDay,
		wire.CapMonth, wire.StreamLimit, wire.PartnerLimit, wire.OverLimit, wire.WindowClosed, wire.GrantInvalid,
		wire.Binding, wire.ClockSkew, wire.NoMatch, wire.TargetLimit, wire.ScanLimit, wire.TooManyAttempts:
		return wait
	case wire.EdgeGone, wire.EdgeTimeout, wire.SessionGone, wire.Internal, wire.ProtocolError, wire.VersionUnsupported,
		wire.CategoryDenied, wire.DomainDenied, wire.PurposeDenied, wire.AppDenied, wire.PlainHTTPDenied, wire.PortNotAllowed,
		wire.DNSError, wire.DialRefused, wire.DialUnreachable, wire.DialTimeout, wire.TargetClosed, wire.TLSError,
		wire.FetchTimeout, wire.RobotsUnreachable:
		return retry
	default:
		return fail
	}
}

// ofAccount tells the codes by which the books, and nobody else, end or halt an account's jobs.
func ofAccount(code wire.Code) bool { return judge(code) == ruin || code == wire.PartnerCap }

// unreached tells the codes that speak of the host and not of one page.
func unreached(code wire.Code) bool {
	switch code {
	case wire.DNSError, wire.DNSNotFound, wire.DialRefused, wire.DialUnreachable, wire.DialTimeout, wire.TargetClosed,
		wire.TLSError, wire.FetchTimeout, wire.RobotsUnreachable:
		return true
	}
	return false
}

// cause is why a page did not come. Where the host was not reached it was so for robots.txt already, and the edge names
// that as the rule: a partner should learn that the name does not exist, not that robots.txt could not be read.
func (a arrival) cause() wire.Code {
	if code, known := wire.CodeByName(a.Rule); known && a.Code == wire.RobotsUnreachable && unreached(code) {
		return code
	}
	return a.Code
}

// busyStatus tells the statuses with which a server asks for patience, or fails for a moment.
func busyStatus(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable,
		http.StatusGatewayTimeout:
		return true
	}
	return false
}

// backoff is the pause after the nth failure in a row, n from 1.
func backoff(base time.Duration, n int) time.Duration {
	for ; n > 1 && base < maxBackoff; n-- {
		base *= 2
	}
	return min(base, maxBackoff)
}

// failure fills in why an address failed, from a code of the network.
func (o *outcome) failure(code wire.Code, detail string) {
	o.code, o.owner, o.detail = code.Name(), code.Owner(), detail
	if detail == "" {
		o.detail = code.Meaning()
	}
}

// status fills in why an address failed, from its HTTP status.
func (o *outcome) status(status int) {
	o.code, o.owner = codeHTTP+strconv.Itoa(status), wire.OwnerTarget
	o.detail = "the site answered " + strconv.Itoa(status) + " " + http.StatusText(status)
}

// again asks for another attempt through another edge than the one that failed, or gives up if there
// have been enough.
func (o *outcome) again(edge string, pause time.Duration, c Config) {
	o.fate = retry
	if o.item.attempt+1 >= maxAttempts {
		o.fate = fail
	}
	o.ready = c.Clock().Add(max(pause, backoff(c.RetryDelay, o.item.attempt+1)))
	o.avoid = o.item.avoid
	if edge != "" {
		o.avoid = append(append([]string(nil), o.item.avoid...), edge)
	}
}
