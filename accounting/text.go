package accounting

import (
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"strings"
)

// PartnerID names a partner's account in the books. It is random, and stays in the hub.
type PartnerID [16]byte

// String is the ID in hexadecimal.
func (id PartnerID) String() string { return hex.EncodeToString(id[:]) }

// Hash is a SHA-256: of terms, of a key, of a record. Its text is hexadecimal.
type Hash [32]byte

// String is the hash in hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText writes the text form.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads the text form.
func (h *Hash) UnmarshalText(text []byte) error { return unhex(h[:], text) }

// MarshalText writes the text form.
func (id GrantID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads the text form.
func (id *GrantID) UnmarshalText(text []byte) error { return unhex(id[:], text) }

// MarshalText writes the text form.
func (id ChannelID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads the text form.
func (id *ChannelID) UnmarshalText(text []byte) error { return unhex(id[:], text) }

func unhex(into, text []byte) error {
	if len(text) != hex.EncodedLen(len(into)) {
		return fmt.Errorf("%d characters where %d of hexadecimal are expected", len(text), hex.EncodedLen(len(into)))
	}
	_, err := hex.Decode(into, text)
	return err
}

// codeAlphabet is Crockford's: no I, L, O and U, so that a code survives being read aloud and typed in again.
var codeAlphabet = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

const (
	codeBytes = 16 // 128 bits: nobody guesses an owner's code
	codeGroup = 5  // characters between two hyphens
)

// formatCode writes an owner's code in groups: 0ABCD-EFGHJ-…
func formatCode(code [codeBytes]byte) string {
	text := codeAlphabet.EncodeToString(code[:])
	var b strings.Builder
	for i := 0; i < len(text); i += codeGroup {
		if i > 0 {
			b.WriteByte('-')
		}
		b.WriteString(text[i:min(i+codeGroup, len(text))])
	}
	return b.String()
}

// parseCode reads a code as people type it: any case, with or without hyphens and spaces, I and L for 1, O for 0.
func parseCode(text string) (code [codeBytes]byte, ok bool) {
	const longest = 64 // with every separator somebody may have put in
	if len(text) > longest {
		return code, false
	}
	text = strings.NewReplacer("-", "", " ", "", "I", "1", "L", "1", "O", "0").Replace(strings.ToUpper(text))
	b, err := codeAlphabet.DecodeString(text)
	if err != nil || len(b) != codeBytes {
		return code, false
	}
	return [codeBytes]byte(b), true
}
