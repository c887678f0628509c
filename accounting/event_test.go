package accounting

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sampleEvents is one event of each kind, with the SHA-256 of its body: what version 1 looks like for ever.
var sampleEvents = []struct {
	event  event
	golden string
}{
	{&openedEvent{Network: "test", Hub: fill32(1)}, "2f47015217aa6ea7"},
	{&priceEvent{Price: testPrice}, "a9e73d176d8e4cb4"},
	{&partnerEvent{ID: fill16(2), Purpose: 3, Key: fill32(4), Name: "acme"}, "44e5fd0aee55546d"},
	{&depositEvent{Partner: fill16(2), Bytes: 1 << 30, Price: 1, Amount: 1_000_000}, "84392d3dd784e4de"},
	{&inviteEvent{Code: fill32(5), Expires: 6}, "858c01bb16b730b5"},
	{&consentEvent{Code: fill32(5), Edge: fill32(7), Consent: fill32(8)}, "995bd93add22fae4"},
	{&relayEvent{Relay: RelayInfo{ID: fill32(9), Proxy: "p:1", Tunnel: "t:2", Region: "eu"}}, "0b522548baba1466"},
	{&grantEvent{Partner: fill16(2), Grant: SignGrant(testNetwork, hubKey, testGrant())}, "2dd403d213334ba7"},
	{&releaseEvent{Grant: fill16(10), Finals: []Final{{fill32(11), 12}, {fill32(13), 14}}}, "3d1f83148456a2bb"},
	{&expireEvent{}, "8f543da58deeacc7"},
	{&suspendEvent{Peer: fill32(15), Reason: "caught"}, "a78577d0b8630f1d"},
	{&settleEvent{Submitter: fill32(16)}, "6334ef1ce091ce11"},
	{&evidenceEvent{Rule: ErrFork, Receipt: []byte("receipt")}, "0e2d3c4bd122f99b"},
	{&limitEvent{Partner: fill16(2), Limits: Limits{Rate: 50, Burst: 100, Streams: 500, Day: 20e9}}, "526efbe079503f0b"},
	{&refundEvent{Partner: fill16(2), Source: fill16(17), Total: 1 << 20, Amount: 976}, "19fbb2f33935f813"},
}

var samplePlace = place{Seq: 17, Time: 18, Prev: fill32(19)}

func TestEventsKeepTheirLayout(t *testing.T) {
	if len(sampleEvents) != len(eventKinds) {
		t.Errorf("%d samples for %d kinds of event", len(sampleEvents), len(eventKinds))
	}
	for _, s := range sampleEvents {
		body, err := eventBody(samplePlace, s.event)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(body)
		if got := hex.EncodeToString(sum[:8]); got != s.golden {
			t.Errorf("%s: the body's hash begins with %s, want %s\nbody %x", s.event.kind(), got, s.golden, body)
		}
		p, e, err := parseEvent(s.event.kind(), append(body, make([]byte, signatureSize)...))
		if err != nil || p != samplePlace {
			t.Errorf("%s: read back at %+v, %v; want %+v", s.event.kind(), p, err, samplePlace)
		}
		if diff := cmp.Diff(s.event, e); diff != "" {
			t.Errorf("%s (-written +read):\n%s", s.event.kind(), diff)
		}
	}
}

// One layout written out by hand: version, sequence, time, hash of the record before, then the fields.
func TestDepositIsWrittenAsDocumented(t *testing.T) {
	body, err := eventBody(samplePlace, &depositEvent{Partner: fill16(2), Bytes: 1 << 30, Price: 1, Amount: 1_000_000})
	want := "0001" + "0000000000000011" + "0000000000000012" + strings.Repeat("13", 32) +
		strings.Repeat("02", 16) + "0000000040000000" + "00000001" + "00000000000f4240"
	if got := hex.EncodeToString(body); err != nil || got != want {
		t.Errorf("deposit = %s, %v; want %s", got, err, want)
	}
}

func TestEventsAreReadStrictly(t *testing.T) {
	sig := make([]byte, signatureSize)
	for _, s := range sampleEvents {
		kind := s.event.kind()
		body, err := eventBody(samplePlace, s.event)
		if err != nil {
			t.Fatal(err)
		}
		for n := range len(body) {
			if _, _, err := parseEvent(kind, append(bytes.Clone(body[:n]), sig...)); err == nil {
				t.Errorf("%s cut to %d of %d bytes is read, want an error", kind, n, len(body))
			}
		}
		if _, _, err := parseEvent(kind, append(append(bytes.Clone(body), 0), sig...)); err == nil {
			t.Errorf("%s with a byte too many is read, want an error", kind)
		}
		body[1]++
		if _, _, err := parseEvent(kind, append(body, sig...)); err == nil {
			t.Errorf("%s of another version is read, want an error", kind)
		}
	}
	if _, _, err := parseEvent(0xffff, sig); err == nil {
		t.Error("an event of an unknown kind is read, want an error")
	}
}

func TestEventsKeepTheirBounds(t *testing.T) {
	for _, e := range []event{
		&partnerEvent{Name: strings.Repeat("a", maxName+1)},
		&suspendEvent{Reason: strings.Repeat("a", maxReason+1)},
		&relayEvent{Relay: RelayInfo{Tunnel: strings.Repeat("a", maxPlace+1)}},
		&releaseEvent{Finals: make([]Final, MaxFinals+1)},
		&evidenceEvent{Receipt: make([]byte, 1<<16)},
	} {
		if body, err := eventBody(samplePlace, e); err == nil {
			t.Errorf("%s beyond its bound is written as %d bytes, want an error", e.kind(), len(body))
		}
	}
}

func FuzzEvent(f *testing.F) {
	for _, s := range sampleEvents {
		body, err := eventBody(samplePlace, s.event)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint16(s.event.kind()), append(body, make([]byte, signatureSize)...))
	}
	f.Fuzz(func(t *testing.T, kind uint16, record []byte) {
		p, e, err := parseEvent(eventKind(kind), record)
		if err != nil {
			return
		}
		body, err := eventBody(p, e)
		if err != nil || !bytes.Equal(body, record[:len(record)-signatureSize]) {
			t.Errorf("%s: %x is written again as %x, %v", e.kind(), record, body, err)
		}
	})
}

func TestSettlementsAreReadStrictly(t *testing.T) {
	n := newTown(t)
	g := n.grant(minGrant)
	s := n.session(n.edge)
	receipts := []SignedReceipt{s.receipt(Tally{Grant: g.ID, Up: 1}), s.receipt(Tally{Grant: g.ID, Up: 2})}
	batch, err := appendBatch(nil, []SignedChannel{s.channel}, receipts)
	n.must(err)
	gotChannels, gotReceipts, err := parseBatch(batch)
	if err != nil || len(gotChannels) != 1 || len(gotReceipts) != 2 {
		t.Fatalf("parseBatch = %d channels, %d receipts, %v; want 1, 2, nil", len(gotChannels), len(gotReceipts), err)
	}
	if diff := cmp.Diff(receipts, gotReceipts); diff != "" {
		t.Errorf("receipts (-written +read):\n%s", diff)
	}
	for cut := range len(batch) {
		if _, _, err := parseBatch(batch[:cut]); err == nil {
			t.Errorf("a settlement cut to %d of %d bytes is read, want an error", cut, len(batch))
		}
	}
	if _, _, err := parseBatch(append(batch, 0)); err == nil {
		t.Error("a settlement with a byte too many is read, want an error")
	}
	if _, err := appendBatch(nil, nil, make([]SignedReceipt, maxSettlementItems+1)); err == nil {
		t.Error("a settlement of too many records is written, want an error")
	}
}

func FuzzBatch(f *testing.F) {
	batch, err := appendBatch(nil, nil, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(batch)
	f.Fuzz(func(t *testing.T, b []byte) {
		channels, receipts, err := parseBatch(b)
		if err != nil {
			return
		}
		again, err := appendBatch(nil, channels, receipts)
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%x is written again as %x, %v", b, again, err)
		}
	})
}

func TestOwnersCodeIsReadAsPeopleTypeIt(t *testing.T) {
	code := fill16(0x5a)
	text := formatCode(code)
	for _, typed := range []string{text, strings.ToLower(text), strings.ReplaceAll(text, "-", " "), strings.ReplaceAll(text, "-", "")} {
		if got, ok := parseCode(typed); !ok || got != code {
			t.Errorf("parseCode(%q) = %x, %t; want %x", typed, got, ok, code)
		}
	}
	for _, typed := range []string{"", text[1:], text + "0", "U" + text[1:], strings.Repeat("0", 1000)} {
		if got, ok := parseCode(typed); ok {
			t.Errorf("parseCode(%q) = %x, want none", typed, got)
		}
	}
}
