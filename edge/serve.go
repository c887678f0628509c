package edge

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"sward/internal/outside"
	"sward/internal/splice"
	"sward/internal/tunnel"
	"sward/internal/wire"
	"sward/policy"
)

const (
	openWait    = 10 * time.Second // for the frame that opens a stream
	openTimeout = 25 * time.Second // resolve and dial together; a relay waits 30 s
	idleLimit   = 60 * time.Second // a stream on which nothing moves
	streamLife  = time.Hour        // of any stream: a tunnel held open longer is not browsing
)

// serve runs one stream to its end: admit it, reach the target, answer, move the bytes.
func (s *session) serve(ctx context.Context, conn *tunnel.Stream) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, conn.Reset)
	open, err := readOpen(conn)
	if stop(); err != nil {
		conn.Cut(wire.ProtocolError)
		return
	}
	ctx, leave, err := s.edge.live.enter(ctx)
	if err != nil {
		s.refuse(conn, open, err)
		return
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, streamLife)
	defer cancel()
	c, err := s.admit(open)
	if err != nil {
		s.refuse(conn, open, err)
		return
	}
	c.grant.enter()
	defer c.grant.leave()
	if c.app == policy.AppCrawl {
		err = s.crawl(ctx, conn, c)
	} else {
		err = s.proxy(ctx, conn, c)
	}
	if err != nil {
		s.refuse(conn, open, err)
	}
}

// call is one admitted stream.
type call struct {
	app     policy.App
	purpose policy.Purpose
	target  policy.Target // zero for a crawl
	grant   *grant
}

func readOpen(conn *tunnel.Stream) (wire.Open, error) {
	if err := conn.SetReadDeadline(time.Now().Add(openWait)); err != nil {
		return wire.Open{}, err
	}
	t, body, err := wire.ReadFrame(conn, nil)
	if err != nil {
		return wire.Open{}, err
	}
	if t != wire.TypeOpen {
		return wire.Open{}, wire.Errorf(wire.ProtocolError, "a stream begins with Open, not %s", t)
	}
	open, err := wire.ParseOpen(body)
	if err != nil {
		return wire.Open{}, err
	}
	return open, conn.SetReadDeadline(time.Time{})
}

// admit decides whether a stream may run, cheapest reason first; the signature of its grant comes last. Where it may go
// is decided when it dials.
func (s *session) admit(open wire.Open) (*call, error) {
	c := &call{app: policy.AppProxy}
	if open.Hops > wire.MaxHops {
		return nil, wire.Errorf(wire.Loop, "the stream has passed %d relays", open.Hops)
	}
	if why := s.edge.ready(); why != nil {
		return nil, why
	}
	if s.tunnel.Draining() {
		return nil, wire.Errorf(wire.Draining, "this session is ending")
	}
	switch open.App {
	case wire.AppProxy:
		var err error
		if c.target, err = parseTarget(open.Host, open.Port); err != nil {
			return nil, err
		}
	case wire.AppCrawl:
		c.app = policy.AppCrawl
	default:
		return nil, wire.Errorf(wire.AppDenied, "this edge does not know app %d", open.App)
	}
	if !s.edge.apps().Has(open.App) {
		return nil, wire.Errorf(wire.AppDenied, "the owner does not share for %s", open.App)
	}
	var err error
	if c.grant, err = s.edge.grants.accept(s.relay, open.Grant); err != nil {
		return nil, err
	}
	purpose, ok := policy.PurposeByCode(c.grant.purpose())
	if !ok {
		return nil, wire.Errorf(wire.PurposeDenied, "purpose %d is not on the list", c.grant.purpose())
	}
	c.purpose = purpose
	return c, nil
}

// parseTarget reads what a partner wrote as host and port.
func parseTarget(host string, port uint16) (policy.Target, error) {
	h, err := policy.ParseHost(host)
	if err != nil {
		return policy.Target{}, outside.Refusal(err)
	}
	if port == 0 {
		return policy.Target{}, wire.Errorf(wire.BadPort, "0 is no port")
	}
	return policy.Target{Host: h, Port: port}, nil
}

// proxy dials the target and joins it to the stream. An error means that nothing was answered yet.
func (s *session) proxy(ctx context.Context, conn *tunnel.Stream, c *call) error {
	ctx, cut := context.WithCancelCause(ctx)
	defer cut(nil)
	request := policy.Request{App: c.app, Purpose: c.purpose, Target: c.target}
	w := s.edge.live.watch(request, cut)
	defer w.forget()
	dialing, cancel := context.WithTimeout(ctx, openTimeout)
	target, err := s.edge.reach(dialing, c.app, c.purpose, c.target)
	cancel()
	if err != nil {
		return err
	}
	defer target.Close()
	m, err := s.meterFor(conn, c.grant)
	if err != nil {
		return err
	}
	defer s.finish(c, m, c.target.Host)
	if err := wire.Write(conn, wire.Opened{Edge: s.edge.ID()}); err != nil {
		return nil // the relay has gone: nobody is left to answer
	}
	partner := &begun{tunnelConn: tunnelConn{conn, ctx, m}}
	if c.target.Port == portTLS {
		if partner.flight, err = s.edge.dialer.vetHello(ctx, conn, c, w.also); err != nil {
			s.cutOpened(conn, c, cmp.Or(context.Cause(ctx), err))
			return nil
		}
	}
	up := splice.Half{Allow: m.allowUp, Settle: m.settleUp}
	down := splice.Half{Allow: m.allowDown, Settle: m.settleDown}
	result := splice.Join(ctx, partner, target, up, down, idleLimit)
	s.edge.metrics.ended(c.app, result.Err)
	return nil
}

// cutOpened ends a stream that was answered and then turned out to be one that the owner does not carry. A partner that
// goes away without a word is nobody's refusal.
func (s *session) cutOpened(conn *tunnel.Stream, c *call, err error) {
	if told, ok := errors.AsType[*wire.Error](err); ok && told.Code.Owner() == wire.OwnerPolicy {
		s.edge.metrics.refused(told.Code)
		s.edge.refusals.add(s.edge.cfg.Clock(), wire.AppProxy, c.target.Host.String(), told.Code)
		conn.Cut(told.Code)
		return
	}
	conn.Reset()
}

// refuse answers with the code that err carries and remembers it for the owner.
func (s *session) refuse(conn *tunnel.Stream, open wire.Open, err error) {
	code := wire.CodeOf(err)
	e := s.edge
	e.metrics.refused(code)
	if code.Owner() == wire.OwnerPolicy || code.Owner() == wire.OwnerClient || code.Owner() == wire.OwnerEdge {
		e.refusals.add(e.cfg.Clock(), open.App, open.Host, code)
	}
	if code == wire.Internal {
		e.cfg.Log.Error("a stream failed inside", "relay", s.relay, "err", err)
	}
	answer := wire.Opened{Code: code, Edge: e.ID()}
	if told := (*wire.Error)(nil); errors.As(err, &told) {
		answer.Detail = strings.ToValidUTF8(told.Detail[:min(len(told.Detail), wire.MaxDetail)], "")
	}
	if wire.Write(conn, answer) != nil {
		conn.Reset()
	}
}
