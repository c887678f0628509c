// Package accounting keeps the books of the network: who may use how much, what was delivered, who pays whom, and the
// proof of all of it.
//
// It exists because the parties do not trust each other. A resident's machine (edge) carries bytes for a buyer it will
// never meet (partner), through a relay that a third party runs, and a hub holds the money. So nothing here is a number
// that somebody reports: every number is a body that its witnesses signed, and anybody can add them up again.
//
// The story of a byte:
//
//  1. A partner has paid in. The hub reserves a part of the balance and signs a [Grant]: this relay, so many bytes,
//     until then.
//  2. Relay and edge open a [Channel], signed by both, with keys made for this one process ([Channel.Binds]).
//  3. Bytes flow. Each side watches with a [Meter]: the edge counts what reached the target, the relay what reached the
//     partner. Every step of bytes both sign the next [Receipt], cumulative, so that the latest one is worth all before
//     it. Whoever is left without signatures stops at the channel's window: that and what was under way is all that
//     a cheat can take.
//  4. Each keeps the latest receipt of a channel in its [Spool], and either may hand it to the hub.
//  5. The hub's [Book] writes it into a [Journal], credits the channel with the greatest receipt and never with a sum,
//     and posts the difference. Replaying the journal gives every balance again ([Audit]).
//
// It stands on internal/identity (who signs) and internal/wire (what relay and edge tell each other). relay and edge
// hold a Meter for each channel and ask the hub through a [Client].
package accounting

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"sward/internal/wire"
)

// GrantID names a grant and all its later versions. It is random: it tells nothing about the partner.
type GrantID [16]byte

// String is the ID in hexadecimal.
func (id GrantID) String() string { return hex.EncodeToString(id[:]) }

// ChannelID names a channel: the SHA-256 of the input that both sides signed, network included.
type ChannelID [32]byte

// String is the ID in hexadecimal.
func (id ChannelID) String() string { return hex.EncodeToString(id[:]) }

// Refusal is the stable name of a rule that something signed has broken: a metric label, a word in an answer, and an
// error to compare with errors.Is. The rules are checked in this order, cheapest first, signatures last, so that a flood
// of bad messages costs the least.
type Refusal string

// Error is the name itself; what was refused and why stands around it.
func (r Refusal) Error() string { return string(r) }

// As gives a refusal its code for the wire (errors.As), where it ends a session or a stream.
func (r Refusal) As(target any) bool {
	e, ok := target.(**wire.Error)
	if !ok {
		return false
	}
	code := wire.ProtocolError
	switch r {
	case ErrUnsigned, ErrWriteOff:
		code = wire.WindowClosed
	case ErrIssuer, ErrParty, ErrBinding:
		code = wire.Binding
	case ErrEarly:
		code = wire.ClockSkew
	}
	*e = &wire.Error{Code: code, Detail: "accounting: " + string(r)}
	return true
}

// The refusals of this package's signed bodies and of a channel's two meters.
const (
	// Form: the bytes are not such a body.
	ErrLength  Refusal = "length"  // too short, too long, or trailing bytes
	ErrVersion Refusal = "version" // a version this program does not speak
	ErrType    Refusal = "type"    // another kind of body
	ErrField   Refusal = "field"   // a value outside its range
	ErrOrder   Refusal = "order"   // tallies not strictly ascending by grant
	ErrCount   Refusal = "count"   // a count above MaxCount, or a sum that passes it
	ErrTotal   Refusal = "total"   // totals that are not the sums of the tallies
	ErrBody    Refusal = "body"    // fields that are not what the signed bytes say

	// Place and time: the body is good, but not here or not now.
	ErrIssuer  Refusal = "issuer"  // not issued by this network's hub
	ErrParty   Refusal = "party"   // another relay, edge or channel key
	ErrBinding Refusal = "binding" // bound to another TLS session, or to other terms
	ErrChannel Refusal = "channel" // of another channel
	ErrEarly   Refusal = "early"   // issued in the future
	ErrExpired Refusal = "expired" // past its time

	// Sequence and counts: it contradicts what is known.
	ErrSerial     Refusal = "serial"     // not the next receipt
	ErrFork       Refusal = "fork"       // a second body for one serial
	ErrPrevious   Refusal = "previous"   // does not follow the receipt before it
	ErrRegression Refusal = "regression" // a count that shrank
	ErrMismatch   Refusal = "mismatch"   // the sides' counts are further apart than bytes under way explain
	ErrTold       Refusal = "told"       // a final count above what was passed on
	ErrWriteOff   Refusal = "write_off"  // more undelivered bytes than a channel may leave unpaid
	ErrUnsigned   Refusal = "unsigned"   // the peer has stopped signing
	ErrCrowded    Refusal = "crowded"    // more streams or grants than one channel keeps account of

	// Signatures, last.
	ErrHalfSigned Refusal = "half_signed" // one of two signatures is missing: evidence, but worth nothing
	ErrSignature  Refusal = "signature"   // not signed by who should have
)

// bodyVersion is the first field of every signed body. It changes only with the meaning of a field.
const bodyVersion = 1

// Kinds of signed body, their second field. 4 is the attestation of a fetched page, in internal/wire.
const (
	kindGrant   = 1
	kindChannel = 2
	kindReceipt = 3
)

// Names of the same kinds in the signature's domain (identity.Key.Sign).
const (
	typeGrant   = "grant"
	typeChannel = "channel"
	typeReceipt = "receipt"
)

const (
	headSize      = 2 + 2 // version and kind
	signatureSize = 64    // Ed25519 (RFC 8032)
)

// checkHead says whether b is a body of size bytes of this version and kind. All three kinds begin with it.
func checkHead(b []byte, kind uint16, size int) error {
	switch {
	case len(b) != size:
		return fmt.Errorf("%d bytes where %d are expected: %w", len(b), size, ErrLength)
	case binary.BigEndian.Uint16(b) != bodyVersion:
		return fmt.Errorf("version %d: %w", binary.BigEndian.Uint16(b), ErrVersion)
	case binary.BigEndian.Uint16(b[2:]) != kind:
		return fmt.Errorf("kind %d: %w", binary.BigEndian.Uint16(b[2:]), ErrType)
	}
	return nil
}

func appendHead(b []byte, kind uint16) []byte {
	b = binary.BigEndian.AppendUint16(b, bodyVersion)
	return binary.BigEndian.AppendUint16(b, kind)
}

// fields reads a body whose length has been checked, field after field.
type fields []byte

func (f *fields) next(n int) []byte {
	b := (*f)[:n]
	*f = (*f)[n:]
	return b
}

func (f *fields) u16() uint16  { return binary.BigEndian.Uint16(f.next(2)) }
func (f *fields) u32() uint32  { return binary.BigEndian.Uint32(f.next(4)) }
func (f *fields) u64() uint64  { return binary.BigEndian.Uint64(f.next(8)) }
func (f *fields) id() [32]byte { return [32]byte(f.next(32)) }
func (f *fields) tag() [16]byte {
	return [16]byte(f.next(16))
}

// unsigned reports whether a signature's place is empty.
func unsigned(sig []byte) bool {
	for _, b := range sig {
		if b != 0 {
			return false
		}
	}
	return true
}

// messageID is the SHA-256 of the whole input of a signature (PROTOCOL.md §8), never of the signature: two signatures
// over one body are one message.
func messageID(network, typ string, body []byte) [32]byte {
	h := sha256.New()
	h.Write([]byte("sward/v1/" + network + "/" + typ + "\x00"))
	h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(body))))
	h.Write(body)
	return [32]byte(h.Sum(nil))
}
