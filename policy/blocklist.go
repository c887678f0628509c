package policy

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	// maxBlocked bounds the entries of a blocklist: 40 bytes each in memory. The largest feeds in use have a million.
	maxBlocked = 4_000_000
	// maxBlockedLine bounds one line: a name, or a digest with its prefix.
	maxBlockedLine = 1024
	// blockedDigest stands before a digest.
	blockedDigest = "sha256:"
)

// Blocklist holds hosts that nobody may reach through this network: those of child abuse and phishing feeds, and of sites
// that asked to be left alone. It keeps digests only, and feeds may come as digests, since such a list is itself a map to
// what it names.
type Blocklist struct {
	digests map[[sha256.Size]byte]struct{}
}

// ParseBlocklist reads one entry a line: a domain, which covers the names under it, an address, or sha256: and the hex
// digest of either in canonical form (lower-case ASCII, no trailing dot). # begins a comment. A line that is none of
// these is an error that says which by its number, since it ends in a log, so that a list is never in force by half.
func ParseBlocklist(r io.Reader) (*Blocklist, error) {
	b := &Blocklist{digests: map[[sha256.Size]byte]struct{}{}}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, maxBlockedLine), maxBlockedLine)
	n := 0
	for lines.Scan() {
		n++
		text, _, _ := strings.Cut(lines.Text(), "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		digest, err := blocked(text)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if b.digests[digest] = struct{}{}; len(b.digests) > maxBlocked {
			return nil, fmt.Errorf("line %d: more than %d entries", n, maxBlocked)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("after line %d: %w", n, err)
	}
	return b, nil
}

// blocked is the digest that an entry stands for.
func blocked(entry string) (digest [sha256.Size]byte, err error) {
	if text, ok := strings.CutPrefix(entry, blockedDigest); ok {
		raw, err := hex.DecodeString(text)
		if err != nil || len(raw) != len(digest) {
			return digest, fmt.Errorf("%s is followed by %d hex digits", blockedDigest, 2*len(digest))
		}
		return [sha256.Size]byte(raw), nil
	}
	host, err := ParseHost(strings.TrimSuffix(entry, "."))
	if err != nil { // it quotes the line, which is not for logs
		return digest, errors.New("neither a domain, nor an address, nor a digest")
	}
	return sha256.Sum256([]byte(host.String())), nil
}

// Check refuses a host that is on the list, or under a domain that is, with the rule domain_denied. It does not say which
// entry. A nil list refuses nobody.
func (b *Blocklist) Check(h Host) error {
	if b == nil || len(b.digests) == 0 {
		return nil
	}
	for name := h.String(); name != ""; {
		if _, found := b.digests[sha256.Sum256([]byte(name))]; found {
			return denied("domain_denied", "the target is on the network's blocklist")
		}
		if _, isAddr := h.Addr(); isAddr {
			return nil
		}
		_, name, _ = strings.Cut(name, ".")
	}
	return nil
}

// Len is how many entries are in force.
func (b *Blocklist) Len() int {
	if b == nil {
		return 0
	}
	return len(b.digests)
}
