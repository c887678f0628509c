package accounting

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"sward/internal/identity"
)

const (
	channelSize = headSize + 5*32 + 32 + 2*16 + 2*32 + 2 + 4 + 4 + 8 + 8

	// SignedChannelSize is the length in bytes of a channel with both signatures.
	SignedChannelSize = channelSize + 2*signatureSize

	// ExporterLabel is the label under which both ends of a session derive the channel's exporter value, with the
	// edge's nonce as context (RFC 8446 §7.5).
	ExporterLabel = "EXPORTER-sward-channel"

	// Bounds on what a relay may propose, so that an edge that accepts a channel knows the worst of it.
	MinStep   = 64 << 10 // bytes between receipts: below it, signing costs more than the traffic
	MaxStep   = 4 << 20  // above it, signing costs nothing any more
	MaxWindow = 8 << 20  // bytes without a receipt: what one side can lose to the other

	// MaxChannelLife makes even a session that never drops change its keys once a day.
	MaxChannelLife = 24 * time.Hour
	// ChannelGrace is how long after a channel's end its running streams may go on and receipts be signed. New streams
	// need a new channel.
	ChannelGrace = 15 * time.Minute
)

// Channel is the account that a relay and an edge keep for one session. Both sign it with their identities, and name
// in it the keys that will sign its receipts. Those keys are made when a process starts and never stored, so that after
// a crash nobody can sign a second, different history of the same channel. Layout: PROTOCOL.md §8.2.
type Channel struct {
	Issuer, Relay, Edge   identity.ID
	RelayKey, EdgeKey     [32]byte // Ed25519 public keys of the receipts
	Exporter              [32]byte // TLS exporter value of the session, see ExporterLabel
	EdgeNonce, RelayNonce [16]byte
	Policy, Consent       [32]byte // digests of what the edge's owner allows and has agreed to
	Class                 uint16   // kind of edge
	Step, Window          uint32   // bytes between receipts, and bytes at most without one
	Opened, Expires       int64    // Unix milliseconds, at most MaxChannelLife apart
}

// Append adds the body to b. It does not check the values: [ParseChannel] does, wherever the body arrives.
func (c Channel) Append(b []byte) []byte {
	b = appendHead(slices.Grow(b, channelSize), kindChannel)
	b = append(b, c.Issuer[:]...)
	b = append(b, c.Relay[:]...)
	b = append(b, c.Edge[:]...)
	b = append(b, c.RelayKey[:]...)
	b = append(b, c.EdgeKey[:]...)
	b = append(b, c.Exporter[:]...)
	b = append(b, c.EdgeNonce[:]...)
	b = append(b, c.RelayNonce[:]...)
	b = append(b, c.Policy[:]...)
	b = append(b, c.Consent[:]...)
	b = binary.BigEndian.AppendUint16(b, c.Class)
	b = binary.BigEndian.AppendUint32(b, c.Step)
	b = binary.BigEndian.AppendUint32(b, c.Window)
	b = binary.BigEndian.AppendUint64(b, uint64(c.Opened))
	return binary.BigEndian.AppendUint64(b, uint64(c.Expires))
}

// ParseChannel reads a body. Refusals: length, version, type, field.
func ParseChannel(b []byte) (Channel, error) {
	if err := checkHead(b, kindChannel, channelSize); err != nil {
		return Channel{}, fmt.Errorf("channel: %w", err)
	}
	f := fields(b[headSize:])
	c := Channel{
		Issuer:     f.id(),
		Relay:      f.id(),
		Edge:       f.id(),
		RelayKey:   f.id(),
		EdgeKey:    f.id(),
		Exporter:   f.id(),
		EdgeNonce:  f.tag(),
		RelayNonce: f.tag(),
		Policy:     f.id(),
		Consent:    f.id(),
		Class:      f.u16(),
		Step:       f.u32(),
		Window:     f.u32(),
		Opened:     int64(f.u64()),
		Expires:    int64(f.u64()),
	}
	if err := c.check(); err != nil {
		return Channel{}, fmt.Errorf("channel: %w", err)
	}
	return c, nil
}

func (c Channel) check() error {
	switch zero := [32]byte{}; {
	case c.Issuer.IsZero() || c.Relay.IsZero() || c.Edge.IsZero() || c.Relay == c.Edge:
		return fmt.Errorf("issuer, relay and edge must be there and differ: %w", ErrField)
	case c.RelayKey == zero || c.EdgeKey == zero || c.RelayKey == c.EdgeKey:
		return fmt.Errorf("two different channel keys are needed: %w", ErrField)
	case c.Step < MinStep || c.Step > MaxStep || c.Window < c.Step || c.Window > MaxWindow:
		return fmt.Errorf("step of %d and window of %d bytes: %w", c.Step, c.Window, ErrField)
	case c.Opened < 0 || c.Expires <= c.Opened || c.Expires-c.Opened > MaxChannelLife.Milliseconds():
		return fmt.Errorf("open from %d to %d: %w", c.Opened, c.Expires, ErrField)
	}
	return nil
}

// ID names the channel in its network.
func (c Channel) ID(network string) ChannelID {
	return ChannelID(messageID(network, typeChannel, c.Append(nil)))
}

// Sign is the signature of key, the relay's or the edge's identity, over the channel.
func (c Channel) Sign(network string, key identity.Key) []byte {
	return key.Sign(network, typeChannel, c.Append(nil))
}

// Binds says whether the channel that a relay offers is the one that the edge asked for. want holds what the edge knows:
// issuer, both identities, its channel key, its nonce, its own exporter value, policy, consent and class. What the
// relay alone decides is bounded by [ParseChannel] already. Refusals: issuer, party, binding.
func (c Channel) Binds(want Channel) error {
	switch {
	case c.Issuer != want.Issuer:
		return fmt.Errorf("channel: issuer %s: %w", c.Issuer.Short(), ErrIssuer)
	case c.Relay != want.Relay || c.Edge != want.Edge || c.EdgeKey != want.EdgeKey:
		return fmt.Errorf("channel: another relay, edge or key: %w", ErrParty)
	case c.EdgeNonce != want.EdgeNonce:
		return fmt.Errorf("channel: the answer to another question: %w", ErrBinding)
	case c.Exporter != want.Exporter:
		return fmt.Errorf("channel: bound to another TLS session: %w", ErrBinding)
	case c.Policy != want.Policy || c.Consent != want.Consent || c.Class != want.Class:
		return fmt.Errorf("channel: on other terms: %w", ErrBinding)
	}
	return nil
}

// CheckTime says whether the channel may carry new streams now. Refusals: early, expired.
func (c Channel) CheckTime(now time.Time) error {
	switch ms := now.UnixMilli(); {
	case ms < c.Opened-maxSkew.Milliseconds():
		return fmt.Errorf("channel: opened %d ms from now: %w", c.Opened-ms, ErrEarly)
	case ms >= c.Expires:
		return fmt.Errorf("channel: ended %d ms ago: %w", ms-c.Expires, ErrExpired)
	}
	return nil
}

// SignedChannel is a channel with the bytes that both sides signed and their signatures.
type SignedChannel struct {
	Channel
	Body              []byte
	EdgeSig, RelaySig []byte
}

// Bytes is the body, the edge's signature and the relay's.
func (c SignedChannel) Bytes() []byte { return slices.Concat(c.Body, c.EdgeSig, c.RelaySig) }

// ParseSignedChannel reads what Bytes wrote. The signatures are not checked: see [SignedChannel.Verify].
func ParseSignedChannel(b []byte) (SignedChannel, error) {
	if len(b) != SignedChannelSize {
		return SignedChannel{}, fmt.Errorf("signed channel: %d bytes where %d are expected: %w", len(b), SignedChannelSize, ErrLength)
	}
	f := fields(bytes.Clone(b))
	s := SignedChannel{Body: f.next(channelSize), EdgeSig: f.next(signatureSize), RelaySig: f.next(signatureSize)}
	var err error
	s.Channel, err = ParseChannel(s.Body)
	return s, err
}

// Verify says whether both sides have signed exactly this channel in network. Refusals: body, half_signed, signature.
func (c SignedChannel) Verify(network string) error {
	switch {
	case !bytes.Equal(c.Body, c.Append(nil)):
		return fmt.Errorf("channel: %w", ErrBody)
	case unsigned(c.EdgeSig) || unsigned(c.RelaySig):
		return fmt.Errorf("channel: %w", ErrHalfSigned)
	case !c.Edge.Verify(network, typeChannel, c.Body, c.EdgeSig):
		return fmt.Errorf("channel: of the edge: %w", ErrSignature)
	case !c.Relay.Verify(network, typeChannel, c.Body, c.RelaySig):
		return fmt.Errorf("channel: of the relay: %w", ErrSignature)
	}
	return nil
}
