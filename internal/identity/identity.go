// Package identity says who is who. Every edge, relay and hub is one Ed25519
// key and nothing else: there are no names, no certificate authority and no
// passwords between the machines of the network.
//
// The same key does two jobs. It authenticates a connection: [Key.TLSConfig]
// proves it to the other end inside the TLS 1.3 handshake, in libp2p's format,
// and [PeerOf] reads back who that other end is. And it signs what has to be
// believed later, by people who were not there: grants, channels, receipts,
// pages, the directory. A signature belongs to one network and one type of
// body ([Key.Sign]), so that nothing signed for a test is worth anything in
// the main network, and a receipt can never be read as a grant.
//
// It is the bottom of the walk: the tunnel asks it who is calling, accounting
// asks it who promised.
package identity

import (
	"fmt"
	"log/slog"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/oasisprotocol/curve25519-voi/curve"
)

// multihashPrefix turns an Ed25519 public key into a libp2p peer ID: the
// identity multihash (0x00) of 36 bytes (0x24) that hold the protobuf
// {type: Ed25519 (0x08 0x01), data: 32 bytes (0x12 0x20)}.
// Source: https://github.com/libp2p/specs/blob/master/peer-ids/peer-ids.md
const multihashPrefix = "\x00\x24\x08\x01\x12\x20"

// maxText bounds the text of an ID, in bytes; an Ed25519 peer ID has 52.
const maxText = 64

// ID names a peer: its Ed25519 public key. The zero ID names nobody.
type ID [32]byte

// ParseID reads the text form of an ID (12D3KooW…). It refuses other key types,
// other spellings of the same ID, and keys that nobody can own: see [ID.Verify].
func ParseID(s string) (ID, error) {
	if len(s) > maxText { // base58 takes quadratic time
		return ID{}, fmt.Errorf("peer id %q: longer than any peer id", clip(s))
	}
	p, err := peer.Decode(s)
	if err != nil {
		return ID{}, fmt.Errorf("peer id %q: %w", clip(s), err)
	}
	if len(p) != len(multihashPrefix)+len(ID{}) || string(p[:len(multihashPrefix)]) != multihashPrefix {
		return ID{}, fmt.Errorf("peer id %q: not an Ed25519 key", clip(s))
	}
	id := ID([]byte(p[len(multihashPrefix):]))
	if id.String() != s {
		return ID{}, fmt.Errorf("peer id %q: written as %s", clip(s), id)
	}
	if !id.strong() {
		return ID{}, fmt.Errorf("peer id %q: a key of small order, which nobody owns", clip(s))
	}
	return id, nil
}

// String is the libp2p peer ID, 52 characters; empty for the zero ID.
func (id ID) String() string {
	if id.IsZero() {
		return ""
	}
	return peer.ID(multihashPrefix + string(id[:])).String()
}

// Short is the end of the ID, for people: all IDs begin alike.
func (id ID) Short() string {
	const n = 8 // 46 bits: enough to tell a screenful of peers apart, never to decide
	if s := id.String(); len(s) > n {
		return s[len(s)-n:]
	}
	return ""
}

// IsZero reports whether the ID names nobody.
func (id ID) IsZero() bool { return id == ID{} }

// MarshalText writes the text form; the zero ID is the empty text.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (id *ID) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*id = ID{}
		return nil
	}
	parsed, err := ParseID(string(text))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}

// LogValue logs the whole ID: operators search for it.
func (id ID) LogValue() slog.Value { return slog.StringValue(id.String()) }

// strong reports whether the ID is a point of the curve outside the small
// subgroup. For the eight small-order keys (all zero bytes among them) anyone
// can make signatures that the plain equation accepts, so they name nobody.
func (id ID) strong() bool {
	var (
		y curve.CompressedEdwardsY
		p curve.EdwardsPoint
	)
	if _, err := y.SetBytes(id[:]); err != nil {
		return false
	}
	if _, err := p.SetCompressedY(&y); err != nil {
		return false
	}
	return !p.IsSmallOrder()
}

// clip keeps a stranger's text out of an error message at full length.
func clip(s string) string {
	if len(s) > maxText {
		return s[:maxText] + "…"
	}
	return s
}
