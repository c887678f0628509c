package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"sward/crawler/link"
)

// canaries are pages of which the operator knows the body: their addresses, each with its SHA-256 in hexadecimal.
type canaries map[string]string

// digests is the list as the crawler compares it.
func (c canaries) digests() (map[string][32]byte, error) {
	known := make(map[string][32]byte, len(c))
	for address, digest := range c {
		canonical, err := link.Canonical(address, nil)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", address, err)
		}
		sum, err := hex.DecodeString(digest)
		if err != nil || len(sum) != sha256.Size {
			return nil, fmt.Errorf("%s: %q is no SHA-256 in hexadecimal", address, digest)
		}
		known[canonical] = [32]byte(sum)
	}
	return known, nil
}
