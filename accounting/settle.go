package accounting

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"sward/internal/identity"
)

const (
	// maxSettlement bounds one call in bytes and in records: what one fsync and one transaction take, and what a relay
	// with thousands of channels sends in one go.
	maxSettlement      = 4 << 20
	maxSettlementItems = 16384
	// maxLiveChannels bounds the channels in memory, at about half a KiB each: those of the last two days.
	maxLiveChannels = 1 << 20
)

// Settle takes channels and their receipts from either side of them, and credits each channel with its greatest receipt,
// never with a sum: submitting something again, or something older, changes nothing. What breaks a rule is refused by
// name, and nothing else of the batch with it. A receipt that contradicts another that both sides have signed is kept as
// evidence, and suspends both.
//
// What Settle has answered for is on disk. Checks go from cheap to dear; signatures are checked in one batch, and only of
// what is news.
func (b *Book) Settle(ctx context.Context, submitter identity.ID, channels []SignedChannel, receipts []SignedReceipt) ([]Settled, error) {
	if len(channels)+len(receipts) > maxSettlementItems {
		return nil, fmt.Errorf("settle: more than %d records: %w", maxSettlementItems, ErrLength)
	}
	s := settlement{b: b, submitter: submitter, known: map[ChannelID]Channel{}, refused: map[ChannelID]Refusal{}}
	s.screen(channels, receipts)
	s.verify()
	return s.apply(ctx)
}

// settlement is one batch on its way through the checks.
type settlement struct {
	b         *Book
	submitter identity.ID
	order     []ChannelID // as they first appear
	refused   map[ChannelID]Refusal
	known     map[ChannelID]Channel // keys of the channels in the batch and on file
	channels  []candidate[SignedChannel]
	receipts  []candidate[SignedReceipt]
}

// candidate is a record that has passed the cheap checks.
type candidate[T any] struct {
	channel ChannelID
	record  T
	hash    [32]byte // of a receipt
	first   int      // its signatures, in the batch to verify
	count   int
	bad     bool
}

func (s *settlement) refuse(id ChannelID, err error) {
	name := ErrField
	errors.As(err, &name)
	if name == ErrUnknownChannel && s.refused[id] != "" {
		return // the channel itself was refused, and that says why
	}
	s.refused[id] = name
}

func (s *settlement) name(id ChannelID) {
	if _, seen := s.refused[id]; !seen {
		s.order = append(s.order, id)
		s.refused[id] = ""
	}
}

// screen does the cheap checks, and takes from the book the keys that the signatures are held against. A receipt is held
// against what is on file here already, so that repetitions, the most of what comes, cost no signature.
func (s *settlement) screen(channels []SignedChannel, receipts []SignedReceipt) {
	b := s.b
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.nowLocked()
	for _, c := range channels {
		id := c.ID(b.cfg.Network)
		s.name(id)
		if _, twice := s.known[id]; twice {
			continue
		}
		err := b.state.checkChannel(id, c.Channel, now)
		switch {
		case errors.Is(err, errStale):
			continue
		case err != nil:
		case s.submitter != c.Edge && s.submitter != c.Relay && s.submitter != b.state.hub:
			err = ErrSubmitter
		case !b.acceptsConsent(c.Consent):
			err = ErrConsent
		case unsigned(c.EdgeSig) || unsigned(c.RelaySig):
			err = ErrHalfSigned
		case !bytes.Equal(c.Body, c.Append(nil)):
			err = ErrBody
		}
		if err != nil {
			s.refuse(id, err)
			continue
		}
		s.known[id] = c.Channel
		s.channels = append(s.channels, candidate[SignedChannel]{channel: id, record: c})
	}
	for _, r := range receipts {
		s.name(r.Channel)
		c, fresh := s.known[r.Channel]
		if live := b.state.channels[r.Channel]; live != nil {
			c = Channel{Edge: live.edge, Relay: live.relay, EdgeKey: live.edgeKey, RelayKey: live.relayKey}
			s.known[r.Channel] = c
		} else if !fresh {
			s.refuse(r.Channel, ErrUnknownChannel)
			continue
		}
		if s.submitter != c.Edge && s.submitter != c.Relay && s.submitter != b.state.hub {
			s.refuse(r.Channel, ErrSubmitter)
			continue
		}
		if !bytes.Equal(r.Body, r.Append(nil)) {
			s.refuse(r.Channel, ErrBody)
			continue
		}
		hash := sha256.Sum256(r.Body)
		if !fresh {
			err := b.state.checkReceipt(&r, hash, now)
			if errors.Is(err, errStale) {
				continue
			}
			if err != nil && !proves(err) {
				s.refuse(r.Channel, err)
				continue
			}
		}
		s.receipts = append(s.receipts, candidate[SignedReceipt]{channel: r.Channel, record: r, hash: hash})
	}
}

// proves reports whether a refusal is worth keeping the receipt as evidence, if its signatures are good.
func proves(err error) bool {
	var rule Refusal
	return errors.As(err, &rule) && proofBits[rule] != 0
}

// verify checks the signatures of all candidates, without holding the book.
func (s *settlement) verify() {
	var all []identity.Signed
	for i := range s.channels {
		c := &s.channels[i]
		c.first = len(all)
		all = append(all, channelSignatures(c.record)...)
		c.count = len(all) - c.first
	}
	for i := range s.receipts {
		r := &s.receipts[i]
		keys := s.known[r.channel]
		live := liveChannel{edgeKey: keys.EdgeKey, relayKey: keys.RelayKey}
		r.first = len(all)
		all = append(all, live.signatures(&r.record)...)
		r.count = len(all) - r.first
	}
	valid := verifyAll(s.b.cfg.Network, all)
	good := func(first, count int) bool {
		for _, v := range valid[first : first+count] {
			if !v {
				return false
			}
		}
		return count > 0
	}
	for i := range s.channels {
		c := &s.channels[i]
		if c.bad = !good(c.first, c.count); c.bad {
			s.refuse(c.channel, ErrSignature)
		}
	}
	for i := range s.receipts {
		r := &s.receipts[i]
		if r.bad = !good(r.first, r.count); r.bad {
			s.refuse(r.channel, ErrSignature)
		}
	}
}

// apply writes what has passed into the book. The rules are applied again: the book may have moved on since.
func (s *settlement) apply(ctx context.Context) ([]Settled, error) {
	b := s.b
	b.mu.Lock()
	defer b.mu.Unlock()
	w := b.writeLocked()
	for _, c := range s.channels {
		if c.bad {
			continue
		}
		if err := b.state.checkChannel(c.channel, c.record.Channel, w.now); err != nil {
			if !errors.Is(err, errStale) {
				s.refuse(c.channel, err)
			}
			continue
		}
		if err := s.begin(w); err != nil {
			return nil, err
		}
		if err := w.channel(c.channel, c.record); err != nil {
			return nil, err
		}
	}
	for _, r := range s.receipts {
		if r.bad {
			continue
		}
		if err := s.take(w, r); err != nil {
			return nil, err
		}
	}
	if err := w.commit(ctx); err != nil {
		return nil, err
	}
	settled := make([]Settled, len(s.order))
	for i, id := range s.order {
		settled[i] = Settled{Channel: id, Refused: s.refused[id]}
		if c := b.state.channels[id]; c != nil {
			settled[i].Serial = c.serial
		}
	}
	return settled, nil
}

// begin writes, before the first record of a settlement, who hands it in and when.
func (s *settlement) begin(w *writer) error {
	if len(w.entries) > 0 {
		return nil
	}
	return w.event(&settleEvent{Submitter: s.submitter})
}

// take credits one receipt, keeps it as evidence, or refuses it.
func (s *settlement) take(w *writer, r candidate[SignedReceipt]) error {
	b := s.b
	found := b.state.checkReceipt(&r.record, r.hash, w.now)
	switch {
	case errors.Is(found, errStale):
		return nil
	case found == nil:
		if err := s.begin(w); err != nil {
			return err
		}
		return w.receipt(&r.record, r.hash)
	}
	// Only half of the signatures contradict nobody: the other side may never have seen it.
	half := unsigned(r.record.EdgeSig) || unsigned(r.record.RelaySig)
	if half {
		s.refuse(r.channel, ErrHalfSigned)
	} else {
		s.refuse(r.channel, found)
	}
	if !proves(found) || half != errors.Is(found, ErrHalfSigned) {
		return nil
	}
	if b.state.channels[r.channel].proofs&proofBits[s.refused[r.channel]] != 0 {
		return nil // one proof of each kind is enough
	}
	if err := s.begin(w); err != nil {
		return err
	}
	b.cfg.Log.Warn("a channel contradicts itself", "rule", s.refused[r.channel], "channel", r.channel, "serial", r.record.Serial)
	return w.event(&evidenceEvent{Rule: s.refused[r.channel], Receipt: r.record.Bytes()})
}
