package edge

import (
	"context"
	"errors"
	"time"

	"sward/accounting"
	"sward/internal/wire"
)

const (
	countEvery   = 2 * time.Second        // PROTOCOL.md §7.2
	countSpacing = 200 * time.Millisecond // between counts for ended streams: many small ones share a receipt
	lastCount    = 2 * time.Second        // an ending session's wait for its last receipt
	lastSpacing  = 20 * time.Millisecond  // between the counts that ask for it

	settleEvery  = 15 * time.Second // receipts to the hub: cumulative, so the latest is enough
	lastSettle   = 3 * time.Second  // at the end
	accountEvery = time.Minute      // points for the dashboard
	saveEvery    = 5 * time.Second  // journals to disk

	spoolDir = "receipts"
)

// count tells the relay how far each grant has got: when a step of bytes has passed, when a stream has ended, and
// every two seconds.
func (s *session) count(ctx context.Context) error {
	tick := time.NewTicker(countEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.meter.Due():
		case <-tick.C:
		case <-s.quiet:
			s.gather(ctx)
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := s.countOnce(); err != nil {
			return err
		}
	}
}

// gather waits a moment for more streams to end, unless running ones come to a step meanwhile: those would stand at the
// window.
func (s *session) gather(ctx context.Context) {
	timer := time.NewTimer(countSpacing)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.meter.Due():
	case <-ctx.Done():
	}
}

func (s *session) countOnce() error {
	if err := s.meter.Fault(); err != nil { // a stream's end has brought it about
		return wire.Errorf(wire.ProtocolError, "%v", err)
	}
	count, ok := s.meter.Count()
	if !ok {
		return nil
	}
	return s.tunnel.Send(count)
}

// cosign checks and signs an offered receipt. It is on disk before the signature leaves: what the relay can claim,
// this edge can prove.
func (s *session) cosign(body []byte) error {
	offer, err := wire.ParseReceiptOffer(body)
	if err != nil {
		return err
	}
	receipt, sign, err := s.meter.Cosign(offer)
	if err != nil {
		return wire.Errorf(wire.ProtocolError, "%v", err)
	}
	if err := s.edge.spool.PutReceipt(receipt); err != nil {
		return err
	}
	s.edge.metrics.receipts.Inc()
	return s.tunnel.Send(sign)
}

func (s *session) peerDone(body []byte) error {
	m, err := wire.ParseDone(body)
	if err != nil {
		return err
	}
	if err := s.meter.PeerDone(m); err != nil {
		return wire.Errorf(wire.ProtocolError, "%v", err)
	}
	s.streamEnded()
	return nil
}

// streamEnded asks for a count soon.
func (s *session) streamEnded() {
	select {
	case s.quiet <- struct{}{}:
	default: // one is due already
	}
}

// settleLast waits a moment until all that was carried is signed for. It follows the last stream of a session: what is
// unsigned when the session closes is lost to this edge.
func (s *session) settleLast(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lastCount)
	defer cancel()
	for ctx.Err() == nil && !s.meter.Idle() {
		if s.countOnce() != nil {
			return
		}
		sleep(ctx, lastSpacing)
	}
}

// keepBooks hands receipts to the hub, asks what it owes, and writes the journals, until ctx ends.
func (e *Edge) keepBooks(ctx context.Context) error {
	settle, account, save := time.NewTicker(settleEvery), time.NewTicker(accountEvery), time.NewTicker(saveEvery)
	defer settle.Stop()
	defer account.Stop()
	defer save.Stop()
	var rest rest
	e.accountOnce(ctx)
	for ctx.Err() == nil {
		select {
		case <-settle.C:
			if e.settleOnce(ctx) {
				e.accountOnce(ctx) // an owner who has just earned something wants to see it
			}
		case <-account.C:
			e.accountOnce(ctx)
			e.note(ctx, "receipts are not kept for the owner", e.proofs.save(e.cfg.Clock()))
		case <-save.C:
			e.saveOnce()
			if e.cfg.Rest != nil && rest.look(time.Now(), e.live.activity) {
				e.cfg.Rest()
			}
		case <-ctx.Done():
		}
	}
	return nil
}

// settleAtEnd hands in what the last streams left. What the hub does not take now it gets at the next start.
func (e *Edge) settleAtEnd(ctx context.Context) {
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastSettle)
	defer cancel()
	e.settleOnce(last)
}

// settleOnce submits what the hub has not confirmed and forgets what it has. Failures wait for the next time: receipts
// are cumulative and on disk.
func (e *Edge) settleOnce(ctx context.Context) (submitted bool) {
	submitted = len(e.spool.Pending(1)) > 0
	left, err := e.spool.Submit(ctx, e.submit)
	e.mu.Lock()
	e.points.unsubmitted = left
	e.mu.Unlock()
	e.note(ctx, "receipts stay here until the hub takes them", err)
	return submitted && err == nil
}

// submit hands a batch to the hub, and keeps what it has answered for.
func (e *Edge) submit(ctx context.Context, channels []accounting.SignedChannel, receipts []accounting.SignedReceipt) ([]accounting.Settled, error) {
	answers, err := e.cfg.Hub.Settle(ctx, channels, receipts)
	if err != nil {
		return nil, err
	}
	heard := make(map[accounting.ChannelID]accounting.Settled, len(answers))
	for _, a := range answers {
		heard[a.Channel] = a
	}
	for i, r := range receipts { // each is of the channel beside it: Spool.Submit
		if a := heard[r.Channel]; a.Serial >= r.Serial || a.Refused != "" {
			e.note(ctx, "a receipt is not kept for the owner", e.proofs.keep(accounting.Unsettled{Channel: channels[i], Receipt: r}, a.Refused))
		}
	}
	return answers, nil
}

// accountOnce asks the hub what it owes.
func (e *Edge) accountOnce(ctx context.Context) {
	account, err := e.cfg.Hub.Account(ctx)
	if err == nil {
		e.mu.Lock()
		e.points.account, e.points.at = account, e.cfg.Clock()
		e.mu.Unlock()
	}
	e.note(ctx, "the hub does not tell the points", err)
}

func (e *Edge) saveOnce() {
	if err := errors.Join(e.refusals.save(), e.chances.save(), e.outcomes.save(), e.diary.Tend()); err != nil {
		e.cfg.Log.Error("the journals cannot be written", "err", err)
	}
}

// note logs a failure at the hub. The dashboard shows the consequence; the log is for whoever looks for the cause.
func (e *Edge) note(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		e.cfg.Log.Debug(what, "err", err)
	}
}

// channelError gives a meter's refusal a code.
func channelError(err error) error {
	switch {
	case errors.Is(err, accounting.ErrUnsigned), errors.Is(err, accounting.ErrExpired):
		return wire.Errorf(wire.WindowClosed, "%v", err)
	case errors.Is(err, accounting.ErrCrowded):
		return wire.Errorf(wire.StreamLimit, "%v", err)
	}
	return err
}
