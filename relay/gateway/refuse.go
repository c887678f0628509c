package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"sward/internal/wire"
	"sward/policy"
)

// Headers of the door's own answers. They are never passed on from a target.
const (
	headerError    = "Sward-Error"    // the name of the code
	headerFault    = "Sward-Fault"    // who can mend it
	headerBillable = "Sward-Billable" // ?0: this costs nothing, ?1: what moves is paid (RFC 9651 boolean)
	headerStatus   = "Proxy-Status"   // RFC 9209
	headerRetry    = "Retry-After"
)

// turnAwayTime is how long a client may take to receive that the door is full.
const turnAwayTime = time.Second

// refusal is the code and sentence that a partner is told for err. The cause of a fault of ours is not for partners.
func refusal(err error) *wire.Error {
	if e, ok := errors.AsType[*wire.Error](err); ok {
		return e
	}
	if d, ok := errors.AsType[*policy.Denied](err); ok {
		if code, ok := wire.CodeByName(d.Rule); ok {
			return wire.Errorf(code, "%s", d.Detail)
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &wire.Error{Code: wire.EdgeTimeout}
	}
	return &wire.Error{Code: wire.Internal}
}

// note tells the metrics and the log of a refusal. Only what the operator must mend is worth a line at warn.
func (g *Gateway) note(e *wire.Error, cause error) {
	g.cfg.Refused(e.Code)
	if e.Code == wire.Internal {
		g.cfg.Log.Warn("a request failed by our fault", "err", cause)
		return
	}
	g.cfg.Log.Debug("a request was refused", "code", e.Code.Name())
}

// refuse answers an HTTP request with err.
func (g *Gateway) refuse(w http.ResponseWriter, err error) {
	e := refusal(err)
	g.note(e, err)
	answer := refusalResponse(e) //nolint:bodyclose // a string
	for name, values := range answer.Header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Length", strconv.FormatInt(answer.ContentLength, 10))
	w.WriteHeader(answer.StatusCode)
	io.Copy(w, answer.Body) //nolint:errcheck // fails when the partner has gone
}

// refusalResponse is e in HTTP: a status, headers for programs and sentences for people. It repeats nothing that the
// partner sent but the host, which policy may name, and an unknown parameter's name.
func refusalResponse(e *wire.Error) *http.Response {
	h := http.Header{}
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set(headerError, e.Code.Name())
	h.Set(headerFault, string(e.Code.Owner()))
	h.Set(headerBillable, "?0")
	h.Set(headerStatus, fmt.Sprintf("sward; error=%s; details=%s", e.Code.ProxyError(), sfString(e.Error())))
	if e.Code.HTTPStatus() == http.StatusProxyAuthRequired {
		h.Set("Proxy-Authenticate", `Basic realm="sward", charset="UTF-8"`)
	}
	if wait := e.Retry(); wait > 0 {
		h.Set(headerRetry, strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10))
	}
	body := fmt.Sprintf("%s: %s.\n", e.Code.Name(), e.Code.Meaning())
	if e.Detail != "" {
		body += printable(e.Detail) + "\n"
	}
	body += "What to do: " + e.Code.Advice() + ".\n"
	return &http.Response{
		StatusCode: e.Code.HTTPStatus(), ProtoMajor: 1, ProtoMinor: 1, Header: h,
		ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body)),
	}
}

// turnAway closes a connection that there is no room for. Its dialect is not known yet: HTTP is the likelier one, and to
// a SOCKS client any answer that is not SOCKS is a refusal.
func (g *Gateway) turnAway(conn net.Conn) {
	e := &wire.Error{Code: wire.DoorFull}
	g.note(e, e)
	answer := refusalResponse(e) //nolint:bodyclose // a string
	answer.Close = true
	conn.SetDeadline(time.Now().Add(turnAwayTime))
	answer.Write(conn) //nolint:errcheck // a few hundred bytes, which fit the socket's empty buffer
	conn.Close()
}

// sfString is s as a string of structured fields (RFC 9651 §3.3.3).
func sfString(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(printable(s)) + `"`
}

// printable cuts s to what a refusal may be long, and to ASCII: it may come from an edge.
func printable(s string) string {
	s = s[:min(len(s), wire.MaxDetail)]
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}
