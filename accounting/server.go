package accounting

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"sward/internal/identity"
	"sward/internal/wire"
)

// maxCall bounds the JSON body of a call in bytes: the largest names a thousand channels of a released grant.
const maxCall = 256 << 10

// role is who may make a call.
type role int

const (
	anyPeer  role = iota // whoever proves a key: edges need no registration
	relays               // admitted and not suspended
	operator             // the hub's own key, or one from the list
)

// Handler answers relays, edges and operators over mutual TLS: the server's TLS configuration is the hub key's, and
// timeouts are the server's. operators may act for the network, beside the hub's own key.
func (b *Book) Handler(operators ...identity.ID) http.Handler {
	s := &server{book: b, operators: map[identity.ID]bool{b.cfg.Key.ID(): true}, mux: http.NewServeMux()}
	for _, id := range operators {
		s.operators[id] = true
	}
	s.relayCalls()
	s.edgeCalls()
	s.operatorCalls()
	return s.mux
}

type server struct {
	book      *Book
	operators map[identity.ID]bool
	mux       *http.ServeMux
}

func (s *server) relayCalls() {
	b := s.book
	post(s, pathAuthorise, relays, func(ctx context.Context, relay identity.ID, c authoriseCall) (grantAnswer, error) {
		a, err := b.Authorise(ctx, relay, c.Name, c.Key, c.Want)
		return grantAnswer{a.Bytes(), a.Terms}, err
	})
	post(s, pathRenew, relays, func(ctx context.Context, relay identity.ID, c renewCall) (grantAnswer, error) {
		a, err := b.Renew(ctx, relay, c.Grant, c.Want)
		return grantAnswer{a.Bytes(), a.Terms}, err
	})
	post(s, pathRelease, relays, func(ctx context.Context, relay identity.ID, c releaseCall) (Released, error) {
		return b.Release(ctx, relay, c.Grant, c.Finals)
	})
	post(s, pathHeartbeat, relays, func(ctx context.Context, relay identity.ID, h Heartbeat) (Orders, error) {
		return b.Heartbeat(ctx, relay, h)
	})
	post(s, pathReport, relays, func(ctx context.Context, relay identity.ID, report UsageReport) (struct{}, error) {
		return struct{}{}, b.ReportUsage(ctx, relay, report)
	})
	post(s, pathWhere, relays, func(ctx context.Context, _ identity.ID, c whereCall) (Whereabouts, error) {
		return b.Whereabouts(ctx, c.Edge)
	})
	post(s, pathHistory, relays, func(ctx context.Context, _ identity.ID, c historyCall) (History, error) {
		return b.History(ctx, c.Edge)
	})
}

// edgeCalls are those that need no role: what they do is bound to the caller's own key, or signed by two others.
func (s *server) edgeCalls() {
	b := s.book
	s.mux.HandleFunc("POST "+pathSettle, func(w http.ResponseWriter, r *http.Request) {
		s.answer(w, r, anyPeer, maxSettlement, func(ctx context.Context, peer identity.ID, body []byte) (any, error) {
			channels, receipts, err := parseBatch(body)
			if err != nil {
				return nil, wire.Errorf(wire.BadRequest, "%v", err)
			}
			settled, err := b.Settle(ctx, peer, channels, receipts)
			return settleAnswer{settled}, err
		})
	})
	post(s, pathConsent, anyPeer, func(ctx context.Context, edge identity.ID, c consentCall) (struct{}, error) {
		return struct{}{}, b.RedeemConsent(ctx, c.Code, edge, c.Consent)
	})
	get(s, pathAccount, anyPeer, b.EdgeAccount)
	post(s, pathStatement, anyPeer, b.Statement)
	get(s, pathLists, anyPeer, b.listAnswer)
	get(s, pathDirectory, anyPeer, func(ctx context.Context, _ identity.ID) (json.RawMessage, error) {
		d, err := b.Directory(ctx)
		return d.Bytes(), err
	})
}

func (s *server) operatorCalls() {
	b := s.book
	post(s, pathPartner, operator, func(ctx context.Context, _ identity.ID, c partnerCall) (partnerAnswer, error) {
		key, err := b.AddPartner(ctx, c.Name, c.Purpose)
		return partnerAnswer{key}, err
	})
	post(s, pathCredit, operator, func(ctx context.Context, _ identity.ID, c creditCall) (struct{}, error) {
		return struct{}{}, b.Credit(ctx, c.Name, c.Bytes)
	})
	post(s, pathLimits, operator, func(ctx context.Context, _ identity.ID, c limitsCall) (struct{}, error) {
		return struct{}{}, b.SetLimits(ctx, c.Name, c.Limits)
	})
	post(s, pathUsage, operator, func(ctx context.Context, _ identity.ID, c usageCall) (Usage, error) {
		return b.Usage(ctx, c.Name)
	})
	post(s, pathBetween, operator, func(ctx context.Context, _ identity.ID, q UsageQuery) (UsageAnswer, error) {
		return b.UsageBetween(ctx, q)
	})
	post(s, pathInvite, operator, func(ctx context.Context, _ identity.ID, _ struct{}) (Invite, error) {
		return b.Invite(ctx)
	})
	post(s, pathRelay, operator, func(ctx context.Context, _ identity.ID, c RelayInfo) (struct{}, error) {
		return struct{}{}, b.AdmitRelay(ctx, c)
	})
	post(s, pathSuspend, operator, func(ctx context.Context, _ identity.ID, c suspendCall) (struct{}, error) {
		return struct{}{}, b.Suspend(ctx, c.Peer, c.Reason)
	})
	get(s, pathSummary, operator, func(ctx context.Context, _ identity.ID) (Summary, error) { return b.Summary(ctx) })
}

// post adds a call with a JSON body.
func post[In, Out any](s *server, path string, who role, do func(context.Context, identity.ID, In) (Out, error)) {
	s.mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		s.answer(w, r, who, maxCall, func(ctx context.Context, peer identity.ID, body []byte) (any, error) {
			var in In
			if err := unmarshalStrict(body, &in); err != nil {
				return nil, wire.Errorf(wire.BadRequest, "%v", err)
			}
			return do(ctx, peer, in)
		})
	})
}

// get adds a call without a body.
func get[Out any](s *server, path string, who role, do func(context.Context, identity.ID) (Out, error)) {
	s.mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		s.answer(w, r, who, 0, func(ctx context.Context, peer identity.ID, _ []byte) (any, error) { return do(ctx, peer) })
	})
}

// answer is the one road of every call: who is it, may they, is the body within its bound; then the call, and its answer
// or its reason.
func (s *server) answer(w http.ResponseWriter, r *http.Request, who role, limit int64, do func(context.Context, identity.ID, []byte) (any, error)) {
	out, err := func() (any, error) {
		peer, err := s.peer(r, who)
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
		if tooLong := (*http.MaxBytesError)(nil); errors.As(err, &tooLong) {
			return nil, wire.Errorf(wire.BadRequest, "the body is longer than %d bytes", limit)
		}
		if err != nil {
			return nil, wire.Errorf(wire.BadRequest, "the body ends early")
		}
		return do(r.Context(), peer, body)
	}()
	status := http.StatusOK
	if err != nil {
		out, status = s.failure(r, err)
	}
	data, err := json.Marshal(out)
	if err != nil {
		s.book.cfg.Log.Error("an answer could not be encoded", "call", r.URL.Path, "error", err)
		http.Error(w, "{}", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(data) //nolint:errcheck // the caller has gone
}

// peer is who calls, if the role is theirs.
func (s *server) peer(r *http.Request, who role) (identity.ID, error) {
	if r.TLS == nil {
		return identity.ID{}, wire.Errorf(wire.AuthRequired, "the hub is called over mutual TLS")
	}
	peer, err := identity.PeerOf(*r.TLS)
	switch {
	case err != nil:
		return identity.ID{}, wire.Errorf(wire.AuthRequired, "the hub is called over mutual TLS")
	case who == relays && !s.book.admitted(peer):
		return identity.ID{}, errNoRelay
	case who == operator && !s.operators[peer]:
		return identity.ID{}, wire.Errorf(wire.AuthFailed, "not an operator")
	}
	return peer, nil
}

// failure turns an error into its answer. A reason that is not of wire's table is ours: it is logged, and not told.
func (s *server) failure(r *http.Request, err error) (failure, int) {
	var reason *wire.Error
	if !errors.As(err, &reason) {
		s.book.cfg.Log.Error("a call failed", "call", r.URL.Path, "error", err)
		reason = wire.Errorf(wire.Internal, "a fault of the hub, which has logged it")
	}
	var f failure
	f.Error.Code, f.Error.Message, f.Error.RetryMS = reason.Code.Name(), reason.Detail, reason.After.Milliseconds()
	status := reason.Code.HTTPStatus()
	if status == http.StatusProxyAuthRequired { // this is no proxy: say the same as a server
		status = http.StatusForbidden
	}
	return f, status
}
