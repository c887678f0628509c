package relay

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"time"

	"sward/accounting"
	"sward/internal/identity"
	"sward/internal/wire"
)

const (
	// maxSkew is how far an edge's clock may be off: grants and channels expire by it.
	maxSkew = 5 * time.Minute
	// channelLife is how long a channel is good for. A session has one channel, so an edge comes back with a fresh one
	// before this ends, and an old key is soon worthless.
	channelLife = time.Hour
	// newWindow is what an identity without history gets: the bytes that either side can lose to the other. It grows with
	// what the hub has credited to the edge, an eighth of it, up to accounting.MaxWindow, and a receipt is due every
	// quarter of the window.
	newWindow   = 512 << 10
	trustShare  = 8
	stepsWindow = 4
	// maxStreams is what an edge is given at once whatever it promises: what a session carries.
	maxStreams = 512
	// partingGrace is how long an edge that has said Bye may go on with its streams: more than an edge itself waits.
	partingGrace = 6 * time.Minute
	// historyWait is how long the hub may take to tell an edge's history. Without it the edge is a new one.
	historyWait = 3 * time.Second
)

// serve greets a session and runs it to its end.
func (r *Relay) serve(ctx context.Context, s session, hello wire.Hello, class uint16) {
	if err := r.admit(s, hello, class); err != nil {
		s.Refuse(wire.CodeOf(err), detail(err))
		return
	}
	window, step := r.trust(ctx, s.Peer(), class)
	hello.Streams = min(max(hello.Streams, 1), maxStreams)
	welcome := wire.Welcome{
		Version: wire.Version, Clock: r.cfg.Clock().UnixMilli(), Streams: hello.Streams,
		Step: step, Window: window, Region: r.cfg.Region,
	}
	if err := s.Send(welcome); err != nil {
		return
	}
	var err error
	if line, agent := s.(agentLine); agent && hello.Role == wire.RoleHub {
		err = r.serveHub(ctx, line.Session)
	} else {
		err = r.serveEdge(ctx, s, hello, class, window, step)
	}
	if err != nil && ctx.Err() == nil {
		r.cfg.Log.Debug("session ended", "peer", s.Peer(), "err", err)
		s.Close(wire.CodeOf(err), "the session broke the protocol")
	}
}

// seen is what an edge is told of where it comes from: behind a home router its own public address, which it must never
// dial.
func seen(line agentLine) (wire.Observed, error) {
	from, err := netip.ParseAddrPort(line.RemoteAddr().String())
	if err != nil {
		return wire.Observed{}, err
	}
	return wire.Observed{Address: from.Addr().As16()}, nil
}

// admit refuses who may not be here, cheapest reason first.
func (r *Relay) admit(s session, h wire.Hello, class uint16) error {
	skew := r.cfg.Clock().Sub(time.UnixMilli(h.Clock)).Abs()
	switch {
	case h.Version != wire.Version:
		return wire.Errorf(wire.VersionUnsupported, "this relay speaks version %d", wire.Version)
	case h.Network != r.cfg.Network:
		return wire.Errorf(wire.Binding, "this is network %q", r.cfg.Network)
	case skew > maxSkew:
		return wire.Errorf(wire.ClockSkew, "your clock is %s off: set it by NTP", skew.Round(time.Second))
	case h.Role == wire.RoleHub && s.Peer() != r.cfg.HubID:
		return wire.Errorf(wire.AuthFailed, "this is not the hub's identity")
	case h.Role == wire.RoleHub && class != classAgent:
		return wire.Errorf(wire.Binding, "a hub is no browser")
	case h.Role == wire.RoleEdge && !r.consents(h.Consent):
		return wire.Errorf(wire.NoConsent, "the consent text has changed: run sward-edge init again")
	case h.Role != wire.RoleHub && h.Role != wire.RoleEdge:
		return wire.Errorf(wire.BadRequest, "unknown role")
	}
	return nil
}

// serveEdge keeps an edge in the table while its session lasts, and answers its control frames.
func (r *Relay) serveEdge(ctx context.Context, s session, hello wire.Hello, class uint16, window, step uint32) error {
	e := &edge{
		id: s.Peer(), session: s, class: class, limit: int(hello.Streams), apps: hello.Apps, live: map[*conn]struct{}{},
	}
	if line, agent := s.(agentLine); agent {
		from, err := seen(line)
		if err == nil {
			err = s.Send(from)
		}
		if err != nil {
			return err
		}
	}
	if err := r.edges.add(e); err != nil {
		return err
	}
	defer r.forget(e)
	r.cfg.Log.Debug("edge connected", "edge", e.id)
	var offered *offer
	leaving := false
	for {
		t, body, err := s.Control(ctx)
		if err != nil {
			return err
		}
		switch t {
		case wire.TypeStatus:
			err = with(wire.ParseStatus, body, func(m wire.Status) error { e.setStatus(m); return nil })
		case wire.TypeChannelAsk:
			err = with(wire.ParseChannelAsk, body, func(m wire.ChannelAsk) error {
				if offered != nil {
					return wire.Errorf(wire.ProtocolError, "a session has one channel")
				}
				if m.Class != class {
					return wire.Errorf(wire.Binding, "this session is of class %d, not %d", class, m.Class)
				}
				offered, err = r.offerChannel(s, m, window, step)
				return err
			})
		case wire.TypeChannelAccept:
			err = with(wire.ParseChannelAccept, body, func(m wire.ChannelAccept) error { return r.openChannel(e, offered, m) })
		case wire.TypeCount:
			err = with(wire.ParseCount, body, func(m wire.Count) error { return r.answerCount(e, m) })
		case wire.TypeReceiptSign:
			err = with(wire.ParseReceiptSign, body, func(m wire.ReceiptSign) error { return r.completeReceipt(e, m) })
		case wire.TypeReach:
			err = with(wire.ParseReach, body, func(m wire.Reach) error { e.setReach(m); return nil })
		case wire.TypeDialBack:
			err = with(wire.ParseDialBack, body, func(m wire.DialBack) error { r.dialBack(e, m.Port); return nil })
		case wire.TypeDone:
			err = with(wire.ParseDone, body, func(m wire.Done) error {
				if meter := e.channel(); meter != nil {
					return meter.PeerDone(m)
				}
				return nil
			})
		case wire.TypeBye:
			if !leaving {
				leaving = true
				r.background(func() { r.part(e) })
			}
		}
		if err != nil {
			return fmt.Errorf("edge %s: %s: %w", e.id, t, err)
		}
	}
}

// part ends the session of an edge that has said Bye, when its last stream has had time to be signed for. An edge does so
// by itself; one that does not could have any number of sessions, since the newest alone has a place in the table.
func (r *Relay) part(e *edge) {
	ctx, cancel := context.WithTimeout(r.ctx, partingGrace)
	defer cancel()
	for ctx.Err() == nil && e.candidate().Streams > 0 {
		pause(ctx, lastReceipts)
	}
	pause(ctx, lastReceipts)
	e.session.Close(wire.Draining, "the edge has left")
}

// forget takes an edge whose session has ended out of the table. Its channel gets no more receipts, and is ended when the
// last of them is on disk: the spool may drop a channel that has ended, and takes no receipt of one that it dropped.
func (r *Relay) forget(e *edge) {
	r.edges.drop(e)
	if m := e.channel(); m != nil && r.keep.flush() == nil { // an error is the keeper's own to tell
		r.spool.End(m.ID())
	}
}

// trust is the window and step that an edge's history allows. A browser's node stays a new one.
func (r *Relay) trust(ctx context.Context, id identity.ID, class uint16) (window, step uint32) {
	w := uint64(newWindow)
	if class == classAgent {
		ctx, cancel := context.WithTimeout(ctx, historyWait)
		defer cancel()
		if history, err := r.cfg.Hub.History(ctx, id); err == nil {
			w = min(max(history.Bytes/trustShare, newWindow), accounting.MaxWindow)
		}
	}
	return uint32(w), uint32(min(max(w/stepsWindow, accounting.MinStep), accounting.MaxStep))
}

// with parses a frame's body and hands the message on.
func with[M any](parse func([]byte) (M, error), body []byte, do func(M) error) error {
	m, err := parse(body)
	if err != nil {
		return err
	}
	return do(m)
}

// offer is a channel that this relay has signed and the edge has not yet.
type offer struct {
	channel accounting.Channel
	body    []byte
	sig     [64]byte
	key     identity.Key
}

func (r *Relay) offerChannel(s session, ask wire.ChannelAsk, window, step uint32) (*offer, error) {
	key, err := identity.NewKey()
	if err != nil {
		return nil, err
	}
	exporter, err := s.Exporter(accounting.ExporterLabel, ask.Nonce[:])
	if err != nil {
		return nil, err
	}
	now := r.cfg.Clock()
	c := accounting.Channel{
		Issuer: r.cfg.HubID, Relay: r.cfg.Key.ID(), Edge: s.Peer(), RelayKey: key.ID(), EdgeKey: ask.ChannelKey,
		Exporter: exporter, EdgeNonce: ask.Nonce, Policy: ask.Policy, Consent: ask.Consent, Class: ask.Class,
		Step: step, Window: window, Opened: now.UnixMilli(), Expires: now.Add(channelLife).UnixMilli(),
	}
	if _, err := rand.Read(c.RelayNonce[:]); err != nil {
		return nil, err
	}
	o := &offer{channel: c, body: c.Append(nil), key: key, sig: [64]byte(c.Sign(r.cfg.Network, r.cfg.Key))}
	return o, s.Send(wire.ChannelOffer{Body: o.body, Sig: o.sig})
}

func (r *Relay) openChannel(e *edge, o *offer, accept wire.ChannelAccept) error {
	if o == nil || e.channel() != nil {
		return wire.Errorf(wire.ProtocolError, "no channel is on offer")
	}
	signed := accounting.SignedChannel{Channel: o.channel, Body: o.body, EdgeSig: accept.Sig[:], RelaySig: o.sig[:]}
	if err := signed.Verify(r.cfg.Network); err != nil {
		return err
	}
	if err := r.spool.PutChannel(signed); err != nil {
		return err
	}
	e.setChannel(accounting.NewMeter(accounting.MeterConfig{
		Side: accounting.RelaySide, Network: r.cfg.Network, Channel: o.channel, Key: o.key, Now: r.cfg.Clock,
	}))
	return nil
}

func (r *Relay) answerCount(e *edge, count wire.Count) error {
	meter := e.channel()
	if meter == nil {
		return wire.Errorf(wire.ProtocolError, "count without a channel")
	}
	e.refresh()
	offer, err := meter.Offer(count)
	if err != nil {
		return err
	}
	return e.session.Send(offer)
}

func (r *Relay) completeReceipt(e *edge, sign wire.ReceiptSign) error {
	meter := e.channel()
	if meter == nil {
		return wire.Errorf(wire.ProtocolError, "receipt without a channel")
	}
	receipt, err := meter.Complete(sign)
	if err != nil {
		return err
	}
	r.metrics.receipts.Inc()
	r.keep.put(receipt)
	return nil
}
