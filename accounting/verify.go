package accounting

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"sward/internal/identity"
)

// verifyBatch is how many signatures are checked at once: enough for the discount of a batch, little enough that a bad one
// is found soon.
const verifyBatch = 512

// verifier replays records into a state, strictly: every signature is checked and every rule applied again. Signatures are
// checked in batches, a few records behind the rules; whatever is wrong first in the journal is reported first.
type verifier struct {
	state   *state
	pending []identity.Signed
	seqs    []uint64 // the record that each pending signature stands in
}

// badRecord is a record that should not be in a journal.
type badRecord struct {
	seq uint64
	why error
}

func (e *badRecord) Error() string { return fmt.Sprintf("record %d: %v", e.seq, e.why) }
func (e *badRecord) Unwrap() error { return e.why }

// record applies the next record. Its error is a *badRecord, perhaps of an earlier one.
func (v *verifier) record(r Record) error {
	var err error
	switch r.Type {
	case recordChannel:
		err = v.channel(r)
	case recordReceipt:
		err = v.receipt(r)
	default:
		err = v.event(r)
	}
	if err != nil {
		if earlier := v.flush(); earlier != nil {
			return earlier
		}
		return &badRecord{r.Seq, err}
	}
	v.state.advance(r.Seq, r.Head)
	if len(v.pending) >= verifyBatch {
		return v.flush()
	}
	return nil
}

func (v *verifier) channel(r Record) error {
	c, err := ParseSignedChannel(r.Body)
	if err != nil {
		return err
	}
	v.expect(r.Seq, channelSignatures(c)...)
	return v.state.channel(c.ID(v.state.network), c)
}

func (v *verifier) receipt(r Record) error {
	signed, err := ParseSignedReceipt(r.Body)
	if err != nil {
		return err
	}
	c := v.state.channels[signed.Channel]
	if c == nil {
		return ErrUnknownChannel
	}
	v.expect(r.Seq, c.signatures(&signed)...)
	return v.state.receipt(&signed, signed.Hash())
}

func (v *verifier) event(r Record) error {
	p, e, err := parseEvent(eventKind(r.Type), r.Body)
	if err != nil {
		return err
	}
	hub := v.state.hub
	switch e := e.(type) {
	case *openedEvent:
		hub = e.Hub
	case *grantEvent:
		v.expect(r.Seq, identity.Signed{ID: hub, Type: typeGrant, Body: e.Grant.Body, Sig: e.Grant.Sig})
	case *evidenceEvent:
		signed, err := ParseSignedReceipt(e.Receipt)
		if err != nil {
			return err
		}
		c := v.state.channels[signed.Channel]
		if c == nil {
			return ErrUnknownChannel
		}
		v.expect(r.Seq, c.signatures(&signed)...)
	}
	record := bytes.Clone(r.Body)
	end := len(record) - signatureSize
	v.expect(r.Seq, identity.Signed{ID: hub, Type: e.kind().signedAs(), Body: record[:end], Sig: record[end:]})
	return v.state.event(p, e)
}

func (v *verifier) expect(seq uint64, signed ...identity.Signed) {
	for _, s := range signed {
		v.pending = append(v.pending, s)
		v.seqs = append(v.seqs, seq)
	}
}

// flush checks the signatures that are waiting.
func (v *verifier) flush() error {
	defer func() { v.pending, v.seqs = v.pending[:0], v.seqs[:0] }()
	for i, valid := range verifyAll(v.state.network, v.pending) {
		if !valid {
			return &badRecord{v.seqs[i], fmt.Errorf("%s: %w", v.pending[i].Type, ErrSignature)}
		}
	}
	return nil
}

// verifyAll checks signatures on all processors. Each takes a batch of its own: a batch is worth its discount from about
// verifyShare signatures on.
func verifyAll(network string, signed []identity.Signed) []bool {
	const verifyShare = 64
	valid := make([]bool, len(signed))
	share := max(verifyShare, (len(signed)+runtime.GOMAXPROCS(0)-1)/runtime.GOMAXPROCS(0))
	var work sync.WaitGroup
	for start := 0; start < len(signed); start += share {
		end := min(start+share, len(signed))
		work.Go(func() { copy(valid[start:end], identity.VerifyBatch(network, signed[start:end])) })
	}
	work.Wait()
	return valid
}

func channelSignatures(c SignedChannel) []identity.Signed {
	return []identity.Signed{
		{ID: c.Edge, Type: typeChannel, Body: c.Body, Sig: c.EdgeSig},
		{ID: c.Relay, Type: typeChannel, Body: c.Body, Sig: c.RelaySig},
	}
}

// signatures are those that a receipt bears: both, or the one of a half-signed one.
func (c *liveChannel) signatures(r *SignedReceipt) []identity.Signed {
	signed := make([]identity.Signed, 0, 2)
	for _, s := range r.Signatures(Channel{EdgeKey: c.edgeKey, RelayKey: c.relayKey}) {
		if !unsigned(s.Sig) {
			signed = append(signed, s)
		}
	}
	return signed
}

// location is where a record lies.
type location struct {
	segment string
	offset  int64
}

// readJournalFrom gives the records after one whose sequence and head are known, with where they lie. It reads only the
// segments that it needs.
func readJournalFrom(dir string, after uint64, head [32]byte, fn func(Record, location) error) error {
	names, err := segmentNames(dir)
	if os.IsNotExist(err) {
		err = nil // nothing has been written yet
	}
	if err != nil {
		return err
	}
	for len(names) > 1 && firstOf(names[1]) <= after+1 {
		names = names[1:]
	}
	var end chain
	for i, name := range names {
		r, err := openSegment(dir, name)
		if err != nil {
			return err
		}
		if i > 0 && r.chain != end || r.chain.seq > after && i == 0 {
			err = &Damage{Segment: name, Seq: r.chain.seq + 1, Reason: "the segment does not follow the one before it"}
		} else {
			err = readOn(r, after, head, fn)
		}
		end = r.chain
		r.Close()
		if err != nil {
			return err
		}
	}
	if end.seq < after {
		return fmt.Errorf("the journal ends at record %d, but %d was there", end.seq, after)
	}
	return nil
}

func readOn(r *segmentReader, after uint64, head [32]byte, fn func(Record, location) error) error {
	for {
		if r.chain.seq == after && r.chain.head != head {
			return &Damage{Segment: r.name, Seq: after, Offset: r.offset, Reason: "it is not the record that was there"}
		}
		at := location{r.name, r.offset}
		record, err := r.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && record.Seq > after {
			err = fn(record, at)
		}
		if err != nil {
			return err
		}
	}
}

// firstOf is the first sequence of a segment, from its name; a name that says nothing comes last.
func firstOf(segment string) uint64 {
	n, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimPrefix(segment, segmentPrefix), segmentSuffix), 10, 64)
	if err != nil {
		return ^uint64(0)
	}
	return n
}
