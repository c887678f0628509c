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
	grantSize = headSize + 16 + 32 + 16 + 32 + 32 + 2 + 4 + 8 + 8 + 8 + 4 + 32

	// SignedGrantSize is the length in bytes of a grant as it travels in Open: the body and the hub's signature.
	SignedGrantSize = grantSize + signatureSize

	// MaxGrantLife bounds what a stolen grant is good for, and how long the hub must hold a reserve.
	MaxGrantLife = 24 * time.Hour
)

// Grant is the hub's promise to pay for a partner's bytes through one relay, up to a limit. Issuing it has reserved the
// balance, and it names its relay, so it cannot be spent twice. The hub extends a grant by signing the same ID again
// with a higher limit or a later expiry. Layout: PROTOCOL.md §8.1.
type Grant struct {
	ID             GrantID
	Issuer         identity.ID // the hub
	Account        [16]byte    // pseudonym of the partner
	Relay          identity.ID // the one relay where it may be used
	SigningPartner identity.ID // a partner's key that signs what it received; zero if it does not
	Purpose        uint16      // code of a policy purpose
	Price          uint32      // id in the price table, for the life of the grant
	Limit          uint64      // bytes, up and down together
	Issued         int64       // Unix milliseconds
	NotAfter       int64       // Unix milliseconds; at most MaxGrantLife after Issued
	MaxChannels    uint32      // channels that may count bytes on it
	Policy         [32]byte    // digest of the account's rules
}

// Append adds the body to b. It does not check the values: [ParseGrant] does, wherever the body arrives.
func (g Grant) Append(b []byte) []byte {
	b = appendHead(slices.Grow(b, grantSize), kindGrant)
	b = append(b, g.ID[:]...)
	b = append(b, g.Issuer[:]...)
	b = append(b, g.Account[:]...)
	b = append(b, g.Relay[:]...)
	b = append(b, g.SigningPartner[:]...)
	b = binary.BigEndian.AppendUint16(b, g.Purpose)
	b = binary.BigEndian.AppendUint32(b, g.Price)
	b = binary.BigEndian.AppendUint64(b, g.Limit)
	b = binary.BigEndian.AppendUint64(b, uint64(g.Issued))
	b = binary.BigEndian.AppendUint64(b, uint64(g.NotAfter))
	b = binary.BigEndian.AppendUint32(b, g.MaxChannels)
	return append(b, g.Policy[:]...)
}

// ParseGrant reads a body. Refusals: length, version, type, count (the limit), field.
func ParseGrant(b []byte) (Grant, error) {
	if err := checkHead(b, kindGrant, grantSize); err != nil {
		return Grant{}, fmt.Errorf("grant: %w", err)
	}
	f := fields(b[headSize:])
	g := Grant{
		ID:             f.tag(),
		Issuer:         f.id(),
		Account:        f.tag(),
		Relay:          f.id(),
		SigningPartner: f.id(),
		Purpose:        f.u16(),
		Price:          f.u32(),
		Limit:          f.u64(),
		Issued:         int64(f.u64()),
		NotAfter:       int64(f.u64()),
		MaxChannels:    f.u32(),
		Policy:         f.id(),
	}
	if err := g.check(); err != nil {
		return Grant{}, fmt.Errorf("grant %s: %w", g.ID, err)
	}
	return g, nil
}

func (g Grant) check() error {
	switch {
	case g.Limit == 0 || g.Limit > MaxCount:
		return fmt.Errorf("limit of %d bytes: %w", g.Limit, ErrCount)
	case g.ID == GrantID{}:
		return fmt.Errorf("zero id: %w", ErrField)
	case g.Issuer.IsZero() || g.Relay.IsZero():
		return fmt.Errorf("issuer or relay missing: %w", ErrField)
	case g.Issued < 0 || g.NotAfter <= g.Issued || g.NotAfter-g.Issued > MaxGrantLife.Milliseconds():
		return fmt.Errorf("valid from %d to %d: %w", g.Issued, g.NotAfter, ErrField)
	case g.MaxChannels == 0:
		return fmt.Errorf("no channel allowed: %w", ErrField)
	}
	return nil
}

// CheckTime says whether the grant may be used now. Refusals: early, expired. A grant may look up to five minutes young,
// because the hub's clock and this one differ; it is never used past its end.
func (g Grant) CheckTime(now time.Time) error {
	switch ms := now.UnixMilli(); {
	case ms < g.Issued-maxSkew.Milliseconds():
		return fmt.Errorf("grant %s: issued %d ms from now: %w", g.ID, g.Issued-ms, ErrEarly)
	case ms >= g.NotAfter:
		return fmt.Errorf("grant %s: ended %d ms ago: %w", g.ID, ms-g.NotAfter, ErrExpired)
	}
	return nil
}

// SignedGrant is a grant with the bytes that the hub signed and its signature.
type SignedGrant struct {
	Grant
	Body, Sig []byte
}

// SignGrant issues g: key is the hub's.
func SignGrant(network string, key identity.Key, g Grant) SignedGrant {
	body := g.Append(nil)
	return SignedGrant{Grant: g, Body: body, Sig: key.Sign(network, typeGrant, body)}
}

// Bytes is the body and the signature, as wire.Open carries them.
func (g SignedGrant) Bytes() []byte { return slices.Concat(g.Body, g.Sig) }

// ParseSignedGrant reads what Bytes wrote. The signature is not checked: see [SignedGrant.Verify].
func ParseSignedGrant(b []byte) (SignedGrant, error) {
	if len(b) != SignedGrantSize {
		return SignedGrant{}, fmt.Errorf("signed grant: %d bytes where %d are expected: %w", len(b), SignedGrantSize, ErrLength)
	}
	b = bytes.Clone(b)
	g, err := ParseGrant(b[:grantSize])
	if err != nil {
		return SignedGrant{}, err
	}
	return SignedGrant{Grant: g, Body: b[:grantSize:grantSize], Sig: b[grantSize:]}, nil
}

// Verify says whether issuer, the hub of network, has signed exactly this grant. Refusals: issuer, body, signature.
// Time, relay and limit are the caller's to check: they depend on where the grant is used.
func (g SignedGrant) Verify(network string, issuer identity.ID) error {
	switch {
	case g.Issuer != issuer:
		return fmt.Errorf("grant %s: issued by %s: %w", g.ID, g.Issuer.Short(), ErrIssuer)
	case !bytes.Equal(g.Body, g.Append(nil)):
		return fmt.Errorf("grant %s: %w", g.ID, ErrBody)
	case !issuer.Verify(network, typeGrant, g.Body, g.Sig):
		return fmt.Errorf("grant %s: %w", g.ID, ErrSignature)
	}
	return nil
}
