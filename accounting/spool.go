package accounting

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// maxSpool bounds the channels in a spool: a busy relay opens as many in a few days.
	maxSpool = 1 << 16
	// keepUnsettled is how long after its end a channel's receipt that the hub does not take is kept. The hub takes none
	// that late.
	keepUnsettled = 7 * 24 * time.Hour

	// A spool is written anew, without what is settled, when it has grown by quietGrowth bytes and nothing is left to
	// settle, or else by busyGrowth and by four times of what it would hold then.
	quietGrowth = 256 << 10
	busyGrowth  = 4 << 20
	growthShare = 4
	spoolChunk  = 1 << 20 // bytes of one write while it is written anew

	// submitBatch is how many channels one submission carries: a few hundred KiB as a rule. Where receipts are long it is
	// fewer, so that the hub takes it.
	submitBatch = 256
)

// Record types of a spool's journal.
const (
	spoolChannel = 1 // signed channel
	spoolReceipt = 2 // signed receipt
	spoolAck     = 3 // channel [32] | serial u64
	spoolAnew    = 4 // what precedes is superseded; empty
)

// Spool keeps a peer's channels and their receipts on disk until the hub has taken them. Of each channel only the
// receipt with the highest serial counts. What Put has returned for survives a crash; an Ack may be lost in one, which
// costs a submission that changes nothing. Safe for concurrent use.
type Spool struct {
	network string
	journal *Journal
	torn    TornTail
	now     func() time.Time

	rewrite sync.RWMutex // held for writing while the journal is written anew; taken before mu

	mu      sync.Mutex
	entries map[ChannelID]*spooled
	acks    []Entry // not on disk yet: they ride with the next record
	grown   int     // bytes appended since the journal was written anew
	kept    int     // bytes that it had then
}

// spooled is one channel.
type spooled struct {
	channel SignedChannel
	receipt SignedReceipt // the latest; Serial 0 is none
	acked   uint64        // serial that the hub has
	refused uint64        // serial that the hub did not want: not offered again by this process
	ended   bool          // its session is over
}

func (s *spooled) pending() bool {
	return s.receipt.Serial > s.acked && s.receipt.Serial != s.refused
}

// over reports whether no later receipt can come and the latest need not be kept.
func (s *spooled) over(now time.Time) bool {
	end := time.UnixMilli(s.channel.Expires)
	if s.receipt.Serial > s.acked {
		return now.After(end.Add(keepUnsettled))
	}
	return s.ended || now.After(end.Add(ChannelGrace))
}

// Unsettled is a channel whose latest receipt the hub does not have yet.
type Unsettled struct {
	Channel SignedChannel
	Receipt SignedReceipt
}

// OpenSpool opens the spool of a network's channels in dir, or begins one. Receipts of former processes are there again;
// their channels take no new ones, because the keys are gone.
func OpenSpool(dir, network string) (*Spool, error) { return openSpool(dir, network, time.Now) }

// OpenSpoolAt is OpenSpool by the clock of a role whose channels do not live by this machine's.
func OpenSpoolAt(dir, network string, now func() time.Time) (*Spool, error) {
	return openSpool(dir, network, now)
}

func openSpool(dir, network string, now func() time.Time) (*Spool, error) {
	journal, torn, err := OpenJournal(JournalConfig{Dir: dir})
	if err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	s := &Spool{network: network, journal: journal, torn: torn, now: now, entries: map[ChannelID]*spooled{}}
	if err := readJournal(dir, true, s.load); err != nil {
		journal.Close()
		return nil, fmt.Errorf("open spool: %w", err)
	}
	for id, e := range s.entries {
		if e.receipt.Serial <= e.acked {
			delete(s.entries, id)
		}
	}
	return s, nil
}

// ReadSpool gives what a spool holds for the hub, and changes nothing: another process may have it open, and be writing. What
// the hub has confirmed in the last moments may still be among it.
func ReadSpool(dir, network string) ([]Unsettled, error) {
	var err error
	for range 3 { // it may be written anew while it is read
		s := &Spool{network: network, now: time.Now, entries: map[ChannelID]*spooled{}}
		err = readJournal(dir, true, s.load)
		if _, torn := errors.AsType[*Damage](err); err == nil || torn { // or half a record has been written
			return s.Pending(maxSpool), nil
		}
	}
	return nil, fmt.Errorf("read spool: %w", err)
}

// load applies one record of the journal.
func (s *Spool) load(r Record) error {
	s.grown += recordHeader + len(r.Body)
	switch r.Type {
	case spoolChannel:
		c, err := ParseSignedChannel(r.Body)
		if err != nil {
			return fmt.Errorf("record %d: %w", r.Seq, err)
		}
		if id := c.ID(s.network); s.entries[id] == nil {
			s.entries[id] = &spooled{channel: c}
		}
	case spoolReceipt:
		receipt, err := ParseSignedReceipt(r.Body)
		if err != nil {
			return fmt.Errorf("record %d: %w", r.Seq, err)
		}
		if e := s.entries[receipt.Channel]; e != nil && receipt.Serial > e.receipt.Serial {
			e.receipt = receipt
		}
	case spoolAck:
		if len(r.Body) != len(ChannelID{})+8 {
			return fmt.Errorf("record %d: %w", r.Seq, ErrLength)
		}
		f := fields(r.Body)
		if e := s.entries[f.id()]; e != nil {
			e.acked = max(e.acked, f.u64())
		}
	}
	return nil
}

// Torn tells what a crash had left half written when the spool was opened. None of it had been promised.
func (s *Spool) Torn() TornTail { return s.torn }

// PutChannel keeps a channel that both sides have signed. It comes before the channel's receipts, and is on disk when
// PutChannel returns.
func (s *Spool) PutChannel(c SignedChannel) error {
	id := c.ID(s.network)
	s.mu.Lock()
	known, full := s.entries[id] != nil, len(s.entries) >= maxSpool
	if !known && !full {
		s.entries[id] = &spooled{channel: c}
	}
	s.mu.Unlock()
	switch {
	case known:
		return nil
	case full:
		return fmt.Errorf("spool of %d channels: %w", maxSpool, ErrCrowded)
	}
	return s.put(Entry{Type: spoolChannel, Body: c.Bytes()})
}

// PutReceipt keeps a receipt, if it is later than the one of its channel that is kept already. It is on disk when
// PutReceipt returns.
func (s *Spool) PutReceipt(r SignedReceipt) error {
	s.mu.Lock()
	e := s.entries[r.Channel]
	later := e != nil && r.Serial > e.receipt.Serial
	if later {
		e.receipt = r
	}
	s.mu.Unlock()
	switch {
	case e == nil:
		return fmt.Errorf("spool receipt %d of channel %s: %w", r.Serial, r.Channel, ErrChannel)
	case !later:
		return nil
	}
	return s.put(Entry{Type: spoolReceipt, Body: r.Bytes()})
}

// put appends an entry and the waiting acks, and writes the journal anew when it is time.
func (s *Spool) put(e Entry) error {
	s.rewrite.RLock()
	s.mu.Lock()
	entries := append(s.acks, e)
	s.acks = nil
	for _, e := range entries {
		s.grown += recordHeader + len(e.Body)
	}
	s.mu.Unlock()
	_, err := s.journal.Append(entries...)
	s.rewrite.RUnlock()
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	return s.tidy()
}

// Pending gives at most limit channels with the receipt that the hub should have, the oldest channels first.
func (s *Spool) Pending(limit int) []Unsettled {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Unsettled
	for _, e := range s.entries {
		if e.pending() {
			all = append(all, Unsettled{Channel: e.channel, Receipt: e.receipt})
		}
	}
	slices.SortFunc(all, func(a, b Unsettled) int {
		return cmp.Or(cmp.Compare(a.Channel.Opened, b.Channel.Opened), bytes.Compare(a.Receipt.Channel[:], b.Receipt.Channel[:]))
	})
	return all[:min(len(all), max(limit, 0))]
}

// Latest is the latest receipt of a channel, if the spool has the channel and the channel has one.
func (s *Spool) Latest(id ChannelID) (Unsettled, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[id]
	if e == nil || e.receipt.Serial == 0 {
		return Unsettled{}, false
	}
	return Unsettled{Channel: e.channel, Receipt: e.receipt}, true
}

// Ack notes that the hub has the channel's receipt with this serial, or a later one.
func (s *Spool) Ack(id ChannelID, serial uint64) error {
	s.mu.Lock()
	if e := s.entries[id]; e != nil && serial > e.acked {
		e.acked = serial
		s.acks = append(s.acks, Entry{Type: spoolAck, Body: binary.BigEndian.AppendUint64(id[:], serial)})
	}
	s.mu.Unlock()
	return s.tidy()
}

// End says that the channel's session is over: when the hub has its last receipt, nothing of it need be kept. Without it
// a channel is kept until its time is over.
func (s *Spool) End(id ChannelID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[id]; e != nil {
		e.ended = true
	}
}

// Submit hands everything that is pending to settle, Client.Settle as a rule, in batches, and acknowledges what it
// confirms. left is how many receipts are still pending. What the hub refuses is not offered again until the next start;
// the error names it.
func (s *Spool) Submit(ctx context.Context, settle func(context.Context, []SignedChannel, []SignedReceipt) ([]Settled, error)) (left int, err error) {
	for {
		batch := fitting(s.Pending(submitBatch))
		if len(batch) == 0 {
			return 0, err
		}
		var channels []SignedChannel
		var receipts []SignedReceipt
		offered := make(map[ChannelID]uint64, len(batch))
		for _, u := range batch {
			channels, receipts = append(channels, u.Channel), append(receipts, u.Receipt)
			offered[u.Receipt.Channel] = u.Receipt.Serial
		}
		answers, callErr := settle(ctx, channels, receipts)
		if callErr != nil {
			return s.count(), errors.Join(err, callErr)
		}
		for _, a := range answers {
			err = errors.Join(err, s.settled(a, offered[a.Channel]))
		}
		if again := s.Pending(len(batch)); slices.EqualFunc(again, batch, func(a, b Unsettled) bool {
			return a.Receipt.Channel == b.Receipt.Channel && a.Receipt.Serial == b.Receipt.Serial
		}) {
			return s.count(), errors.Join(err, errors.New("the hub took none of a batch of receipts"))
		}
	}
}

// fitting is as many, from the first on, as one settlement may carry.
func fitting(all []Unsettled) []Unsettled {
	size := 2 * 4 // two counts, and a length before each record
	for i, u := range all {
		size += 2 + len(u.Channel.Bytes()) + 2 + len(u.Receipt.Bytes())
		if size > maxSettlement {
			return all[:i]
		}
	}
	return all
}

// settled takes the hub's word on one channel, of which it was offered the receipt with the given serial.
func (s *Spool) settled(a Settled, offered uint64) error {
	err := s.Ack(a.Channel, a.Serial)
	if a.Refused == "" {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[a.Channel]; e != nil && e.pending() {
		e.refused = offered // not a later one that has come meanwhile
	}
	return errors.Join(err, fmt.Errorf("receipt of channel %s refused by the hub: %w", a.Channel, a.Refused))
}

// count is how many receipts are pending.
func (s *Spool) count() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.entries {
		if e.pending() {
			n++
		}
	}
	return n
}

// tidy writes the journal anew if it is time: with the channels that may still get receipts, the receipts that the hub
// does not have, and nothing else. A crash in the middle leaves old and new, which together say the same.
func (s *Spool) tidy() error {
	if !s.untidy() {
		return nil
	}
	s.rewrite.Lock()
	defer s.rewrite.Unlock()
	if !s.untidy() { // another caller was quicker
		return nil
	}
	last, _ := s.journal.Head()
	s.journal.rollover()
	entries := s.keep()
	for len(entries) > 0 {
		n, size := 0, 0
		for n < len(entries) && size < spoolChunk {
			size += recordHeader + len(entries[n].Body)
			n++
		}
		if _, err := s.journal.Append(entries[:n]...); err != nil {
			return fmt.Errorf("tidy spool: %w", err)
		}
		entries = entries[n:]
	}
	if err := s.journal.dropBefore(last + 1); err != nil {
		return fmt.Errorf("tidy spool: %w", err)
	}
	return nil
}

func (s *Spool) untidy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.grown < quietGrowth {
		return false
	}
	if s.grown >= max(busyGrowth, growthShare*s.kept) {
		return true
	}
	for _, e := range s.entries {
		if e.pending() {
			return false
		}
	}
	return s.grown >= growthShare*s.kept
}

// keep drops what is over, and gives the records of the rest.
func (s *Spool) keep() []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	entries := []Entry{{Type: spoolAnew}}
	s.grown, s.kept, s.acks = 0, 0, nil
	for id, e := range s.entries {
		if e.over(s.now()) {
			delete(s.entries, id)
			continue
		}
		entries = append(entries, Entry{Type: spoolChannel, Body: e.channel.Bytes()})
		if e.receipt.Serial > e.acked {
			entries = append(entries, Entry{Type: spoolReceipt, Body: e.receipt.Bytes()})
		}
	}
	for _, e := range entries {
		s.kept += recordHeader + len(e.Body)
	}
	return entries
}

// Close writes the last acks.
func (s *Spool) Close() error {
	s.rewrite.Lock()
	defer s.rewrite.Unlock()
	s.mu.Lock()
	acks := s.acks
	s.acks = nil
	s.mu.Unlock()
	var err error
	if len(acks) > 0 {
		_, err = s.journal.Append(acks...)
	}
	return errors.Join(err, s.journal.Close())
}
