package proof

import (
	"crypto/sha256"
	"encoding/binary"
)

// The types of the two signatures (PROTOCOL.md §8.4, §8.5).
const (
	TypeAttest = "fetch"
	TypeSeal   = "document"
)

// The seal's body: version u16 = 1 | type u16 = 5 | SHA-256 of the canonical provenance [32].
const (
	version  uint16 = 1
	bodySeal uint16 = 5
)

// unsealed are the members of a provenance that the seal leaves out: itself, and what a job finds out about the page only
// among its other pages.
var unsealed = []string{"seal", "duplicateOf", "duplicateKind"}

// Seal is a hub's signature over a provenance.
type Seal struct {
	Hub       string `json:"hub"`
	Signature []byte `json:"signature"`
}

// SealBody is what a hub signs for a provenance, given as JSON.
func SealBody(provenance []byte) ([]byte, error) {
	text, err := canonical(provenance, unsealed...)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	body := binary.BigEndian.AppendUint16(nil, version)
	body = binary.BigEndian.AppendUint16(body, bodySeal)
	return append(body, sum[:]...), nil
}
