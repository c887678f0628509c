package identity

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
)

// Key is a peer's private key. No formatting verb and no log handler shows it.
// The zero Key is nobody's and must not sign.
type Key struct {
	private ed25519.PrivateKey
}

// NewKey draws a fresh key.
func NewKey() (Key, error) { return NewKeyFrom(rand.Reader) }

// NewKeyFrom draws a key from r, 32 bytes of it. The same bytes give the same
// key, so r is random everywhere but in tests.
func NewKeyFrom(r io.Reader) (Key, error) {
	var seed [ed25519.SeedSize]byte
	if _, err := io.ReadFull(r, seed[:]); err != nil {
		return Key{}, fmt.Errorf("draw a key: %w", err)
	}
	return Key{private: ed25519.NewKeyFromSeed(seed[:])}, nil
}

// ID is the public half.
func (k Key) ID() ID {
	if k.IsZero() {
		return ID{}
	}
	return ID(k.private[ed25519.SeedSize:])
}

// IsZero reports whether k is nobody's key.
func (k Key) IsZero() bool { return len(k.private) == 0 }

// String names the key by its public half.
func (k Key) String() string { return "key of " + k.ID().String() }

// Format answers every verb like String, %#v and %d included, which would
// otherwise print the private bytes.
func (k Key) Format(f fmt.State, _ rune) { io.WriteString(f, k.String()) } //nolint:errcheck // fmt collects it in memory

// LogValue logs the public half.
func (k Key) LogValue() slog.Value { return k.ID().LogValue() }
