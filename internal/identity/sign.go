package identity

import (
	stded25519 "crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/oasisprotocol/curve25519-voi/primitives/ed25519"
)

// SignatureSize is the length of a signature in bytes (RFC 8032).
const SignatureSize = ed25519.SignatureSize

// verifyOptions is ZIP-215 without small-order keys. ZIP-215 is the rule under
// which one signature and a batch of signatures always agree, which the ledger
// needs: two auditors must never differ about a receipt. The scalar must be
// minimal (S < L) under every rule of this library, so a signature cannot be
// altered into another valid one. Source: https://zips.z.cash/zip-0215
var verifyOptions = &ed25519.Options{Verify: &ed25519.VerifyOptions{
	AllowSmallOrderA:   false,
	AllowSmallOrderR:   ed25519.VerifyOptionsZIP_215.AllowSmallOrderR,
	AllowNonCanonicalA: ed25519.VerifyOptionsZIP_215.AllowNonCanonicalA,
	AllowNonCanonicalR: ed25519.VerifyOptionsZIP_215.AllowNonCanonicalR,
}}

// Signed is one signature to check: who is said to have signed which body as
// which type.
type Signed struct {
	ID   ID
	Type string
	Body []byte
	Sig  []byte
}

// Sign signs body as a typ of one network; the signature has [SignatureSize]
// bytes. What is signed is
//
//	"sward/v1/" network "/" typ 0x00 length(body) as u32 big-endian, body
//
// A network with a slash or a zero byte, or a typ with a zero byte, would make
// that ambiguous: no signature over it verifies. See [CheckNetwork].
func (k Key) Sign(network, typ string, body []byte) []byte {
	return stded25519.Sign(k.private, message(network, typ, body))
}

// Verify reports whether sig is id's signature over body as a typ of network.
// Keys of small order verify nothing.
func (id ID) Verify(network, typ string, body, sig []byte) bool {
	if !unambiguous(network, typ) {
		return false
	}
	return ed25519.VerifyWithOptions(id[:], message(network, typ, body), sig, verifyOptions)
}

// VerifyBatch checks many signatures of one network at about two thirds of the price of
// checking them one by one, when they are all good; one bad signature costs the
// batch its discount. The answers are exactly those of [ID.Verify].
func VerifyBatch(network string, s []Signed) []bool {
	if len(s) == 0 {
		return nil
	}
	batch := ed25519.NewBatchVerifierWithCapacity(len(s))
	for _, x := range s {
		sig := x.Sig
		if !unambiguous(network, x.Type) {
			sig = nil // of the wrong length, so the entry fails and keeps its place
		}
		batch.AddWithOptions(x.ID[:], message(network, x.Type, x.Body), sig, verifyOptions)
	}
	_, valid := batch.Verify(nil)
	return valid
}

// CheckNetwork says whether a network name from a config file can be signed
// for: 1 to 32 lower-case letters, digits, dots and hyphens.
func CheckNetwork(name string) error {
	const max = 32 // it travels in every Hello
	switch {
	case name == "":
		return errors.New("network name is empty")
	case len(name) > max:
		return fmt.Errorf("network name is longer than %d characters", max)
	case strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") != "":
		return fmt.Errorf("network name %q has other characters than a-z, 0-9, dot and hyphen", name)
	}
	return nil
}

func message(network, typ string, body []byte) []byte {
	const prefix = "sward/v1/"
	m := make([]byte, 0, len(prefix)+len(network)+1+len(typ)+1+4+len(body))
	m = append(m, prefix...)
	m = append(m, network...)
	m = append(m, '/')
	m = append(m, typ...)
	m = append(m, 0)
	m = binary.BigEndian.AppendUint32(m, uint32(len(body)))
	return append(m, body...)
}

// unambiguous: the first slash ends the network, the first zero byte the type.
func unambiguous(network, typ string) bool {
	return network != "" && !strings.ContainsAny(network, "/\x00") && typ != "" && !strings.Contains(typ, "\x00")
}
