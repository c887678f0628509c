// Package extension carries what the programs must know of the browser node beside it: the terms to which its owner
// agrees. The node itself is the JavaScript in this folder, which a browser loads as it is; see README.md.
package extension

import (
	"crypto/sha256"
	_ "embed"
)

//go:embed consent.txt
var consent []byte

// ConsentHash names the terms: the node sends it in Hello, and a hub lists it among those that hold.
func ConsentHash() [32]byte { return sha256.Sum256(consent) }
